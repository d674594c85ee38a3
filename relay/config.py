"""Settings from `relay.toml` and the environment, typed and checked; every default has its reason.

Order: defaults, then the file, then the environment. `[section] key` in the file is `RELAY_SECTION_KEY` in the
environment (`[server] port` is `RELAY_SERVER_PORT`); a provider's key and address are `BREEZE_API_KEY` and
`BREEZE_BASE_URL`, for the instance that has its adapter's name. Keys of providers are never printed.

A wrong setting stops the start, except in `[providers.NAME]`: there it makes that one instance unusable
(`WrongProvider`), so that it cannot keep the others from speaking.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from relay.config_access import check_keys, check_origins
from relay.config_checks import ConfigError as ConfigError
from relay.config_checks import check_spelling, convert
from relay.core.formats import Encoding

DEFAULT_FILE = "relay.toml"


Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
# Base64 of 24 to 64 bytes (Standard Webhooks 1.0, "Signature scheme").
_WEBHOOK_SECRET = r"^whsec_(?=[A-Za-z0-9+/=]{32,88}$)([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


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

    def __repr__(self) -> str:
        return f"ServerConfig(host={self.host!r}, port={self.port}, keys={len(self.keys)} set)"


class LimitsConfig(Struct, forbid_unknown_fields=True, frozen=True):
    # 1,000 turns at real time is what one core carries.
    max_sessions: Count = 1000
    # One client should not be able to take all the places.
    max_sessions_per_client: Count = 500
    max_message_bytes: Annotated[int, Meta(ge=1024)] = 256 * 1024
    max_turn_chars: Count = 40_000
    max_open_turns: Count = 8
    # Turns that one session may open; None: 5 where there are keys, else as many as come (0 says so too).
    turns_per_s: Annotated[float, Meta(ge=0)] | None = None
    turn_burst: Count = 20
    # Text of one caller, a key or an address, in all its sessions; None: as much as comes.
    chars_per_minute: Count | None = None
    chars_per_day: Count | None = None
    idle_timeout_s: Seconds = 300.0
    # A listener that stops reading for a minute (a paused call) must survive; two minutes is a dead client.
    slow_client_timeout_s: Seconds = 120.0
    # From a request's head to the end of its body: the largest message takes 37 s at 56 kbit/s.
    body_timeout_s: Seconds = 40.0
    # Connections of clients at a time, whatever they do. None: twice max_sessions, for those that come and go.
    max_connections: Count | None = None
    # Of them from one address (of IPv6 one /64). None: three quarters, since all may come through one proxy.
    max_connections_per_address: Count | None = None
    # From the accepting of a connection to its first byte; browsers open some ahead of need and do without them.
    first_byte_timeout_s: Seconds = 10.0
    # From a request's first byte to the end of its head, which is at most a few packets.
    head_timeout_s: Seconds = 30.0
    # Between two requests of a client that has shown a key or token; longer than the 60 s for which proxies keep idle
    # connections, so that it is they who close.
    keepalive_s: Seconds = 75.0
    # Between two requests of a client that has shown none.
    stranger_keepalive_s: Seconds = 30.0
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
    # None: the voices on this machine, as far as they are installed. They need no key.
    provider: str | None = None
    # Who goes on where that one fails, in order, for turns that name no provider of their own.
    fallbacks: list[str] = field(default_factory=list)
    # For turns that name neither voice nor provider: a name from [voices], or a voice of the default provider.
    voice: str | None = None
    # What is left out of a turn's text before it is spoken, by the names of `core.text.filters`.
    text_filter: list[str] = field(default_factory=list)
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


class JobsConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Long text that is spoken without a listener."""

    enabled: bool = True
    # Where audio and the database are kept; empty: `relay/jobs` in the user's state folder. Made with the first job.
    folder: str = ""
    # One is spoken while another waits for its provider.
    max_running: Count = 2
    # Some 18 hours of speech.
    max_text_chars: Count = 1_000_000
    # A client that submits a library book by book.
    max_active_per_client: Count = 1000
    # A week to come for the audio.
    retention_s: Seconds = 604_800.0
    # The audio of all jobs together, 60 hours as WAV: the oldest goes first.
    max_bytes: Count = 10 * 1024**3
    # A process that has died gives its jobs back after this.
    lease_s: Seconds = 30.0
    # Signs webhooks, which tell a client that its job has ended: `whsec_` and the base64 of 24 to 64 random bytes, as
    # Standard Webhooks has it. Not given: a job that wants one is refused, because nobody could tell it from a forged
    # one.
    webhook_secret: Annotated[str, Meta(pattern=_WEBHOOK_SECRET)] | None = None
    # Hosts that webhooks may go to though their address is not public, or they have no TLS.
    webhook_hosts: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        secret = "set" if self.webhook_secret else "not set"
        return f"JobsConfig(enabled={self.enabled}, folder={self.folder!r}, webhook_secret={secret})"


class HistoryConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Turns that are kept after they ended, with text and audio."""

    # What people have had spoken is theirs: nothing is kept unless the operator says so.
    enabled: bool = False
    # Where audio and the database are kept; empty: `relay/history` in the user's state folder.
    folder: str = ""
    # A month.
    retention_s: Seconds = 2_592_000.0
    # The audio of all turns together, 60 hours of 24 kHz: the oldest goes first.
    max_bytes: Count = 10 * 1024**3


class LogConfig(Struct, forbid_unknown_fields=True, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class TracingConfig(Struct, forbid_unknown_fields=True, frozen=True):
    # Where spans go is said by the variables that OpenTelemetry has for it, such as OTEL_EXPORTER_OTLP_ENDPOINT.
    enabled: bool = False


class EngineConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Slots at providers; `engine.read_ahead` and `engine.closure` have the reasons of the values."""

    read_ahead_bytes: Annotated[int, Meta(ge=0)] = 512 * 1024
    read_ahead_total_bytes: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024
    longest_closure_s: Annotated[float, Meta(ge=0)] = 30.0
    # The longest audio that a text is believed to have; `engine.too_long` has the reasons.
    audio_base_s: Seconds = 60.0
    audio_s_per_char: Annotated[float, Meta(ge=0)] = 1.0


class HttpConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """Patience with providers; `providers.http_settings` has the reasons of the values."""

    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 10.0
    stall_timeout_s: float = 10.0
    open_timeout_s: float = 20.0
    retries: int = 2
    keepalive_s: float = 50.0
    # Hosts in a network of one's own that a provider's reply may send the relay to for the audio.
    download_hosts: list[str] = field(default_factory=list)


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


class ProviderAudioConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """The shape of an instance's headerless audio, for a provider whose headers do not say it, or lie."""

    encoding: Encoding = Encoding.PCM_S16LE
    sample_rate: Annotated[int, Meta(ge=2000, le=384_000)] = 24000
    channels: Annotated[int, Meta(ge=1, le=2)] = 1


class ProviderConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """One instance: an adapter under a name."""

    # Not given: the instance's own name.
    adapter: str | None = None
    api_key: str | None = None
    # The environment variable that holds the key: for instances that have no variable of their own.
    api_key_env: str | None = None
    base_url: str | None = None
    # The account, for the providers that want it beside the key.
    user_id: str | None = None
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    # Which of the services that speak the adapter's API, where it knows several.
    preset: str | None = None
    # The provider's own settings, under its own field names.
    options: dict[str, Any] = field(default_factory=dict)
    # Requests that may run at it at a time, by its plan; the rest wait. Not given: what it documents for everyone.
    max_concurrent: Count | None = None
    # A listener waits no longer than this for a turn to begin; then it is better told.
    queue_timeout_s: Seconds = 10.0
    # Sockets kept open before a turn needs one, where text goes to the provider over a socket. Not given: one where the
    # provider does not charge for it or count it, else none.
    open_ahead: Annotated[int, Meta(ge=0, le=8)] | None = None
    # What its headerless audio is, whatever its headers say.
    audio: ProviderAudioConfig | None = None

    def __repr__(self) -> str:
        key = "set" if self.api_key else "not set"
        return f"ProviderConfig(api_key={key}, base_url={self.base_url!r}, voice={self.voice!r})"


class WrongProvider(ProviderConfig, frozen=True):
    """An instance whose settings are wrong, and the reason. It cannot be used."""

    reason: str = ""


class VoiceConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """What a name of `[voices]` stands for at one provider; what a turn says itself goes before it."""

    voice: str
    model: str | None = None
    language: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class DoorConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """What clients of another service's protocol mean by its names."""

    enabled: bool = True
    # Their name for a voice -> `provider:voice`, `provider:`, or a name of [voices].
    voices: dict[str, str] = field(default_factory=dict)
    # For every other name; without it they are asked for as they are.
    default_voice: str | None = None
    # Their name for a model -> the provider's. Others are ignored.
    models: dict[str, str] = field(default_factory=dict)


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    defaults: DefaultsConfig = field(default_factory=DefaultsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    log: LogConfig = field(default_factory=LogConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    # Words and how they are said: respellings, or tables with `alias` or `ipa` or both.
    lexicon: dict[str, Any] = field(default_factory=dict)
    providers: dict[str, ProviderConfig] = field(default_factory=dict)
    # A name for a voice -> instance -> its voice there.
    voices: dict[str, dict[str, str | VoiceConfig]] = field(default_factory=dict)
    # A protocol of another service -> what its names stand for here.
    doors: dict[str, DoorConfig] = field(default_factory=dict)


# Sections whose keys have an environment variable each; a list is separated by commas.
_SECTIONS: dict[str, type[Struct]] = {
    "server": ServerConfig,
    "limits": LimitsConfig,
    "defaults": DefaultsConfig,
    "engine": EngineConfig,
    "http": HttpConfig,
    "websocket": WebSocketConfig,
    "tokens": TokensConfig,
    "jobs": JobsConfig,
    "history": HistoryConfig,
    "log": LogConfig,
    "tracing": TracingConfig,
}
_PROVIDER_KEYS = ("api_key", "base_url", "user_id", "voice", "model", "language", "max_concurrent")
# Those of them that every instance with a preset takes from the variables of that name (`GROQ_API_KEY`).
_PRESET_KEYS = ("api_key", "base_url")
# What stands for an instance in metrics, lists (`a,b`), prices (`a=5`) and names of voices (`a:voice`).
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def load(
    path: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    providers: tuple[str, ...] = (),
) -> Config:
    """Reads the settings. `path` None: `RELAY_CONFIG`, or `relay.toml` here if there is one. `providers` are the
    adapters there are. Raises ConfigError."""
    given = path or environ.get("RELAY_CONFIG")
    file = Path(given or DEFAULT_FILE)
    values: dict[str, Any] = {}
    if given or file.exists():
        values = _read(file)
    instances, voices = values.pop("providers", {}), values.pop("voices", {})
    _check_instances(instances, providers, file)
    convert(values, Config, str(file))
    check_spelling(environ, _SECTIONS, (*_variables(), "RELAY_CONFIG", "RELAY_KEY"))
    sources = _merge_environment(values, environ)
    config = convert(values, Config, f"the environment ({', '.join(sources)})" if sources else str(file))
    _check_meant(config, environ)
    built = {name: _instance(name, section, file, environ, providers) for name, section in instances.items()}
    for adapter in providers:
        if adapter not in built and any(environ.get(variable(adapter, key)) for key in _PROVIDER_KEYS):
            built[adapter] = _instance(adapter, {}, file, environ, providers)
    named = _voices(voices, (*providers, *built) if providers else (), file)
    return msgspec.structs.replace(config, providers=built, voices=named)


def _check_meant(config: Config, environ: Mapping[str, str]) -> None:
    """Raises ConfigError for settings that each are possible, and cannot be meant."""
    check_keys(config.server.keys)
    check_origins(config.server.allowed_origins)
    if "RELAY_SERVER_KEYS" in environ and not config.server.keys:
        raise ConfigError(
            "RELAY_SERVER_KEYS is set and holds no key: a relay without keys serves anyone; unset it to mean that"
        )
    limits = config.limits
    if limits.text_low_water_chars > limits.text_high_water_chars:
        raise ConfigError(
            f"limits.text_low_water_chars is {limits.text_low_water_chars}; it must be at most text_high_water_chars,"
            f" {limits.text_high_water_chars}"
        )


def variable(adapter: str, key: str) -> str:
    """The environment variable of a setting of the instance that has its adapter's name."""
    return re.sub("[^A-Z0-9]", "_", f"{adapter}_{key}".upper())


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


def _variables() -> list[str]:
    """Every variable of a section."""
    return [
        f"RELAY_{section}_{key}".upper()
        for section, kind in _SECTIONS.items()
        for key in kind.__struct_fields__
        if key not in ("audio", "pacing")
    ]


def _merge_environment(values: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
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
    return used


def _check_instances(instances: object, adapters: tuple[str, ...], file: Path) -> None:
    """What no instance could be made of: it has no name to be refused by."""
    if not isinstance(instances, dict):
        raise ConfigError(f"{file}: providers: it must be a table, such as [providers.breeze]")
    valid = ", ".join(adapters)
    for name, section in instances.items():
        if not _INSTANCE_NAME.fullmatch(name):
            raise ConfigError(
                f"{file}: providers.{name!r}: a name is 1 to 64 letters, digits, dots, hyphens and underscores"
            )
        if not isinstance(section, dict):
            raise ConfigError(f"{file}: providers.{name}: it must be a table, [providers.{name}]")
        adapter = section.get("adapter")
        if not adapters:
            continue
        if adapter is None and name not in adapters:
            raise ConfigError(
                f"{file}: providers.{name}: no such provider; there are {valid}; "
                f'for an instance of one of them under this name, set adapter = "..."'
            )
        if adapter is not None and adapter not in adapters:
            raise ConfigError(f"{file}: providers.{name}.adapter is {adapter!r}; it must be one of {valid}")


def _instance(
    name: str, section: dict[str, Any], file: Path, environ: Mapping[str, str], adapters: tuple[str, ...]
) -> ProviderConfig:
    """One instance; a WrongProvider where its settings are."""
    adapter = section.get("adapter", name)
    if name in adapters and adapter != name:
        reason = f"adapter is {adapter!r}, and {name} is the name of another one; give the instance another name"
        return WrongProvider(adapter=adapter, reason=f"{file}: {reason}")
    preset = section.get("preset")
    if isinstance(preset, str) and preset != name:
        # Several instances may have one preset: what the file says of one of them goes before a variable of all.
        own = {key: variable(preset, key) for key in _PRESET_KEYS if key not in section}
    else:
        own = {key: variable(name, key) for key in _PROVIDER_KEYS} if name in adapters else {}
    given = {key: environ[each] for key, each in own.items() if environ.get(each)}
    try:
        convert(section, ProviderConfig, f"{file}: providers.{name}")
        if "api_key" in section and "api_key_env" in section:
            raise ConfigError(f"{file}: providers.{name}: api_key and api_key_env are both given; leave one out")
        if (named := section.get("api_key_env")) is not None:
            # It says where the key is, so no other variable is looked at.
            given.pop("api_key", None)
            if environ.get(named):
                given["api_key"] = environ[named]
        sources = ", ".join(own.get(key, key) for key in given)
        return convert({**section, **given}, ProviderConfig, f"the environment ({sources}): providers.{name}")
    except ConfigError as error:
        return WrongProvider(adapter=adapter, reason=str(error))


def _voices(voices: object, instances: tuple[str, ...], file: Path) -> dict[str, dict[str, str | VoiceConfig]]:
    """What the names of voices stand for."""
    found: dict[str, dict[str, str | VoiceConfig]] = {}
    if not isinstance(voices, dict):
        raise ConfigError(f"{file}: voices: it must be a table, such as [voices.anna]")
    for voice, providers in voices.items():
        if not voice or not providers or not isinstance(providers, dict):
            raise ConfigError(f'{file}: voices.{voice}: it must be a table such as [voices.anna], breeze = "voc_..."')
        for name, own in providers.items():
            if instances and name not in instances:
                known = ", ".join(dict.fromkeys(instances))
                raise ConfigError(f"{file}: voices.{voice}.{name}: no such provider; there are {known}")
            source = f"{file}: voices.{voice}.{name}"
            found.setdefault(voice, {})[name] = (
                convert(own, VoiceConfig, source) if isinstance(own, dict) else convert(own, str, source)
            )
    return found
