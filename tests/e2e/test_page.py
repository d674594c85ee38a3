"""The page as people meet it: its address is what `relay serve` says first, however many workers there are."""

import aiohttp
import pytest

from tests.e2e.process import relay_process


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["one", "workers"])
async def test_serve_says_where_the_page_is_and_there_it_is(arguments: tuple[str, ...]) -> None:
    async with relay_process(*arguments) as relay:
        page = f"http://127.0.0.1:{relay.port}/"
        tags = set()
        async with aiohttp.ClientSession() as http:
            for _ in range(4):
                # A connection each, so that more than one worker is asked.
                async with http.get(page, headers={"Connection": "close"}) as response:
                    assert response.status == 200
                    assert "<title>relay</title>" in await response.text()
                    tags.add(response.headers["ETag"])
        assert len(tags) == 1, "what one worker sent is known to the others"
        relay.terminate()
        assert await relay.exit_status() == 0
        assert f"open {page}\n" in "".join(relay.said)
