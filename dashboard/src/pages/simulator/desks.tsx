// The people who decide and the pools, play beside play: whether there are enough of either.

import { For, Show } from "solid-js";

import { brief, count, percent, ratio } from "../../format";
import { Badge, Panel } from "../../ui/parts";
import type { Desk, Play, Pool } from "./report";

/// People who are busy for more of their time than this leave no room for a morning with more.
const BUSY = 0.85;

export function Desks(props: { plays: Play[] }) {
  const rows = (): { play: string; of: Desk }[] => byName(props.plays, (play) => play.desks ?? []);
  return (
    <Show when={rows().length > 0}>
      <Panel title="Reviewers" note="a pool where few wait and nobody is busy all the time is large enough">
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Pool</th>
                <th>Play</th>
                <th class="number">People</th>
                <th class="number" title="Of their time on duty">
                  Busy
                </th>
                <th class="number">Asked</th>
                <th class="number">Decided</th>
                <th class="number" title="Not decided when it was due">
                  Overdue
                </th>
                <th class="number" title="Not needed any more, since its run had ended">
                  Dropped
                </th>
                <th class="number" title="At the end of the play">
                  Open
                </th>
                <th class="number" title="From asked to claimed">
                  Wait p50
                </th>
                <th class="number" title="From asked to claimed">
                  Wait p95
                </th>
                <th class="number" title="From asked to decided">
                  Decided p95
                </th>
              </tr>
            </thead>
            <tbody>
              <For each={rows()}>
                {({ play, of: desk }) => (
                  <tr>
                    <td>{desk.name}</td>
                    <td class="muted">{play}</td>
                    <td class="number">{count(desk.people)}</td>
                    <td class="number">
                      <Show when={desk.busy > BUSY} fallback={percent(desk.busy)}>
                        <Badge tone="warn">{percent(desk.busy)}</Badge>
                      </Show>
                    </td>
                    <td class="number">{count(desk.asked)}</td>
                    <td class="number">{count(desk.decided)}</td>
                    <td class="number" classList={{ bad: desk.overdue > 0 }}>
                      {count(desk.overdue)}
                    </td>
                    <td class="number">{count(desk.dropped)}</td>
                    <td class="number">{count(desk.open)}</td>
                    <td class="number">{brief(desk.wait.p50_us)}</td>
                    <td class="number">{brief(desk.wait.p95_us)}</td>
                    <td class="number">{brief(desk.took.p95_us)}</td>
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

export function SimulatedPools(props: { plays: Play[] }) {
  const rows = (): { play: string; of: Pool }[] =>
    byName(props.plays, (play) => (play.pools ?? []).filter((pool) => pool.used > 0));
  return (
    <Show when={rows().length > 0}>
      <Panel title="Pools">
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Pool</th>
                <th>Play</th>
                <th class="number">Slots</th>
                <th class="number" title="Of all its slot time">
                  In use
                </th>
                <th class="number" title="How long all its slots were taken">
                  Full for
                </th>
                <th class="number" title="Over service / min(demand, entitlement) of the tenants that contend while it is full; 1 is even">
                  Jain
                </th>
              </tr>
            </thead>
            <tbody>
              <For each={rows()}>
                {({ play, of: pool }) => (
                  <tr>
                    <td>{pool.name}</td>
                    <td class="muted">{play}</td>
                    <td class="number">{count(pool.slots)}</td>
                    <td class="number">{percent(pool.used)}</td>
                    <td class="number">{brief(pool.full_us)}</td>
                    <td class="number">{pool.jain === undefined ? "" : ratio(pool.jain)}</td>
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

/// What several plays have, by its name first: each is compared with itself.
function byName<T extends { name: string }>(plays: Play[], all: (play: Play) => T[]): { play: string; of: T }[] {
  const names = [...new Set(plays.flatMap((play) => all(play).map((one) => one.name)))];
  return names.flatMap((name) =>
    plays.flatMap((play) => all(play).flatMap((of) => (of.name === name ? [{ play: play.name, of }] : []))),
  );
}
