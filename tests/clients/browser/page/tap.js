/** Keeps every sample that passes, for the test to compare. */
class Tap extends AudioWorkletProcessor {
  #kept = [];

  constructor() {
    super();
    this.port.onmessage = () => {
      this.port.postMessage(this.#kept);
      this.#kept = [];
    };
  }

  process([[input]], [[output]]) {
    const block = new Float32Array(output.length);
    if (input) block.set(input);
    output.set(block);
    this.#kept.push(block);
    return true;
  }
}

registerProcessor("tap", Tap);
