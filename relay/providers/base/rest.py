"""An HTTP API whose requests are JSON, whose key stands in one header, and whose errors are JSON too. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from relay.core.formats import Container, SourceFormat
from relay.core.transform import Transform
from relay.errors import Code, ProviderError
from relay.providers.base import faults, problems
from relay.providers.base.http import HttpRequest, Piece, Refusal, ReplyFacts

Refuse = Callable[[Refusal], ProviderError]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestApi:
    """One account at such an API. `base_url` has no slash at its end; `scheme` stands before the key in `key_header`.

    `headers` go with every request; `codes`, `hints` and `unknown_voice` are those of `problems.refused`.
    """

    name: str
    base_url: str
    key: str | None = field(default=None, repr=False)
    key_header: str = "authorization"
    scheme: str = "Bearer "
    headers: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, Code] = field(default_factory=dict)
    hints: Mapping[int, str] = field(default_factory=dict)
    unknown_voice: re.Pattern[str] = problems.UNKNOWN_VOICE
    # A header that says what is wrong where a refusal has no body, as one of a handshake.
    words_header: str | None = None

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        source: SourceFormat,
        *,
        query: Mapping[str, str] | None = None,
        private: tuple[str, ...] = (),
        unwrap: Callable[[Refuse], Transform[bytes, Piece]] | None = None,
        first_byte_timeout_s: float | None = None,
    ) -> HttpRequest:
        """A request for audio. `private` are the strings of the request that no error may quote; `unwrap` is given
        what makes an error of a refusal."""
        refuse = partial(self.refused, private)
        return HttpRequest(
            provider=self.name,
            method="POST",
            url=self.url(path, query),
            headers={"content-type": "application/json", **self.headers},
            secret_headers=self.credentials(),
            # ASCII: a lone surrogate, which JSON can carry to us and UTF-8 cannot carry on, is the server's to judge.
            body=json.dumps(body, separators=(",", ":")).encode("ascii"),
            accept=lambda headers: ReplyFacts(source=source, ids=_ids(headers)),
            refuse=refuse,
            unwrap=None if unwrap is None else lambda: unwrap(refuse),
            first_byte_timeout_s=first_byte_timeout_s,
        )

    def get(self, path: str, query: Mapping[str, str] | None = None) -> HttpRequest:
        """A question whose answer is no audio."""
        return HttpRequest(
            provider=self.name,
            method="GET",
            url=self.url(path, query),
            headers=self.headers,
            secret_headers=self.credentials(),
            body=None,
            accept=lambda headers: ReplyFacts(source=SourceFormat(container=Container.RAW), ids=_ids(headers)),
            refuse=partial(self.refused, ()),
        )

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        return f"{self.base_url}{path}?{urlencode(query)}" if query else f"{self.base_url}{path}"

    def credentials(self) -> dict[str, str]:
        return {self.key_header: f"{self.scheme}{self.key}"} if self.key else {}

    def socket_url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """`http` becomes `ws`, `https` becomes `wss`."""
        return "ws" + self.url(path, query).removeprefix("http")

    def refused(self, private: tuple[str, ...], refusal: Refusal) -> ProviderError:
        """The error of a refusal, without the key and what is `private`."""
        if self.words_header and not refusal.body:
            said = refusal.headers.get(self.words_header, "")
            refusal = replace(refusal, body=said.encode("utf-8", "surrogateescape"))
        return problems.refused(
            self.name,
            refusal,
            self.codes,
            secrets=(self.key, *private),
            hints=self.hints,
            unknown_voice=self.unknown_voice,
        )


def _ids(headers: Mapping[str, str]) -> dict[str, str]:
    found = faults.request_id(headers)
    return {"request_id": found} if found else {}
