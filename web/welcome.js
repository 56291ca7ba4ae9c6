/** What is to be seen before anything was asked. */

import { getJson } from "./api.js";
import { count, element } from "./elements.js";

const OWN = "docs/extractive-reader.md"; // whoever has this one indexed has Tandem's documents

/** The beginning: what there is to ask about, or how to get something there. */
export async function welcome(session, ask) {
  const { documents } = await getJson("/documents");
  const indexed = documents.filter(({ state }) => state === "indexed");
  if (indexed.length === 0) return empty(documents.length);
  return [
    element("h2", {}, "Ask your documents"),
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

function empty(known) {
  return [
    element("h2", {}, "Nothing is indexed yet"),
    element(
      "p",
      {},
      known
        ? "The documents are being indexed, or could not be: Sources tells which."
        : "Add documents, and ask about them:",
    ),
    element(
      "ul",
      {},
      element("li", {}, "in a terminal, ", element("code", {}, "tandem index FOLDER"), ";"),
      element("li", {}, "or for good, ", element("code", {}, "TANDEM_ROOTS=FOLDER"), " in .env."),
    ),
  ];
}
