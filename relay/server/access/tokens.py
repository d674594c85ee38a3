"""Short-lived tokens: what a page gets instead of a key. Signed, not stored; only what was spent is remembered.

A token is `rt1.PAYLOAD.SIGNATURE`, both in base64url without padding: characters that may stand in a header, an address
and a WebSocket subprotocol. The payload is readable by whoever has the token, and holds no secret.
"""

import asyncio
import hmac
import logging
import math
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from enum import StrEnum
from secrets import token_urlsafe

import msgspec
from msgspec import Struct

from relay.errors import ClientError, Code, LimitError
from relay.metrics import Metrics
from relay.server.access.scope import TokenScope
from relay.store.base import SpentTokens, StoreError

log = logging.getLogger(__name__)

PREFIX = "rt1."
# A request line or a header of more than 8 KiB is refused by most servers and proxies; something stands beside it.
MAX_TOKEN_CHARS = 7 * 1024
TOKEN = re.compile(r"rt1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")
DEFAULT_TTL_S = 60.0
# A store that fails: how long an answer is waited for, when it is asked again, and how often that is logged.
STORE_TIMEOUT_S = 3.0
RETRY_STORE_S = 2.0
LOG_EVERY_S = 60.0
MIN_TTL_S = 1.0
# 96 bits: no two tokens are alike.
ID_BYTES = 12


class Refusal(StrEnum):
    """Why a token was not taken, for the metrics."""

    INVALID = "invalid"
    EXPIRED = "expired"
    SPENT = "spent"
    # It could not be asked whether it was spent.
    STORE = "store"
    ORIGIN = "origin"


class Claims(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a token says. `issuer` stands for the key that it was made with; empty where the relay has no keys.

    A field that is not known is a bound that would not be kept: such a token, of a newer relay, is refused.
    """

    id: str = ""
    expires_at_s: int = 0
    issuer: str = ""
    max_chars: int | None = None
    provider: str | None = None
    voice: str | None = None
    origin: str | None = None
    # The protocol's own: see `protocols.base.TokenWish`.
    granted: str = ""

    def scope(self, session_s: float) -> TokenScope:
        return TokenScope(max_chars=self.max_chars, provider=self.provider, voice=self.voice, session_s=session_s)


class Tokens:
    """Makes, reads and spends tokens. `now_s` is a wall clock: several machines have to agree on it."""

    def __init__(self, secret: str, spent: SpentTokens, metrics: Metrics, *, now_s: Callable[[], float]) -> None:
        self._secret = secret.encode()
        self._spent = spent
        self._metrics = metrics
        self._now_s = now_s
        self._clock = time.monotonic
        self._failed_s = self._logged_s = float("-inf")

    def issuer(self, key_name: str) -> str:
        """How tokens name a key, so that they do not help anyone to guess it."""
        return _text(hmac.digest(self._secret, b"issuer:" + key_name.encode(), "sha256")[:9])

    def mint(self, claims: Claims, ttl_s: float) -> tuple[str, int]:
        """A token with a new id, good for `ttl_s`, and when it expires."""
        expires_at_s = math.ceil(self._now_s() + ttl_s)
        claims = msgspec.structs.replace(claims, id=token_urlsafe(ID_BYTES), expires_at_s=expires_at_s)
        payload = _text(msgspec.json.encode(claims))
        self._metrics.token_minted()
        return f"{PREFIX}{payload}.{self._signature(payload)}", expires_at_s

    def read(self, token: str) -> Claims:
        """What a token says, if it is one of ours and not too old. Raises ClientError."""
        parts = TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_CHARS else None
        # The signature is compared as text: base64 has several spellings for the same bytes.
        signed = parts is not None and hmac.compare_digest(parts[2], self._signature(parts[1]))
        claims = _claims(parts[1]) if parts is not None and signed else None
        if claims is None:
            reason = "the token is none of this relay's; tokens come from POST /v1/tokens, and a key is not a token"
            raise self.refused(Refusal.INVALID, reason)
        if self._now_s() >= claims.expires_at_s:
            raise self.refused(Refusal.EXPIRED, "the token has expired; get a new one from POST /v1/tokens")
        return claims

    async def spend(self, claims: Claims) -> None:
        """A token is good once. Raises ClientError the second time, LimitError and StoreError as the store does."""
        if not await self._first(claims):
            raise self.refused(Refusal.SPENT, "the token was used before, and is good once; get a new one")
        self._metrics.token_spent()

    async def _first(self, claims: Claims) -> bool:
        """Whether the token was not spent before. Where the store does not say, the token is not taken: LimitError. For
        RETRY_STORE_S after a failure it is not asked: those who wait for a lock would wait one after the other."""
        now_s = self._clock()
        if now_s - self._failed_s >= RETRY_STORE_S:
            try:
                async with asyncio.timeout(STORE_TIMEOUT_S):
                    return await self._spent.spend(claims.id, expires_at_s=claims.expires_at_s, now_s=self._now_s())
            except (StoreError, TimeoutError) as error:
                self._failed_s = self._clock()
                if now_s - self._logged_s >= LOG_EVERY_S:
                    self._logged_s = now_s
                    log.error("tokens are refused: the store of spent tokens fails: %s", error or "no answer in time")
        self._metrics.token_refused(Refusal.STORE)
        reason = "it cannot be seen now whether the token was used; get a new one and try again"
        raise LimitError(Code.OVER_CAPACITY, reason, retry_after_s=RETRY_STORE_S)

    def refused(self, why: Refusal, message: str, code: Code = Code.UNAUTHORIZED) -> ClientError:
        """The error for a token that is not taken, counted."""
        self._metrics.token_refused(why)
        return ClientError(code, message)

    def _signature(self, payload: str) -> str:
        return _text(hmac.digest(self._secret, b"token:" + payload.encode(), "sha256"))


def _claims(payload: str) -> Claims | None:
    """None: signed with our secret, but not by this version."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=Claims)
    except (NotBase64, msgspec.MsgspecError):
        return None


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
