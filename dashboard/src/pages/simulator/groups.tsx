// Groups of tenants, play beside play, and whom another play than the first one does good or harm.

import { For, Show } from "solid-js";

import { count, micros } from "../../format";
import { Panel } from "../../ui/parts";
import type { Difference, Group, Play } from "./report";

const CHANGED_MAX = 8;

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
  return (
    <Panel title="Groups">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Group</th>
              <th>Play</th>
              <th class="number">Tenants</th>
              <th class="number">Runs</th>
              <th class="number">Done</th>
              <th class="number">Wait p50</th>
              <th class="number">p95</th>
              <th class="number">Latency p50</th>
              <th class="number">p95</th>
              <th class="number">Max</th>
              <th class="number">Late</th>
              <th class="number">SLA missed</th>
              <th class="number">Last end</th>
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
                  <td class="number">{micros(group.wait.p50_us)}</td>
                  <td class="number">{micros(group.wait.p95_us)}</td>
                  <td class="number">{micros(group.latency.p50_us)}</td>
                  <td class="number">{micros(group.latency.p95_us)}</td>
                  <td class="number">{micros(group.latency.max_us)}</td>
                  <td class="number">{count(group.late)}</td>
                  <td class="number" classList={{ bad: group.sla_missed > 0 }}>
                    {count(group.sla_missed)}
                  </td>
                  <td class="number">{micros(group.last_end_us)}</td>
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
  const largest = (difference: Difference) =>
    difference.tenants.all
      .filter((effect) => effect.side !== "unchanged")
      .sort((one, other) => factor(other.took_p95_us) - factor(one.took_p95_us))
      .slice(0, CHANGED_MAX);
  return (
    <Show when={props.differences.length > 0}>
      <Panel title={`Beside "${props.differences[0]?.to}"`} note="how long runs of tenants took, p95, where it differs most">
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Play</th>
                <th class="number">Gain</th>
                <th class="number">Lose</th>
                <th class="number">Same</th>
                <th>Most</th>
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
                      <For each={largest(difference)}>
                        {(effect) => (
                          <span class="change">
                            {effect.name} {micros(effect.took_p95_us[0])} → {micros(effect.took_p95_us[1])}
                          </span>
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

/// How many times larger or smaller, whichever it is.
function factor([one, other]: [number, number]): number {
  const [low, high] = [Math.max(1, Math.min(one, other)), Math.max(one, other)];
  return high / low;
}
