/** What a run has found: a card each, with its relevance; and the drawer that shows one in full. */

import { getJson } from "./api.js";
import { openDrawer } from "./drawer.js";
import { count, element, percent } from "./elements.js";

const FEW = 4; // that were left out are in nobody's way

export class Passages {
  /** `open` is called with a passage that was chosen. */
  constructor(open) {
    this.open = open;
    this.cards = new Map();
    this.list = element("ol", { class: "cards" });
    this.leftOut = element(
      "details",
      { class: "left-out", hidden: true },
      element("summary"),
      element("ol", { class: "cards" }),
    );
    this.heading = element("h3", {}, "Passages");
    this.element = element(
      "section",
      { class: "passages", hidden: true, "aria-label": "Passages" },
      this.heading,
      this.list,
      this.leftOut,
    );
  }

  /** Passages that a search has found: where they stand and how they begin. */
  found(passages) {
    for (const passage of passages) {
      if (this.cards.has(passage.id)) continue;
      const card = new Card(passage, this.open);
      this.cards.set(passage.id, card);
      this.list.append(card.element);
    }
    this.element.hidden = this.cards.size === 0;
    this.summarise();
  }

  /** What was made of them: the best first, as the answer numbers them, the others after. */
  graded(grades) {
    for (const grade of grades) this.cards.get(grade.id)?.judge(grade);
    this.number(this.kept().map((card) => card.passage.id));
  }

  /** The answer's own list, with the whole texts. */
  used(documents, citations) {
    this.found(documents);
    for (const document of documents) this.cards.get(document.id).fill(document);
    for (const citation of citations) this.cards.get(citation.id)?.cite(citation);
    this.number(documents.map((document) => document.id));
  }

  /** The passage that a marker stands for, or that a path in the answer leads to. */
  find(wanted) {
    const cards = [...this.cards.values()];
    return typeof wanted === "number"
      ? cards.find((card) => card.number === wanted)
      : cards.find((card) => leadsTo(wanted, card.passage.source));
  }

  kept() {
    const kept = [...this.cards.values()].filter((card) => card.kept);
    const known = kept.filter((card) => card.relevance !== null);
    known.sort((a, b) => b.relevance - a.relevance);
    return [...known, ...kept.filter((card) => card.relevance === null)];
  }

  number(ids) {
    for (const card of this.cards.values()) card.renumber(ids.indexOf(card.passage.id) + 1);
    const numbered = ids.map((id) => this.cards.get(id).element);
    const others = [...this.cards.values()].filter((card) => !card.number).map((card) => card.element);
    const many = others.length > FEW;
    this.list.replaceChildren(...numbered, ...(many ? [] : others));
    this.leftOut.hidden = !many;
    this.leftOut.firstChild.textContent = `${others.length} left out`;
    this.leftOut.lastChild.replaceChildren(...(many ? others : []));
    this.summarise();
  }

  summarise() {
    const kept = [...this.cards.values()].filter((card) => card.number).length;
    const found = count(this.cards.size, "passage");
    this.heading.textContent = kept ? `${found}, ${kept} relevant` : found;
  }
}

class Card {
  constructor(passage, open) {
    this.passage = passage;
    this.relevance = null;
    this.kept = false;
    this.number = 0;
    this.quotes = [];
    this.badge = element("span", { class: "number", "aria-hidden": "true" });
    this.bar = element("span", { class: "relevance", hidden: true }, element("i"));
    this.note = element("span", { class: "note" });
    this.excerpt = element("span", { class: "excerpt" }, passage.excerpt ?? start(passage.text));
    const click = () => open(this);
    this.button = element(
      "button",
      { type: "button", click },
      this.badge,
      element("span", { class: "where" }, lastOf(passage)),
      element("span", { class: "place" }, place(passage)),
      this.bar,
      this.note,
      this.excerpt,
    );
    this.element = element("li", { class: "card" }, this.button);
  }

  judge({ relevance, kept }) {
    this.relevance = relevance;
    this.kept = kept;
    this.bar.hidden = relevance === null;
    this.bar.firstChild.style.setProperty("inline-size", `${(relevance ?? 0) * 100}%`);
    this.note.textContent = reason(relevance, kept);
    this.element.classList.toggle("dropped", !kept);
  }

