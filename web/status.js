/** How both machines do: each backend, its model, how fast it answers. */

import { request } from "./api.js";
import { openDrawer } from "./drawer.js";
import { count, duration, element, percent } from "./elements.js";

const AGAIN_MS = 3000;
const NAMES = {
  language_model: ["Language model", "the server machine"],
  embeddings: ["Embeddings", "the client machine"],
  vector_store: ["Vectors", "the client machine"],
};

export class Status {
  constructor() {
    this.button = document.getElementById("open-status");
    this.button.addEventListener("click", () => this.open());
    this.report = null;
  }

  /** Asks every backend anew, and shows it at a glance; again while the service does not answer. */
  async refresh() {
    clearTimeout(this.timer);
    try {
      const response = await fetchReadiness();
      this.report = await response.json();
    } catch (problem) {
      this.report = { ready: false, problem: problem.message };
      if (problem.code === "unreachable") this.timer = setTimeout(() => this.refresh(), AGAIN_MS);
    }
    const { ready, backends = {} } = this.report;
    const fine = ready && Object.values(backends).every(({ ok }) => ok);
    this.button.firstElementChild.className = `dot ${fine ? "good" : ready ? "busy" : "bad"}`;
    this.button.lastElementChild.textContent = glance(this.report);
  }

  async open() {
    openDrawer("status", "Status", element("p", { class: "note" }, "Asking every backend …"));
    await this.refresh();
    const { backends, problem } = this.report;
    const rows = Object.keys(NAMES).map((name) => row(name, backends?.[name]));
    openDrawer(
      "status",
      "Status",
      problem ? element("p", { class: "problem", role: "alert" }, problem) : null,
      backends ? element("div", { class: "backends" }, rows) : null,
      backends || problem ? null : element("p", {}, "Your key may not read more than whether the service is ready."),
      element("button", { type: "button", click: () => this.open() }, "Check again"),
    );
  }
}

/** Not ready is an answer too, with status 503 and what is wrong. */
async function fetchReadiness() {
  return request("/readyz", { alsoFine: [503] });
}

function glance({ ready, backends, problem }) {
  if (problem) return "No connection";
  if (!ready) return "Not ready";
  const model = backends?.language_model;
  if (!model) return "Extractive reader";
  return model.ok ? model.model : "Language model down";
}

function row(name, state) {
  const [title, where] = NAMES[name];
  if (!state) {
    return element(
      "section",
      { class: "backend" },
      element("h3", {}, element("i", { class: "dot" }), title),
      element("p", { class: "note" }, "None is configured: the extractive reader answers. Name one in TANDEM_LLM__BASE_URLS."),
    );
  }
  return element(
    "section",
    { class: "backend" },
    element(
      "h3",
      {},
      element("i", { class: `dot ${state.ok ? "good" : "bad"}` }),
      title,
      element("span", { class: "note" }, where),
      element("span", { class: "latency" }, state.ok ? duration(state.latency_ms) : "down"),
    ),
    state.ok ? facts(state) : element("p", { class: "problem" }, state.reason),
  );
}

function facts({ kind, model, root, dimension, context_tokens: context, collection, points, cache_usage: cache }) {
  const told = {
    Model: model,
    "Stands for": root && root !== model ? root : null,
    Kind: kind,
    Dimension: dimension,
    Context: context ? count(context, "token") : null,
    Collection: collection,
    Passages: points?.toLocaleString("en"),
  };
  const entries = Object.entries(told).filter(([, value]) => value);
  const list = entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, `${value}`)]);
  if (typeof cache === "number") {
    list.push(
      element("dt", {}, "Key-value cache"),
      element("dd", {}, element("meter", { value: cache, max: 1 }), ` ${percent(cache)} in use`),
    );
  }
  return element("dl", {}, list);
}
