"""The configuration -> the bounds of connections."""

from relay.config import Config
from relay.server.connections import ConnectionLimits


def connection_limits_of(config: Config) -> ConnectionLimits:
    limits = config.limits
    most = limits.max_connections or 2 * limits.max_sessions
    return ConnectionLimits(
        max_connections=most,
        max_per_address=limits.max_connections_per_address or max(1, most * 3 // 4),
        first_byte_timeout_s=limits.first_byte_timeout_s,
        head_timeout_s=limits.head_timeout_s,
        keepalive_s=limits.keepalive_s,
        stranger_keepalive_s=limits.stranger_keepalive_s,
    )
