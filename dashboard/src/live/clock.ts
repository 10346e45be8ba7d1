// The time that pages show lengths of time by. It moves once a second for all of them, and not while nobody looks.

import { createSignal } from "solid-js";

const [now, setNow] = createSignal(Date.now());
export { now };

setInterval(() => {
  if (document.visibilityState === "visible") {
    setNow(Date.now());
  }
}, 1_000);
