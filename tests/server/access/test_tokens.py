"""Tokens: signed whole, good once, for their time, and never told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ClientError, Code
from relay.metrics import Metrics
from relay.server.access.tokens import MAX_TOKEN_CHARS, Claims, Tokens
from relay.store.memory import MemorySpentTokens

SECRET = "a secret of the tests, thirty-two characters or more"
# What may stand in a subprotocol (RFC 7230, 3.2.6), which is less than in a header or an address.
TOKEN_CHARACTERS = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
CLAIMS = Claims(issuer="i", max_chars=200, provider="breeze", voice="Stimme ä", origin="https://app.example")


class Clock:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def tokens(secret: str = SECRET, clock: Clock | None = None) -> Tokens:
    return Tokens(secret, MemorySpentTokens(), Metrics(), now_s=clock or Clock())


def refused(maker: Tokens, token: str) -> ClientError:
    with pytest.raises(ClientError) as caught:
        maker.read(token)
    assert caught.value.code is Code.UNAUTHORIZED
    assert not token or token not in caught.value.message
    return caught.value


def test_a_token_says_what_it_was_made_to_say() -> None:
    clock = Clock()
    token, expires_at_s = tokens(clock=clock).mint(CLAIMS, 60.0)
    said = tokens(clock=clock).read(token)
    assert expires_at_s == said.expires_at_s == clock.now_s + 60
    assert (said.issuer, said.max_chars, said.provider, said.voice, said.origin) == (
        *("i", 200, "breeze", "Stimme ä"),
        "https://app.example",
    )
    assert said.id


def test_it_can_stand_in_a_header_an_address_and_a_subprotocol() -> None:
    token, _ = tokens().mint(CLAIMS, 60.0)
    assert set(token) <= TOKEN_CHARACTERS
    assert not set(token) & set("%&+#'"), "an address needs no escaping"


def test_no_two_are_alike() -> None:
    maker = tokens()
    assert len({maker.mint(CLAIMS, 60.0)[0] for _ in range(100)}) == 100


@given(place=st.integers(0, 10_000), mask=st.integers(1, 255))
def test_any_flipped_byte_is_refused(place: int, mask: int) -> None:
    maker = tokens()
    token = maker.mint(CLAIMS, 60.0)[0].encode()
    place %= len(token)
    refused(maker, (token[:place] + bytes([token[place] ^ mask]) + token[place + 1 :]).decode("latin-1"))


def test_every_bit_of_every_byte_counts() -> None:
    """The last character of base64 has bits that decoders ignore."""
    maker = tokens()
    token = maker.mint(CLAIMS, 60.0)[0]
    for place in range(len(token)):
        for bit in range(8):
            changed = chr(ord(token[place]) ^ 1 << bit)
            refused(maker, token[:place] + changed + token[place + 1 :])


@given(st.text(max_size=200))
def test_what_is_no_token_is_refused(text: str) -> None:
    refused(tokens(), text)
    refused(tokens(), f"rt1.{text}")


@given(cut=st.integers(0, 10_000), tail=st.sampled_from(["", "=", "==", "A", ".", "\n"]))
def test_a_part_and_a_longer_one_are_refused(cut: int, tail: str) -> None:
    maker = tokens()
    token = maker.mint(CLAIMS, 60.0)[0]
    kept = token[: cut % (len(token) + 1)]
    if kept + tail != token:
        refused(maker, kept + tail)


def test_parts_of_two_tokens_are_refused() -> None:
    maker = tokens()
    one, other = (maker.mint(CLAIMS, 60.0)[0].split(".") for _ in range(2))
    refused(maker, ".".join([*one[:2], other[2]]))


def test_a_huge_one_is_refused_without_being_looked_at() -> None:
    maker = tokens()
    token, _ = maker.mint(Claims(voice="v" * MAX_TOKEN_CHARS), 60.0)
    refused(maker, token)


def test_another_relay_has_another_secret() -> None:
    token, _ = tokens().mint(CLAIMS, 60.0)
    refused(tokens("another secret of the tests, also long enough"), token)


def test_a_newer_relay_may_say_what_this_one_would_not_keep() -> None:
    maker = tokens()
    payload = maker.mint(CLAIMS, 60.0)[0].split(".")[1]
    for newer in (b'{"max_turns":1}', b"[]", b"\xff"):
        from base64 import urlsafe_b64encode

        payload = urlsafe_b64encode(newer).rstrip(b"=").decode()
        refused(maker, f"rt1.{payload}.{maker._signature(payload)}")


def test_it_is_good_until_its_time_and_not_at_it() -> None:
    clock = Clock()
    maker = tokens(clock=clock)
    token, expires_at_s = maker.mint(CLAIMS, 60.0)
    clock.now_s = expires_at_s - 0.001
    maker.read(token)
    clock.now_s = expires_at_s
    assert "expired" in refused(maker, token).message


async def test_it_is_good_once() -> None:
    maker = tokens()
    claims = maker.read(maker.mint(CLAIMS, 60.0)[0])
    await maker.spend(claims)
    with pytest.raises(ClientError) as caught:
        await maker.spend(claims)
    assert caught.value.code is Code.UNAUTHORIZED
    await maker.spend(maker.read(maker.mint(CLAIMS, 60.0)[0]))


def test_who_made_it_cannot_be_read_from_it() -> None:
    name = "0123456789abcdef"
    assert name not in tokens().issuer(name)
    assert tokens().issuer(name) == tokens().issuer(name) != tokens(SECRET + "x").issuer(name)
    assert tokens().issuer(name) != tokens().issuer("f" * 16)
