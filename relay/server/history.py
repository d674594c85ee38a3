"""Kept turns over HTTP: `/v1/history`. This file does not know how a turn is kept."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from relay.history.history import History
from relay.protocols.table import kept_fields, receive_turn_page


class HistoryRoutes:
    """`owner_of` admits a request and names its client."""

    def __init__(self, history: History, owner_of: Callable[[web.Request], str]) -> None:
        self._history = history
        self._owner_of = owner_of

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/history", self.page),
            web.get("/v1/history/{id}", self.show),
            web.get("/v1/history/{id}/audio", self.audio),
            web.delete("/v1/history/{id}", self.delete),
        ]

    async def page(self, request: web.Request) -> web.Response:
        owner = self._owner_of(request)
        limit, cursor = receive_turn_page(dict(request.query))
        page = await self._history.page(owner, limit=limit, cursor=cursor)
        listed = {"turns": [kept_fields(turn, text=False) for turn in page.turns]}
        return _json(listed | ({"next_cursor": page.next_cursor} if page.next_cursor else {}))

    async def show(self, request: web.Request) -> web.Response:
        turn = await self._history.get(request.match_info["id"], self._owner_of(request))
        return _json(kept_fields(turn, text=True))

    async def audio(self, request: web.Request) -> web.StreamResponse:
        turn = await self._history.get(request.match_info["id"], self._owner_of(request))
        path = await self._history.audio(turn)
        assert turn.audio is not None, "it has a file"
        headers = {
            "Content-Type": turn.audio.media_type,
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(path, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        await self._history.remove(request.match_info["id"], self._owner_of(request))
        return web.Response(status=204)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), headers={"Content-Type": "application/json"})
