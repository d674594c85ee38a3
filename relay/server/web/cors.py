"""Which answers a page of an allowed origin may read (https://fetch.spec.whatwg.org/#http-cors-protocol).

Without these headers a browser sends the page's request, and hides the answer. They name one origin, never `*`: an
answer is for pages that were let in, and for those alone.
"""

from aiohttp import web

from relay.errors import ClientError, Code
from relay.server.access.keys import Auth

ROUTES = {
    "/v1/tokens": "POST",
    "/v1/speech": "POST",
    "/v1/providers": "GET",
    "/v1/voices": "GET",
}
ASKED_HEADERS = "Authorization, Content-Type"
TOLD_HEADERS = "Retry-After, Server-Timing, X-Relay-Provider, X-Relay-Voice"
# A page asks again after ten minutes at the latest, so an origin that was taken away is soon without.
MAX_AGE_S = 600


class Cors:
    """The answers to preflights, and the headers of what follows them."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def table(self) -> list[web.RouteDef]:
        return [web.options(path, self.preflight) for path in ROUTES]

    async def preflight(self, request: web.Request) -> web.Response:
        """Asked by the browser, without credentials, before a request that is not a plain form's."""
        self._auth.check_host(request.headers)
        self._auth.check_origin(request.headers)
        if "Origin" not in request.headers:
            raise ClientError(Code.INVALID_MESSAGE, "OPTIONS is for browsers, which send an Origin")
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ROUTES[request.path],
                "Access-Control-Allow-Headers": ASKED_HEADERS,
                "Access-Control-Max-Age": str(MAX_AGE_S),
            },
        )

    async def on_response(self, request: web.Request, response: web.StreamResponse) -> None:
        """Before the headers of any answer leave."""
        if request.path not in ROUTES:
            return
        # A cache must not give one origin's answer to another.
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin is not None and self._auth.allows(origin, request.headers.get("Host", "")):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = TOLD_HEADERS
