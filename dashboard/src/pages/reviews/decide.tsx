// The decision itself: the outcome, and what the form asks for. It is on what is shown: the fence of the claim and the
// digest go with it, and a decision that is late has no effect.

import { For, Match, Show, Switch, createMemo, createSignal } from "solid-js";
import { createStore } from "solid-js/store";

import { api, ask } from "../../api/client";
import type { ReviewDetail } from "../../api/schema";
import { type Field, dataOf, fieldsOf } from "../../ui/schema-form";

export function Decide(props: {
  review: ReviewDetail;
  perform: (action: () => Promise<string | undefined>) => Promise<void>;
}) {
  const fields = createMemo(() => fieldsOf(props.review.form), undefined, {
    equals: (one, other) => JSON.stringify(one) === JSON.stringify(other),
  });
  const [filled, fill] = createStore<Record<string, string>>({});
  const [chosen, choose] = createSignal<string>();
  const decide = (event: Event): void => {
    event.preventDefault();
    const { id, digest, claim } = props.review;
    const outcome = chosen();
    if (claim == null || outcome === undefined) {
      return;
    }
    const form = fields();
    const data = form === undefined ? {} : { data: dataOf(form, filled) as Record<string, never> };
    const body = { fence: claim.fence, digest, outcome, ...data };
    void props.perform(async () => {
      const path = { review: id };
      const decided = await ask(api.POST("/v1/reviews/{review}/decide", { params: { path }, body }));
      const more = decided.more ?? 0;
      return more > 0 ? `Decided: ${outcome}. ${more} more have to agree.` : `Decided: ${outcome}.`;
    });
  };
  return (
    <form class="form decide" onSubmit={decide}>
      <fieldset class="field">
        <legend class="hidden-visually">Outcome</legend>
        <div class="choice">
          <For each={props.review.outcomes}>
            {(outcome) => (
              <button
                type="button"
                aria-pressed={chosen() === outcome.name}
                title={outcome.approves ? "Approves" : "Does not approve"}
                onClick={() => choose(outcome.name)}
              >
                {outcome.name}
              </button>
            )}
          </For>
        </div>
      </fieldset>
      <For each={fields() ?? []}>
        {(field) => (
          <Input field={field} value={filled[field.name] ?? field.initial} onInput={(value) => fill(field.name, value)} />
        )}
      </For>
      <div class="actions">
        <button class="primary" type="submit" disabled={chosen() === undefined}>
          {chosen() === undefined ? "Choose an outcome" : `Decide: ${chosen()}`}
        </button>
      </div>
    </form>
  );
}

function Input(props: { field: Field; value: string; onInput: (value: string) => void }) {
  const field = () => props.field;
  const id = () => `field-${field().name}`;
  const common = () => ({
    id: id(),
    required: field().isRequired,
    "aria-describedby": field().hint === "" ? undefined : `${id()}-hint`,
  });
  const onInput = (event: { currentTarget: { value: string } }): void => props.onInput(event.currentTarget.value);
  return (
    <div class="field" classList={{ inline: field().kind === "boolean" }}>
      <label for={id()}>
        {field().label}
        <Show when={!field().isRequired && field().kind !== "boolean"}>
          <span class="muted"> (may be left out)</span>
        </Show>
      </label>
      <Switch fallback={<input {...common()} type="text" value={props.value} onInput={onInput} />}>
        <Match when={field().kind === "boolean"}>
          <input
            id={id()}
            type="checkbox"
            checked={props.value === "true"}
            onChange={(event) => props.onInput(String(event.currentTarget.checked))}
          />
        </Match>
        <Match when={field().kind === "choice"}>
          <select {...common()} value={props.value} onChange={onInput}>
            <option value="">choose</option>
            <For each={field().choices}>{(choice) => <option value={choice}>{choice}</option>}</For>
          </select>
        </Match>
        <Match when={field().kind === "number" || field().kind === "integer"}>
          <input
            {...common()}
            type="number"
            step={field().kind === "integer" ? 1 : "any"}
            min={field().minimum}
            max={field().maximum}
            value={props.value}
            onInput={onInput}
          />
        </Match>
        <Match when={field().kind === "long-text" || field().kind === "json"}>
          <textarea {...common()} value={props.value} onInput={onInput} spellcheck={field().kind !== "json"} />
        </Match>
      </Switch>
      <Show when={field().hint !== "" || field().kind === "json"}>
        <span class="hint" id={`${id()}-hint`}>
          {field().hint}
          {field().kind === "json" ? " A text, a number, or JSON." : ""}
        </span>
      </Show>
    </div>
  );
}
