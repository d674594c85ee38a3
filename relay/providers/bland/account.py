"""Whom Bland's requests are for: the address, and the key as each generation of the API wants it.

Both spellings are taken today by either generation (the vendor's pages, 2026-11); each is sent what its own pages show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PROVIDER = "bland"
BASE_URL = "https://api.bland.ai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The operator's account. `base_url` has no slash at its end; `name` is the instance's."""

    base_url: str = BASE_URL
    api_key: str | None = field(default=None, repr=False)
    name: str = PROVIDER

    def bare(self) -> Mapping[str, str]:
        """The key of v1: the header holds nothing else."""
        return {"authorization": self.api_key} if self.api_key else {}

    def bearer(self) -> Mapping[str, str]:
        """The key of v2, over HTTP and WebSocket."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def socket_url(self, path: str) -> str:
        """`http` becomes `ws`, `https` becomes `wss`."""
        return "ws" + self.base_url.removeprefix("http") + path
