"""Ogg with Opus, Vorbis or FLAC in it -> mono blocks, each packet as soon as its last byte is there.

RFC 3533 (pages), RFC 7845 (Opus in Ogg), Vorbis I specification, annex A, and the Ogg FLAC mapping 1.0.
"""

from dataclasses import dataclass

from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.flac_frames import MAGIC as FLAC_MAGIC
from relay.codecs.flac_frames import FlacPackets, read_stream_info
from relay.codecs.ogg_pages import HEADER_BYTES, MAGIC, PageHeader, is_intact, packet_sizes, read_header
from relay.codecs.opus import OpusPackets, read_head
from relay.codecs.pull import Output, Packets, PullDecoder, Reading, Source, Trim
from relay.codecs.vorbis import VorbisHeaders

# An Opus packet has at most 61,440 bytes, a Vorbis packet of speech a few hundred, a FLAC frame of 4,608 stereo samples
# at most 28,000. Comments, which may hold a cover picture, are skipped and not held.
PACKET_BYTES_MAX = 256 * 1024
# In one run: as for MP3, more than any hiccup.
JUNK_RUN_BYTES_MAX = 16 * 1024
# Of a packet that is skipped: enough to know what it is.
_SKIPPED_BYTES_HELD = 16
# A gap in the positions is damage; a longer one is a sender's clock that began somewhere else.
_LOST_SAMPLES_MAX = 60 * 48_000


class OggDecoder(PullDecoder):
    """A decoder of one audio stream, or of several in a row (chained: a whole file for each sentence, say).

    * A packet of Opus or FLAC is decoded at its last byte, before the checksum of its page can be known: a page may
      hold a second, and wrong checksums are rarer than slow networks. A page that turns out damaged is counted.
    * Headers and packets of Vorbis wait for the checksum, and are dropped if it is wrong. Only when the first page has
      ended is it known how much of its start to drop; and FFmpeg plays a damaged packet from memory it never wrote.
    * Pre-skip is dropped, and what the position of the last page says is padding. Opus comes at 48 kHz.
    * Of streams multiplexed with each other the first that is played is decoded.
    * Bytes between pages are skipped and counted. A packet of which a part is lost is left out; a broken one is silence
      of its length for Opus and FLAC, nothing for Vorbis. What the positions say is missing counts as damage.
    * An input that ends without a page marked as the last has ended: live encoders are just stopped. One that ends
      inside a page is truncated.

    Memory: one page, and the packet that goes on from the one before.
    """

    def _read(self, source: Source, out: Output) -> Reading[None]:
        link: _Link | None = None
        unknown = ""
        while (head := (yield from _next_page(source, out))) is not None:
            header, page = head
            ours = link if link is not None and header.serial == link.serial and not header.first else None
            if ours is None and link is None and not header.first:
                raise CorruptAudioError(f"Ogg without audio that is played: {unknown or 'its beginning is missing'}")
            table = yield from source.need(header.segments, "an Ogg page")
            page += table
            if ours is not None:
                ours.begin_page(header)
            first_packet = b""
            for size, ends in packet_sizes(table):
                part = yield from source.need(size, "an Ogg page")
                page += part
                if ours is not None:
                    ours.feed(part, ends, source.taken)
                else:
                    first_packet = first_packet or part
            intact = is_intact(page)
            if ours is not None:
                ours.end_page(source.taken, intact=intact)
            if not intact:
                # Whether the table was wrong and there are pages in what was taken for one.
                again = page.find(MAGIC, 1)
                end = again if again > 0 else len(page)
                source.unread(bytes(page[end:]))
                if ours is None:
                    out.skip(bytes(page[:end]))
            elif header.first and not (link is not None and link.is_at_start):
                opened = _open(first_packet)
                if isinstance(opened, str):
                    unknown = unknown or f"it holds {opened}"
                else:
                    link = _Link(header.serial, opened, out)
        if link is not None:
            link.close()
        elif unknown:
            raise CorruptAudioError(f"Ogg without audio that is played: {unknown}")
        elif source.taken:
            raise CorruptAudioError("Ogg without a page that is intact")


def _next_page(source: Source, out: Output) -> Reading[tuple[PageHeader, bytearray] | None]:
    """The next header, and its bytes. None at the end of the input."""
    run = 0
    data = yield from source.upto(HEADER_BYTES)
    while (header := read_header(data)) is None:
        ended = len(data) < HEADER_BYTES
        if ended and data and (MAGIC.startswith(data[: len(MAGIC)])):
            raise TruncatedAudioError("the input ended inside the header of an Ogg page")
        if ended and MAGIC not in data[1:]:
            out.skip(data)
            return None
        junk = data.find(MAGIC, 1)
        if junk < 0:
            junk = next(at for at in range(len(data) - 3, len(data) + 1) if MAGIC.startswith(data[at:]))
        run += junk
        out.skip(data[:junk])
        if run > JUNK_RUN_BYTES_MAX:
            raise CorruptAudioError(f"more than {JUNK_RUN_BYTES_MAX} bytes are not Ogg")
        data = data[junk:] + (yield from source.upto(junk))
    return header, bytearray(data)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the first packet of a stream says: its decoder, or for Vorbis what reads the headers still to come."""

    name: str
    packets: Packets | None = None
    pre_skip_samples: int = 0
    headers: VorbisHeaders | None = None


def _open(packet: bytes) -> "_Opened | str":
    """The name of the stream's codec alone where it is none that is played. CorruptAudioError for a damaged header."""
    if packet.startswith(b"OpusHead"):
        head = read_head(packet)
        return _Opened("opus", OpusPackets(head), head.pre_skip_samples)
    if packet.startswith(b"\x01vorbis"):
        headers = VorbisHeaders()
        headers.feed(packet)
        return _Opened("vorbis", headers=headers)
    if packet.startswith(b"\x7fFLAC") and packet[9:13] == FLAC_MAGIC:
        return _Opened("flac", FlacPackets(read_stream_info(packet[17:])))
    return next((name for mark, name in _OTHERS.items() if packet.startswith(mark)), "an unknown codec")


