/** What is to be seen before anything was asked. */

import { count, element } from "./elements.js";

const OWN = "docs/extractive-reader.md"; // whoever has this one indexed has Tandem's documents

/** The beginning: what there is to ask about, or how to get something there. */
export function welcome(session, index, ask) {
  const title = element("h2", {}, "Ask your documents");
  if (index === null) return [title];
  const indexed = index.documents.filter(({ state }) => state === "indexed");
  if (indexed.length === 0) return empty(session, index);
  return [
    title,
    element(
      "p",
      {},
      `${count(indexed.length, "document")} can be asked about. Every answer cites the passages it ` +
        "rests on, and shows how it was found.",
    ),
    ...(indexed.some(({ source }) => source === OWN) ? [suggestions(session, ask)] : []),
  ];
}

function suggestions({ worth_asking: questions }, ask) {
  const items = questions.map((question) =>
    element("li", {}, element("button", { type: "button", click: () => ask(question) }, question)),
  );
  return element("ul", { class: "suggestions", "aria-label": "Questions worth asking" }, items);
}

function empty({ scopes }, { documents }) {
  const ways = [
    scopes.includes("write") ? ["drop files here, or choose them under Sources;"] : null,
    ["index a folder in a terminal: ", element("code", {}, "tandem index FOLDER"), ";"],
    ["have a folder watched for good: ", element("code", {}, "TANDEM_ROOTS=FOLDER"), " in .env."],
  ];
  return [
    element("h2", {}, "Nothing is indexed yet"),
    element(
      "p",
      {},
      documents.length
        ? "The documents are still being indexed, or could not be: Sources tells which and why."
        : "Add documents, and ask about them:",
    ),
    element("ul", {}, ways.filter(Boolean).map((way) => element("li", {}, way))),
  ];
}
