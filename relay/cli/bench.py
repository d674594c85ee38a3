"""`relay bench`: how soon speech begins. Beneath it: `compare` and `load`."""

import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay.cli.bench_compare import compare
from relay.cli.bench_load import load
from relay.cli.outcome import fail, run
from relay.cli.settings import config_option, load_config

if TYPE_CHECKING:
    from relay.bench.plan import Plan, Target
    from relay.bench.prices import Price
    from relay.bench.record import Record, Turn
    from relay.bench.texts import Text
    from relay.config import Config

T = TypeVar("T")

# More text than this is asked about first.
MAX_CHARS = 20_000
# A turn that takes longer counts as failed.
TIMEOUT_S = 60.0


@click.group(invoke_without_command=True)
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Who is measured; several are compared.")
@click.option("--voice", "voices", multiple=True, metavar="[PROVIDER=]ID", help="Which voice, of which provider.")
@click.option("--model", "models", multiple=True, metavar="[PROVIDER=]ID", help="Which model, of which provider.")
@click.option("--format", "form", default="pcm_s16le/24000", metavar="ENCODING/HZ", help="[pcm_s16le/24000]")
@click.option("--url", help="A running relay, such as ws://127.0.0.1:8765/v1/stream. Default: one of its own.")
@click.option("--key", envvar="RELAY_KEY", help="The running relay's key.  [$RELAY_KEY]")
@click.option("--direct", is_flag=True, help="Also measure without the relay, in alternate turns: the baseline.")
@click.option("--no-relay", is_flag=True, help="Measure past the relay only.")
@click.option("--cold", is_flag=True, help="Measure turns on new connections too, apart.")
@click.option(
    "--text", "texts", multiple=True, metavar="NAME", help="A built-in text, or all; see --list-texts.  [short]"
)
@click.option(
    "--text-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A text a line instead."
)
@click.option("--tell-language", is_flag=True, help="Tell the provider the language of each built-in text.")
@click.option("--list-texts", is_flag=True, help="List the built-in texts and exit.")
@click.option("-n", "--rounds", type=click.IntRange(1, 100_000), default=20, help="Turns of each case.  [20]")
@click.option("--warm-up", type=click.IntRange(0, 100), default=1, help="Turns before, not counted.  [1]")
@click.option("--pause", type=click.FloatRange(0, 3600), default=0.0, help="Seconds between turns.  [0]")
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=TIMEOUT_S, help="Seconds for a turn.  [60]")
@click.option("--seed", type=int, default=1, help="Of the order of the turns.  [1]")
@click.option("--price", "prices", multiple=True, metavar="PROVIDER=USD", help="US dollars for a million characters.")
@click.option("--max-chars", type=click.IntRange(1), default=MAX_CHARS, help="Ask before sending more.  [20000]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--out", metavar="NAME", help="Write NAME.json, .csv and .html.  [relay-bench-DATE-TIME]")
@config_option
@click.pass_context
def bench(context: click.Context, /, **asked: Any) -> None:
    """Measure how soon speech begins, of one provider or of several side by side.

    Turns of all cases are interleaved in an order that is drawn for each round, one turn at a time. Ctrl-C reports what
    was measured so far. A turn that failed or was cut never counts as a fast one.

    \b
    relay bench --provider breeze,bland --direct -n 50
    relay bench --url ws://127.0.0.1:8765/v1/stream --text all --cold
    relay bench compare before.json after.json
    """
    if context.invoked_subcommand is not None:
        given = [name for name in asked if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"options of the measurement go without {context.invoked_subcommand!r}")
        return
    if asked["list_texts"]:
        _list_texts()
        return
    if asked["no_relay"] and asked["url"]:
        raise click.UsageError("--no-relay goes past every relay, so --url is without effect")
    from datetime import datetime

    out = asked["out"] or f"relay-bench-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if not Path(out).parent.is_dir():
        raise click.BadParameter(f"there is no folder {Path(out).parent}", param_hint="--out")
    config = load_config(asked["config_path"])
    usual = run(_default_of(asked["url"], asked["key"])) if asked["url"] else _default_here(config)
    plan = _plan(asked, usual)
    prices = _prices(asked["prices"], plan.targets)
    _ask_before_spending(plan, prices, asked["max_chars"], asked["yes"])
    record = run(_measure(plan, asked, config, prices))
    if not record.turns:
        fail("interrupted before the first turn had ended")
    _tell(record, out)
    if record.interrupted:
        fail(f"interrupted after {len(record.turns)} of {record.planned} turns; what was measured is reported")
    if not any(turn.code is None for turn in record.turns):
        fail("no turn ended well")


