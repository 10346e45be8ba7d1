// The steps of a run in time. A bar goes from when a step could begin (the steps before it had ended) to when it ended;
// within it stand the calls of models that were made for it.

import { A } from "@solidjs/router";
import { For, Show, createMemo, createResource } from "solid-js";

import { api, ask } from "../../api/client";
import type { Part, RunDetail, Step, Waiting, WorkflowStep } from "../../api/schema";
import { away, count, millis, moment, took, words } from "../../format";
import { now } from "../../live/clock";
import { Badge, Panel, Sentence } from "../../ui/parts";
import { Status } from "../../ui/status";
import { Refused } from "./refused";

const FINAL = ["done", "skipped", "failed", "cancelled"];

interface Bar {
  step: Step;
  /// In milliseconds from the beginning of the run; nothing has begun without it.
  from: number | undefined;
  until: number;
}

export function Timeline(props: { tenant: string; detail: RunDetail }) {
  const key = () => `${props.detail.run.workflow} ${props.detail.run.version}`;
  const [plan] = createResource(key, async () => {
    const { workflow, version } = props.detail.run;
    const asked = api.GET("/v1/workflows/{workflow}", { params: { path: { workflow }, query: { version } } });
    // Without it the bars begin where the run does.
    return ask(asked).then((found) => found.steps, () => [] as WorkflowStep[]);
  });
  const bars = createMemo(() => barsOf(props.detail, plan() ?? [], now()));
  const lengthMs = createMemo(() => Math.max(1, ...bars().map((bar) => bar.until)));
  return (
    <Panel title="Steps" note={`${count(done(props.detail.steps))} of ${count(props.detail.steps.length)} done`}>
      <div class="scroll">
        <table class="timeline">
          <thead>
            <tr>
              <th>Step</th>
              <th>Phase</th>
              <th class="number">Attempts</th>
              <th class="axis">
                <span>0</span>
                <span>{millis(lengthMs() / 2)}</span>
                <span>{millis(lengthMs())}</span>
              </th>
              <th class="number">Took</th>
            </tr>
          </thead>
          <tbody>
            <For each={props.detail.steps}>
              {(step, index) => (
                <Row tenant={props.tenant} step={step} bar={bars()[index()]} lengthMs={lengthMs()} plan={plan() ?? []} />
              )}
            </For>
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Row(props: { tenant: string; step: Step; bar: Bar | undefined; lengthMs: number; plan: WorkflowStep[] }) {
  const step = () => props.step;
  const place = () => props.plan.find((known) => known.name === step().name);
  const hasBegun = () => props.bar?.from !== undefined && step().phase !== "pending";
  const at = (ms: number): string => `${((ms / props.lengthMs) * 100).toFixed(3)}%`;
  const length = () => (props.bar?.until ?? 0) - (props.bar?.from ?? 0);
  return (
    <>
      <tr>
        <td>
          <span class="strong">{step().name}</span>
          <span class="muted">{partOf(step().part)}</span>
          <div class="muted small">{kindOf(place())}</div>
        </td>
        <td>
          <Status of={step().phase} />
          <Show when={step().trust === "suspect"}>
            {" "}
            <Badge tone="bad">suspect</Badge>
          </Show>
          <Show when={step().trust === "verified"}>
            {" "}
            <Badge tone="good">verified</Badge>
          </Show>
        </td>
        <td class="number">{step().attempt === 0 ? "" : step().attempt}</td>
        <td class="lane">
          <Show when={hasBegun()}>
            <div class={`bar ${step().phase}`} style={{ left: at(props.bar?.from ?? 0), width: at(length()) }} />
          </Show>
        </td>
        <td class="number">{hasBegun() ? millis(length()) : ""}</td>
      </tr>
      <Show when={step().failure ?? (step().phase === "pending" ? undefined : step().waits)}>
        <tr class="beneath">
          <td colSpan={5}>
            <Show when={step().failure}>
              {(failure) => (
                <p class="bad">
                  {failure().class}: {failure().message}
                </p>
              )}
            </Show>
            <Show when={step().waits}>{(waits) => <Waits tenant={props.tenant} waits={waits()} since={step().since} />}</Show>
          </td>
        </tr>
      </Show>
    </>
  );
}

/// What it waits for, since when, until when, and what would let it through.
function Waits(props: { tenant: string; waits: Waiting; since: string | null | undefined }) {
  const waits = () => props.waits;
  return (
    <div class="waits">
      <p>
        Waits{" "}
        <Show when={waits().gate} fallback={<>for {words(waits().on)}</>}>
          {(gate) => (
            <>
              at the gate <Badge tone="warn">{gate()}</Badge>
            </>
          )}
        </Show>
        <Show when={props.since}>{(since) => <> for {took(since(), undefined, now())}</>}</Show>
        <Show when={waits().opens_at}>{(at) => <>, and opens {away(at(), now())}</>}</Show>
        <Show when={waits().until}>{(until) => <>, until {moment(until(), now())} at the latest</>}</Show>. It needs{" "}
        <Sentence>{waits().needs}</Sentence>.{" "}
        <Show when={waits().review}>{(review) => <A href={`/reviews/${review()}`}>The review</A>}</Show>
        <Show when={waits().child}>
          {(child) => <A href={`/tenants/${props.tenant}/runs/${child()}`}>The run that it calls</A>}
        </Show>
        <Show when={waits().items}>{(items) => <>{count(waits().items_done ?? 0)} of {count(items())} items are done.</>}</Show>
      </p>
      <Show when={waits().failure}>
        {(failure) => (
          <p class="muted">
            The last attempt failed, {failure().class}: {failure().message}
          </p>
        )}
      </Show>
      <Refused candidates={waits().passed ?? []} />
    </div>
  );
}

function barsOf({ run, steps }: RunDetail, plan: WorkflowStep[], now: number): Bar[] {
  const began = Date.parse(run.created_at);
  const at = (time: string): number => Math.max(0, Date.parse(time) - began);
  const runEnd = run.ended_at == null ? Math.max(0, now - began) : at(run.ended_at);
  const isFinal = (step: Step): boolean => FINAL.includes(step.phase);
  const ends = new Map<string, number>();
  for (const step of steps) {
    if (isFinal(step) && step.since != null) {
      ends.set(step.name, Math.max(ends.get(step.name) ?? 0, at(step.since)));
    }
  }
  return steps.map((step) => {
    const before = plan.find((known) => known.name === step.name)?.after ?? [];
    const from = step.since == null ? undefined : Math.max(0, ...before.map((name) => ends.get(name) ?? 0));
    const until = isFinal(step) && step.since != null ? at(step.since) : runEnd;
    return { step, from: from === undefined ? undefined : Math.min(from, until), until };
  });
}

const done = (steps: Step[]): number => steps.filter((step) => step.phase === "done").length;

function partOf(part: Part): string {
  if (part === "whole") {
    return "";
  }
  return part === "compensation" ? " undone" : ` item ${part.item}`;
}

function kindOf(place: WorkflowStep | undefined): string {
  if (place === undefined) {
    return "";
  }
  const what = place.task ?? place.model ?? place.calls ?? place.tool;
  const [tool, pool] = [place.tool, place.pool];
  const parts = [
    what == null ? words(place.kind) : `${place.kind} ${what}`,
    tool == null || tool === what ? "" : `tool ${tool}`,
    pool == null ? "" : `pool ${pool}`,
    place.optional ? "optional" : "",
  ];
  return parts.filter((part) => part !== "").join(", ");
}