_OTHERS = {
    b"Speex   ": "Speex",
    b"\x80theora": "Theora video",
    b"BBCD": "Dirac video",
    b"fishead": "a Skeleton",
    b"PCM     ": "PCM",
    b"\x7fKW-DIRAC": "Dirac video",
}


class _Link:
    """One logical stream: its packets from the parts that pages hold, and what of their audio is heard."""

    def __init__(self, serial: int, opened: _Opened, out: Output) -> None:
        self.serial = serial
        # Other streams that begin now are multiplexed with this one; later they come after it.
        self.is_at_start = True
        self._name = opened.name
        self._packets = opened.packets
        self._out = out
        self._trim = Trim(opened.pre_skip_samples)
        self._vorbis = opened.headers
        self._carry = bytearray()
        self._in_packet = False
        self._lost_start = False
        self._waiting: list[bytes] = []
        self._waits = opened.name == "vorbis"
        self._sequence: int | None = None
        self._lost_page = False
        # Where the audio stood at the end of the last page that said so.
        self._position: int | None = None
        self._header: PageHeader | None = None
        self._page_samples = 0
        self._trims_start = opened.name == "vorbis"

    def begin_page(self, header: PageHeader) -> None:
        self.is_at_start = False
        self._header = header
        self._page_samples = 0
        self._trim.keep_samples = None
        if header.last and header.granule is not None:
            self._trim.keep_samples = max(0, header.granule - (self._position or 0))
        lost = self._sequence is not None and header.sequence != self._sequence
        self._sequence = header.sequence + 1 & 0xFFFFFFFF
        self._lost_page |= lost
        if lost or not header.continued:
            self._carry.clear()
            self._in_packet = False
        # The end of a packet whose beginning is not there.
        self._lost_start = header.continued and not self._in_packet

    def feed(self, part: bytes, ends: bool, taken: int) -> None:
        if not self._lost_start:
            self._carry += part
            if self._is_skipped():
                del self._carry[_SKIPPED_BYTES_HELD:]
            elif len(self._carry) > PACKET_BYTES_MAX:
                raise CorruptAudioError(f"an Ogg packet of more than {PACKET_BYTES_MAX} bytes")
        self._in_packet = not ends
        if not ends:
            return
        packet = bytes(self._carry)
        self._carry.clear()
        if self._lost_start:
            self._lost_start = False
        elif self._waits:
            self._waiting.append(packet)
        elif not self._is_header(packet):
            for block in self._decode(packet, taken):
                self._hear(block)

    def end_page(self, taken: int, *, intact: bool) -> None:
        waiting, self._waiting = self._waiting, []
        if not intact:
            self._carry.clear()
            self._in_packet = False
            self._lost_page = True
            if self._packets is not None:
                self._out.lose(self._page_samples, self._packets.rate_hz, played=True)
            if self._position is not None:
                self._position += self._page_samples
            return
        blocks = []
        for packet in waiting:
            if self._packets is None or self._is_header(packet):
                self._packets = (self._vorbis.feed(packet) if self._vorbis else None) or self._packets
            else:
                blocks += self._decode(packet, taken)
        if not self._page_samples:
            return
        if self._trims_start:
            self._trims_start = False
            self._trim.skip_samples = self._excess()
        for block in blocks:
            self._hear(block)
        self._note_position()

    def _excess(self) -> int:
        """By how much the first page of audio holds more than its position says (Vorbis I, A.2)."""
        header = self._header
        if header is None or header.granule is None or header.last:
            return 0
        return max(0, self._page_samples - header.granule)

    def _note_position(self) -> None:
        granule = self._header.granule if self._header is not None else None
        if granule is None:
            self._position = None if self._position is None else self._position + self._page_samples
            return
        missing = granule - (self._position or 0) - self._page_samples
        if self._lost_page and self._packets is not None and 0 < missing <= _LOST_SAMPLES_MAX:
            self._out.lose(missing, self._packets.rate_hz, played=False)
        self._position = granule
        self._lost_page = False

    def close(self) -> None:
        """At the end of the input."""
        if self._in_packet:
            raise TruncatedAudioError("the input ended inside an Ogg packet that goes on in another page")
        if self._packets is None:
            raise TruncatedAudioError("the input ended among the headers of Vorbis")

    def _decode(self, packet: bytes, taken: int) -> list[Block]:
        if not packet or self._packets is None:
            return []
        blocks = self._out.decode(self._packets, packet, taken)
        self._page_samples += sum(block.samples.size for block in blocks)
        return blocks

    def _hear(self, block: Block) -> None:
        self._out.put(self._trim.feed(block.samples), block.sample_rate_hz)

    def _is_header(self, packet: bytes) -> bool:
        if self._name == "opus":
            return packet.startswith(b"OpusTags")
        return bool(packet) and (packet[0] & 1 == 1 if self._name == "vorbis" else packet[0] != 0xFF)

    def _is_skipped(self) -> bool:
        """Whether what has come of a packet says that none of it is of use."""
        begun = bytes(self._carry[:_SKIPPED_BYTES_HELD])
        if self._name == "flac":
            return begun[:1] not in (b"\xff", b"")
        return begun.startswith(b"OpusTags" if self._name == "opus" else b"\x03vorbis")
