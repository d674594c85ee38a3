"""What the tests of the Breeze adapters share: goldens, each with an invalid twin, and what an error has to say."""

import json
from pathlib import Path
from typing import Any, TypeAlias, cast

from relay.errors import ProviderError
from relay.providers.base.provider import ProviderSettings
from relay.providers.breeze.provider import Breeze

KEY = "brz_test"
GOLDEN = Path(__file__).parents[2] / "golden" / "breeze"
Golden: TypeAlias = dict[str, Any]


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (GOLDEN / folder).glob("*.json"))


def cases(folder: str) -> list[tuple[str, str]]:
    """Every golden of a folder, valid and invalid."""
    return [(name, twin) for name in names(folder) for twin in ("valid", "invalid")]


def case(folder: str, name: str, twin: str) -> Golden:
    """One exchange; an invalid one is the valid one but for the keys that it replaces."""
    both = cast("Golden", json.loads((GOLDEN / folder / f"{name}.json").read_text()))
    assert both["origin"]
    invalid = dict(both["invalid"])
    assert invalid.pop("differs")
    if twin == "valid":
        return cast("Golden", both["valid"])
    return {key: value for key, value in both["valid"].items() if key not in _REPLACED_BY_AN_ERROR} | invalid


# What a valid exchange ends in; a twin says for itself.
_REPLACED_BY_AN_ERROR = ("error", "fetch", "arrived", "parsed")


def breeze(base_url: str | None = None, **settings: Any) -> Breeze:
    return Breeze(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


def check_error(error: ProviderError, expected: Golden) -> None:
    assert (error.code, error.retryable) == (expected["code"], expected["retryable"])
    assert error.retry_after_s == expected.get("retry_after_s")
    assert error.provider.name == "breeze"
    assert error.provider.code == expected.get("provider_code")
    assert KEY not in f"{error.message} {error.provider}"
    for said in expected["says"]:
        assert said in error.message
