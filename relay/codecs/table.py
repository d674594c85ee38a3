"""The page `docs/reference/audio.md`: every container, codec and media type, and what becomes of it.

`python -m relay.codecs.table` prints it; nothing of it is written by hand.
"""

import re
import sys
from collections.abc import Iterable, Iterator

from relay.codecs import DECODERS
from relay.codecs.framed import FRAMINGS
from relay.codecs.media_type import BARE, CONTAINERS, ENCODED, HEADERLESS_CODECS, read_media_type
from relay.codecs.raw import DECODE, RATES_HZ
from relay.codecs.signatures import FIRST_BOXES, SIGNATURES, Signature
from relay.core.formats import OUTPUT_ENCODINGS, AudioFormat, Container, Encoding

_HEAD = """# Audio that providers send

What the relay makes of a reply, whatever was asked for. This page is printed by `python -m relay.codecs.table`.

## How it is decided

1. **The bytes.** What begins with one of the signatures below is that. Text (JSON, HTML, XML, events, words, base64) is
   read as the provider's error. Frames without a container are believed by one header where that codec was asked for
   or declared; where headerless audio may come, by the next header standing where the frame ends.
2. **The declared type**, where the bytes say nothing. Of headerless audio each part (kind of number, bits, byte order,
   rate, channels) is decided by the first that says it: a parameter of the type, what was asked for, the type's own
   standard. A type or a parameter that is not known says nothing and agrees with nothing.
3. **What was asked for.**

An operator may state the shape of a provider's headerless audio, for one whose headers lie; it wins over 2 and 3. How
the network cuts the bytes changes nothing. What cannot be decoded is `bad_audio`, with its name; it is never played as
samples. What has no structure to know it by (G.722, G.726, VOX and other ADPCM, CVSD, LPC-10, TGA images) is known by
its type alone: without one it is headerless audio. Samples that sound like noise as they are declared, and like audio
in another encoding, are played and reported: a warning, never a refusal.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        (
            _HEAD,
            "## Containers and codecs by their first bytes\n",
            *_table(("first bytes", "what it is", "what becomes of it"), dict.fromkeys(_signature_rows())),
            "\nTags of ID3v2 are read over, and what follows decides.\n",
            "## Codecs without a container\n",
            *_table(("what it is", "header", "headers in a row that are proof", "what becomes of it"), _framing_rows()),
            "\n## Headerless audio\n",
            f"One or two channels, {RATES_HZ[0]} to {RATES_HZ[-1]} Hz; two channels become their mean.\n",
            *_table(("encoding", "bytes of a sample", "can be asked of the relay"), _encoding_rows()),
            "\n## Media types\n",
            "Parameters of headerless audio: `rate`, `channels`, `encoding` (or `format`, `codec`), `bits` and",
            "`endianness`, and their usual spellings. A vendor's type whose words name an encoding, such as",
            "`audio/vnd.example.pcm-f32le`, says that encoding. The byte order of `audio/L16` and `audio/L24` is the",
            "parameter's, else that of the encoding asked for if it is of the same width, else the standard's.\n",
            *_table(("type", "says"), _type_rows()),
            "",
        )
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _becomes(container: Container | None) -> str:
    if container is None:
        return "refused by name: no audio"
    return "decoded" if container in DECODERS or container is Container.RAW else "refused by name"


def _signature_rows() -> Iterator[tuple[str, ...]]:
    for signature in SIGNATURES:
        yield _pattern(signature), signature.name, _becomes(signature.container)


def _pattern(signature: Signature) -> str:
    """`RIFF`, bytes of more than one value as dots, others in hexadecimal."""
    if signature.container is Container.MP4:
        return f"`00 . . .` and one of {', '.join(f'`{box.decode()}`' for box in sorted(FIRST_BOXES))}"
    parts: list[str] = []
    at = 0
    while at < signature.size:
        text = re.match(rb"[ -~]*", signature.value[at:])
        assert text is not None, "it matches nothing too"
        fixed = len(signature.mask[at:]) - len(signature.mask[at:].lstrip(b"\xff"))
        letters = text[0][:fixed]
        if len(letters) > 2:
            parts.append(letters.decode().replace(" ", "\u2423"))
            at += len(letters)
        else:
            parts.append(f"{signature.value[at]:02x}" if fixed else ".")
            at += 1
    # Many bytes of any value are counted.
    return "`" + re.sub(r"(?<!\S)\.(?: \.){7,}", lambda dots: f"({len(dots[0]) // 2 + 1} bytes)", " ".join(parts)) + "`"


def _framing_rows() -> Iterator[tuple[str, ...]]:
    for framing in FRAMINGS:
        yield framing.name, f"{framing.header_bytes} bytes", str(framing.proof), _becomes(framing.container)


def _encoding_rows() -> Iterator[tuple[str, ...]]:
    for encoding in DECODE:
        yield f"`{encoding}`", str(encoding.sample_width), "yes" if encoding in OUTPUT_ENCODINGS else "no"


def _type_rows() -> Iterator[tuple[str, ...]]:
    for name in ENCODED:
        shape = read_media_type(f"{name};rate=24000", None).pcm
        assert shape is not None, "a type that names its encoding needs no more than a rate"
        yield f"`{name}`", f"headerless `{shape.encoding}`"
    asked = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
    for name in BARE:
        assert read_media_type(name, asked).pcm == asked, "a bare type says nothing itself"
        yield f"`{name}`", "headerless audio as asked for"
    for name, container in CONTAINERS.items():
        headerless = ", which only the type can tell" if container in HEADERLESS_CODECS else ""
        yield f"`{name}`", f"{container}{headerless}: {_becomes(container)}"


if __name__ == "__main__":
    sys.stdout.write(page())
