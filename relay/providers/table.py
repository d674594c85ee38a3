"""The table of all providers and what they can do, for the documentation: `python -m relay.providers.table`."""

import sys

from relay.providers.base.provider import Capabilities, ProviderSettings
from relay.providers.catalog import PROVIDERS

_HEAD = (
    "| provider | needs | audio | word times | IPA | text as it is typed | longest request | at a time |",
    "|---|---|---|---|---|---|---|---|",
)
# As with nothing but credentials in the environment; nothing is asked of them.
_SETTINGS = ProviderSettings(api_key="key", user_id="user")


def table() -> str:
    """Markdown, a row each in the order of the catalog."""
    rows = [_row(name, build(_SETTINGS).capabilities) for name, build in PROVIDERS.items()]
    return "\n".join([*_HEAD, *rows])


def _row(name: str, facts: Capabilities) -> str:
    needs = [what for what, needed in (("key", facts.needs_key), ("user id", facts.needs_user_id)) if needed]
    needs += ["address"] if facts.needs_base_url else []
    cells = (
        f"`{name}`",
        ", ".join(needs) or "nothing",
        ", ".join(facts.formats),
        "yes" if facts.word_times else "no",
        "yes" if facts.phonemes else "no",
        "yes" if facts.streaming_text else "no",
        "not stated" if facts.max_segment_chars is None else f"{facts.max_segment_chars:,} characters",
        "not stated" if facts.max_concurrent is None else str(facts.max_concurrent),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
