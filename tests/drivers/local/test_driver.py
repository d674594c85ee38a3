"""The driver of worker processes, with a worker that misbehaves on command. No speech is made here."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from relay.core.formats import AudioFormat, Container, Encoding
from relay.core.timings import Stage, Timings
from relay.drivers.local import driver as local
from relay.drivers.local.driver import LocalDriver
from relay.drivers.local.process import WorkerTimeouts
from relay.drivers.local.wire import Kind, pack
from relay.errors import Code, ProviderError
from relay.providers.base.http import Piece, WordTime
from relay.providers.base.provider import LocalRequest
from tests.providers.fake_requests import (
    HASTY,
    SOURCE,
    WORKER,
    exists,
    job,
    pid_of_worker,
    pool_of,
    refusal,
    take,
    until,
)

# Processes start slowly on a busy machine: most tests share two drivers, and leave them as they found them.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_one() -> AsyncIterator[LocalDriver]:
    async with LocalDriver([WORKER], workers=1, timeouts=HASTY) as driver:
        yield driver


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_two() -> AsyncIterator[LocalDriver]:
    async with LocalDriver([WORKER], workers=2, timeouts=HASTY) as driver:
        yield driver


@pytest_asyncio.fixture(loop_scope="module")
async def one(shared_one: LocalDriver) -> AsyncIterator[LocalDriver]:
    """A driver with a single worker: whatever holds it up is felt by the next request."""
    yield shared_one
    await whole_again(shared_one, workers=1)


@pytest_asyncio.fixture(loop_scope="module")
async def two(shared_two: LocalDriver) -> AsyncIterator[LocalDriver]:
    yield shared_two
    await whole_again(shared_two, workers=2)


async def whole_again(driver: LocalDriver, workers: int) -> None:
    """All workers idle, nobody in line: whatever a test did, nothing is lost or left over."""
    pool = pool_of(driver)
    assert not pool._waiting
    async with asyncio.timeout(5):
        for worker in [await pool.worker() for _ in range(workers)]:
            pool._free(worker)
    assert len(pool._idle) == len(pool._processes) == workers


# ── what a reply is ──────────────────────────────────────────────────────────


async def test_pieces_come_in_order_with_the_workers_own_rate_and_all_marks(one: LocalDriver) -> None:
    timings = Timings()
    before_s = time.monotonic()
    async with one.open(job("give", pieces=["ab", "c", "de"], sample_rate_hz=16000), timings) as reply:
        assert reply.facts.source.pcm == AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=16000)
        assert reply.facts.source.container is Container.RAW
        assert reply.refuse(b"{}") is None
        assert [piece async for piece in reply] == [b"ab", b"c", b"de"]
    marks = [timings.instants_s[stage] for stage in (Stage.REQUEST_SENT, Stage.RESPONSE_HEADERS, Stage.FIRST_BYTE)]
    instants = [before_s, *marks, time.monotonic()]
    assert instants == sorted(instants)
    assert timings.connection_reused is True


async def test_the_expected_rate_stands_until_a_worker_says_otherwise(one: LocalDriver) -> None:
    async with one.open(job("look_around"), Timings()) as reply:
        assert reply.facts.source == SOURCE


async def test_words_come_between_the_bytes(one: LocalDriver) -> None:
    assert await take(one, job("tell_words", words=[["one", 0.0, 0.25], ["twö", 0.25, 1]])) == [
        WordTime(text="one", start_s=0.0, end_s=0.25),
        b"one",
        WordTime(text="twö", start_s=0.25, end_s=1.0),
        "twö".encode(),
    ]


async def test_an_empty_reply_is_entered_and_ends(one: LocalDriver) -> None:
    assert await take(one, job("give", pieces=[])) == []


async def test_a_refused_job_is_the_workers_own_word_and_costs_no_worker(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    error = await refusal(one, job("refuse", code="voice_not_found", message="no such voice" + "!" * 1000))
    assert error.code is Code.VOICE_NOT_FOUND
    assert not error.retryable
    assert error.message.startswith("no such voice!")
    assert len(error.message) == 500
    assert await pid_of_worker(one) == pid


async def test_a_worker_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREEZE_API_KEY", "secret")
    async with LocalDriver(workers=1) as driver:
        pieces = await take(driver, job("look_around"))
    facts = json.loads(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
    assert "secret" not in facts["environment"].values()
    assert facts["parent"] == os.getpid()


# ── a worker that fails ──────────────────────────────────────────────────────


async def test_a_death_before_the_first_piece_is_tried_once_more(one: LocalDriver, tmp_path: Path) -> None:
    diary = tmp_path / "deaths"
    assert await take(one, job("die", diary=str(diary), first=["whole"], times=0)) == [b"whole"]
    assert await take(one, job("die", diary=str(diary), first=[], times=1)) == []
    assert diary.read_text() == "x"


async def test_a_job_that_kills_every_worker_is_given_up_after_two(one: LocalDriver, tmp_path: Path) -> None:
    pid = await pid_of_worker(one)
    diary = tmp_path / "deaths"
    error = await refusal(one, job("die", diary=str(diary), first=[]))
    assert error.code is Code.PROVIDER_UNAVAILABLE
    assert error.retryable
    assert "SIGSEGV" in error.message
    assert diary.read_text() == "xx"
    assert await pid_of_worker(one) != pid
    assert not exists(pid)


async def test_a_death_in_the_middle_is_a_cut_after_the_good_bytes_and_not_tried_again(
    one: LocalDriver, tmp_path: Path
) -> None:
    diary = tmp_path / "deaths"
    good: list[Piece] = []
    error = await refusal(one, job("die", diary=str(diary), first=["good", "bytes"]), good)
    assert good == [b"good", b"bytes"]
    assert error.code is Code.PROVIDER_CUT
    assert error.retryable
    assert diary.read_text() == "x"
    assert await take(one, job("give", pieces=["next"])) == [b"next"]


async def test_one_death_leaves_the_other_requests_alone(two: LocalDriver, tmp_path: Path) -> None:
    async with two.open(job("linger", first=["still"]), Timings()) as held:
        deadly = refusal(two, job("die", diary=str(tmp_path / "deaths"), first=[]))
        others = (take(two, job("give", pieces=[str(number)])) for number in range(8))
        error, pieces = await asyncio.gather(deadly, asyncio.gather(*others))
        assert error.code is Code.PROVIDER_UNAVAILABLE
        assert pieces == [[str(number).encode()] for number in range(8)]
        assert await anext(aiter(held)) == b"still"


@pytest.mark.parametrize("first", [[], ["good"]])
async def test_a_hang_is_a_timeout_and_the_worker_is_replaced(one: LocalDriver, first: list[str]) -> None:
    pid = await pid_of_worker(one)
    good: list[Piece] = []
    error = await refusal(one, job("hang", first=first), good)
    assert error.code is Code.PROVIDER_TIMEOUT
    assert "0.3 s" in error.message
    assert good == [piece.encode() for piece in first]
    assert await pid_of_worker(one) != pid
    assert not exists(pid)


NO_MESSAGES = {
    "noise": b"Segmentation fault",
    "length": b"\x12\x01\x00\x00\x00\xff\xff\xff\xff",
    "ready twice": pack(Kind.READY, 0),
    "failed at nothing": pack(Kind.FAILED, 0, b'{"code":"provider_rejected","message":"x"}'),
}


@pytest.mark.parametrize("raw", NO_MESSAGES.values(), ids=NO_MESSAGES.keys())
async def test_what_is_no_message_ends_the_worker_after_the_good_bytes(one: LocalDriver, raw: bytes) -> None:
    pid = await pid_of_worker(one)
    good: list[Piece] = []
    error = await refusal(one, job("say", first=["good"], raw=raw.hex()), good)
    assert error.code is Code.PROVIDER_CUT
    assert "no message" in error.message
    assert good == [b"good"]
    assert await pid_of_worker(one) != pid


NO_ANSWERS = {
    "of the relay": (Kind.STOP, ""),
    "ready for a request": (Kind.READY, ""),
    "head without rate": (Kind.HEAD, "{}"),
    "word without text": (Kind.WORD, '{"start_s": 0, "end_s": 1}'),
    "word that is no JSON": (Kind.WORD, "word"),
    "failure without code": (Kind.FAILED, '{"message":"x"}'),
    "failure nobody knows": (Kind.FAILED, '{"code":"crashed","message":"x"}'),
    "failure that is not a worker's to decide": (Kind.FAILED, '{"code":"slow_client","message":"x"}'),
}


@pytest.mark.parametrize(("kind", "payload"), NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_what_is_no_answer_to_its_request_ends_the_worker(one: LocalDriver, kind: Kind, payload: str) -> None:
    pid = await pid_of_worker(one)
    good: list[Piece] = []
    error = await refusal(one, job("answer", first=["good"], kind=int(kind), payload=payload), good)
    assert error.code is Code.PROVIDER_CUT
    assert "no message" in error.message
    assert good == [b"good"]
    assert await pid_of_worker(one) != pid


@pytest.mark.parametrize("kind", [Kind.READY, Kind.FAILED, Kind.BYTES])
async def test_a_worker_that_speaks_unasked_is_ended(one: LocalDriver, kind: Kind) -> None:
    (process,) = pool_of(one)._processes
    assert await take(one, job("speak_unasked", kind=int(kind))) == []
    async with asyncio.timeout(5):
        await process.gone
    assert await take(one, job("give", pieces=["next"])) == [b"next"]


async def test_no_message_at_all_is_unavailable_after_two_workers(two: LocalDriver) -> None:
    before = {process.pid for process in pool_of(two)._processes}
    error = await refusal(two, job("say", first=[], raw=b"noise".hex() * 2))
    assert error.code is Code.PROVIDER_UNAVAILABLE
    assert "no message" in error.message
    assert await take(two, job("give", pieces=["next"])) == [b"next"]
    assert not before & {process.pid for process in pool_of(two)._processes}


async def test_a_worker_that_hangs_up_and_lives_on_is_ended(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    good: list[Piece] = []
    error = await refusal(one, job("hang_up", first=["good"]), good)
    assert good == [b"good"]
    assert error.code is Code.PROVIDER_CUT
    assert "closed its pipe" in error.message
    assert await pid_of_worker(one) != pid
    assert not exists(pid)


async def test_a_message_about_another_request_reaches_nobody(one: LocalDriver) -> None:
    good: list[Piece] = []
    error = await refusal(one, job("say_of_another", first=["mine"]), good)
    assert error.code is Code.PROVIDER_CUT
    assert good == [b"mine"]


async def test_a_surprise_names_its_place_and_never_the_text(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    error = await refusal(one, job("surprise", text="what was to be said"))
    assert error.code is Code.PROVIDER_UNAVAILABLE
    assert "ValueError at fake_worker.py:" in error.message
    assert "to be said" not in error.message
    assert await pid_of_worker(one) != pid


async def test_an_idle_worker_that_is_killed_is_replaced_before_anybody_asks(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    (process,) = pool_of(one)._processes
    os.kill(pid, signal.SIGKILL)
    await process.gone
    await until(lambda: process not in pool_of(one)._processes)
    assert not pool_of(one)._idle
    assert not exists(pid)
    await until(lambda: bool(pool_of(one)._idle))


# ── a listener that leaves ───────────────────────────────────────────────────


async def test_leaving_early_stops_the_work_and_keeps_the_worker(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    async with one.open(job("linger", first=["begun"]), Timings()) as reply:
        assert await anext(aiter(reply)) == b"begun"
    assert await pid_of_worker(one) == pid


async def test_nothing_of_a_left_request_reaches_the_next(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    for number in range(20):
        async with one.open(job("flood", piece="stale", heed=True), Timings()) as reply:
            assert await anext(aiter(reply)) == b"stale"
        assert await take(one, job("give", pieces=[str(number)])) == [str(number).encode()]
    assert await pid_of_worker(one) == pid


@pytest.mark.parametrize("do", [{"do": "flood", "piece": "x", "heed": False}, {"do": "hang", "first": ["x"]}])
async def test_a_worker_that_does_not_stop_is_replaced(do: dict[str, Any]) -> None:
    async with LocalDriver(workers=1, timeouts=WorkerTimeouts(job_s=30.0, stop_s=0.3)) as driver:
        pid = await pid_of_worker(driver)
        async with driver.open(job(**do), Timings()) as reply:
            assert await anext(aiter(reply)) == b"x"
            left_s = time.monotonic()
        assert time.monotonic() - left_s < 0.15, "leaving waits for nobody"
        assert await pid_of_worker(driver) != pid
        assert not exists(pid)


async def test_a_cancel_at_any_instant_leaves_the_worker_free(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    heard: list[Piece] = []
    # From before the request to long after its first piece.
    for turns_of_the_loop in (*range(40), *(2**power for power in range(6, 14))):
        request = asyncio.create_task(take(one, job("linger", first=["begun"]), heard))
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)  # gives way; waits for no time
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert await pid_of_worker(one) == pid
    assert 0 < len(heard) < 48


async def test_who_leaves_the_line_holds_up_nobody(one: LocalDriver) -> None:
    async with one.open(job("linger", first=["x"]), Timings()):
        tasks = [asyncio.create_task(take(one, job("give", pieces=[name]))) for name in "abc"]
        await until(lambda: len(pool_of(one)._waiting) == 3)
        tasks[0].cancel()
        tasks[1].cancel()
    assert await tasks[2] == [b"c"]
    for task in tasks[:2]:
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_who_is_cancelled_as_a_worker_comes_free_passes_it_on(one: LocalDriver) -> None:
    await pid_of_worker(one)
    pool = pool_of(one)
    worker = await pool.worker()
    waiting = [asyncio.create_task(pool.worker()) for _ in range(2)]
    await until(lambda: len(pool._waiting) == 2)
    pool._free(worker)  # the first in line has it now, and has not run yet
    waiting[0].cancel()
    assert await waiting[1] is worker
    assert waiting[0].cancelled()
    waiting = [asyncio.create_task(pool.worker()) for _ in range(2)]
    await until(lambda: len(pool._waiting) == 2)
    waiting[0].cancel()
    pool._free(worker)  # the first in line has left, and has not run yet
    assert await waiting[1] is worker
    assert waiting[0].cancelled()
    pool._free(worker)


async def test_a_worker_that_died_in_between_is_not_passed_on(one: LocalDriver) -> None:
    pool = pool_of(one)
    worker = await pool.worker()
    worker.kill()
    await worker.gone
    pool._free(worker)
    assert worker not in pool._idle


@pytest.mark.parametrize("details", [{"text": b"no JSON"}, {"text": "x" * 300_000}], ids=["no JSON", "too long"])
async def test_a_job_that_cannot_be_sent_costs_no_worker(one: LocalDriver, details: dict[str, Any]) -> None:
    with pytest.raises((TypeError, AssertionError)):
        await take(one, job("give", **details))
    assert await take(one, job("give", pieces=["next"])) == [b"next"]


# ── bounds ───────────────────────────────────────────────────────────────────


async def test_a_listener_that_stalls_keeps_its_reply_and_not_the_worker(one: LocalDriver) -> None:
    pieces = [str(number) * 1000 for number in range(10)]
    async with one.open(job("give", pieces=pieces), Timings()) as stalled:
        assert await take(one, job("give", pieces=["other"])) == [b"other"]
        assert [piece async for piece in stalled] == [piece.encode() for piece in pieces]


async def test_a_reply_holds_so_much_and_then_fails_after_what_it_holds() -> None:
    async with LocalDriver([WORKER], workers=1, max_held_bytes=10_000) as driver:
        pid = await pid_of_worker(driver)
        good: list[Piece] = []
        with pytest.raises(ProviderError) as caught:
            async with driver.open(job("flood", piece="x" * 3000, heed=True), Timings()) as reply:
                # The worker has been stopped, and is free for another, before anything is taken.
                assert await pid_of_worker(driver) == pid
                async for piece in reply:
                    good.append(piece)  # noqa: PERF401
        assert good == [b"x" * 3000] * 3
        assert caught.value.code is Code.TEXT_TOO_LONG
        assert not caught.value.retryable
        assert "10000 bytes" in caught.value.message


async def test_what_was_taken_makes_room() -> None:
    async with LocalDriver(workers=1, max_held_bytes=10) as driver:
        async with driver.open(job("flood", piece="x" * 8, heed=True), Timings()) as reply:
            assert await anext(aiter(reply)) == b"x" * 8
        async with driver.open(job("linger", first=["1234567890"]), Timings()) as reply:
            assert await anext(aiter(reply)) == b"1234567890"
            assert reply._held_bytes == 0


async def test_words_count_too() -> None:
    words = [["word", 0, 1]] * 100
    async with LocalDriver(workers=1, max_held_bytes=1000) as driver:
        assert (await refusal(driver, job("tell_words", words=words))).code is Code.TEXT_TOO_LONG


async def test_the_line_is_served_in_order_and_has_an_end() -> None:
    async with LocalDriver([WORKER], workers=1, max_waiting=3) as driver:
        served: list[str] = []

        async def request(name: str) -> None:
            await take(driver, job("give", pieces=[name]))
            served.append(name)

        async with driver.open(job("linger", first=["x"]), Timings()):
            tasks = [asyncio.create_task(request(name)) for name in "abc"]
            await until(lambda: len(pool_of(driver)._waiting) == 3)
            error = await refusal(driver, job("give", pieces=["d"]))
            assert error.code is Code.PROVIDER_RATE_LIMITED
            assert error.retry_after_s == 1.0
            assert error.retryable
        await asyncio.gather(*tasks)
        assert served == ["a", "b", "c"]


async def test_the_line_is_left_after_its_time(one: LocalDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    async with one.open(job("linger", first=["x"]), Timings()):
        monkeypatch.setattr(local, "QUEUE_TIMEOUT_S", 0.05)
        error = await refusal(one, job("give", pieces=["never"]))
        assert error.code is Code.PROVIDER_TIMEOUT
        assert "0.05 s" in error.message
        assert not pool_of(one)._waiting


async def test_a_second_try_goes_ahead_of_the_line(one: LocalDriver, tmp_path: Path) -> None:
    order: list[str] = []

    async def request(name: str, wanted: LocalRequest) -> None:
        await take(one, wanted)
        order.append(name)

    async with one.open(job("linger", first=["x"]), Timings()):
        retried = job("die", diary=str(tmp_path / "deaths"), first=[], times=1)
        tasks = [asyncio.create_task(request("retried", retried))]
        tasks += [asyncio.create_task(request(name, job("give", pieces=[name]))) for name in "ab"]
        await until(lambda: len(pool_of(one)._waiting) == 3)
    await asyncio.gather(*tasks)
    assert order == ["retried", "a", "b"]


# ── start and end ────────────────────────────────────────────────────────────


def module_in(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    return name


async def test_start_waits_for_nobody_and_the_first_request_waits_for_the_start() -> None:
    driver = LocalDriver([WORKER], workers=2)
    await driver.start()
    try:
        assert not pool_of(driver)._idle
        assert await take(driver, job("give", pieces=["early"])) == [b"early"]
    finally:
        await driver.close()


DIARIST = """
import pathlib, sys
with open({diary!r}, "a") as diary:
    diary.write("x")
