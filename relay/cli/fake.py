"""`relay fake`."""

from pathlib import Path

import click

from relay.cli.outcome import fail, run


@click.command()
@click.option("--scenario", "name", default="ok", help="What it does with every request; see --list.  [ok]")
@click.option("--list", "listed", is_flag=True, help="List the scenarios and exit.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 takes a free one.  [0]")
@click.option(
    "--audio",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .wav or .mp3 file to send.  [something like speech, as PCM]",
)
@click.option("--seconds", type=click.FloatRange(0.05, 600), help="Length of the audio without --audio.  [2]")
def fake(name: str, listed: bool, port: int, audio: Path | None, seconds: float | None) -> None:
    """Run a speech provider that misbehaves on purpose, to see what a relay, or a bot behind one, makes of it.

    \b
    relay fake --scenario cut_chunked_rst
    relay fake --scenario slow_drip --audio hello.mp3
    """
    from relay.testing.run_fake import made_clip, read_clip, run_fake
    from relay.testing.scenarios import SCENARIOS

    if listed:
        click.echo("\n".join(SCENARIOS))
        return
    if name not in SCENARIOS:
        raise click.BadParameter(f"there is no {name!r}; --list names those there are", param_hint="--scenario")
    if audio is not None and seconds is not None:
        raise click.UsageError("--audio and --seconds exclude each other: a file has its own length")
    try:
        clip = read_clip(audio) if audio else made_clip(seconds or 2.0)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--audio") from None
    try:
        run(run_fake(name, clip, say=click.echo, port=port))
    except OSError as error:
        fail(f"cannot listen on port {port}: {error.strerror}")
