/** Speech from a relay in a web page. What there is and what it promises: relay-player.d.ts. */

import { Player } from "./player.js";

export { RelayError } from "./errors.js";

/** Opens a session and the page's sound. */
export function connect(url, options = {}) {
  return Player.open(url, options);
}
