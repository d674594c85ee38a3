"""The languages that PlayAI names in English, by the tags that everybody else uses."""

from relay.core.languages import ENGLISH_NAMES
from relay.providers.base import checks


def language_name(given: str, provider: str) -> str:
    """`en-GB` or `english` -> `english`. Raises ClientError."""
    name = given.lower()
    if name in ENGLISH_NAMES.values():
        return name
    code = name.replace("_", "-").partition("-")[0]
    if code not in ENGLISH_NAMES:
        raise checks.invalid(
            f"language is {checks.shown(given)}, which {provider} does not speak; it speaks {', '.join(ENGLISH_NAMES)}"
        )
    return ENGLISH_NAMES[code]
