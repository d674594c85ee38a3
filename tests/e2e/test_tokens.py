"""Tokens of a relay that is several processes."""

import asyncio
import re
import signal

import aiohttp
import relay_client
from relay_client import HandshakeError

from tests.e2e.process import Process, relay_process, run_relay
from tests.e2e.test_workers import workers

KEY = "a-key-of-the-tests-that-is-long-enough"


async def token(http: aiohttp.ClientSession, relay: Process) -> str:
    address = f"http://127.0.0.1:{relay.port}/v1/tokens"
    async with http.post(address, headers={"Authorization": f"Bearer {KEY}"}, json={"max_chars": 100}) as response:
        assert response.status == 201
        return str((await response.json())["token"])


async def speaks(relay: Process, token: str) -> bool:
    """Whether the token opened a session, in which a turn was spoken."""
    try:
        async with relay_client.connect(relay.url, token=token) as session:
            turn = await session.speak("Hello there.")
            assert sum([1 async for _ in turn]) > 10
            return True
    except HandshakeError as error:
        assert (error.status, error.code) == (401, "unauthorized")
        assert token not in str(error)
        return False


async def test_a_token_is_good_once_whichever_worker_is_asked() -> None:
    async with relay_process("--workers", "2", "--log-level", "debug", RELAY_SERVER_KEYS=KEY) as relay:
        async with aiohttp.ClientSession() as http:
            tokens = [await token(http, relay) for _ in range(8)]
            spoken = await asyncio.gather(*(speaks(relay, each) for each in tokens for _ in range(4)))
            async with http.get(f"http://127.0.0.1:{relay.port}/metrics") as response:
                metrics = await response.text()
        assert sum(spoken) == 8
        assert re.search(r"^relay_tokens_minted_total 8.0", metrics, re.MULTILINE)
        assert re.search(r"^relay_tokens_spent_total 8.0", metrics, re.MULTILINE)
        relay.terminate()
        assert await relay.exit_status() == 0
    said = "".join(relay.said)
    assert "Traceback" not in said
    for each in tokens:
        assert each.split(".")[1] not in said


async def test_a_token_and_what_was_spent_outlive_the_workers() -> None:
    async with relay_process("--workers", "2", RELAY_SERVER_KEYS=KEY) as relay:
        async with aiohttp.ClientSession() as http:
            spent, kept = [await token(http, relay) for _ in range(2)]
        assert await speaks(relay, spent)
        before = workers(relay)
        relay.process.send_signal(signal.SIGHUP)
        while set(before) & set(workers(relay)) or len(workers(relay)) != 2:
            await asyncio.sleep(0.05)
        assert not await speaks(relay, spent)
        assert await speaks(relay, kept)
        relay.terminate()
        assert await relay.exit_status() == 0


async def test_a_store_that_cannot_be_opened_is_one_clear_failure() -> None:
    status, _, said = await run_relay("serve", "--port", "0", RELAY_TOKENS_STORE="sqlite:/nowhere/tokens.sqlite3")
    assert status == 1
    assert "tokens.store: /nowhere/tokens.sqlite3" in said
    assert "Traceback" not in said
