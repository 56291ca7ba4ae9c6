/** Makes elements. Strings become text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children. `class`, `aria-label` and the like are attributes;
 * functions are listeners: `{ click: open }`. What is null, undefined or false is left out.
 */
export function element(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function drawn(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Milliseconds as people read them: 8.2 ms, 412 ms, 1.24 s. */
export function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 100 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** A number with its noun: 1 passage, 1,200 passages. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** A probability in percent. */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}
