// What happened to a tenant over the last minute, ten minutes, hour and day, and whether it is slow.

import { For, Show, createMemo, createSignal } from "solid-js";

import type { Latency, Readings, WindowReadings } from "../../api/schema";
import { count, micros, percent, words } from "../../format";
import { Badge, Empty, Panel, Sentence } from "../../ui/parts";
import { Well } from "../../ui/status";

export function Windows(props: { readings: Readings }) {
  const diagnosis = () => props.readings.diagnosis;
  return (
    <Panel title="How it is served" note={<Show when={diagnosis()}>{(found) => <Well of={found().state} />}</Show>}>
      <Show when={diagnosis()}>
        {(found) => (
          <div class="body">
            <p>
              <Sentence>{found().says}</Sentence>
            </p>
          </div>
        )}
      </Show>
      <div class="scroll">
        <table>
          <thead>
            <tr class="groups">
              <td />
              <th scope="colgroup" colSpan={2} title="Of its steps, from ready to dispatched">
                Wait for a slot
              </th>
              <th scope="colgroup" title="Of its runs, from submission to the first attempt">
                First step
              </th>
              <th scope="colgroup" colSpan={4} title="Of its runs, from submission to the end">
                Runs that ended
              </th>
              <td />
              <th scope="colgroup" colSpan={3} title="Runs that may be late are its error budget">
                Target
              </th>
            </tr>
            <tr>
              <th>Last</th>
              <th class="number begins">p50</th>
              <th class="number">p95</th>
              <th class="number begins">p95</th>
              <th class="number begins">p50</th>
              <th class="number">p95</th>
              <th class="number">p99</th>
              <th class="number">Runs</th>
              <th class="number begins" title="Slot time of what it was entitled to, while it wanted more than it had">
                Share
              </th>
              <th class="number begins" title="Runs that ended within the target">In time</th>
              <th class="number" title="Of the runs that may be late: below nothing where more were">Errors left</th>
              <th class="number" title="How many times as quickly as allowed the error budget is used up">Burn</th>
            </tr>
          </thead>
          <tbody>
            <For each={props.readings.windows}>{(read) => <Row read={read} />}</For>
          </tbody>
        </table>
      </div>
      <HeldUp windows={props.readings.windows ?? []} />
    </Panel>
  );
}

const NAMES: Record<string, string> = { "1m": "minute", "10m": "10 minutes", "1h": "hour", "1d": "day" };

function Row(props: { read: WindowReadings }) {
  const read = () => props.read;
  const of = (latency: Latency | null | undefined, which: "p50_us" | "p95_us" | "p99_us"): string =>
    latency == null ? "" : micros(latency[which]);
  const left = () => read().sla?.budget_left_permille;
  const burn = () => read().sla?.burn_rate_permille;
  return (
    <tr>
      <td>{NAMES[read().window] ?? read().window}</td>
      <td class="number begins">{of(read().queue_wait, "p50_us")}</td>
      <td class="number">{of(read().queue_wait, "p95_us")}</td>
      <td class="number begins">{of(read().start, "p95_us")}</td>
      <td class="number begins">{of(read().latency, "p50_us")}</td>
      <td class="number">{of(read().latency, "p95_us")}</td>
      <td class="number">{of(read().latency, "p99_us")}</td>
      <td class="number">{read().latency == null ? "" : count(read().latency?.count ?? 0)}</td>
      <td class="number begins">{read().share_permille == null ? "" : percent((read().share_permille ?? 0) / 1_000)}</td>
      <td class="number begins">
        {read().sla?.attained_permille == null ? "" : percent((read().sla?.attained_permille ?? 0) / 1_000)}
      </td>
      <td class="number" classList={{ bad: (left() ?? 0) < 0 }}>
        {left() == null ? "" : percent((left() ?? 0) / 1_000)}
      </td>
      <td class="number" classList={{ bad: (burn() ?? 0) > 1_000 }}>
        {burn() == null ? "" : `${((burn() ?? 0) / 1_000).toFixed(1)}×`}
      </td>
    </tr>
  );
}

/// What its steps stood at, in the window that is chosen.
function HeldUp(props: { windows: WindowReadings[] }) {
  const [chosen, choose] = createSignal("10m");
  const held = createMemo(() => props.windows.find((read) => read.window === chosen())?.held ?? []);
  return (
    <div class="body form held">
      <div class="choice" role="group" aria-label="What held its steps up">
        <span class="strong">What held its steps up, in the last</span>
        <For each={props.windows}>
          {(read) => (
            <button aria-pressed={chosen() === read.window} onClick={() => choose(read.window)}>
              {NAMES[read.window] ?? read.window}
            </button>
          )}
        </For>
      </div>
      <Show when={held().length > 0} fallback={<Empty>Nothing did.</Empty>}>
        <dl class="facts">
          <For each={held()}>
            {(one) => (
              <>
                <dt>
                  {words(one.cause)} {one.place ?? ""}
                </dt>
                <dd>
                  {micros(one.time_us)} of steps' time{" "}
                  <Badge tone={one.own ? "calm" : "warn"}>{one.own ? "its own" : "shared"}</Badge>
                </dd>
              </>
            )}
          </For>
        </dl>
      </Show>
    </div>
  );
}
