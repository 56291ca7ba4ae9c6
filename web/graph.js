/** The graph of a run as a picture that lights up while it works. */

import { drawn, duration } from "./elements.js";

const WIDTH = 92;
const HEIGHT = 34;
const NODES = {
  retrieve: [1, 1],
  grade_relevance: [114, 1],
  generate: [227, 1],
  rewrite_query: [57, 66],
};
const EDGES = {
  "retrieve>grade_relevance": "M93 18H111",
  "grade_relevance>generate": "M206 18H224",
  "grade_relevance>rewrite_query": "M168 35V69q0 8-8 8H152",
  "rewrite_query>retrieve": "M57 83H38q-8 0-8-8V38",
  "rewrite_query>generate": "M149 91H266q8 0 8-8V38",
};

export class Graph {
  constructor() {
    this.nodes = new Map(Object.keys(NODES).map((name) => [name, node(name)]));
    this.edges = new Map(Object.entries(EDGES).map(([name, path]) => [name, edge(path)]));
    this.before = null;
    this.element = drawn(
      "svg",
      { class: "graph", viewBox: "0 0 320 101", role: "img", "aria-label": "No step was taken yet" },
      [...this.edges.values()],
      [...this.nodes.values()].map((each) => each.element),
    );
  }

  /** A step begins. */
  start(step) {
    const taken = this.edges.get(`${this.before}>${step}`);
    taken?.classList.add("taken");
    this.before = step;
    this.nodes.get(step)?.element.classList.add("active");
  }

  /** A step has ended, after so many milliseconds. */
  finish(step, ms) {
    const done = this.nodes.get(step);
    if (!done) return;
    done.ms += ms;
    done.turns += 1;
    done.element.classList.remove("active");
    done.element.classList.add("done");
    this.tell(done);
  }

  /**
   * The time of each step, of a run that was not watched. `again`: it searched more than once, so
   * that a rewriting did not only begin it; `stopped`: it ended in its last step.
   */
  show(timings, { again, stopped }) {
    for (const [step, ms] of Object.entries(timings)) this.finish(step, ms);
    const taken = {
      "retrieve>grade_relevance": "grade_relevance" in timings,
      "grade_relevance>generate": "generate" in timings || stopped,
      "grade_relevance>rewrite_query": "rewrite_query" in timings && again,
      "rewrite_query>retrieve": "rewrite_query" in timings,
    }; // from the rewriting to the answer it seldom goes, and then nothing tells
    for (const [name, path] of this.edges) path.classList.toggle("taken", Boolean(taken[name]));
  }

  /** The run has ended; whatever was still at work has not. */
  stop() {
    for (const { element } of this.nodes.values()) element.classList.remove("active");
  }

  tell(done) {
    const times = done.turns > 1 ? ` ×${done.turns}` : "";
    done.time.textContent = duration(done.ms) + times;
    const told = [...this.nodes].filter(([, each]) => each.turns > 0);
    this.element.setAttribute(
      "aria-label",
      told.map(([name, each]) => `${name}: ${each.time.textContent}`).join(", "),
    );
  }
}

function node(name) {
  const [x, y] = NODES[name];
  const time = drawn("text", { class: "time", x: x + WIDTH / 2, y: y + 28 });
  const element = drawn(
    "g",
    { class: "node", "data-step": name },
    drawn("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 7 }),
    drawn("text", { class: "name", x: x + WIDTH / 2, y: y + 15 }, name),
    time,
  );
  return { element, time, ms: 0, turns: 0 };
}

function edge(path) {
  return drawn("path", { class: "edge", d: path });
}
