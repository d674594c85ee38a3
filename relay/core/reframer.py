"""Encoded audio in any cut -> frames of exact size. This file does not know where the bytes come from or go to."""

from relay.core.formats import FrameFormat
from relay.core.frames import Frame


class Reframer:
    """A transform from bytes of `form.audio` to frames. Counts are true after every call.

    Every frame is full but the last, which `flush` pads with silence or leaves short as `form.tail` says. A partial
    sample at the very end (a provider cut inside one) is not audio: it is left out and counted in `stray_bytes`.

    With `form.header` the last frame must say that it is the last, so a frame that is exactly full waits for one
    more sample, or for `flush`. Without a header nothing waits.
    """

    def __init__(self, form: FrameFormat) -> None:
        self._form = form
        self._carry = bytearray()
        self._hold_back = form.audio.block_align if form.header else 0
        self.frames = 0
        self.samples = 0
        self.padding_samples = 0
        self.stray_bytes = 0

    @property
    def pending_samples(self) -> int:
        """Whole samples held until the next frame is full."""
        return len(self._carry) // self._form.audio.block_align

    def feed(self, piece: bytes) -> list[Frame]:
        size, step, pts, carry = self._form.frame_bytes, self._form.frame_samples, self.samples, self._carry
        count = (len(carry) + len(piece) - self._hold_back) // size
        if count <= 0:
            carry += piece
            return []
        # Each byte is copied once, out of the piece it came in: only the first frame has a beginning from before.
        at = size - len(carry)
        if at < 0:  # with a header, a full frame and a part of the sample it waits for
            piece, at = bytes(carry) + piece, size
            carry.clear()
        frames = [Frame(pts, step, 0, b"".join((carry, piece[:at])))]
        for _ in range(count - 1):
            pts += step
            frames.append(Frame(pts, step, 0, piece[at : at + size]))
            at += size
        carry[:] = piece[at:]
        self.frames += count
        self.samples += count * step
        return frames

    def flush(self) -> list[Frame]:
        align = self._form.audio.block_align
        samples, self.stray_bytes = divmod(len(self._carry), align)
        payload = bytes(self._carry[: samples * align])
        self._carry.clear()
        if not samples:
            return []
        padding = self._form.frame_samples - samples if self._form.tail == "pad" else 0
        payload += self._form.audio.encoding.silence * (padding * self._form.audio.channels)
        frame = Frame(self.samples, samples, padding, payload, last=True)
        self.frames += 1
        self.samples += samples
        self.padding_samples = padding
        return [frame]
