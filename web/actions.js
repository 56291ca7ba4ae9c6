/** What can be done with an answer: copy it, ask again, say whether it was good, see its trace. */

import { postJson } from "./api.js";
import { element } from "./elements.js";
import { place } from "./passages.js";

/** The buttons below a turn that has ended. `again` asks its question anew. */
export function actions(turn, { again, traces }) {
  const { output } = turn;
  const buttons = [];
  if (output) buttons.push(copying(turn));
  buttons.push(element("button", { type: "button", class: "quiet", click: again }, "Ask again"));
  if (output?.trace_id && traces) buttons.push(trace(traces + output.trace_id));
  if (output?.trace_id) buttons.push(...feedback(output.trace_id));
  return buttons;
}

function trace(address) {
  const attributes = { href: address, target: "_blank", rel: "noopener noreferrer", class: "quiet" };
  return element("a", attributes, "Trace");
}

function copying(turn) {
  const button = element("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copy(withSources(turn.output))) ? "Copied" : "Not copied";
  });
  return button;
}

/** The answer as Markdown, and below it where each quote stands. */
export function withSources({ answer, citations }) {
  const lines = citations.map((c) => `[${c.marker}] ${place(c)}: “${c.quote}”`);
  return [answer, ...(lines.length ? [lines.join("\n")] : [])].join("\n\n");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text); // browsers have the clipboard's own interface on secure pages alone
  }
}

function copyOldWay(text) {
  const area = element("textarea", { class: "hidden", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

function feedback(traceId) {
  const said = element("span", { class: "note", role: "status" });
  const comment = element("input", { name: "comment", maxlength: 2000, placeholder: "What was wrong or missing? (optional)", "aria-label": "Comment" });
  const form = element("form", { class: "comment", hidden: true }, comment, element("button", {}, "Send"));
  let score = null;
  const thumb = (value, name) => {
    const click = () => {
      score = value;
      good.setAttribute("aria-pressed", `${value === 1}`);
      bad.setAttribute("aria-pressed", `${value === 0}`);
      form.hidden = false;
      comment.focus();
      send("");
    };
    return element("button", { type: "button", class: "quiet", "aria-pressed": "false", click }, name);
  };
  const send = async (words) => {
    try {
      await postJson("/feedback", { trace_id: traceId, score, comment: words });
      said.textContent = "Thank you: it stands at the answer's trace.";
      form.hidden = form.hidden || words !== "";
    } catch (problem) {
      said.textContent = problem.message;
    }
  };
  const good = thumb(1, "Good");
  const bad = thumb(0, "Bad");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(comment.value.trim());
  });
  return [good, bad, said, form];
}
