from pathlib import Path

from relay.codecs.signatures import SIGNATURES
from relay.codecs.table import page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "audio.md"


def test_the_page_is_what_the_code_prints() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m relay.codecs.table > docs/reference/audio.md`"


def test_every_signature_has_its_row() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    for signature in SIGNATURES:
        assert any(f"| {signature.name} |" in row for row in rows), signature.name
