// An id or a command that is taken along by one key.

import { createSignal, onCleanup } from "solid-js";

const SHOWN_MS = 1_500;

export function Copy(props: { text: string; what: string }) {
  let button!: HTMLButtonElement;
  const [isDone, setDone] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));
  const copy = async (): Promise<void> => {
    await write(props.text, button);
    setDone(true);
    clearTimeout(timer);
    timer = setTimeout(() => setDone(false), SHOWN_MS);
  };
  return (
    <button ref={button} class="quiet copy" aria-label={`Copy ${props.what}`} title={props.text} onClick={() => void copy()}>
      <span aria-live="polite">{isDone() ? "copied" : "copy"}</span>
    </button>
  );
}

/// Where a page did not come by TLS, browsers have no clipboard but the one of old.
async function write(text: string, button: HTMLElement): Promise<void> {
  if (isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.value = text;
  button.after(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  button.focus();
}
