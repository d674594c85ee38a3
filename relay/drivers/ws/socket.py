"""One WebSocket to a provider and its dialogue: opening, sending, hearing, closing, and its errors.

This file does not know what a turn is worth, nor whether the socket will be used again.
"""

import asyncio
import socket as sockets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aiohttp
from yarl import URL

from relay.drivers.http.attempt import peer_of, refusal_body, signature
from relay.drivers.http.errors import Meaning, Peer, map_errors
from relay.drivers.ws.settings import WsSettings
from relay.errors import Code, ProviderError
from relay.providers.base.dialogue import Dialogue, DialogueRequest, Heard, Ready, SocketAddress
from relay.providers.base.http import Refusal, ReplyFacts

# Linux only.
TCP_QUICKACK = getattr(sockets, "TCP_QUICKACK", None)

# RFC 6455, 7.4.1, and the IANA registry of close codes. The reason beside the code is not quoted: it is a stranger's
# text, and has held keys (elevenlabs-python#771).
_CLOSE_CODES = {
    1000: "normal end",
    1001: "going away",
    1002: "protocol error",
    1003: "data of a kind it does not take",
    1005: "no code",
    1006: "no closing handshake",
    1007: "data that is not what it says",
    1008: "policy",
    1009: "message too big",
    1011: "internal error",
    1012: "restart",
    1013: "try again later",
    1014: "bad gateway",
}
# Said at the handshake or the greeting these mean that it will not be otherwise next time.
_FINAL_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009})


