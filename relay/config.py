"""Settings from `relay.toml` and the environment, typed and checked; every default has its reason.

Order: defaults, then the file, then the environment. `[section] key` in the file is `RELAY_SECTION_KEY` in the
environment (`[server] port` is `RELAY_SERVER_PORT`); a provider's key and address are `BREEZE_API_KEY` and
`BREEZE_BASE_URL`. Keys of providers are never printed.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

DEFAULT_FILE = "relay.toml"


class ConfigError(Exception):
    """A setting is wrong. The message names the file or variable, the key, and what is valid."""


Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class ServerConfig(Struct, forbid_unknown_fields=True, frozen=True):
    # Loopback: without keys the relay serves anyone who can connect.
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8765
    # `sha256:HEX` of a key, or the key itself (better in the environment: RELAY_SERVER_KEYS=key1,key2).
    keys: list[str] = field(default_factory=list)
    # Pages that may connect, as `https://host`; empty: pages of this server's own address only.
    allowed_origins: list[str] = field(default_factory=list)
    # A sentence takes seconds, a long turn a minute; orchestrators commonly kill after 30 s.
    drain_timeout_s: Annotated[float, Meta(ge=0)] = 25.0


class LimitsConfig(Struct, forbid_unknown_fields=True, frozen=True):
    # 1,000 turns at real time is what one core carries.
    max_sessions: Count = 1000
    # One client should not be able to take all the places.
    max_sessions_per_client: Count = 500
    max_message_bytes: Count = 256 * 1024
    max_turn_chars: Count = 40_000
    max_open_turns: Count = 8
    idle_timeout_s: Seconds = 300.0
    # A listener that stops reading for a minute (a paused call) must survive; two minutes is a dead client.
    slow_client_timeout_s: Seconds = 120.0
    # From a request's head to the end of its body: the largest message over a slow mobile line takes some seconds.
    body_timeout_s: Seconds = 60.0
    text_high_water_chars: Count = 2000
    text_low_water_chars: Count = 1000


class AudioConfig(Struct, forbid_unknown_fields=True, frozen=True):
    encoding: str = "pcm_s16le"
    sample_rate: int | Literal["native"] = 24000
    channels: int = 1
    frame_ms: int = 20
    tail: Literal["pad", "short"] = "pad"


class PacingConfig(Struct, forbid_unknown_fields=True, frozen=True):
    mode: Literal["fast", "realtime"] = "fast"
    lead_ms: int = 200
    # None: half of the lead.
    burst_ms: int | None = None


class DefaultsConfig(Struct, forbid_unknown_fields=True, frozen=True):
    # The built-in provider needs no key.
    provider: str = "espeak"
    # Who goes on where that one fails, in order, for turns that name no provider of their own.
    fallbacks: list[str] = field(default_factory=list)
    audio: AudioConfig = field(default_factory=AudioConfig)
    pacing: PacingConfig = field(default_factory=PacingConfig)


class TokensConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Short-lived tokens for pages."""

    # Signs tokens. Not given: a new one at each start; several machines that take each other's tokens need the same.
    secret: Annotated[str, Meta(min_length=32)] | None = None
    # A page asks for a token when it is about to speak; one that lasts is one that leaks.
    max_ttl_s: Annotated[float, Meta(ge=1)] = 600.0
    # Whoever still speaks after an hour can show a new token.
    session_s: Seconds = 3600.0
    # Where spent tokens are remembered, as `memory:` or `sqlite:PATH`. Empty: in memory, or in a file of --workers.
    store: str = ""

    def __repr__(self) -> str:
        secret = "set" if self.secret else "not set"
        return f"TokensConfig(secret={secret}, max_ttl_s={self.max_ttl_s}, session_s={self.session_s})"


