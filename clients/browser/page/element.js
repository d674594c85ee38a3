/** Makes an element: `element("p", { className: "note" }, "text", child)`. Text stays text, whatever is in it. */
export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

/** Sets a text that often is the one already there: then nothing moves, and nothing is read out again. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
