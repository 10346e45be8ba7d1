// How a run's plan changed, or did not.

import { For, Show } from "solid-js";

import type { Replan, ReplanVerdict } from "../../api/schema";
import { moment, words } from "../../format";
import { now } from "../../live/clock";
import { Badge, Panel, type Tone } from "../../ui/parts";

const TONES: Record<ReplanVerdict, Tone> = { open: "active", accepted: "good", refused: "bad", cancelled: "calm" };

export function Replans(props: { replans: Replan[] }) {
  return (
    <Show when={props.replans.length > 0}>
      <Panel title="Revisions of the plan">
        <div class="body stack">
          <For each={props.replans}>{(replan) => <One replan={replan} />}</For>
        </div>
      </Panel>
    </Show>
  );
}

function One(props: { replan: Replan }) {
  const replan = () => props.replan;
  const changes = (): [string, string[]][] => {
    const { added, changed, dropped, redone, distrusted, kept } = replan();
    const all: [string, string[] | undefined][] = [
      ["added", added],
      ["changed", changed],
      ["dropped", dropped],
      ["done again", redone],
      ["not trusted any more", distrusted],
      ["kept", kept],
    ];
    return all.filter((change): change is [string, string[]] => (change[1] ?? []).length > 0);
  };
  return (
    <article class="form">
      <div class="head">
        <h3>
          {replan().number}. {words(replan().trigger)} of {replan().step}, planned by {replan().planner}
        </h3>
        <Badge tone={TONES[replan().verdict]}>{replan().verdict}</Badge>
        <span class="muted small">{moment(replan().began_at, now())}</span>
      </div>
      <p class="muted">
        {replan().failure.class}: {replan().failure.message}
      </p>
      <Show when={replan().refused}>{(why) => <p class="bad">Refused: {why()}</p>}</Show>
      <dl class="facts">
        <Show when={replan().reason}>
          {(reason) => (
            <>
              <dt>because</dt>
              <dd>{reason()}</dd>
            </>
          )}
        </Show>
        <For each={changes()}>
          {([name, steps]) => (
            <>
              <dt>{name}</dt>
              <dd class="mono">{steps.join(", ")}</dd>
            </>
          )}
        </For>
        <Show when={(replan().approved_by ?? []).length > 0}>
          <dt>agreed to by</dt>
          <dd>{replan().approved_by?.join(", ")}</dd>
        </Show>
      </dl>
    </article>
  );
}