class LogConfig(Struct, forbid_unknown_fields=True, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class TracingConfig(Struct, forbid_unknown_fields=True, frozen=True):
    # Where spans go is said by the variables that OpenTelemetry has for it, such as OTEL_EXPORTER_OTLP_ENDPOINT.
    enabled: bool = False


class HttpConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Patience with providers; `providers.http_settings` has the reasons of the values."""

    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 10.0
    stall_timeout_s: float = 10.0
    open_timeout_s: float = 20.0
    retries: int = 2


class WebSocketConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Patience with providers that take text as it is typed; `drivers.ws_settings` has the reasons of the values."""

    connect_timeout_s: float = 5.0
    greeting_timeout_s: float = 5.0
    first_audio_timeout_s: float = 10.0
    stall_timeout_s: float = 10.0
    write_timeout_s: float = 5.0
    idle_s: float = 45.0
    idle_per_key: int = 2
    idle_sockets: int = 32


class ProviderConfig(Struct, forbid_unknown_fields=True, frozen=True):
    api_key: str | None = None
    base_url: str | None = None
    # The account, for the providers that want it beside the key.
    user_id: str | None = None
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    # The provider's own settings, under its own field names.
    options: dict[str, Any] = field(default_factory=dict)
    # Requests that may run at it at a time, by its plan; the rest wait. Not given: what it documents for everyone.
    max_concurrent: Count | None = None
    # A listener waits no longer than this for a turn to begin; then it is better told.
    queue_timeout_s: Seconds = 10.0

    def __repr__(self) -> str:
        key = "set" if self.api_key else "not set"
        return f"ProviderConfig(api_key={key}, base_url={self.base_url!r}, voice={self.voice!r})"


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    defaults: DefaultsConfig = field(default_factory=DefaultsConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    log: LogConfig = field(default_factory=LogConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    providers: dict[str, ProviderConfig] = field(default_factory=dict)


# Sections whose keys have an environment variable each; a list is separated by commas.
_SECTIONS: dict[str, type[Struct]] = {
    "server": ServerConfig,
    "limits": LimitsConfig,
    "defaults": DefaultsConfig,
    "http": HttpConfig,
    "websocket": WebSocketConfig,
    "tokens": TokensConfig,
    "log": LogConfig,
    "tracing": TracingConfig,
}
_PROVIDER_KEYS = ("api_key", "base_url", "user_id", "voice", "model", "language", "max_concurrent")


def load(
    path: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    providers: tuple[str, ...] = (),
) -> Config:
    """Reads the settings. `path` None: `RELAY_CONFIG`, or `relay.toml` here if there is one. Raises ConfigError."""
    named = path or environ.get("RELAY_CONFIG")
    file = Path(named or DEFAULT_FILE)
    values: dict[str, Any] = {}
    if named or file.exists():
        values = _read(file)
    _check_known_providers(values, providers, file)
    _convert(values, str(file))
    sources = _merge_environment(values, environ, providers)
    return _convert(values, f"the environment ({', '.join(sources)})" if sources else str(file))


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None


def _merge_environment(values: dict[str, Any], environ: Mapping[str, str], providers: tuple[str, ...]) -> list[str]:
    """Lays the environment over `values`; the names of the variables that were used."""
    used = []
    for section, kind in _SECTIONS.items():
        for key in kind.__struct_fields__:
            name = f"RELAY_{section}_{key}".upper()
            if name not in environ or key in ("audio", "pacing"):
                continue
            text = environ[name]
            is_list = isinstance(getattr(kind(), key), list)
            values.setdefault(section, {})[key] = (
                [item.strip() for item in text.split(",") if item.strip()] if is_list else text
            )
            used.append(name)
    for provider in providers:
        for key in _PROVIDER_KEYS:
            name = f"{provider}_{key}".upper()
            if environ.get(name):
                values.setdefault("providers", {}).setdefault(provider, {})[key] = environ[name]
                used.append(name)
    return used


def _check_known_providers(values: dict[str, Any], providers: tuple[str, ...], file: Path) -> None:
    for name in values.get("providers", {}):
        if providers and name not in providers:
            raise ConfigError(f"{file}: providers.{name}: no such provider; there are {', '.join(providers)}")


def _convert(values: dict[str, Any], source: str) -> Config:
    try:
        return msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").lstrip(".")
        if "unknown field" in reason:
            reason += f"; valid here: {', '.join(_fields_at(key))}"
        raise ConfigError(f"{source}: {key + ': ' if key else ''}{reason}") from None


def _fields_at(key: str) -> tuple[str, ...]:
    section = key.split(".")[-1] if key else ""
    kinds: dict[str, type[Struct]] = {**_SECTIONS, "audio": AudioConfig, "pacing": PacingConfig, "": Config}
    kind = ProviderConfig if key.startswith("providers") else kinds.get(section, Config)
    return kind.__struct_fields__