def _list_texts() -> None:
    from rich.console import Console
    from rich.table import Table

    from relay.bench.texts import BUILT_IN

    table = Table("name", "language", "characters", "for example", box=None)
    for text in BUILT_IN.values():
        table.add_row(text.name, text.language, str(text.chars), text.said(0))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


async def _default_of(url: str, key: str | None) -> str:
    """The provider of a running relay for who names none."""
    from relay_client import connect

    async with connect(url, key=key) as session:
        return str(session.ready.defaults["provider"])


def _default_here(config: "Config") -> str:
    from relay.engine.setup import build_providers, defaults_of

    return defaults_of(config, *build_providers(config)).provider


def _plan(asked: dict[str, Any], usual: str) -> "Plan":
    from relay.bench.plan import Connection, Path, Plan, Target

    names = [name for given in asked["providers"] for name in given.replace(",", " ").split()]
    names = list(dict.fromkeys(names)) or [usual]
    voices = _by_provider("--voice", asked["voices"], names)
    models = _by_provider("--model", asked["models"], names)
    targets = [
        Target(provider=name, voice=voice, model=model)
        for name in names
        for voice in voices.get(name, [None])
        for model in models.get(name, [None])
    ]
    paths = [Path.DIRECT] if asked["no_relay"] else [Path.RELAY, Path.DIRECT] if asked["direct"] else [Path.RELAY]
    return Plan(
        targets=targets,
        paths=paths,
        connections=list(Connection) if asked["cold"] else [Connection.WARM],
        texts=_texts(asked["texts"], asked["text_file"]),
        rounds=asked["rounds"],
        warm_ups=asked["warm_up"],
        seed=asked["seed"],
        tell_language=asked["tell_language"],
    )


def _texts(names: Sequence[str], file: Path | None) -> "list[Text]":
    from relay.bench.texts import BUILT_IN, from_lines, named

    if file is not None and names:
        raise click.UsageError("--text and --text-file exclude each other")
    if file is not None:
        try:
            return from_lines(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"{file}: {error}", param_hint="--text-file") from None
    asked = [name for given in names for name in given.replace(",", " ").split()] or ["short"]
    try:
        return named(list(BUILT_IN) if "all" in asked else asked)
    except KeyError as error:
        raise click.BadParameter(
            f"there is no {error}; there are {', '.join(BUILT_IN)}, and all", param_hint="--text"
        ) from None


def _by_provider(option: str, given: Sequence[str], names: Sequence[str]) -> "dict[str, list[str | None]]":
    """`PROVIDER=ID` for one of `names`, or an `ID` alone where only one is measured. An ID may hold `=`."""
    found: dict[str, list[str | None]] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if equals and name in names:
            found.setdefault(name, []).append(value)
        elif len(names) == 1:
            found.setdefault(names[0], []).append(each)
        else:
            raise click.BadParameter(
                f"say whose it is, as {names[0]}=ID; measured are {', '.join(names)}", param_hint=option
            )
    return found


def _prices(given: Sequence[str], targets: "Sequence[Target]") -> "dict[str, Price]":
    from relay.bench.prices import KNOWN, price_given

    names = [target.provider for target in targets]
    prices = {name: KNOWN[name] for name in names if name in KNOWN}
    for each in given:
        name, _, value = each.partition("=")
        try:
            usd = float(value)
        except ValueError:
            usd = -1.0
        if name not in names or not 0 <= usd < 1e9:
            raise click.BadParameter(
                f"{each!r} is not PROVIDER=USD with one of {', '.join(names)}", param_hint="--price"
            )
        prices[name] = price_given(usd)
    return prices


def _ask_before_spending(plan: "Plan", prices: "dict[str, Price]", max_chars: int, yes: bool) -> None:
    from relay.bench.figures import dollars

    sent = plan.chars_by_provider()
    for name, chars in sent.items():
        price = prices.get(name)
        cost = f"{dollars(price.of(chars))}, {price.source}" if price else "cost unknown"
        click.echo(f"{name} will be sent {chars:,} characters ({cost})", err=True)
    billed = sum(chars for name, chars in sent.items() if name not in prices or prices[name].high)
    if billed <= max_chars or yes:
        return
    question = f"{billed:,} characters may be billed, more than --max-chars {max_chars:,}"
    if not sys.stdin.isatty():
        fail(f"{question}; say --yes to send them")
    if not click.confirm(f"{question}. Go on?", err=True):
        fail("nothing was sent")


