"""What most providers have open before a turn: a connection, and a socket for text that is sent as it is typed."""

from relay.errors import ClientError
from relay.providers.base.dialogue import takes_text_as_typed
from relay.providers.base.provider import Ahead, Origin, Provider, SpeechRequest


def ahead(provider: Provider, wanted: SpeechRequest, url: str | None) -> list[Ahead]:
    """For `Provider.warm`. `url` is the address of the service's HTTP API; None where none is configured."""
    found: list[Ahead] = [Origin(url=url)] if url else []
    try:
        speech = provider.resolve(wanted)
    except ClientError:
        return found
    if takes_text_as_typed(provider, speech):
        found.append(provider.converse(speech))
    return found
