"""Messages as bytes, read by an independent parser."""

import pytest
from aiohttp import WSMsgType
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from relay.server.ws_message import ws_message


@pytest.mark.parametrize("size", [0, 1, 125, 126, 960, 65535, 65536, 200_000])
def test_every_size_of_message(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    reader = Protocol(CLIENT, max_size=None)
    reader.receive_data(ws_message(WSMsgType.BINARY, payload) + ws_message(WSMsgType.TEXT, b"end"))
    first, second = (event for event in reader.events_received() if isinstance(event, Frame))
    assert (first.opcode, first.data, first.fin) == (Opcode.BINARY, payload, True)
    assert (second.opcode, second.data) == (Opcode.TEXT, b"end")
