"""Which certificates are trusted, by the drivers' one context."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from relay.drivers.trust import SystemTrust

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

FRESH = """
import os, sys
from relay.drivers.trust import SYSTEM_TRUST, import_aiohttp
os.environ["SSL_CERT_FILE"] = {file!r}
assert "aiohttp" not in sys.modules
import_aiohttp()
assert os.environ["SSL_CERT_FILE"] == {file!r}
assert "SSL_CERT_DIR" not in os.environ
from aiohttp import connector
assert connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"] == 0
assert SYSTEM_TRUST.cert_store_stats()["x509"] == 0, "not before it is needed"
SYSTEM_TRUST.load()
SYSTEM_TRUST.load()
assert SYSTEM_TRUST.cert_store_stats()["x509"] == 1
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of `localhost`, signed by itself, in one file."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    extensions = "-addext subjectAltName=DNS:localhost -addext keyUsage=critical,digitalSignature,keyCertSign"
    files = ("-keyout", str(file.with_suffix(".key")), "-out", str(file))
    subprocess.run([*command.split(), *extensions.split(), *files], check=True, capture_output=True)
    return file


@asynccontextmanager
async def server(certificate: Path) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def get(port: int, host: str) -> str:
    """With a fresh context, as a process has one that makes its first connection."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=SystemTrust())) as http:
        async with http.get(f"https://{host}:{port}/") as response:
            return await response.text()


async def test_the_first_connection_reads_the_certificates(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(certificate) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await get(port, "localhost") == "ok"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await get(port, "127.0.0.1")  # a name that the certificate does not have
        monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
        monkeypatch.setenv("SSL_CERT_DIR", os.devnull)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await get(port, "localhost")


def test_a_context_checks_what_the_library_default_checks() -> None:
    ours, default = SystemTrust(), ssl.create_default_context()
    for name in ("check_hostname", "verify_mode", "verify_flags", "minimum_version", "maximum_version", "options"):
        assert getattr(ours, name) == getattr(default, name), name
    ours.load()
    assert ours.cert_store_stats() == default.cert_store_stats()


def test_aiohttp_is_imported_without_certificates_and_the_environment_is_as_before(certificate: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    subprocess.run([sys.executable, "-c", FRESH.format(file=str(certificate))], check=True, env=environment, timeout=60)