class Socket:
    """An open WebSocket. One task at a time receives; any may send.

    `gone`: the other side is known to have left. `quiet_since_s`: the instant of our last message, on the loop's clock.
    """

    def __init__(
        self,
        websocket: aiohttp.ClientWebSocketResponse,
        request: DialogueRequest,
        peer: Peer,
        settings: WsSettings,
    ) -> None:
        self.request = request
        self.dialogue: Dialogue = request.dialogue()
        self.facts = ReplyFacts(source=request.source)
        self.gone = False
        self._websocket = websocket
        self._peer = peer
        self._settings = settings
        self._greeted = False
        self._loop = asyncio.get_running_loop()
        self.quiet_since_s = self._loop.time()

    async def greet(self) -> None:
        """Says hello and waits until the provider has answered. Raises ProviderError."""
        timeout_s = self._settings.greeting_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(self.dialogue.greet())
                while self.request.greeted and not self._greeted:
                    for heard in await self.receive():
                        if isinstance(heard, Ready):
                            self._greeted = True
                            self.facts = heard.facts or self.facts
        except TimeoutError:
            raise self.error(Meaning(Code.PROVIDER_TIMEOUT, f"did not greet within {timeout_s:g} s")) from None
        self._greeted = True

    async def send(self, messages: Sequence[str | bytes]) -> None:
        """Text and binary messages, in order. Waits while the provider does not read; raises ProviderError when that
        takes too long.

        A socket that is gone takes messages in silence: whoever receives finds out, after the audio that came first.
        """
        timeout_s = self._settings.write_timeout_s
        if messages:
            self.quiet_since_s = self._loop.time()
        try:
            async with asyncio.timeout(timeout_s):
                for message in messages:
                    await self._sending(message)
        except TimeoutError:
            raise self.error(Meaning(Code.PROVIDER_TIMEOUT, f"did not read for {timeout_s:g} s")) from None
        except (aiohttp.ClientError, ConnectionError):
            self.gone = True

    def send_now(self, messages: Sequence[str | bytes]) -> None:
        """Hands messages to the transport in this turn of the loop, whether the provider reads or not: small ones."""
        self.quiet_since_s = self._loop.time()
        try:
            for message in messages:
                sending = self._sending(message)
                try:
                    # aiohttp writes a message that is not compressed before it first waits, which is for room.
                    sending.send(None)
                except StopIteration:
                    continue
                finally:
                    sending.close()
        except (aiohttp.ClientError, ConnectionError):
            self.gone = True

    def drop(self) -> None:
        """Ends the connection now, without a closing handshake."""
        self.gone = True
        connection = self._websocket._conn  # noqa: SLF001 - there is no public way but the handshake
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def probe(self) -> None:
        """Asks for a sign of life; `receive` returns when it comes."""
        try:
            await self._websocket.ping()
        except (aiohttp.ClientError, ConnectionError):
            self.gone = True

    async def receive(self) -> list[Heard]:
        """What the next message means; an empty list for a message without meaning to us. Raises ProviderError.

        Safe to cancel: a message is not lost. Waiting is what stops the provider: what has arrived and was not received
        is at most one read beyond 128 KiB (aiohttp pauses the socket there).
        """
        message = await self._websocket.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                return self.dialogue.receive(message.data)
            case aiohttp.WSMsgType.PING:
                await self._answer_ping(message.data)
                return []
            case aiohttp.WSMsgType.PONG:
                return []
            case aiohttp.WSMsgType.CLOSE:
                raise self._ended(message.data)
            case aiohttp.WSMsgType.ERROR:
                # Ours to the provider: 1009 for a message too long, 1002 or 1007 for one that is broken.
                raise self._ended(self._websocket.close_code, "broke the WebSocket protocol")
        raise self._ended(1006)

    def acknowledge(self) -> None:
        """Tells the provider's system at once that its last message has arrived.

        One whose socket collects small writes (Nagle) says that it has begun, and then holds the first audio until
        that is acknowledged, which our kernel would do 40 ms later (measured on loopback: 43 ms to 1 ms).
        """
        if TCP_QUICKACK is not None and (link := self._websocket.get_extra_info("socket")) is not None:
            link.setsockopt(sockets.IPPROTO_TCP, TCP_QUICKACK, 1)

    async def close(self) -> None:
        """The closing handshake, as far as the other side joins in. Idempotent."""
        self.gone = True
        try:
            async with asyncio.timeout(self._settings.close_timeout_s):
                await self._websocket.close()
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            # Cancelled by the timeout, aiohttp has closed the connection without it.
            return

    def error(self, meaning: Meaning) -> ProviderError:
        return self._peer.error(meaning)

    def _sending(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        return self._websocket.send_str(message) if isinstance(message, str) else self._websocket.send_bytes(message)

    async def _answer_ping(self, payload: bytes) -> None:
        try:
            await self._websocket.pong(payload)
        except (aiohttp.ClientError, ConnectionError):
            self.gone = True

    def _ended(self, close_code: int | None, what: str = "closed the WebSocket") -> ProviderError:
        self.gone = True
        number = 1005 if close_code is None else int(close_code)
        if self._greeted:
            meaning = Meaning(Code.PROVIDER_CUT, f"{what} before the turn's end")
        elif number in _FINAL_CLOSE_CODES:
            meaning = Meaning(Code.PROVIDER_REJECTED, f"{what} before it greeted")
        else:
            meaning = Meaning(Code.PROVIDER_UNAVAILABLE, f"{what} before it greeted")
        name = _CLOSE_CODES.get(number, "a code of its own")
        return self._peer.error(meaning, f"{number}, {name}")


class HandshakeRefused(Exception):  # noqa: N818 - an answer, not yet an error
    """The provider answered the handshake with something else than a WebSocket."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"status {refusal.status}")
        self.refusal = refusal


async def refuse_unless_upgraded(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A client middleware: an answer other than 101 is read and raised, before aiohttp could follow where it points
    (with the key in the headers) or throw its body away."""
    response = await handler(request)
    if response.status == 101:
        return response
    try:
        body = await refusal_body(response)
    finally:
        response.close()
    headers = {name.lower(): value for name, value in response.headers.items()}
    raise HandshakeRefused(Refusal(status=response.status, headers=headers, body=body))


async def open_socket(
    session: aiohttp.ClientSession,
    request: DialogueRequest,
    address: SocketAddress,
    settings: WsSettings,
    discard: Callable[[Socket], None],
) -> Socket:
    """A socket that has been greeted. Raises ProviderError. `discard` is given one that came to nothing, to be closed.

    `session` has `refuse_unless_upgraded` among its middlewares.
    """
    url = URL(address.url, encoded=True)
    peer = peer_of(request.provider, url)
    timeout_s = settings.connect_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            with map_errors(peer):
                websocket = await _upgraded(session, url, address, settings, peer)
    except HandshakeRefused as answer:
        # Not chained: `refuse` says all there is to say, without the headers that were sent.
        raise request.refuse(answer.refusal) from None
    except TimeoutError:
        late = Meaning(Code.PROVIDER_UNAVAILABLE, f"did not take a connection within {timeout_s:g} s")
        raise peer.error(late) from None
    socket = Socket(websocket, request, peer, settings)
    try:
        if address.subprotocols and websocket.protocol != address.subprotocols[0]:
            unknown = f"does not speak {address.subprotocols[0]}"
            raise peer.error(Meaning(Code.PROVIDER_UNAVAILABLE, unknown, retryable=False))
        await socket.greet()
    except BaseException:
        discard(socket)
        raise
    return socket


async def _upgraded(
    session: aiohttp.ClientSession, url: URL, address: SocketAddress, settings: WsSettings, peer: Peer
) -> aiohttp.ClientWebSocketResponse:
    try:
        return await session.ws_connect(
            url,
            headers={**address.headers, **address.secret_headers, **signature(address.sign)},
            protocols=address.subprotocols,
            timeout=aiohttp.ClientWSTimeout(ws_close=settings.close_timeout_s),
            # A close's code is read, a pong is a sign of life: both must come through.
            autoclose=False,
            autoping=False,
            compress=0,
            max_msg_size=settings.message_bytes,
        )
    except aiohttp.WSServerHandshakeError:
        # 101, but the wrong key or headers. Not chained: it holds the request.
        broken = Meaning(Code.PROVIDER_UNAVAILABLE, "does not complete a WebSocket handshake", retryable=False)
        raise peer.error(broken) from None
