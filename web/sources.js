/** What is indexed, what failed and why, how fresh it is; adding and removing documents. */

import { getJson, request } from "./api.js";
import { fillDrawer, openDrawer } from "./drawer.js";
import { count, element } from "./elements.js";
import { upload } from "./upload.js";

const SHOWN = 200;
const AGAIN_MS = 1500;

export class Sources {
  constructor() {
    this.button = document.getElementById("open-sources");
    this.drawer = document.getElementById("sources");
    this.button.addEventListener("click", () => this.open());
    this.search = element("input", { role: "searchbox", class: "search", placeholder: "Filter", "aria-label": "Filter the documents" });
    this.search.addEventListener("input", () => this.list());
    this.rows = element("ul", { class: "documents" });
    this.uploads = element("ul", { class: "uploads", "aria-live": "polite" });
    this.scopes = [];
    this.index = null;
    acceptDrops((files) => this.add(files));
  }

  /** What the caller may do decides what is offered; what was uploaded can be deleted. */
  allow({ scopes, uploads }) {
    this.scopes = scopes;
    this.uploaded = uploads;
  }

  may(scope) {
    return this.scopes.includes(scope);
  }

  /** Asks what is indexed, and shows it at a glance; again while something is being done. */
  async refresh() {
    clearTimeout(this.timer);
    if (!this.may("read")) {
      this.button.hidden = true;
      return;
    }
    try {
      this.index = await getJson("/documents");
    } catch (problem) {
      this.index = null;
      this.show("bad", "Sources", problem.message);
      return;
    }
    this.show(...glance(this.index));
    if (busy(this.index)) this.timer = setTimeout(() => this.refresh(), AGAIN_MS);
    if (this.drawer.open) this.fill();
  }

  show(kind, text, problem = null) {
    this.button.firstElementChild.className = `dot ${kind}`;
    this.button.lastElementChild.textContent = text;
    this.problem = problem;
  }

  async open() {
    openDrawer("sources", "Sources", element("p", { class: "note" }, "Asking …"));
    await this.refresh();
    this.fill();
  }

  fill() {
    const focused = document.activeElement === this.search;
    const index = this.index;
    fillDrawer(
      "sources",
      "Sources",
      this.problem ? element("p", { class: "problem", role: "alert" }, this.problem) : null,
      index ? freshness(index) : null,
      this.may("write") ? this.dropZone() : null,
      this.uploads,
      index ? this.search : null,
      index ? this.rows : null,
    );
    if (index) this.list();
    if (focused) this.search.focus();
  }

  list() {
    const wanted = this.search.value.trim().toLowerCase();
    const fits = this.index.documents.filter(({ source }) => source.toLowerCase().includes(wanted));
    const order = { failed: 0, pending: 1, empty: 2, indexed: 3 };
    fits.sort((a, b) => order[a.state] - order[b.state] || (a.source < b.source ? -1 : 1));
    const rows = fits.slice(0, SHOWN).map((document) => this.row(document));
    if (fits.length > SHOWN) rows.push(element("li", { class: "note" }, `and ${fits.length - SHOWN} more`));
    this.rows.replaceChildren(...rows);
  }

  row(document) {
    const { source, state, reason, bytes } = document;
    const removable = this.may("write") && source.startsWith(this.uploaded);
    return element(
      "li",
      { class: state },
      element("span", { class: "source" }, source),
      element("span", { class: "note" }, state === "indexed" ? size(bytes) : state),
      removable
        ? element("button", { class: "quiet", "aria-label": `Delete ${source}`, click: () => this.remove(source) }, "Delete")
        : null,
      reason ? element("p", { class: "problem" }, reason) : null,
    );
  }

  dropZone() {
    const input = element("input", { type: "file", multiple: true, class: "hidden", id: "files" });
    input.addEventListener("change", () => this.add(input.files));
    return element(
      "label",
      { class: "drop", for: "files" },
      input,
      element("strong", {}, "Add documents"),
      element("span", { class: "note" }, "Drop files anywhere on the page, or choose them here."),
    );
  }

