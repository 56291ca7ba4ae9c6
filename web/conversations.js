/** The person's own conversations: the list is the browser's, what was said is the service's. */

import { request } from "./api.js";
import { element } from "./elements.js";

const KEY = "tandem.conversations";
const NAMED = "#thread=";
const MOST = 100;
const MANY = 8; // from which on there is something to find
const LONGEST = 120;
const THREAD = /^[A-Za-z0-9_.-]{1,100}$/;

export class Conversations {
  /** `open` is called with a thread that was chosen, or null for a new one. */
  constructor({ open }) {
    this.open = open;
    this.list = document.getElementById("conversation-list");
    this.panel = document.getElementById("conversations");
    this.menu = document.getElementById("menu");
    this.find = document.getElementById("find");
    this.find.addEventListener("input", () => this.show());
    this.current = newThread();
    document.getElementById("new").addEventListener("click", () => this.choose(null));
    this.menu.addEventListener("click", () => this.unfold(!this.panel.classList.contains("open")));
    this.panel.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      this.unfold(false);
      this.menu.focus();
    });
    this.show();
  }

  /** The conversation in the page's address, as after it was loaded again. */
  resume() {
    const [, named] = location.hash.split(NAMED);
    if (named && THREAD.test(named)) this.choose(named);
  }

  /** A question was answered in the current conversation; the first one names it. */
  remember(question) {
    const known = this.all().find(({ id }) => id === this.current);
    const others = this.all().filter(({ id }) => id !== this.current);
    this.keep([{ id: this.current, title: known?.title ?? question.slice(0, LONGEST) }, ...others]);
    history.replaceState(null, "", NAMED + this.current);
  }

  choose(thread) {
    this.current = thread ?? newThread();
    history.replaceState(null, "", thread ? NAMED + thread : location.pathname);
    this.unfold(false);
    this.show();
    this.open(thread);
  }

  /** Gives a conversation another name, which is the browser's alone. */
  rename({ id, title }) {
    const name = prompt("What is the conversation to be called?", title)?.trim();
    if (!name) return;
    this.keep(this.all().map((each) => (each.id === id ? { id, title: name.slice(0, LONGEST) } : each)));
  }

  /** Forgets a conversation, here and at the service. */
  async forget({ id: thread, title }) {
    if (!confirm(`Forget “${title}”? What was said in it is deleted.`)) return;
    try {
      await request(`/threads/${thread}`, { method: "DELETE" });
    } catch (problem) {
      alert(problem.message);
      return;
    }
    this.drop(thread);
    if (thread === this.current) this.choose(null);
  }

  /** Takes a conversation off the list. */
  drop(thread) {
    this.keep(this.all().filter(({ id }) => id !== thread));
  }

  keep(conversations) {
    localStorage.setItem(KEY, JSON.stringify(conversations.slice(0, MOST)));
    this.show();
  }

  all() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      return kept.filter(({ id, title }) => THREAD.test(id) && typeof title === "string");
    } catch {
      return []; // what stands there is not ours
    }
  }

  show() {
    const all = this.all();
    this.find.hidden = all.length < MANY;
    const wanted = this.find.hidden ? "" : this.find.value.trim().toLowerCase();
    const found = all.filter(({ title }) => title.toLowerCase().includes(wanted));
    const focused = this.buttons().indexOf(document.activeElement);
    this.list.replaceChildren(...found.map((each) => this.item(each)));
    if (all.length && !found.length) this.list.append(element("li", { class: "note" }, "None is called so."));
    // Who goes by the keyboard stays where they were: the list is made anew.
    if (focused >= 0) (this.buttons()[focused] ?? document.getElementById("new")).focus();
  }

  buttons() {
    return [...this.list.querySelectorAll("button")];
  }

  item(conversation) {
    const { id, title } = conversation;
    const current = id === this.current ? "true" : null;
    return element(
      "li",
      {},
      element("button", { class: "title", "aria-current": current, title, click: () => this.choose(id) }, title),
      element(
        "span",
        { class: "change" },
        element("button", { "aria-label": `Rename ${title}`, title: "Rename", click: () => this.rename(conversation) }, "✎"),
        element("button", { "aria-label": `Forget ${title}`, title: "Forget", click: () => this.forget(conversation) }, "×"),
      ),
    );
  }

  unfold(open) {
    this.panel.classList.toggle("open", open);
    this.menu.setAttribute("aria-expanded", `${open}`);
    if (open) this.panel.querySelector("button").focus();
  }
}

/** Random, as `crypto.randomUUID` is, which browsers have on secure pages alone. */
function newThread() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
