"""Files of words and how they are said."""

from pathlib import Path
from typing import Any

import click

__all__ = ["read_lexicon"]

# Longer than any lexicon that a turn may have (200 words of 64 characters, 256 for each, escaped).
MAX_FILE_BYTES = 1024 * 1024


def read_lexicon(path: str) -> dict[str, Any]:
    """The table `[lexicon]` of a TOML file; what is in it the relay checks. Raises click.BadParameter."""
    import tomllib

    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise _wrong(f"{path} is longer than {MAX_FILE_BYTES // 1024} KiB")
        values = tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise _wrong(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _wrong(f"{path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise _wrong(f"{path} is not TOML: {error}") from None
    lexicon = values.get("lexicon")
    if not isinstance(lexicon, dict):
        raise _wrong(f'{path} has no table [lexicon], with a word on each line: "Nginx" = "engine x"')
    return lexicon


def _wrong(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--lexicon")
