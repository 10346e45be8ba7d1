// Candidates of a model that a call does not go to, and why.

import { For, Show } from "solid-js";

import type { Passed } from "../../api/schema";
import { words } from "../../format";
import { Sentence } from "../../ui/parts";

export function Refused(props: { candidates: Passed[] }) {
  return (
    <Show when={props.candidates.length > 0}>
      <ul class="refused">
        <For each={props.candidates}>
          {(candidate) => (
            <li>
              <span class="mono">
                {candidate.served_by} at {candidate.endpoint}
              </span>
              <span class={candidate.code === "not-needed" ? "muted" : "warn"}>{words(candidate.code)}</span>
              <span class="muted">
                <Sentence>{candidate.reason}</Sentence>
              </span>
            </li>
          )}
        </For>
      </ul>
    </Show>
  );
}
