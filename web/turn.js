/** One question with its run and its answer, as it grows from the events of the service. */

import { Answer } from "./answer.js";
import { count, duration, element } from "./elements.js";
import { Graph } from "./graph.js";
import { openPassage, Passages } from "./passages.js";

const DOING = {
  retrieve: "Searching",
  grade_relevance: "Grading the passages",
  rewrite_query: "Looking for another way to search",
  generate: "Writing the answer",
};

export class Turn {
  constructor(question) {
    this.question = question;
    this.output = null;
    this.stopped = false;
    this.graph = new Graph();
    this.passages = new Passages((card) => openPassage(card));
    this.answer = new Answer({
      open: (wanted) => this.openSource(wanted),
      knows: (path) => this.passages.find(path) !== undefined,
    });
    this.doing = element("p", { class: "doing", role: "status" });
    this.searches = element("ul", { class: "searches", "aria-label": "Searches" });
    this.label = element("p", { class: "label", hidden: true });
    this.notice = element("p", { class: "notice", hidden: true });
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.thinking = element(
      "details",
      { class: "thinking", hidden: true },
      element("summary", {}, "Thinking"),
      element("div"),
    );
    this.actions = element("div", { class: "actions" });
    this.element = this.lay();
  }

  lay() {
    return element(
      "article",
      { class: "turn", "aria-label": this.question },
      element("h2", { class: "asked" }, this.question),
      element("div", { class: "run" }, this.graph.element, this.doing, this.searches),
      element(
        "div",
        { class: "said-so" },
        this.thinking,
        this.label,
        this.answer.element,
        this.problem,
        this.notice,
        this.actions,
      ),
      this.passages.element,
    );
  }

  /** Takes the next event of the run. */
  take({ name, data }) {
    const how = { step: "step", thinking: "think", html: "write", verdict: "judge", done: "finish" };
    if (how[name]) this[how[name]](data);
  }

  /** The run has failed; what was written until then stays. */
  fail(problem) {
    this.end();
    this.problem.textContent = problem.message;
    this.problem.hidden = false;
    if (this.answer.html.length) this.tag("Incomplete", "degraded");
  }

  /** The person has stopped the run. */
  stop() {
    this.end();
    this.tag("Stopped", "degraded");
  }

  step({ step, state, ms, ...told }) {
    if (state === "started") {
      this.graph.start(step);
      this.doing.textContent = `${DOING[step] ?? step} …`;
      return;
    }
    this.graph.finish(step, ms);
    if (told.passages) this.passages.found(told.passages);
    if (told.grades) this.passages.graded(told.grades);
    if (step === "retrieve") this.searched(told.queries);
  }

  searched(queries) {
    for (const query of queries) this.searches.append(element("li", {}, query));
    // The question itself, searched for once, tells nothing new.
    this.searches.hidden = this.searches.children.length < 2 && queries[0] === this.question;
  }

  think({ text }) {
    this.thinking.hidden = false;
    this.thinking.lastChild.append(text);
  }

  write({ block, html }) {
    this.answer.show(block, html);
  }

  judge(verdict) {
    this.answer.judge(verdict);
  }

  /** The whole output: as it ends a run, or as a thread remembers it. */
  finish(output) {
    this.output = output;
    this.end();
    this.passages.used(output.documents, output.citations);
    this.answer.complete(output.html);
    this.doing.textContent = cost(output);
    this.notice.textContent = output.notice;
    this.notice.hidden = !output.notice;
    if (output.status === "not_found") this.tag("Nothing found", "degraded");
    else if (output.reader === "extractive") this.tag("Extracts", "extractive");
    if (this.stopped) this.tag("Stopped", "degraded");
    else if (output.status === "degraded") this.tag("Degraded", "degraded");
  }

  /** A turn of a conversation, as the thread remembers it. */
  restore(output, stopped) {
    this.stopped = stopped;
    this.graph.show(output.timings ?? {}, { again: output.queries.length > 1, stopped });
    this.searched(output.queries);
    this.finish(output);
    for (const verdict of output.verdicts) this.answer.judge(verdict);
  }

  /** A turn of which the thread keeps the words alone. */
  recall(html) {
    this.end();
    this.element.classList.add("earlier");
    this.answer.complete(html);
  }

  tag(text, kind) {
    this.label.append(element("span", { class: kind }, text));
    this.label.hidden = false;
  }

  end() {
    this.graph.stop();
    this.doing.textContent = "";
    this.answer.element.setAttribute("aria-busy", "false");
  }

  openSource(wanted) {
    const card = this.passages.find(wanted);
    if (card) openPassage(card);
  }
}

/** What an answer took: time, searches, tokens. */
function cost({ timings, queries, usage, model }) {
  const parts = [duration(timings.total), count(queries.length, "search").replace("searchs", "searches")];
  if (model) parts.push(model.id);
  if (usage?.input_tokens) {
    const cached = usage.cached_tokens ? `, ${usage.cached_tokens.toLocaleString("en")} cached` : "";
    parts.push(`${count(usage.input_tokens, "token")} in${cached}, ${usage.output_tokens} out`);
  }
  return parts.join(" · ");
}
