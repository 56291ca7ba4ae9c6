/** Sends a file. `fetch` does not tell how far an upload is; the older interface does. */

import { authorization, Problem } from "./api.js";

/** Resolves once the file is indexed; `advance` is called with the part that was sent. */
export function upload(file, advance) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    sending.open("POST", "/documents?wait=true");
    for (const [name, value] of Object.entries(authorization())) sending.setRequestHeader(name, value);
    sending.upload.addEventListener("progress", ({ loaded, total }) => advance(loaded / total));
    sending.upload.addEventListener("load", () => advance(1));
    sending.addEventListener("load", () => {
      if (sending.status < 300) resolve();
      else reject(new Problem(messageOf(sending), "", sending.status));
    });
    sending.addEventListener("error", () => reject(new Problem("The connection broke off: try again.")));
    sending.send(form);
  });
}

function messageOf({ responseText, status }) {
  try {
    return JSON.parse(responseText).error.message;
  } catch {
    return `The service answered with status ${status}.`;
  }
}
