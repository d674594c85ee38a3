"""`GET /`: the page that speaks in the browser, and the player it is made of.

Files and nothing else: what the page does, it does over `/v1/...` like any other client, so it needs no rights of its
own and is shown to anyone; a relay with keys asks for one when the page speaks.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from aiohttp import ETag, web

# What is served, and as what. Anything else that lies beside it (types, a read-me) is not.
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The first part of a path, and the folder it stands for.
FOLDERS = {"page": "page", "player": "."}
ANY = "*"
INDEX = "page/index.html"

HEADERS = {
    # Nothing inline and nothing from elsewhere: a provider's words on this page can never become a program that reads
    # the key somebody typed. `self` covers the WebSocket of the same origin (in Safari since 16).
    "Content-Security-Policy": "; ".join(
        (
            *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
            *("img-src 'self' data:", "media-src 'self' blob:", "worker-src 'self'"),
            *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
            *("require-trusted-types-for 'script'", "trusted-types 'none'"),
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # Kept, but asked about every time: after an update no browser mixes an old module with a new one.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, as it is sent."""

    body: bytes
    content_type: str
    etag: ETag


class Page:
    """Serves `/`, `/page/NAME` and `/player/NAME`. All is read once: a path that was not there then is not found,
    whatever is written in it, and no request touches the disk."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files = _read(folder or browser_folder())

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(self._files)

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            *(web.get(f"/{name}/{{file}}", self.file) for name in FOLDERS),
        ]

    async def index(self, request: web.Request) -> web.Response:
        return self._answer(request, INDEX)

    async def file(self, request: web.Request) -> web.Response:
        path = request.path.lstrip("/")
        # Its links begin at `/`; at its own path they would lead nowhere.
        if path == INDEX:
            raise web.HTTPNotFound
        return self._answer(request, path)

    def _answer(self, request: web.Request, path: str) -> web.Response:
        found = self._files.get(path)
        if found is None:
            raise web.HTTPNotFound
        known = request.if_none_match or ()
        if any(tag.value in (found.etag.value, ANY) for tag in known):
            answer = web.Response(status=304, headers=HEADERS)
        else:
            answer = web.Response(body=found.body, headers={**HEADERS, "Content-Type": found.content_type})
        answer.etag = found.etag
        return answer


def browser_folder() -> Path:
    """Where the browser's files lie.

    They are a client, written under `clients/browser` beside the others. A wheel has only packages, so there they are
    put into this one, as `relay/browser` (sources in pyproject.toml); a checkout, and so an editable install, has
    them where they were written. The installed place comes first: in a checkout it does not exist.
    """
    package = Path(str(resources.files("relay")))
    installed = package / "browser"
    return installed if installed.is_dir() else package.parent / "clients" / "browser"


def _read(root: Path) -> dict[str, PageFile]:
    """By path below the root. None where the files were left out: then `/` is not found, all else works."""
    return {
        f"{name}/{path.name}": _file(path)
        for name, folder in FOLDERS.items()
        for path in sorted((root / folder).glob("*"))
        if path.suffix in CONTENT_TYPES and path.is_file()
    }


def _file(path: Path) -> PageFile:
    body = path.read_bytes()
    return PageFile(body, CONTENT_TYPES[path.suffix], ETag(hashlib.sha256(body).hexdigest()[:32]))
