// What else may be done with a review that nobody has decided: a word about it, giving it back, to somebody else, or up.

import { Show, createSignal } from "solid-js";

import { api, ask } from "../../api/client";
import type { ReviewDetail } from "../../api/schema";
import { access, isOperator } from "../../session";
import { Dialog } from "../../ui/dialog";

type Action = "comment" | "reassign";

export function Hand(props: {
  review: ReviewDetail;
  perform: (action: () => Promise<string | undefined>) => Promise<void>;
}) {
  const [asked, setAsked] = createSignal<Action>();
  const [text, setText] = createSignal("");
  const params = () => ({ path: { review: props.review.id } });
  /// Of a review that is held, the fence says that this claim is meant.
  const fence = () => (props.review.claim == null ? {} : { fence: props.review.claim.fence });
  const isMine = () => props.review.claim != null && props.review.claim.person === access()?.person;
  const release = () =>
    props.perform(async () => {
      await ask<unknown>(api.POST("/v1/reviews/{review}/release", { params: params(), body: fence() }));
      return "It is open again.";
    });
  const escalate = () =>
    props.perform(async () => {
      await ask<unknown>(api.POST("/v1/reviews/{review}/escalate", { params: params(), body: fence() }));
      return "It went up to the next rung of its ladder.";
    });
  const send = async (): Promise<void> => {
    if (asked() === "comment") {
      await ask<unknown>(api.POST("/v1/reviews/{review}/comment", { params: params(), body: { text: text() } }));
    } else {
      const body = { to: text().trim(), ...fence() };
      await ask<unknown>(api.POST("/v1/reviews/{review}/reassign", { params: params(), body }));
    }
    await props.perform(async () => undefined);
  };
  const open = (action: Action): void => {
    setText("");
    setAsked(action);
  };
  return (
    <div class="actions">
      <button onClick={() => open("comment")}>Comment</button>
      <Show when={isMine()}>
        <button onClick={() => void release()}>Give back</button>
      </Show>
      <Show when={isMine() || isOperator()}>
        <button onClick={() => open("reassign")}>Give to</button>
        <button onClick={() => void escalate()}>Escalate</button>
      </Show>
      <Show when={asked()} keyed>
        {(action) => (
          <Dialog
            title={action === "comment" ? "Comment" : "Give it to somebody else"}
            action={action === "comment" ? "Comment" : "Give"}
            isReady={text().trim() !== ""}
            onDo={send}
            onClose={() => setAsked(undefined)}
          >
            <div class="field">
              <label for="said">{action === "comment" ? "What is to be on record" : "Person"}</label>
              <Show
                when={action === "comment"}
                fallback={<input id="said" required value={text()} onInput={(event) => setText(event.currentTarget.value)} />}
              >
                <textarea id="said" required value={text()} onInput={(event) => setText(event.currentTarget.value)} />
              </Show>
              <span class="hint">
                {action === "comment"
                  ? "Everybody who sees the review sees it."
                  : "A member of the pool. The claim is theirs then."}
              </span>
            </div>
          </Dialog>
        )}
      </Show>
    </div>
  );
}
