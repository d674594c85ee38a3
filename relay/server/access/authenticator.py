"""Who comes in, and with which permit: by key, by token, or, where there are no keys, by being on this machine."""

from dataclasses import dataclass

from aiohttp import web

from relay.config import TokensConfig
from relay.errors import ClientError, Code
from relay.protocols import native
from relay.server.access.keys import Auth
from relay.server.access.scope import EVERYTHING, TokenScope
from relay.server.access.tokens import PREFIX, Claims, Refusal, Tokens

TOKEN_SUBPROTOCOL = "relay-token."


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`client` is the name by which limits are kept. `claims` are those of a token, which is not spent yet."""

    client: str
    permit: TokenScope = EVERYTHING
    claims: Claims | None = None


class Authenticator:
    """Checks origins, keys and tokens of requests."""

    def __init__(self, auth: Auth, tokens: Tokens, settings: TokensConfig) -> None:
        self._auth = auth
        self._tokens = tokens
        self._session_s = settings.session_s
        # A key that was taken away takes its tokens with it.
        self._issuers = {tokens.issuer(client): client for client in auth.clients}

    def caller(self, request: web.Request) -> Caller:
        """Raises ClientError for who may not come in. Spends nothing."""
        self._auth.check_host(request.headers)
        self._auth.check_origin(request.headers)
        address = request.remote or "unknown"
        token = _token(request)
        if token is None:
            return Caller(client=self._auth.client(request.headers, address))
        claims = self._tokens.read(token)
        client = self._issuers.get(claims.issuer) if self._auth.required else address
        if client is None:
            raise self._tokens.refused(Refusal.INVALID, "the key that the token was made with is no longer valid")
        if claims.origin is not None and request.headers.get("Origin", "").lower() != claims.origin:
            reason = f"the token is for pages of {claims.origin} only"
            raise self._tokens.refused(Refusal.ORIGIN, reason, Code.FORBIDDEN)
        return Caller(client=client, permit=claims.permit(self._session_s), claims=claims)

    async def enter(self, caller: Caller) -> None:
        """The last step in: spends the token, if there is one. Raises RelayError where it was spent."""
        if caller.claims is not None:
            await self._tokens.spend(caller.claims)

    def issuer(self, caller: Caller) -> str:
        """How a token names the key that it is made with."""
        return self._tokens.issuer(caller.client) if self._auth.required else ""


def _token(request: web.Request) -> str | None:
    """The token of a request: as a bearer, or, for WebSockets of pages, as a subprotocol or in the address."""
    offered = _offered(request)
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credential.strip().startswith(PREFIX):
        return credential.strip()
    return offered or request.query.get("token")


def _offered(request: web.Request) -> str | None:
    """The token among the subprotocols."""
    protocols = [protocol.strip() for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    for protocol in protocols:
        if protocol.startswith(TOKEN_SUBPROTOCOL):
            # Otherwise nothing could be selected: browsers then close, and aiohttp logs what was offered.
            if native.NAME not in protocols:
                reason = f"the subprotocol {native.NAME} has to be offered beside the token"
                raise ClientError(Code.INVALID_MESSAGE, reason)
            return protocol.removeprefix(TOKEN_SUBPROTOCOL)
    return None
