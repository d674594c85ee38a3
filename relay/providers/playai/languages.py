"""The languages that PlayAI names in English, by the tags that everybody else uses."""

from relay.providers.base import checks

# `Language` of the SDK pyht 0.1.14, and the ISO 639 code of each.
NAMES = {
    "af": "afrikaans",
    "am": "amharic",
    "ar": "arabic",
    "bg": "bulgarian",
    "bn": "bengali",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "gl": "galician",
    "he": "hebrew",
    "hi": "hindi",
    "hr": "croatian",
    "hu": "hungarian",
    "id": "indonesian",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "ms": "malay",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ru": "russian",
    "sq": "albanian",
    "sr": "serbian",
    "sv": "swedish",
    "th": "thai",
    "tl": "tagalog",
    "tr": "turkish",
    "uk": "ukrainian",
    "ur": "urdu",
    "xh": "xhosa",
    "zh": "mandarin",
}


def language_name(given: str, provider: str) -> str:
    """`en-GB` or `english` -> `english`. Raises ClientError."""
    name = given.lower()
    if name in NAMES.values():
        return name
    code = name.replace("_", "-").partition("-")[0]
    if code not in NAMES:
        raise checks.invalid(
            f"language is {checks.shown(given)}, which {provider} does not speak; it speaks {', '.join(NAMES)}"
        )
    return NAMES[code]
