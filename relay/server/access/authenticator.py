"""Who comes in, and with which scope: by key, by token, or, where there are no keys, by being on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from relay.config import TokensConfig
from relay.errors import Code
from relay.protocols.base import Credential
from relay.server.access.keys import Auth
from relay.server.access.scope import EVERYTHING, TokenScope
from relay.server.access.tokens import PREFIX, Claims, Refusal, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`client` is the name by which limits are kept. `claims` are those of a token, which is not spent yet."""

    client: str
    scope: TokenScope = EVERYTHING
    claims: Claims | None = None


class Authenticator:
    """Checks origins, keys and tokens of requests."""

    def __init__(self, auth: Auth, tokens: Tokens, settings: TokensConfig) -> None:
        self._auth = auth
        self._tokens = tokens
        self._session_s = settings.session_s
        # A key that was taken away takes its tokens with it.
        self._issuers = {tokens.issuer(client): client for client in auth.clients}

    def caller(self, credential: Credential | None, headers: Mapping[str, str], address: str, hint: str) -> Caller:
        """`credential` is what the client shows, a key or a token; `hint` says how to show one. Names of `headers` are
        in lower case. Raises ClientError for who may not come in. Spends nothing."""
        self.check_page(headers)
        if credential is None or not (credential.token_only or credential.value.startswith(PREFIX)):
            key = credential.value if credential else None
            return Caller(client=self._auth.client(key, address, hint))
        claims = self._tokens.read(credential.value)
        client = self._issuers.get(claims.issuer) if self._auth.required else address
        if client is None:
            raise self._tokens.refused(Refusal.INVALID, "the key that the token was made with is no longer valid")
        if claims.origin is not None and headers.get("origin", "").lower() != claims.origin:
            reason = f"the token is for pages of {claims.origin} only"
            raise self._tokens.refused(Refusal.ORIGIN, reason, Code.FORBIDDEN)
        return Caller(client=client, scope=claims.scope(self._session_s), claims=claims)

    def check_page(self, headers: Mapping[str, str]) -> None:
        """Raises ClientError for a page of a browser that may not ask; all that is asked of who needs no key."""
        self._auth.check_host(headers)
        self._auth.check_origin(headers)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """See `Auth.check_host`; `headers` in any case."""
        self._auth.check_host({"host": headers.get("Host", "")})

    async def enter(self, caller: Caller) -> None:
        """The last step in: spends the token, if there is one. Raises RelayError where it was spent."""
        if caller.claims is not None:
            await self._tokens.spend(caller.claims)

    def issuer(self, caller: Caller) -> str:
        """How a token names the key that it is made with."""
        return self._tokens.issuer(caller.client) if self._auth.required else ""