if pathlib.Path({repaired!r}).exists():
    from tests.providers.fake_worker import prepare
else:
    from relay.drivers.local.worker import CannotWorkError
    def prepare():
        raise CannotWorkError("something is missing: pip install it")
from relay.drivers.local.worker import serve
serve(prepare)
"""


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_worker_that_cannot_work_says_why_and_is_asked_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    diary, repaired = tmp_path / "starts", tmp_path / "repaired"
    source = DIARIST.format(diary=str(diary), repaired=str(repaired))
    module = module_in(tmp_path, "sick_worker", source, monkeypatch)
    request = job("give", module=module, pieces=["well"])
    async with LocalDriver(workers=workers, timeouts=WorkerTimeouts(retry_start_s=0.3)) as driver:
        for _ in range(5):
            error = await refusal(driver, request)
            assert error.code is Code.PROVIDER_UNAVAILABLE
            assert error.message == "something is missing: pip install it"
            assert error.retryable
        assert diary.read_text() == "x" * workers, "a start of each tells for all requests"
        # After its pause, each place waits until a worker is wanted.
        await until(lambda: len(driver._pools[module]._wanted._waiters) == workers)
        assert diary.read_text() == "x" * workers
        repaired.touch()
        driver._pools[module]._failed_at_s = 0.0  # long ago, for requests; the next start still takes its time
        assert await take(driver, request) == [b"well"]
        assert diary.read_text().startswith("x" * (workers + 1))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("print('hello, world', flush=True); input()", "no message"),
    ],
)
async def test_a_start_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    module = module_in(tmp_path, "bad_worker", source, monkeypatch)
    async with LocalDriver([module], workers=2) as driver:
        error = await refusal(driver, job("give", module=module, pieces=[]))
        assert error.code is Code.PROVIDER_UNAVAILABLE
        assert reason in error.message


async def test_a_start_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_in(tmp_path, "silent_worker", "input()", monkeypatch)
    async with LocalDriver(workers=1, timeouts=WorkerTimeouts(start_s=0.1)) as driver:
        error = await refusal(driver, job("give", module=module, pieces=[]))
        assert error.code is Code.PROVIDER_UNAVAILABLE
        assert "0.1 s" in error.message


async def test_python_that_cannot_be_run_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with LocalDriver(workers=1) as driver:
        error = await refusal(driver, job("give", pieces=[]))
        assert error.code is Code.PROVIDER_UNAVAILABLE
        assert "No such file" in error.message


async def test_close_ends_what_runs_and_what_waits_and_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "END_TIMEOUT_S", 60.0)  # nothing here has to be killed
    driver = LocalDriver([WORKER], workers=1)
    await driver.start()
    pid = await pid_of_worker(driver)
    running: list[Piece] = []
    requests = [asyncio.create_task(refusal(driver, job("linger", first=["good"]), running))]
    await until(lambda: bool(running))
    requests.append(asyncio.create_task(refusal(driver, job("give", pieces=["waits"]))))
    await until(lambda: bool(pool_of(driver)._waiting))
    async with asyncio.timeout(5):
        await driver.close()
    assert not exists(pid)
    late = await refusal(driver, job("give", pieces=["late"]))
    later = await refusal(driver, job("give", module="other_worker", pieces=[]))
    errors = [*await asyncio.gather(*requests), late, later]
    assert {error.code for error in errors} == {Code.SHUTTING_DOWN}
    assert running == [b"good"]
    await driver.close()


async def test_close_kills_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "END_TIMEOUT_S", 0.1)
    driver = LocalDriver([WORKER], workers=1)
    pid = await pid_of_worker(driver)
    hanging = asyncio.create_task(refusal(driver, job("hang", first=[])))
    await until(lambda: not pool_of(driver)._idle)
    started_s = time.monotonic()
    await driver.close()
    assert time.monotonic() - started_s < 1.0
    assert not exists(pid)
    assert (await hanging).code is Code.SHUTTING_DOWN


async def test_close_in_the_middle_of_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "END_TIMEOUT_S", 60.0)
    driver = LocalDriver([WORKER], workers=2)
    await driver.start()
    await asyncio.sleep(0)  # the keepers have begun
    waiting = asyncio.create_task(refusal(driver, job("give", pieces=[])))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await driver.close()
    assert (await waiting).code is Code.SHUTTING_DOWN
    assert not pool_of(driver)._processes


async def test_ctrl_c_and_a_service_managers_stop_pass_a_worker_by(one: LocalDriver) -> None:
    pid = await pid_of_worker(one)
    async with one.open(job("linger", first=["begun"]), Timings()) as reply:
        assert await anext(aiter(reply)) == b"begun"
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert await pid_of_worker(one) == pid


async def test_a_process_is_never_given_two_requests_at_once(one: LocalDriver) -> None:
    async with one.open(job("linger", first=["x"]), Timings()) as reply:
        (process,) = pool_of(one)._processes
        with pytest.raises(AssertionError, match="one request"):
            process.begin(b"{}", reply, Timings())
