"""A request and an answer over HTTP, as protocols know them."""

from secrets import token_hex

from aiohttp import web

from relay.protocols.base import Handshake, HttpAnswer

# 96 bits: no two requests have the same id, on any machine.
ID_BYTES = 12


def handshake_of(request: web.Request) -> Handshake:
    """Of a repeated header the first one counts."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), value)
    resource = request.match_info.route.resource
    return Handshake(
        route=resource.canonical if resource is not None else "",
        path=dict(request.match_info),
        query=dict(request.query),
        headers=headers,
        id=token_hex(ID_BYTES),
        # A proxy that ends TLS says so; what a client claims of itself changes only the address that it is given.
        secure=request.secure or headers.get("x-forwarded-proto", "").lower() == "https",
    )


def response_of(answer: HttpAnswer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
