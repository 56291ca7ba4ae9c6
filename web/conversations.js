/** The person's own conversations: the list is the browser's, what was said is the service's. */

import { element } from "./elements.js";

const KEY = "tandem.conversations";
const MOST = 100;

export class Conversations {
  /** `open` is called with a thread that was chosen, or null for a new one. */
  constructor({ open }) {
    this.open = open;
    this.list = document.getElementById("conversation-list");
    this.current = newThread();
    document.getElementById("new").addEventListener("click", () => this.choose(null));
    this.show();
  }

  /** A question was answered in the current conversation; the first one names it. */
  remember(question) {
    const all = this.all().filter(({ id }) => id !== this.current);
    const known = this.all().find(({ id }) => id === this.current);
    const title = known?.title ?? question.slice(0, 120);
    localStorage.setItem(KEY, JSON.stringify([{ id: this.current, title }, ...all].slice(0, MOST)));
    this.show();
  }

  choose(thread) {
    this.current = thread ?? newThread();
    this.show();
    this.open(thread);
  }

  all() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      return Array.isArray(kept) ? kept.filter(({ id, title }) => id && title) : [];
    } catch {
      return []; // what stands there is not ours
    }
  }

  show() {
    this.list.replaceChildren(...this.all().map((each) => this.item(each)));
  }

  item({ id, title }) {
    const current = id === this.current ? "page" : null;
    const click = () => this.choose(id);
    return element("li", {}, element("button", { class: "title", "aria-current": current, click }, title));
  }
}

/** Random, as `crypto.randomUUID` is, which browsers have on secure pages alone. */
function newThread() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
