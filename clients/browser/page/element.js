/** Makes an element: `element("p", { className: "note" }, "text", child)`. Text stays text, whatever is in it. */
export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}
