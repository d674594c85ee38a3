"""aiohttp's errors -> ProviderErrors: nothing else leaves the drivers.

Messages name the provider and its host. They never hold a URL (its query may carry a key), a header, or the text of a
foreign exception (which may hold either).
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import client_exceptions as http_faults
from aiohttp.http import HttpProcessingError

from relay.errors import Code, ProviderError, ProviderFault


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a foreign error is to a client of the relay."""

    code: Code
    sentence: str
    retryable: bool = True


_UNREACHABLE = Meaning(Code.PROVIDER_UNAVAILABLE, "cannot be reached")
_DISCONNECTED = Meaning(Code.PROVIDER_UNAVAILABLE, "closed the connection before it answered")
_CUT = Meaning(Code.PROVIDER_CUT, "ended the reply before its end")
_SLOW = Meaning(Code.PROVIDER_TIMEOUT, "did not answer in time")
# A certificate or a TLS version does not change within a second.
_UNTRUSTED = Meaning(Code.PROVIDER_UNAVAILABLE, "has no TLS certificate that this machine trusts", retryable=False)
_NO_TLS = Meaning(Code.PROVIDER_UNAVAILABLE, "does not speak TLS as this machine does", retryable=False)
_NOT_HTTP = Meaning(Code.PROVIDER_UNAVAILABLE, "sent what is not an HTTP reply", retryable=False)
_PROXY = Meaning(Code.PROVIDER_UNAVAILABLE, "cannot be reached through the configured proxy")
_ADDRESS = Meaning(Code.PROVIDER_UNAVAILABLE, "has an address that cannot be used; check its base_url", retryable=False)
_REDIRECT = Meaning(Code.PROVIDER_UNAVAILABLE, "redirects, which is not followed; check its base_url", retryable=False)
_UPGRADE = Meaning(Code.PROVIDER_UNAVAILABLE, "answered as a WebSocket to a plain request", retryable=False)

# Every class of `aiohttp.client_exceptions` stands here by its own name, so that a class new in aiohttp is noticed
# (by a test) and not swallowed by its base. The nearest class of an error's ancestry counts.
MEANINGS: dict[type[BaseException], Meaning] = {
    http_faults.ClientError: Meaning(Code.PROVIDER_UNAVAILABLE, "failed in a way that has no name"),
    http_faults.ClientConnectionError: _DISCONNECTED,
    http_faults.ClientConnectionResetError: _DISCONNECTED,
    http_faults.ClientOSError: _DISCONNECTED,
    http_faults.ClientConnectorError: _UNREACHABLE,
    http_faults.ClientConnectorDNSError: Meaning(Code.PROVIDER_UNAVAILABLE, "has a name that does not resolve"),
    http_faults.ClientProxyConnectionError: _PROXY,
    http_faults.ClientHttpProxyError: _PROXY,
    http_faults.UnixClientConnectorError: _UNREACHABLE,
    http_faults.ClientSSLError: _NO_TLS,
    http_faults.ClientConnectorSSLError: _NO_TLS,
    http_faults.ClientConnectorCertificateError: _UNTRUSTED,
    http_faults.ServerFingerprintMismatch: _UNTRUSTED,
    http_faults.ServerConnectionError: _DISCONNECTED,
    http_faults.ServerDisconnectedError: _DISCONNECTED,
    http_faults.ServerTimeoutError: _SLOW,
    http_faults.ConnectionTimeoutError: Meaning(Code.PROVIDER_UNAVAILABLE, "did not take a connection in time"),
    http_faults.SocketTimeoutError: _SLOW,
    http_faults.ClientPayloadError: _CUT,
    http_faults.ClientResponseError: _NOT_HTTP,
    http_faults.ContentTypeError: _NOT_HTTP,
    http_faults.TooManyRedirects: _REDIRECT,
    http_faults.RedirectClientError: _REDIRECT,
    http_faults.InvalidUrlRedirectClientError: _REDIRECT,
    http_faults.NonHttpUrlRedirectClientError: _REDIRECT,
    http_faults.InvalidURL: _ADDRESS,
    http_faults.InvalidUrlClientError: _ADDRESS,
    http_faults.NonHttpUrlClientError: _ADDRESS,
    http_faults.WSServerHandshakeError: _UPGRADE,
    http_faults.WSMessageTypeError: _UPGRADE,
    HttpProcessingError: _NOT_HTTP,
    TimeoutError: _SLOW,
    ssl.SSLError: _NO_TLS,
    ssl.CertificateError: _UNTRUSTED,
    OSError: _UNREACHABLE,
}
# Newer than the oldest aiohttp we run with.
if upload_aborted := getattr(http_faults, "UploadAbortedError", None):
    MEANINGS[upload_aborted] = _DISCONNECTED


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of an exchange, as messages name it."""

    provider: str
    host: str

    def error(self, meaning: Meaning, detail: str | None = None) -> ProviderError:
        """A ProviderError of this provider; `detail` is ours or the operating system's words, never a stranger's."""
        sentence = f"{self.provider} ({self.host}) {meaning.sentence}"
        return ProviderError(
            meaning.code,
            f"{sentence}: {detail}" if detail else sentence,
            retryable=meaning.retryable,
            provider=ProviderFault(name=self.provider),
        )


@contextmanager
def map_errors(peer: Peer) -> Iterator[None]:
    """Turns foreign errors into ProviderErrors of `peer`. See `raise_mapped`."""
    try:
        yield
    except BaseException as error:
        raise_mapped(error, peer)
        raise


def raise_mapped(error: BaseException, peer: Peer) -> None:
    """Raises the ProviderError that a foreign error stands for.

    Does nothing for cancellation, ProviderErrors and what no network does (a bug). The cause is chained, except where
    it holds the whole request, headers and all.
    """
    for ancestor in type(error).__mro__:
        if meaning := MEANINGS.get(ancestor):
            cause = None if isinstance(error, aiohttp.ClientResponseError) else error
            raise peer.error(meaning, _system_words(error)) from cause


def _system_words(error: BaseException) -> str | None:
    # The numbers of the resolver are negative, those of TLS are its own: neither is the system's.
    foreign = isinstance(error, (ssl.SSLError, aiohttp.ClientSSLError))
    if foreign or not isinstance(error, OSError) or not error.errno or error.errno < 0:
        return None
    return os.strerror(error.errno)


def is_stale_connection(error: BaseException | None) -> bool:
    """Whether a reused connection failed as one does that the other side had closed while it was idle."""
    closed = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
    return isinstance(error, closed) and not isinstance(error, aiohttp.ClientConnectorError)
