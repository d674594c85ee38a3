"""The group of commands: each is found by its name, and none is imported before it is asked for."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from relay.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_found_by_its_name_and_says_what_it_is_for(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str()


def test_what_is_no_command_is_wrong_usage_even_where_a_module_has_that_name() -> None:
    for name in ("nonsense", "settings", "outcome"):
        outcome = CliRunner().invoke(main, [name])
        assert outcome.exit_code == 2
        assert name in outcome.output


def test_help_lists_the_commands_in_their_order() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line.strip() and not line.startswith("   ")] == list(COMMANDS)


def test_a_command_imports_neither_another_one_nor_what_takes_long() -> None:
    program = (
        "import sys, click; from relay.cli import main; main.get_command(click.Context(main), 'serve');"
        "print(*sorted(name for name in sys.modules if name.startswith(('relay.', 'aiohttp', 'numpy', 'av', 'rich'))))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["relay.cli", "relay.cli.outcome", "relay.cli.serve", "relay.cli.settings"]
