"""Which certificates are trusted: the system's, read when the first TLS connection is made.

Reading them takes 50 ms of CPU and 1 to 3 MiB. A relay that speaks by itself, or to a server on the same machine,
makes no TLS connection at all.
"""

import asyncio
import os
import ssl
import sys
import threading
from typing import Any, Self

# Where OpenSSL looks for certificates, unless told otherwise by these.
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class SystemTrust(ssl.SSLContext):
    """As `ssl.create_default_context()`, for clients. Trusts nobody before `load`, which the first connection calls."""

    def __new__(cls) -> Self:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        assert context.check_hostname, "the default for clients"
        assert context.verify_mode is ssl.CERT_REQUIRED, "the default for clients"
        # What create_default_context adds since Python 3.13.
        if sys.version_info >= (3, 13):
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        # HTTP/2 is not spoken here.
        context.set_alpn_protocols(["http/1.1"])
        context._lock = threading.Lock()
        context._loaded = False
        return context

    _lock: threading.Lock
    _loaded: bool

    def load(self) -> None:
        """Reads the certificates; idempotent, and safe in a thread."""
        with self._lock:
            if not self._loaded:
                self.load_default_certs(ssl.Purpose.SERVER_AUTH)
                self._loaded = True

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        self.load()
        return super().wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        self.load()
        return super().wrap_socket(*arguments, **options)


# One for all drivers: certificates are read once.
SYSTEM_TRUST = SystemTrust()


async def load_trust() -> None:
    """Reads the certificates away from the loop, ahead of the first connection."""
    await asyncio.to_thread(SYSTEM_TRUST.load)


def import_aiohttp() -> None:
    """Imports aiohttp without the certificates that it reads at once into two contexts of its own.

    Those contexts trust nobody then; the drivers use SYSTEM_TRUST. No-op if aiohttp has been imported. To be called
    while there is one thread, because it changes the environment for as long as the import takes.
    """
    if "aiohttp" in sys.modules:
        return
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, os.devnull))
    try:
        import aiohttp as _  # noqa: F401
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
