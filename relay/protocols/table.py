"""The wire protocols that the server speaks, a line each. A new one is picked up everywhere from here."""

from collections.abc import Callable, Mapping, Sequence

from relay.protocols.base import HttpProtocol
from relay.protocols.bland.v1 import BlandV1
from relay.protocols.bland.v2 import BlandSpeech, BlandV2
from relay.protocols.breeze.protocol import Breeze
from relay.protocols.door import Door
from relay.protocols.native import error_fields
from relay.protocols.native_history import kept_fields, receive_turn_page
from relay.protocols.native_http import Native
from relay.protocols.native_jobs import job_fields, receive_job, receive_page, webhook_body
from relay.protocols.openai import OpenAI
from relay.protocols.playai import PlayAI
from relay.protocols.playai_live import PlayAILive
from relay.protocols.sauti import Sauti

__all__ = [
    "DOORS",
    "OWN",
    "Door",
    "error_fields",
    "job_fields",
    "kept_fields",
    "receive_job",
    "receive_page",
    "receive_turn_page",
    "webhook_body",
]

# The relay's own, which also speaks for the routes that belong to none.
OWN = Native()

# Those of other services, by the name that `[doors.NAME]` has; each is made with the operator's settings for it. A
# service whose APIs differ in their errors has several.
DOORS: Mapping[str, Sequence[Callable[[Door], HttpProtocol]]] = {
    "openai": (OpenAI,),
    "breeze": (Breeze,),
    "bland": (BlandV1, BlandV2, BlandSpeech),
    "sauti": (Sauti,),
    "playai": (PlayAI, PlayAILive),
}
