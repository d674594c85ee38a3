"""All measurements, and a dated table of them: `python -m bench [--quick] [NAME ...]`.

Each runs as a command of its own, `python -m bench.NAME`, whose output is shown as it comes and kept in
`bench/results/DATE-COMMIT.md`. `--quick` takes two or three minutes in all: whether
everything works, not how well.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.plot import draw, read

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("aiohttp", "uvloop", "msgspec", "numpy", "av")
# name: (arguments, arguments of --quick; None: not in it)
RUNS: dict[str, tuple[str, str | None]] = {
    "start": ("", "1"),
    "relay_ms": ("", "30"),
    "adapters": ("", "50"),
    "timings": ("", "2"),
    "memory": ("", "50"),
    "micro.request": ("", None),
    "micro.send": ("", None),
    "micro.reframe": ("", None),
    "micro.mp3": ("", None),
    "micro.resample": ("", None),
    "micro.chunker": ("", None),
    "micro.builtin_voice": ("", None),
    "load": ("", "pcm 50"),
    "cancel": ("", "3 50"),
    "dropped": ("", "20"),
    "pacing": ("", "4"),
    "jobs": ("10000 16", "500 4"),
    "slow_reader": ("120", "4 20"),
    "soak": ("10", "0.1"),
}


def run(name: str, arguments: str) -> tuple[str, int]:
    """What the command printed, and its exit status."""
    lines = []
    command = [sys.executable, "-u", "-m", f"bench.{name}", *arguments.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), process.returncode


def report(names: list[str], *, quick: bool) -> Iterator[str]:
    """The table in pieces, each as soon as it is known."""
    load = os.getloadavg()[0]
    yield f"# {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {commit()}\n\n{machine()}\n\nLoad before: {load:.2f}."
    yield " A quick run: whether it works, not how well.\n" if quick else "\n"
    for number, name in enumerate(names, start=1):
        arguments = (RUNS[name][1] or "") if quick else RUNS[name][0]
        command = f"python -m bench.{name} {arguments}".rstrip()
        print(f"\n[{number}/{len(names)}] {command}", flush=True)
        start_s = time.monotonic()
        output, status = run(name, arguments)
        failed = f", **exit status {status}**" if status else ""
        yield f"\n## {name}\n\n`{command}`, {time.monotonic() - start_s:.0f} s{failed}\n\n```text\n{output}```\n"


def commit() -> str:
    """The commit that was measured; `+` when the tree has more than it."""
    root = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        found = subprocess.run(("git", *arguments), cwd=root, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "relay", "bench")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def machine() -> str:
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    cores = len(os.sched_getaffinity(0))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {cores} cores; {platform.system()} {platform.release()}; {python}; {libraries}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about two and a quarter minutes in all")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in RUNS]:
        parser.error(f"no measurement {unknown[0]!r}; there are {', '.join(RUNS)}")
    names = asked.names or [name for name, (_, quick) in RUNS.items() if quick is not None or not asked.quick]
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{commit()}{'-quick' if asked.quick else ''}.md"
    pieces: list[str] = []
    for piece in report(names, quick=asked.quick):
        pieces.append(piece)
        file.write_text("".join(pieces), "utf-8")  # what is known so far, should the rest be interrupted
    print(f"\nwritten: {file}")
    if points := read(file.read_text("utf-8")):
        plot = file.with_suffix(".svg")
        plot.write_text(draw(points), "utf-8")
        print(f"written: {plot}")
    if "exit status" in "".join(pieces):
        sys.exit(1)


if __name__ == "__main__":
    main()
