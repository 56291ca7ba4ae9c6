/** The page: ties the question, the conversation and the drawers together. */

import { actions } from "./actions.js";
import { events, getJson, postJson, Problem } from "./api.js";
import { Composer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { closeOnClickBeside } from "./drawer.js";
import { element } from "./elements.js";
import { Sources } from "./sources.js";
import { Status } from "./status.js";
import { Turn } from "./turn.js";
import { welcome } from "./welcome.js";

const sources = new Sources();
const status = new Status();
const turns = document.getElementById("turns");
const start = document.getElementById("welcome");
const composer = new Composer({ ask, stop });
const conversations = new Conversations({ open });
let session = { scopes: [], traces: null, uploads: "uploads/", worth_asking: [] };
let running = null;

/** Asks a question in the conversation that is open. */
async function ask(question) {
  if (running) return;
  running = new AbortController();
  const { signal } = running;
  const turn = new Turn(question);
  start.hidden = true;
  turns.append(turn.element);
  turn.element.scrollIntoView({ block: "start" });
  composer.busy(true);
  try {
    const body = { question, thread_id: conversations.current, html: true, filters: composer.filters() };
    const response = await postJson("/ask", body, { signal });
    let begun = false; // from then on the service remembers the turn, also where it is stopped
    for await (const event of events(response)) {
      turn.take(event);
      if (begun || !["html", "done"].includes(event.name)) continue;
      begun = true;
      conversations.remember(question);
    }
  } catch (error) {
    if (signal.aborted) turn.stop();
    else turn.fail(error);
    if (!(error instanceof Problem) && !signal.aborted) throw error;
  } finally {
    running = null;
    composer.busy(false);
    finished(turn);
    status.refresh();
    sources.refresh();
  }
}

/** Ends the run: the service notices that nobody listens any more, and so does the model. */
function stop() {
  running?.abort();
}

function finished(turn) {
  turn.actions.replaceChildren(
    ...actions(turn, { again: () => ask(turn.question), traces: session.traces }),
  );
}

/** Shows a conversation: what the service remembers of its thread. */
async function open(thread) {
  stop();
  turns.replaceChildren();
  start.hidden = thread !== null;
  composer.focus();
  if (thread === null) return;
  try {
    const remembered = await getJson(`/threads/${thread}`);
    if (thread === conversations.current) recall(remembered);
  } catch (problem) {
    if (problem.status === 404) conversations.drop(thread);
    turns.replaceChildren(element("p", { class: "problem", role: "alert" }, problem.message));
  }
}

/** The turns of a thread as they were; of some, from long ago, the words alone are left. */
function recall({ turns: kept, last }) {
  const shown = kept.map(({ question, html, stopped, result }, n) => {
    const whole = result ?? (n === kept.length - 1 ? last : null);
    const turn = new Turn(whole?.question ?? question);
    if (whole) turn.restore(whole, stopped);
    else turn.recall(html);
    finished(turn);
    return turn.element;
  });
  turns.replaceChildren(...shown);
  shown.at(-1).scrollIntoView({ block: "start" });
}

async function begin() {
  for (const id of ["passage", "sources", "status"]) closeOnClickBeside(id);
  try {
    session = await getJson("/session");
  } catch (problem) {
    start.replaceChildren(element("p", { class: "problem", role: "alert" }, problem.message));
    return;
  }
  sources.allow(session);
  conversations.resume();
  await Promise.all([sources.refresh(), status.refresh()]);
  start.replaceChildren(...welcome(session, sources.index, ask));
  composer.suggest(sources.index?.documents ?? []);
}

begin();
