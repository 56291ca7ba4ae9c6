/** Talks to the service. Every failure is a `Problem`, whose message says what to do. */

const KEY = "tandem.key";
let asking = null;

export class Problem extends Error {
  constructor(message, code = "", status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/**
 * Sends a request, with the key if there is one; asks for a key where one is wanted. `alsoFine`
 * are statuses besides 2xx that are no failure.
 */
export async function request(path, { alsoFine = [], ...options } = {}) {
  for (;;) {
    const response = await send(path, options);
    if (response.ok || alsoFine.includes(response.status)) return response;
    const problem = await read(response);
    if (response.status !== 401) throw problem;
    await newKey(sessionStorage.getItem(KEY) ? problem.message : "");
  }
}

export async function getJson(path) {
  return (await request(path)).json();
}

export function postJson(path, body, options = {}) {
  const headers = { "Content-Type": "application/json" };
  return request(path, { method: "POST", body: JSON.stringify(body), headers, ...options });
}

/** The header that says who asks, for requests that `fetch` cannot make. */
export function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** The events of a streamed response, as `{ name, data }`; it has to end with done or error. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await chunk(reader);
    if (done) throw brokenOff();
    buffer += value;
    const frames = buffer.split("\n\n");
    buffer = frames.pop();
    for (const frame of frames) {
      const event = parse(frame);
      if (event === null) continue;
      if (event.name === "error") throw new Problem(event.data.message, event.data.code);
      yield event;
      if (event.name === "done") return;
    }
  }
}

async function chunk(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw brokenOff();
  }
}

function brokenOff() {
  return new Problem(
    "The connection to the service broke off before the answer was complete. Look whether it " +
      "still runs, then ask again.",
    "broken_off",
  );
}

function parse(frame) {
  const fields = { event: "message", data: "" };
  for (const line of frame.split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2); // comments begin with a colon
  }
  return fields.data ? { name: fields.event, data: JSON.parse(fields.data) } : null;
}

async function send(path, options) {
  const headers = { ...options.headers, ...authorization() };
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(
      "The service does not answer. Start it with `tandem serve`, then try again.",
      "unreachable",
    );
  }
}

async function read(response) {
  try {
    const { error } = await response.json();
    return new Problem(error.message, error.code, response.status);
  } catch {
    return new Problem(`The service answered with status ${response.status}.`, "", response.status);
  }
}

/** Asks for a key, once for all requests that wait for it. */
function newKey(complaint) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = document.getElementById("key");
    const input = dialog.querySelector("input");
    dialog.querySelector(".problem").textContent = complaint;
    input.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        const key = input.value.trim();
        input.value = "";
        if (!key) return reject(new Problem("Without a key the service answers nothing.", "", 401));
        sessionStorage.setItem(KEY, key);
        resolve();
      },
      { once: true },
    );
  });
  return asking;
}