  /** Uploads files, one after the other, each with its progress. */
  async add(files) {
    if (!this.may("write")) return;
    if (!this.drawer.open) await this.open();
    for (const file of files) {
      const bar = element("progress", { max: 1, value: 0, "aria-label": file.name });
      const said = element("span", { class: "note" }, "uploading");
      const line = element("li", {}, element("span", { class: "source" }, file.name), bar, said);
      this.uploads.append(line);
      try {
        await upload(file, (share) => {
          bar.value = share;
          if (share === 1) said.textContent = "indexing";
        });
        said.textContent = "indexed";
      } catch (problem) {
        said.textContent = problem.message;
        said.className = "problem";
      }
      bar.remove();
      await this.refresh();
    }
  }

  async remove(source) {
    if (!confirm(`Delete ${source}? Its file is deleted too.`)) return;
    try {
      await request(`/documents/${source.split("/").map(encodeURIComponent).join("/")}`, { method: "DELETE" });
    } catch (problem) {
      this.problem = problem.message;
      return this.fill();
    }
    await this.refresh();
  }
}

/** The dot, and what is beside it: how many documents, and whether the index is behind. */
function glance({ documents, total, states, index, syncing, reindexing, error }) {
  const number = total ?? documents.length;
  const failed = states?.failed ?? documents.filter(({ state }) => state === "failed").length;
  const text = failed ? `${count(number, "document")}, ${failed} failed` : count(number, "document");
  if (index.state === "paused" || error) return ["bad", text];
  return [syncing || reindexing || index.state === "catching_up" || failed ? "busy" : "good", text];
}

function busy({ syncing, reindexing, index, documents }) {
  const pending = documents.some(({ state }) => state === "pending");
  return Boolean(syncing || reindexing || pending || index.state === "catching_up");
}

function freshness({ index, points, syncing, reindexing, error, watching = [] }) {
  const lines = [element("p", {}, `${inWords(index)} ${count(points, "passage")} can be found.`)];
  if (index.reason) lines.push(element("p", { class: "note" }, index.reason));
  if (syncing) lines.push(element("p", { class: "note" }, `Syncing: ${progress(syncing)}.`));
  if (reindexing) lines.push(element("p", { class: "note" }, "The index is being rebuilt under another embedding model."));
  if (error) lines.push(element("p", { class: "problem" }, error));
  for (const { root, mode, problem, warning } of watching) {
    const how = { events: "watched by events", polling: "watched by polling", waiting: "waited for" }[mode] ?? mode;
    lines.push(element("p", { class: "note" }, `${root}: ${how}`));
    if (problem || warning) lines.push(element("p", { class: "problem" }, problem || warning));
  }
  return element("section", {}, lines);
}

function inWords({ state, pending, behind_s: behind, checked_at: checked }) {
  if (state === "current") return "The index is current.";
  if (state === "unwatched") {
    const when = checked ? `last compared with the files on ${new Date(checked).toLocaleString()}` : "never compared with the files in full";
    return `The index is not watched: ${when}.`;
  }
  const late = `${(behind ?? 0).toFixed(1)} s behind the files, ${pending.toLocaleString("en")} to be indexed`;
  return state === "paused" ? `Indexing is paused, ${late}.` : `Catching up: ${late}.`;
}

function progress(syncing) {
  const done = Object.entries(syncing).filter(([, value]) => typeof value === "number");
  return done.map(([name, value]) => `${name.replaceAll("_", " ")} ${value.toLocaleString("en")}`).join(", ");
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Files that are dropped anywhere on the page, and nothing else that is dropped. */
function acceptDrops(take) {
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.body.classList.remove("dropping");
    take([...event.dataTransfer.files]);
  });
}
