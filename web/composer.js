/** Where a question is written: Enter asks, Shift and Enter begins a line. */

import { element } from "./elements.js";

export class Composer {
  /** `ask` is called with a question, `stop` to end the run that answers it. */
  constructor({ ask, stop }) {
    this.form = document.getElementById("composer");
    this.field = document.getElementById("question");
    this.button = document.getElementById("submit");
    this.running = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) return stop();
      const question = this.field.value.trim();
      if (!question) return this.field.focus();
      this.field.value = "";
      ask(question);
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.running) this.form.requestSubmit();
    });
  }

  focus() {
    this.field.focus();
  }

  /** While a run goes on, the button stops it. */
  busy(running) {
    this.running = running;
    this.button.textContent = running ? "Stop" : "Ask";
    this.button.classList.toggle("stop", running);
    if (!running) this.field.focus({ preventScroll: true });
  }

  /** What the question is narrowed down to; null: everything is searched. */
  filters() {
    const chosen = {};
    for (const name of ["path", "type", "since"]) {
      const value = this.form.elements[name].value.trim();
      if (value) chosen[name] = value;
    }
    return Object.keys(chosen).length ? chosen : null;
  }

  /** Offers the folders and files that there are. */
  suggest(documents) {
    const paths = new Set();
    for (const { source } of documents) {
      const parts = source.split("/");
      for (let depth = 1; depth <= parts.length; depth += 1) paths.add(parts.slice(0, depth).join("/"));
    }
    const options = [...paths].slice(0, 500).map((path) => element("option", { value: path }));
    document.getElementById("paths").replaceChildren(...options);
  }
}