async def _measure(plan: "Plan", asked: dict[str, Any], config: "Config", prices: "dict[str, Price]") -> "Record":
    """Runs the plan; being cancelled (Ctrl-C) ends it early, with what was measured."""
    import asyncio
    from datetime import UTC, datetime
    from functools import partial

    from relay_client import Audio

    from relay.bench.direct import Direct, resolved
    from relay.bench.machine import this_machine
    from relay.bench.plan import Path
    from relay.bench.progress import Progress
    from relay.bench.record import Record, Settings
    from relay.bench.run import run as run_plan
    from relay.bench.spoken import Way
    from relay.bench.through import Through
    from relay.cli.speaking import relay_process
    from relay.core.formats import AudioRequest
    from relay.drivers.dispatch import Drivers
    from relay.engine.setup import build_providers, defaults_of, dialogue_patience, patience, voice_choice_of

    encoding, rate = _format(asked["form"])
    # An impossible format, or a voice that nobody has, is told before anything is sent.
    AudioRequest(encoding=encoding, sample_rate=rate)
    turns: list[Turn] = []
    interrupted = False
    started_at = datetime.now(UTC)
    machine = this_machine()
    rate_hz = rate if isinstance(rate, int) else None
    providers, missing = build_providers(config)
    voices = voice_choice_of(config, defaults_of(config, providers, missing))
    if Path.DIRECT in plan.paths or not asked["url"]:
        for case in plan.cases:
            resolved(providers, voices, case.target, rate_hz, case.text.language if plan.tell_language else None)
    async with AsyncExitStack() as stack:
        ways: dict[Path, Way] = {}
        if Path.DIRECT in plan.paths:
            drivers = partial(Drivers, patience(config), dialogue_patience(config))
            direct = Direct(providers, voices, drivers, sample_rate_hz=rate_hz, timeout_s=asked["timeout"])
            ways[Path.DIRECT] = await stack.enter_async_context(direct)
        if Path.RELAY in plan.paths:
            address, key = asked["url"], asked["key"]
            if not address:
                address, key = await _started(stack, relay_process(asked["config_path"]))
            audio = Audio(encoding=encoding, sample_rate=rate)
            through = Through(address, key, audio, timeout_s=asked["timeout"])
            ways[Path.RELAY] = await stack.enter_async_context(through)
        with Progress(len(plan.warm_up_shots), len(plan.shots)) as progress:

            def on_turn(turn: "Turn") -> None:
                turns.append(turn)
                progress.turn(turn)

            try:
                await run_plan(plan, ways, on_warm_up=progress.warm_up, on_turn=on_turn, pause_s=asked["pause"])
            except asyncio.CancelledError:
                interrupted = True
                # What is closed on the way out is waited for in peace.
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
    return Record(
        started_at=started_at.isoformat(timespec="seconds"),
        settings=Settings(
            rounds=plan.rounds,
            warm_ups=plan.warm_ups,
            seed=plan.seed,
            encoding=encoding,
            sample_rate=rate,
            texts={text.name: text.chars for text in plan.texts},
            built_in_texts=all(text.built_in for text in plan.texts),
            relay="none" if Path.RELAY not in plan.paths else "remote" if asked["url"] else "own process",
            timeout_s=asked["timeout"],
            pause_s=asked["pause"],
            tell_language=plan.tell_language,
        ),
        machine=machine,
        planned=len(plan.shots),
        interrupted=interrupted,
        turns=turns,
        prices={name: (price.low, price.high) for name, price in prices.items()},
    )


async def _started(stack: AsyncExitStack, relay: AbstractAsyncContextManager[T]) -> T:
    try:
        return await stack.enter_async_context(relay)
    except (OSError, RuntimeError) as error:
        fail(f"the relay to be measured did not start: {error or type(error).__name__}")


def _format(given: str) -> tuple[Any, Any]:
    """`ENCODING/HZ`, either of which may be left out; HZ may be `native`."""
    encoding, _, rate = given.partition("/")
    if not rate and (encoding.isdigit() or encoding == "native"):
        encoding, rate = "", encoding
    if rate and rate != "native" and not rate.isdigit():
        raise click.BadParameter(f"{given!r} is not ENCODING/HZ, such as mulaw/8000", param_hint="--format")
    return encoding or "pcm_s16le", rate if rate == "native" else int(rate or 24000)


def _tell(record: "Record", out: str) -> None:
    from rich.console import Console

    from relay.bench.page import page
    from relay.bench.record import to_csv
    from relay.bench.summary import summarise, with_summary
    from relay.bench.terminal import report

    summary = summarise(record)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(report(record, summary))
    files = {
        ".json": with_summary(record, summary),
        ".csv": to_csv(record.turns).encode(),
        ".html": page(record, summary).encode(),
    }
    for suffix, content in files.items():
        file = Path(f"{out}{suffix}")
        try:
            file.write_bytes(content)
        except OSError as error:
            fail(f"{file}: cannot be written: {error.strerror}")
    click.echo(f"written: {out}.json, {out}.csv, {out}.html", err=True)


bench.add_command(compare)
bench.add_command(load)
