/** The page: ties the question, the conversation and the drawers together. */

import { actions } from "./actions.js";
import { events, getJson, postJson, Problem } from "./api.js";
import { Composer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { closeOnClickBeside } from "./drawer.js";
import { Turn } from "./turn.js";
import { welcome } from "./welcome.js";

const turns = document.getElementById("turns");
const start = document.getElementById("welcome");
const composer = new Composer({ ask, stop });
const conversations = new Conversations({ open });
let session = { scopes: [], traces: null, worth_asking: [] };
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
    for await (const event of events(response)) turn.take(event);
    conversations.remember(question);
  } catch (error) {
    if (signal.aborted) turn.stop();
    else if (error instanceof Problem) turn.fail(error);
    else throw error;
  } finally {
    running = null;
    composer.busy(false);
    finished(turn);
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
  start.hidden = false;
  composer.focus();
  if (!thread) return;
}

async function begin() {
  for (const id of ["passage", "sources", "status"]) closeOnClickBeside(id);
  try {
    session = await getJson("/session");
    start.append(...(await welcome(session, (question) => ask(question))));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    start.replaceChildren(error.message);
  }
}

begin();