  fill(document) {
    this.passage = { ...this.passage, ...document };
    this.judge({ relevance: document.relevance, kept: true });
  }

  cite({ quote }) {
    this.quotes.push(quote);
    this.element.classList.add("cited");
    this.excerpt.textContent = this.quotes[0];
  }

  renumber(number) {
    this.number = number;
    this.badge.textContent = number ? `${number}` : "";
    this.button.setAttribute("aria-label", `${number ? `Source ${number}: ` : ""}${this.spoken()}`);
  }

  spoken() {
    return `${place(this.passage)}, ${lastOf(this.passage)}. ${this.note.textContent}`;
  }
}

/** Shows a passage in full, with what the answer quotes, among those around it. */
export async function openPassage(card) {
  const { passage, quotes } = card;
  const body = element("div", { class: "text" });
  openDrawer(
    "passage",
    place(passage),
    element("p", { class: "path" }, ...path(passage)),
    card.relevance === null ? null : element("p", { class: "note" }, `Relevance ${card.note.textContent}`),
    passage.also_in?.length
      ? element("p", { class: "note" }, `Nearly the same stands in ${passage.also_in.join(", ")}.`)
      : null,
    body,
  );
  body.append(text(passage.text ?? passage.excerpt, quotes));
  body.querySelector("mark")?.scrollIntoView({ block: "center" });
  await surround(body, passage, quotes);
}

/** The neighbours of a passage, where the index still has it. */
async function surround(body, passage, quotes) {
  let around;
  try {
    around = await getJson(`/passages/${passage.id}?before=1&after=1`);
  } catch {
    return; // its document has changed since: what was retrieved is on show all the same
  }
  const faint = (other) => element("div", { class: "around" }, text(other.text, []));
  body.replaceChildren(
    ...around.before.map(faint),
    text(passage.text ?? around.passage.text, quotes),
    ...around.after.map(faint),
  );
  body.querySelector("mark, .passage")?.scrollIntoView({ block: "center" });
}

/** A text as it stands in its document, the quotes marked. */
function text(original, quotes) {
  const words = unwrapped(original);
  const box = element("div", { class: "passage" });
  let at = 0;
  const spans = quotes.map((quote) => [original.indexOf(quote), quote.length]);
  for (const [start, length] of spans.sort(([a], [b]) => a - b)) {
    if (start < at) continue; // not found, or within the one before
    box.append(words.slice(at, start), element("mark", {}, words.slice(start, start + length)));
    at = start + length;
  }
  box.append(words.slice(at));
  return box;
}

const STRUCTURE = /^\s*$|^\s|^[|>#+*-]|^\d+[.)]\s|^```/;
const LONG = 60;

/**
 * The lines of a paragraph joined, which its author's editor had wrapped; every character keeps its
 * place. Code, lists, tables and short lines stay as they are.
 */
function unwrapped(text) {
  const lines = text.split("\n");
  return lines.reduce((joined, line, n) => {
    const wrapped = n && lines[n - 1].length >= LONG && !STRUCTURE.test(line) && !/^[|\s]/.test(lines[n - 1]);
    return n ? joined + (wrapped ? " " : "\n") + line : line;
  }, "");
}

function reason(relevance, kept) {
  if (relevance === null) return kept ? "not graded" : "";
  return kept ? percent(relevance) : `left out, ${percent(relevance)}`;
}

function path({ title, heading }) {
  const parts = heading ? heading.split(" > ") : [title];
  return parts.filter(Boolean).flatMap((part, n) => (n ? [" › ", part] : [part]));
}

function lastOf(passage) {
  return (passage.heading || passage.title || passage.source).split(" > ").at(-1);
}

/** Where a passage stands: docs/a.md, lines 3–9. */
export function place({ source, page, start_line: first, end_line: last }) {
  if (page) return `${source}, page ${page}`;
  if (!first) return source;
  return first === last ? `${source}, line ${first}` : `${source}, lines ${first}–${last}`;
}

function start(words = "") {
  return words.slice(0, 200);
}

/** Whether a path as a document writes it means a source: ../settings.md means docs/settings.md. */
function leadsTo(path, source) {
  const plain = path.replace(/^(\.{0,2}\/)+/, "");
  return plain !== "" && (source === plain || source.endsWith(`/${plain}`));
}
