"""What is left out of a turn's text before it is spoken, by the names that a turn gives."""

from collections.abc import Sequence
from enum import StrEnum

from relay.core.text.emoji import EmojiFilter
from relay.core.text.lexicon import Lexicon, LexiconFilter
from relay.core.text.markup import MarkupFilter
from relay.core.text.runs import Rewriter
from relay.core.text.urls import UrlFilter
from relay.errors import ClientError, Code

__all__ = ["TextFilter", "parse_filters", "rewriters"]

_MAX_QUOTE_CHARS = 40


class TextFilter(StrEnum):
    """What `text_filter` may name; each module says what it leaves out and what it keeps."""

    MARKDOWN = "markdown"
    EMOJI = "emoji"
    URLS = "urls"
    CODE = "code"


def parse_filters(value: object, name: str = "text_filter") -> tuple[TextFilter, ...]:
    """Of a list of names, in any order. Raises ClientError that says which there are."""
    allowed = ", ".join(TextFilter)
    if not isinstance(value, list | tuple):
        raise ClientError(Code.INVALID_CONFIG, f"{name} must be a list of {allowed}")
    for at, item in enumerate(value):
        if not isinstance(item, str) or item not in tuple(TextFilter):
            shown = f"'{item[:_MAX_QUOTE_CHARS]}'" if isinstance(item, str) else "not a string"
            raise ClientError(Code.INVALID_CONFIG, f"entry {at + 1} of {name} is {shown}; it must be one of {allowed}")
    return tuple(known for known in TextFilter if known in value)


def rewriters(filters: Sequence[TextFilter], lexicon: Lexicon | None = None) -> list[Rewriter]:
    """The rewriters of one turn, in their order. Empty if nothing is to be changed.

    Addresses come first, for they hold marks that are none of Markdown's; the lexicon comes last, for it is about what
    is spoken.
    """
    stages: list[Rewriter] = []
    if TextFilter.URLS in filters:
        stages.append(UrlFilter())
    if TextFilter.MARKDOWN in filters or TextFilter.CODE in filters:
        stages.append(MarkupFilter(markdown=TextFilter.MARKDOWN in filters, code=TextFilter.CODE in filters))
    if TextFilter.EMOJI in filters:
        stages.append(EmojiFilter())
    if lexicon is not None and len(lexicon):
        stages.append(LexiconFilter(lexicon))
    return stages
