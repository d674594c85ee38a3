/** What a program has to say to hear what this page says. Pure; a key stands in neither, only where it is read from. */

const DEFAULTS = { sample_rate: 24000, encoding: "pcm_s16le" };

/** @param base the relay's address, ending in a slash */
export function curl(base, turn, audio, withKey) {
  const body = JSON.stringify({ ...turn, ...given(audio), container: "wav" });
  const key = withKey ? ' -H "Authorization: Bearer $RELAY_KEY"' : "";
  return `curl${key} ${new URL("v1/speech", base)} -o hello.wav -d '${body.replaceAll("'", "'\\''")}'`;
}

/** @param stream the WebSocket's address */
export function python(stream, { text, ...fields }, audio, withKey) {
  const audioFields = Object.entries(given(audio).audio ?? {});
  const options = Object.entries(fields).map(([name, value]) => `, ${name}=${JSON.stringify(value)}`);
  const format = audioFields.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ");
  if (format) options.push(`, audio=Audio(${format})`);
  const imports = ["WavSink", "connect", "play"];
  if (format) imports.unshift("Audio");
  return `import asyncio
${withKey ? "import os\n" : ""}
from relay_client import ${imports.join(", ")}


async def main():
    async with connect("${stream}"${withKey ? ', key=os.environ["RELAY_KEY"]' : ""}) as session:
        async with WavSink("hello.wav") as sink:
            turn = await session.speak(${JSON.stringify(text)}${options.join("")})
            await play(turn, sink)


asyncio.run(main())`;
}

/** The format as a turn's field, without what is the relay's default. */
function given(audio) {
  const fields = Object.entries(audio).filter(([name, value]) => DEFAULTS[name] !== value);
  return fields.length ? { audio: Object.fromEntries(fields) } : {};
}
