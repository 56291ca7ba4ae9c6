/** An answer that grows block by block: sanitised HTML of the server's, with citations as chips. */

import { element, percent } from "./elements.js";

const MARKER = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;
const NO_LETTER = /[^\p{L}\p{N}]+/gu;
const UNMARKED = ".cite, .said, pre";

export class Answer {
  /**
   * `open` is called with the number of a passage, or with the path of a document that the answer
   * names; `knows` says whether that path is one of the retrieved sources.
   */
  constructor({ open, knows }) {
    this.open = open;
    this.knows = knows;
    this.verdicts = [];
    this.html = [];
    this.element = element("div", { class: "answer", "aria-live": "polite", "aria-busy": "true" });
  }

  /** Shows a block as it is now. */
  show(number, html) {
    while (this.element.children.length <= number) this.element.append(element("div"));
    this.html[number] = html;
    this.fill(this.element.children[number], html);
  }

  /** Shows the whole answer; nothing moves where it is what stands there already. */
  complete(html) {
    if (this.html.join("") !== html) {
      this.element.replaceChildren(element("div"));
      this.fill(this.element.firstChild, html);
      this.html = [html];
    }
    this.element.setAttribute("aria-busy", "false");
  }

  /** Marks a sentence with the outcome of its check. */
  judge(verdict) {
    this.verdicts.push(verdict);
    for (const block of this.element.children) mark(block, verdict);
  }

  fill(block, html) {
    block.innerHTML = html; // the server's sanitiser let nothing through that loads or runs
    for (const link of block.querySelectorAll("[data-source]")) this.linkSource(link);
    for (const text of texts(block)) this.chip(text);
    for (const verdict of this.verdicts) mark(block, verdict);
  }

  linkSource(link) {
    const path = link.dataset.source;
    if (!this.knows(path)) return;
    const button = element("button", { type: "button", class: "link", click: () => this.open(path) });
    button.append(...link.childNodes);
    link.replaceWith(button);
  }

  /** Turns the markers of a text, such as [1], into buttons. */
  chip(text) {
    if (text.parentElement.closest("code")) return;
    const parts = [];
    let at = 0;
    for (const match of text.data.matchAll(MARKER)) {
      parts.push(text.data.slice(at, match.index).replace(/\s$/, "\u00a0"));
      for (const number of match[1].split(",")) parts.push(this.citation(Number(number)));
      at = match.index + match[0].length;
    }
    if (parts.length) text.replaceWith(...parts, text.data.slice(at));
  }

  citation(number) {
    const label = `Source ${number}`;
    const click = () => this.open(number);
    return element("button", { type: "button", class: "cite", "aria-label": label, click }, `${number}`);
  }
}

/** Marks a sentence in a block, if it stands there, and the chips that follow it. */
function mark(block, verdict) {
  const found = locate(block, verdict.sentence);
  if (!found) return;
  const kind = { true: "supported", false: "unsupported", null: "unknown" }[verdict.supported];
  const words = WORDS[kind] + (verdict.support === null ? "" : ` (${percent(verdict.support)})`);
  let last = null;
  for (const [text, from, to] of found) last = wrap(text, from, to, kind, words);
  if (kind !== "supported") last.append(element("span", { class: "hidden" }, ` (${words})`));
  for (const chip of following(block, last)) {
    chip.classList.add(kind);
    chip.title = words;
  }
}

const WORDS = {
  supported: "The cited passage says so",
  unsupported: "Not supported by what it cites",
  unknown: "Could not be checked",
};

function wrap(text, from, to, kind, words) {
  const said = text.splitText(from);
  said.splitText(to - from);
  const wrapped = element("span", { class: `said ${kind}`, title: words });
  said.replaceWith(wrapped);
  wrapped.append(said);
  return wrapped;
}

/** The chips between the end of a sentence and the next words. */
function following(block, last) {
  const walker = document.createTreeWalker(block, NodeFilter.SHOW_ALL);
  walker.currentNode = last;
  const chips = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (last.contains(node)) continue;
    const chip = node.parentElement.closest(".cite");
    if (node.nodeType !== Node.TEXT_NODE) continue;
    if (chip) chips.push(chip);
    else if (node.data.replace(NO_LETTER, "")) break;
  }
  return chips;
}

/**
 * Where a sentence stands: its pieces as [text node, from, to]. Letters and digits alone are
 * compared, since the sentence still has the Markdown that the page does not show.
 */
function locate(block, sentence) {
  const wanted = sentence.replace(/\]\([^)]*\)/g, "]").replace(NO_LETTER, "");
  if (!wanted) return null;
  const places = [];
  let letters = "";
  for (const text of texts(block)) {
    for (let at = 0; at < text.data.length; at += 1) {
      if (!text.data[at].replace(NO_LETTER, "")) continue;
      letters += text.data[at];
      places.push([text, at]);
    }
  }
  const start = letters.indexOf(wanted);
  return start < 0 ? null : pieces(places.slice(start, start + wanted.length));
}

function pieces(places) {
  const found = [];
  for (const [text, at] of places) {
    const open = found.at(-1);
    if (open && open[0] === text) open[2] = at + 1;
    else found.push([text, at, at + 1]);
  }
  return found;
}

/** The texts of a block that are its own words: not the chips', nor code, nor what was marked before. */
function texts(block) {
  const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    if (!walker.currentNode.parentElement.closest(UNMARKED)) found.push(walker.currentNode);
  }
  return found;
}
