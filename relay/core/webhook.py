"""Webhooks as Standard Webhooks 1.0 signs them (https://github.com/standard-webhooks/standard-webhooks, read
2026-11-28). Pure.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from relay.errors import ClientError, Code

# What precedes the base64 of a secret.
SECRET_PREFIX = "whsec_"
# Longer than any address that is typed, and short enough to keep with each job.
MAX_URL_CHARS = 2048


def check_webhook_url(url: str, hosts: Collection[str]) -> None:
    """Raises ClientError for an address that can never be sent to. Over `http` only `hosts` may be; where a name leads
    is judged when it is connected to."""
    try:
        parts = urlsplit(url)
        known = len(url) <= MAX_URL_CHARS and url.isascii() and url.isprintable() and " " not in url
        known = known and bool(parts.hostname) and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError:
        known = False
    if not known:
        raise _wrong(f"an address such as https://example.com/hook, of at most {MAX_URL_CHARS} ASCII characters")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _wrong("an address without user, password and fragment")
    if parts.scheme == "http" and not is_listed(url, hosts):
        raise _wrong("an https address; http is for hosts that the operator lists (jobs.webhook_hosts)")


def is_listed(url: str, hosts: Collection[str]) -> bool:
    """Whether the operator lists the host of an address, whatever its port."""
    return (urlsplit(url).hostname or "").lower() in {host.lower().strip("[]") for host in hosts}


def signed_headers(secret: str, message_id: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """The headers of one attempt to send a message. `at_s`: seconds since the Unix epoch. `secret` begins with
    SECRET_PREFIX."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signature = hmac.digest(key, f"{message_id}.{at_s}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _wrong(what: str) -> ClientError:
    return ClientError(Code.INVALID_CONFIG, f"webhook.url must be {what}")
