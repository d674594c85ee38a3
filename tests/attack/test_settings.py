"""Settings that cannot be meant are refused at the start, in a line that shows no key; and hosts and pages."""

import hashlib
from pathlib import Path

import pytest

from relay.config import Config, ConfigError, ServerConfig, TokensConfig, load
from relay.engine.setup import spent_tokens_of
from relay.errors import ClientError
from relay.server.access.keys import Auth

KEY = "alice-key-0123456789abcdef"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
HINT = "send a key"

REFUSED = {
    "RELAY_SERVER_KEY": [KEY],
    "RELAY_LIMIT_MAX_SESSIONS": ["5"],
    "RELAY_SERVER_KEYS": [
        *("", " , ", "a", "short77", "rt1.abcdefghijklmnop", f"{KEY},b", f"sha256:{HASH[:-1]}", f"sha256:{HASH}0"),
        *(
            "md5:0123456789abcdef0123456789abcdef",
            f"sha512:{HASH}",
            "SHA256:xyz",
            f"sha256: {HASH}",
            "$2b$12$abcdefghijk",
        ),
        *("ключ-ключ-ключ", "sha1:abcdefgh", "argon2id$abcdefgh"),
    ],
    "RELAY_SERVER_ALLOWED_ORIGINS": [
        *(
            "*",
            "null",
            "https://a.example/app",
            "a.example",
            "https://*.example",
            "ftp://a.example",
            "https://a.example:443",
        ),
        *("https://user@a.example", "http://a.example:80", "https://a.example//", "https://a b", "//a.example"),
    ],
    "RELAY_LIMITS_TEXT_LOW_WATER_CHARS": ["5000"],
    "RELAY_LIMITS_MAX_MESSAGE_BYTES": ["10"],
    "RELAY_LIMITS_HEAD_TIMEOUT_S": ["0", "-1", "x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_what_cannot_be_meant_does_not_start(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(environ={name: value})
    said = str(caught.value)
    assert "\n" not in said and KEY not in said
    assert name in said or name.removeprefix("RELAY_").partition("_")[2].lower() in said


@pytest.mark.parametrize(
    "stored", [f"sha256:{HASH}", f"SHA256:{HASH.upper()}", f"sha256:{HASH.upper()}", f"SHA-256:{HASH}", KEY]
)
def test_a_hash_in_any_case_opens_for_its_key_and_never_itself(stored: str) -> None:
    auth = Auth([stored, f"sha256:{HASH}"], [])
    assert len(auth.clients) == 1
    assert auth.client(KEY, "10.0.0.1", HINT) == HASH[:16]
    for shown in {stored, HASH, HASH.upper(), f"sha256:{HASH}"} - {KEY}:
        with pytest.raises(ClientError):
            auth.client(shown, "10.0.0.1", HINT)


def test_nothing_shows_a_secret() -> None:
    config = Config(server=ServerConfig(keys=[KEY]), tokens=TokensConfig(secret="s" * 32))
    assert KEY not in repr(config) and "ssss" not in repr(config)


@pytest.mark.parametrize("store", ["memory:", "sqlite:", "sqlite::memory:", "sqlite: "])
def test_workers_share_the_store_of_spent_tokens(store: str) -> None:
    config = Config(tokens=TokensConfig(store=store))
    with pytest.raises(ConfigError, match=r"tokens\.store"):
        spent_tokens_of(config, "sqlite:/shared/spent.sqlite3")
    if store == "memory:":
        spent_tokens_of(config, "")


HOSTS = {
    **dict.fromkeys(["127.0.0.1", "127.0.0.1:8765", "[::1]", "[::1]:80", "localhost", "LOCALHOST:1", "10.0.0.7"], True),
    **dict.fromkeys(
        ["evil.com", "[::1].evil.com", "127.0.0.1#.evil.com", "evil.com@127.0.0.1", "", "127.0.0.1:x"], False
    ),
    **dict.fromkeys(
        ["localhost.evil.com", "127.0.0.1 ", "127.0.0.1/", "[::1", "::1", "127.0.0.1:80:80", "[evil]"], False
    ),
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_relay_without_keys_answers_to_addresses_only(host: str) -> None:
    try:
        Auth([], []).check_host({"host": host})
    except ClientError:
        assert not HOSTS[host]
    else:
        assert HOSTS[host]


def test_a_page_of_another_site_that_names_no_origin_is_refused() -> None:
    auth = Auth([], [])
    for site in ("cross-site", "same-site"):
        with pytest.raises(ClientError):
            auth.check_origin({"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "host": "127.0.0.1"})
        auth.check_origin({"sec-fetch-site": site, "sec-fetch-mode": "navigate", "host": "127.0.0.1"})
        Auth([KEY], []).check_origin({"sec-fetch-site": site, "sec-fetch-mode": "no-cors"})
    auth.check_origin({"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors"})
    auth.check_origin({"sec-fetch-site": "none"})
