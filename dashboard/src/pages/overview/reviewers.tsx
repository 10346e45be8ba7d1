// Pools of reviewers by class: what waits for people, and whether there are enough of them.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";

import type { ReviewerReadings } from "../../api/schema";
import { count, micros } from "../../format";
import { Badge, Panel } from "../../ui/parts";

export function Reviewers(props: { reviewers: ReviewerReadings[] }) {
  return (
    <Show when={props.reviewers.length > 0}>
      <Panel title="Reviewers" note="asked and ended: of the last hour" actions={<A href="/reviews">open reviews</A>}>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Pool, class</th>
                <th class="number">Open</th>
                <th class="number">Claimed</th>
                <th class="number">Oldest</th>
                <th class="number">Asked</th>
                <th class="number" title="Decided, or ended in another way">Ended</th>
              </tr>
            </thead>
            <tbody>
              <For each={props.reviewers}>
                {(pool) => (
                  <tr>
                    <td>
                      {pool.pool} <span class="muted" title="The priority class; 0 is served first">· {pool.class}</span>{" "}
                      <Show when={pool.short}>
                        <Badge tone="bad">too small</Badge>
                      </Show>
                    </td>
                    <td class="number">{count(pool.open)}</td>
                    <td class="number">{count(pool.claimed)}</td>
                    <td class="number">{pool.oldest_us == null ? "" : micros(pool.oldest_us)}</td>
                    <td class="number">{count(pool.opened)}</td>
                    <td class="number">{count(pool.ended)}</td>
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
