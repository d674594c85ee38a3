"""traceparent: what W3C Trace Context says of good and bad ones."""

from hypothesis import given
from hypothesis import strategies as st

from relay.core.traceparent import EXAMPLE, Parent, parent_of
from tests.covering import each

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_what_it_says() -> None:
    assert parent_of(EXAMPLE) == Parent(int(TRACE, 16), int(SPAN, 16), sampled=True)
    assert parent_of(f"00-{TRACE}-{SPAN}-00") == Parent(int(TRACE, 16), int(SPAN, 16), sampled=False)
    assert parent_of(f"cc-{TRACE}-{SPAN}-03-what-is-to-come") == parent_of(EXAMPLE), "a later version"


@each(
    "text",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f" {EXAMPLE}",
        f"{EXAMPLE}\n",
        f"cc-{TRACE}-{SPAN}-01.more",
    ],
)
def test_what_says_nothing(text: str | None) -> None:
    assert parent_of(text) is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_every_id_comes_through(trace_id: int, span_id: int, flags: int) -> None:
    assert parent_of(f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}") == (trace_id, span_id, flags % 2 == 1)
