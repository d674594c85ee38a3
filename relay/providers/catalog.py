"""The adapters, by name: what `[providers.NAME] adapter` may be. One line each; a new one is picked up from here.

Not in the package's `__init__`, which every worker process of a local provider imports as it starts.
"""

from collections.abc import Callable

from relay.providers.base.provider import Provider, ProviderSettings
from relay.providers.bland.provider import Bland
from relay.providers.breeze.provider import Breeze
from relay.providers.cartesia.provider import Cartesia
from relay.providers.deepgram.provider import Deepgram
from relay.providers.elevenlabs.provider import ElevenLabs
from relay.providers.espeak.provider import Espeak
from relay.providers.hibari.provider import Hibari
from relay.providers.openai.provider import OpenAI
from relay.providers.playai.provider import PlayAI
from relay.providers.sauti.provider import Sauti

# The voices on this machine, which need no key; the better ones first. One that is not installed cannot be used.
BUILT_IN = ("hibari", "espeak")

PROVIDERS: dict[str, Callable[[ProviderSettings], Provider]] = {
    "hibari": Hibari,
    "espeak": Espeak,
    "breeze": Breeze,
    "bland": Bland,
    "sauti": Sauti,
    "playai": PlayAI,
    "openai": OpenAI,
    "deepgram": Deepgram,
    "elevenlabs": ElevenLabs,
    "cartesia": Cartesia,
}
