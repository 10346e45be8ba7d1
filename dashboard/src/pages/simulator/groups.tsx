// Groups of tenants, play beside play, and whom another play than the first one does good or harm.

import { For, Show } from "solid-js";

import { brief, count } from "../../format";
import { Panel } from "../../ui/parts";
import type { Difference, Effect, Group, Play } from "./report";

const SIDES = [
  { side: "loses", name: "slower", tone: "bad" },
  { side: "gains", name: "faster", tone: "good" },
] as const;
/// Of each side.
const CHANGED_MAX = 4;

export function Groups(props: { plays: Play[] }) {
  /// By group, since a group is compared with itself.
  const rows = (): { play: string; group: Group }[] => {
    const names = [...new Set(props.plays.flatMap((play) => play.groups.map((group) => group.name)))];
    return names.flatMap((name) =>
      props.plays.flatMap((play) =>
        play.groups.filter((group) => group.name === name).map((group) => ({ play: play.name, group })),
      ),
    );
  };
  const hasReviews = (): boolean =>
    props.plays.some((play) => play.groups.some((group) => (group.reviews?.asked ?? 0) > 0));
  return (
    <Panel title="Groups" note="tenants alike, under each policy">
      <div class="scroll">
        <table>
          <thead>
            <tr class="groups">
              <td colSpan={5} />
              <th scope="colgroup" colSpan={2} title="From submission to the first attempt">
                Wait
              </th>
              <th scope="colgroup" colSpan={3} title="From submission to the end, of completed runs">
                Latency
              </th>
              <th scope="colgroup" colSpan={2}>
                Target missed
              </th>
              <Show when={hasReviews()}>
                <th scope="colgroup" colSpan={3}>
                  Reviews
                </th>
              </Show>
              <td />
            </tr>
            <tr>
              <th>Group</th>
              <th>Play</th>
              <th class="number">Tenants</th>
              <th class="number">Runs</th>
              <th class="number">Done</th>
              <th class="number begins">p50</th>
              <th class="number">p95</th>
              <th class="number begins">p50</th>
              <th class="number">p95</th>
              <th class="number">Max</th>
              <th class="number begins" title="Runs that ended later than the target">
                Runs
              </th>
              <th class="number" title="Tenants that had more late runs than their target allows">
                Tenants
              </th>
              <Show when={hasReviews()}>
                <th class="number begins">Asked</th>
                <th class="number" title="Not decided when it was due">
                  Overdue
                </th>
                <th class="number" title="From asked to decided, p95">
                  p95
                </th>
              </Show>
              <th class="number begins" title="When its last run ended, from the beginning of the play">
                Last end
              </th>
            </tr>
          </thead>
          <tbody>
            <For each={rows()}>
              {({ play, group }) => (
                <tr>
                  <td>{group.name}</td>
                  <td class="muted">{play}</td>
                  <td class="number">{count(group.tenants)}</td>
                  <td class="number">{count(group.runs)}</td>
                  <td class="number">{count(group.completed)}</td>
                  <td class="number begins">{brief(group.wait.p50_us)}</td>
                  <td class="number">{brief(group.wait.p95_us)}</td>
                  <td class="number begins">{brief(group.latency.p50_us)}</td>
                  <td class="number">{brief(group.latency.p95_us)}</td>
                  <td class="number">{brief(group.latency.max_us)}</td>
                  <td class="number begins">{count(group.late)}</td>
                  <td class="number" classList={{ bad: group.sla_missed > 0 }}>
                    {count(group.sla_missed)}
                  </td>
                  <Show when={hasReviews()}>
                    <td class="number begins">{count(group.reviews?.asked ?? 0)}</td>
                    <td class="number" classList={{ bad: (group.reviews?.overdue ?? 0) > 0 }}>
                      {count(group.reviews?.overdue ?? 0)}
                    </td>
                    <td class="number">
                      {(group.reviews?.asked ?? 0) === 0 ? "" : brief(group.reviews?.took.p95_us ?? 0)}
                    </td>
                  </Show>
                  <td class="number begins">{brief(group.last_end_us)}</td>
                </tr>
              )}
            </For>
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

export function Compared(props: { differences: Difference[] }) {
  const largest = (difference: Difference, side: Effect["side"]) =>
    difference.tenants.all
      .filter((effect) => effect.side === side)
      .sort((one, other) => factor(other.took_p95_us) - factor(one.took_p95_us))
      .slice(0, CHANGED_MAX);
  return (
    <Show when={props.differences.length > 0}>
      <Panel title={`Beside "${props.differences[0]?.to}"`} note="how long runs of tenants took, p95, in the first play and in this one">
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Play</th>
                <th class="number">Gain</th>
                <th class="number">Lose</th>
                <th class="number">Same</th>
                <th>Those that differ most</th>
              </tr>
            </thead>
            <tbody>
              <For each={props.differences}>
                {(difference) => (
                  <tr>
                    <td>{difference.play}</td>
                    <td class="number">{count(difference.tenants.gain)}</td>
                    <td class="number">{count(difference.tenants.lose)}</td>
                    <td class="number">{count(difference.tenants.unchanged)}</td>
                    <td class="wide">
                      <For each={SIDES}>
                        {({ side, name, tone }) => (
                          <Show when={largest(difference, side).length > 0}>
                            <div class="changes">
                              <span class={tone}>{name}</span>
                              <span>
                                <For each={largest(difference, side)}>{(effect) => <Changed effect={effect} />}</For>
                              </span>
                            </div>
                          </Show>
                        )}
                      </For>
                    </td>
                  </tr>
                )}
              </For>
            </tbody>
          </table>
        </div>
      </Panel>
    </Show>
  );
}

function Changed(props: { effect: Effect }) {
  return (
    <span>
      <span class="strong">{props.effect.name}</span>{" "}
      <span class="muted">{brief(props.effect.took_p95_us[0])} →</span> {brief(props.effect.took_p95_us[1])}
    </span>
  );
}

/// How many times larger or smaller, whichever it is.
function factor([one, other]: [number, number]): number {
  const [low, high] = [Math.max(1, Math.min(one, other)), Math.max(one, other)];
  return high / low;
}
