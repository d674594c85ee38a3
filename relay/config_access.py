"""What is wrong with the keys and origins of `[server]`. Pure."""

import re
from collections.abc import Sequence

from relay.config_checks import ConfigError

# A key that can be guessed within a day is none.
LEAST_KEY_CHARS = 8
# A hash is told from a key by its beginning, so no key begins so, in whatever case.
_HASH = re.compile(r"sha-?256:(?P<hex>[0-9a-f]{64})", re.IGNORECASE)
_LIKE_A_HASH = re.compile(
    r"(md5|sha-?[0-9/_-]*|bcrypt|scrypt|argon2[a-z]*|pbkdf2[a-z0-9_-]*|blake2[a-z]*)[:$]|\$[0-9a-z]+\$", re.IGNORECASE
)
_ORIGIN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_OWN_PORTS = {"http": "80", "https": "443"}


def hash_of(key: str) -> str | None:
    """The digits of a key that is given as its SHA-256, small; None for one that is given itself. Raises ConfigError
    for what is meant as a hash and is none: taken for the key, a hash, which is no secret, would open the door."""
    if found := _HASH.fullmatch(key.strip()):
        return found["hex"].lower()
    if _LIKE_A_HASH.match(key.strip()):
        raise ConfigError(
            "server.keys: a hash must be sha256: and 64 hexadecimal digits; another entry begins like one"
        )
    return None


def check_keys(keys: Sequence[str]) -> None:
    """Raises ConfigError, which quotes no key."""
    for number, key in enumerate(keys, 1):
        if hash_of(key) is not None:
            continue
        if len(key) < LEAST_KEY_CHARS or not key.isascii() or not key.isprintable() or key != key.strip():
            raise ConfigError(
                f"server.keys: key {number} must have at least {LEAST_KEY_CHARS} characters, all printable ASCII"
            )
        if key.startswith("rt1."):
            raise ConfigError(f"server.keys: key {number} begins with rt1., as tokens do, and would be taken for one")


def check_origins(origins: Sequence[str]) -> None:
    """Raises ConfigError for what no browser sends as its Origin."""
    for origin in origins:
        found = _ORIGIN.fullmatch(origin.rstrip("/") if origin.count("/") == 3 else origin)
        if found is None:
            raise ConfigError(
                f"server.allowed_origins: {origin[:100]!r} is no origin; it must be scheme and host, such as"
                " https://app.example.com, without a path; * and null are not taken"
            )
        scheme = origin.partition(":")[0].lower()
        if found[2] == f":{_OWN_PORTS[scheme]}":
            raise ConfigError(f"server.allowed_origins: browsers leave {found[2]} out of an origin of {scheme}")
