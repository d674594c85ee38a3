"""A short-lived token for one session of a page, made for a client that has a key."""

import re

from relay.config import TokensConfig
from relay.engine.engine import Engine
from relay.errors import ClientError, Code
from relay.protocols.base import TokenWish
from relay.providers.base.provider import SpeechRequest
from relay.server.access.authenticator import Authenticator, Caller
from relay.server.access.tokens import DEFAULT_TTL_S, MAX_TOKEN_CHARS, MIN_TTL_S, Claims, Tokens

# As browsers send it: scheme, host, and a port that is not the scheme's own. 253 is the longest name in the DNS.
ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]{1,262}")
# Longer than any provider's; a token has to fit into a header.
MAX_VOICE_CHARS = 256


async def mint(
    engine: Engine, authenticator: Authenticator, tokens: Tokens, caller: Caller, wish: TokenWish
) -> tuple[str, int]:
    """The token, and when it expires. Raises ClientError for a token that could never be used."""
    ttl_s = _ttl_s(wish.ttl_s, engine.config.tokens)
    if wish.max_chars is not None and wish.max_chars < 1:
        raise ClientError(Code.INVALID_CONFIG, f"max_chars is {wish.max_chars}; it must be 1 or more")
    provider = wish.provider
    if wish.voice is not None:
        if not 1 <= len(wish.voice) <= MAX_VOICE_CHARS:
            reason = f"voice has {len(wish.voice)} characters; it must have 1 to {MAX_VOICE_CHARS}"
            raise ClientError(Code.INVALID_CONFIG, reason)
        # A voice is one provider's own.
        provider = provider or engine.defaults.provider
    if provider is not None:
        engine.resolve(provider, SpeechRequest(voice=wish.voice))
    claims = Claims(
        issuer=authenticator.issuer(caller),
        max_chars=wish.max_chars,
        provider=provider,
        voice=wish.voice,
        origin=_origin(wish.origin),
        granted=wish.granted,
    )
    token, expires_at_s = tokens.mint(claims, ttl_s)
    if len(token) > MAX_TOKEN_CHARS:
        reason = f"the token would have {len(token)} characters, the most is {MAX_TOKEN_CHARS}; shorten what it holds"
        raise ClientError(Code.INVALID_CONFIG, reason)
    return token, expires_at_s


def _ttl_s(wanted_s: float | None, settings: TokensConfig) -> float:
    if wanted_s is None:
        return min(DEFAULT_TTL_S, settings.max_ttl_s)
    if not MIN_TTL_S <= wanted_s <= settings.max_ttl_s:
        reason = f"ttl_s is {wanted_s:g}; it must be from {MIN_TTL_S:g} to {settings.max_ttl_s:g} (tokens.max_ttl_s)"
        raise ClientError(Code.INVALID_CONFIG, reason)
    return wanted_s


def _origin(wanted: str | None) -> str | None:
    if wanted is None:
        return None
    origin = wanted.rstrip("/").lower()
    if not ORIGIN.fullmatch(origin):
        raise ClientError(Code.INVALID_CONFIG, "origin must be as a browser names it, such as https://app.example.com")
    scheme, _, rest = origin.partition("://")
    if rest.endswith({"http": ":80", "https": ":443"}[scheme]):
        raise ClientError(Code.INVALID_CONFIG, f"browsers leave the port of {scheme} out of an origin; leave it out")
    return origin
