"""Lists of models as a check: an answer shows that the key is taken, and whether the model is there. Pure."""

from collections.abc import Sequence

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import listings
from relay.providers.base.http import Refusal
from relay.providers.base.poll import Answer
from relay.providers.base.provider import Probe, Voice, VoiceQuery
from relay.providers.base.rest import RestApi

# Models named in an error.
_NAMED = 8


def check_models(api: RestApi, model: str | None, voices: Sequence[Voice], *, lists_models: bool) -> VoiceQuery | Probe:
    """`GET /models`, which wants the key, and then the `voices` there are known to be.

    `lists_models`: False where the server may well have no such list; then an answer of 404 shows the server alone.
    """
    request = api.get("/models")

    def read(answer: Answer) -> str:
        if not lists_models and answer.status in (404, 405, 501):
            return "it answers, but lists no models: its key and the path of base_url are not checked"
        if not 200 <= answer.status < 300:
            raise request.refuse(Refusal(status=answer.status, headers=answer.headers, body=answer.body))
        return f"{len(_checked(api, model, answer.body))} models"

    if not voices:
        return Probe(request=request, read=read)

    def parse(body: bytes) -> tuple[list[Voice], None]:
        _checked(api, model, body)
        return list(voices), None

    return VoiceQuery(request=request, parse=parse)


def _checked(api: RestApi, model: str | None, body: bytes) -> list[str]:
    """The models in a list. Raises ProviderError where the configured one is not among them."""
    models = listings.ids_in(api.name, body, "models")
    if model is not None and models and model not in models:
        known = ", ".join(models[:_NAMED]) + (", …" if len(models) > _NAMED else "")
        raise ProviderError(
            Code.PROVIDER_REJECTED,
            f"{api.name} has no model {model!r}; it has {known}",
            provider=ProviderFault(name=api.name),
        )
    return models
