/** Drawers at the side: dialogs, so that Esc closes them and the focus returns where it was. */

import { element } from "./elements.js";

/** Opens a drawer with a title and whatever is in it. */
export function openDrawer(id, title, ...content) {
  const drawer = document.getElementById(id);
  fillDrawer(id, title, ...content);
  if (!drawer.open) drawer.showModal();
  drawer.scrollTop = 0;
  return drawer;
}

/** Replaces what is in a drawer. */
export function fillDrawer(id, title, ...content) {
  const drawer = document.getElementById(id);
  const close = element("button", { class: "quiet", click: () => drawer.close() }, "Close");
  drawer.replaceChildren(
    element("header", {}, element("h2", { id: `${id}-title` }, title), close),
    ...content.filter(Boolean),
  );
}

/** A click beside a drawer closes it. */
export function closeOnClickBeside(id) {
  const drawer = document.getElementById(id);
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer && event.offsetX < 0) drawer.close();
  });
}
