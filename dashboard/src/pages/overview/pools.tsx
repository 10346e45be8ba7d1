// The pools: how many of their slots are taken, and whether those who want more than they have get alike.

import { For, Show } from "solid-js";

import type { PoolReadings } from "../../api/schema";
import { count, percent, ratio } from "../../format";
import { Badge, Empty, Meter, Panel } from "../../ui/parts";

export function Pools(props: { pools: PoolReadings[] }) {
  const jain = (pool: PoolReadings): string => {
    const found = pool.fairness.find((read) => read.window === "1m")?.jain_permille;
    return found == null ? "" : ratio(found / 1_000);
  };
  return (
    <Panel title="Pools" note="full and Jain: of the last minute">
      <Show
        when={props.pools.length > 0}
        fallback={
          <Empty command="fairlane pool put default --slots 100">Slots that workers offer, by pool. None is declared.</Empty>
        }
      >
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Pool</th>
                <th>Slots in use</th>
                <th class="number" title="How much of the last minute all its slots were taken">Full</th>
                <th class="number" title="Steps that are ready and wait for a slot">Waiting</th>
                <th class="number">Workers</th>
                <th class="number" title="Jain's index of the last minute: 1 is fair; empty where nobody contended">Jain</th>
              </tr>
            </thead>
            <tbody>
              <For each={props.pools}>
                {(pool) => (
                  <tr>
                    <td>{pool.pool}</td>
                    <td>
                      <Meter used={pool.in_flight} of={pool.dispatchable} label={`slots of ${pool.pool} in use`}>
                        <span>
                          {count(pool.in_flight)}
                          <span class="muted"> / {count(pool.dispatchable)}</span>
                        </span>
                      </Meter>
                    </td>
                    <td class="number">{pool.full_permille === 0 ? "" : percent(pool.full_permille / 1_000)}</td>
                    <td class="number">{count(pool.waiting)}</td>
                    <td class="number">{pool.workers === 0 ? <Badge tone="warn">none</Badge> : count(pool.workers)}</td>
                    <td class="number">{jain(pool)}</td>
                  </tr>
                )}
              </For>
            </tbody>
          </table>
        </div>
      </Show>
    </Panel>
  );
}
