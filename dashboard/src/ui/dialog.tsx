// A question in front of the page, and what comes of it: done, or why not.

import { type JSX, Show, createSignal, onMount } from "solid-js";

import { Failure } from "../api/client";

export function Dialog(props: {
  title: string;
  action: string;
  onDo: () => Promise<void>;
  onClose: () => void;
  isReady?: boolean;
  isDanger?: boolean;
  children: JSX.Element;
}) {
  let dialog!: HTMLDialogElement;
  const [failure, setFailure] = createSignal<string>();
  const [isDoing, setDoing] = createSignal(false);
  onMount(() => dialog.showModal());
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setDoing(true);
    setFailure(undefined);
    try {
      await props.onDo();
      dialog.close();
    } catch (error) {
      setFailure(error instanceof Failure ? error.message : String(error));
    } finally {
      setDoing(false);
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={() => props.onClose()}>
      <h2 id="dialog-title">{props.title}</h2>
      <form class="form" onSubmit={submit}>
        {props.children}
        <Show when={failure()}>
          <div class="failure" role="alert">
            {failure()}
          </div>
        </Show>
        <div class="actions">
          <button
            type="submit"
            classList={{ primary: !props.isDanger, danger: props.isDanger }}
            disabled={isDoing() || !(props.isReady ?? true)}
          >
            {props.action}
          </button>
          <button type="button" onClick={() => dialog.close()}>
            Close
          </button>
        </div>
      </form>
    </dialog>
  );
}
