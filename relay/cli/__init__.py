"""The command line: one file a command, imported when the command is asked for.

Exit status: 0 done, 1 failed with one clear line, 2 wrong usage. Libraries that take long to import are imported by
the command that needs them, inside its function, so that `--help` is instant.
"""

from importlib import import_module

import click

from relay import __version__

__all__ = ["main"]

# In the order of `relay --help`. A command is a function of this name in a module of this name.
COMMANDS = ("serve", "say", "jobs", "voices", "providers", "check", "bench", "fake")


class _Commands(click.Group):
    """Knows its commands by name, and imports one when it is looked at."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"relay.cli.{name}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relay")
def main() -> None:
    """Any speech provider in, exact PCM frames out.

    \b
    relay serve                          the server, on 127.0.0.1:8765
    relay say "Hello." --out hello.wav   speech into a file, no server needed
    relay say - --out - | aplay -f S16_LE -r 24000   text from a pipe, spoken as it comes

    Settings come from relay.toml and the environment: [server] port is RELAY_SERVER_PORT, and a provider's key and
    address are, for example, BREEZE_API_KEY and BREEZE_BASE_URL.
    """
