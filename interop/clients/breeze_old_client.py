"""Breeze Blue's Python library of its first vintage, whose streams are MP3 where no format is named."""

import sys
from pathlib import Path

import breeze_blue

url, key, text, folder = sys.argv[1:]
out = Path(folder)

with breeze_blue.BreezeBlue(api_key=key, base_url=f"{url}/breeze") as client:
    speech = client.text_to_speech
    speech.convert("voc_1", text=text).save(out / "whole.mp3")
    speech.convert("voc_1", text=text, output_format="wav").save(out / "whole.wav")
    streamed = speech.stream("voc_1", text=text, model_id="bluebell-v1-en", voice_settings={"guidance_scale": 1.2})
    assert streamed.history_item_id, streamed
    streamed.save(out / "stream.mp3")
    speech.stream("voc_1", text=text, output_format="pcm").save(out / "stream.pcm")
    assert client.voices.search()["total"] > 0
    try:
        speech.stream("hibari:nobody", text=text)
    except breeze_blue.NotFoundError as error:
        assert error.code == "RESOURCE_NOT_FOUND", error
    else:
        raise AssertionError("a voice that is not there was spoken")
