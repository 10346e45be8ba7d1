// Who waits, and why: the tenants that want most, each with what the server says of it.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";

import { api, ask } from "../../api/client";
import type { Diagnosis, Holder, PoolReadings } from "../../api/schema";
import { count } from "../../format";
import { poll } from "../../live/poll";
import { Empty, Meter, Panel, Sentence } from "../../ui/parts";

const SHOWN = 8;
const KNOWN_MAX = 64;

export function Waits(props: { pools: PoolReadings[] }) {
  const waiting = (): Holder[] =>
    props.pools
      .flatMap((pool) => pool.top)
      .filter((holder) => holder.waiting > 0)
      .sort((one, other) => other.waiting - one.waiting)
      .slice(0, SHOWN);
  // Who waits is others each second: what was said of somebody stands until something else is.
  const known = new Map<string, Diagnosis | undefined>();
  const why = poll(async (signal) => {
    const tenants = [...new Set(waiting().map((holder) => holder.tenant))];
    const read = tenants.map(async (tenant): Promise<[string, Diagnosis | undefined]> => {
      const asked = api.GET("/v1/tenants/{tenant}/readings", { params: { path: { tenant } }, signal });
      return [tenant, (await ask(asked)).diagnosis];
    });
    for (const [tenant, found] of await Promise.all(read)) {
      known.delete(tenant);
      known.set(tenant, found);
    }
    for (const oldest of [...known.keys()].slice(0, -KNOWN_MAX)) {
      known.delete(oldest);
    }
    return new Map(known);
  });
  return (
    <Panel title="Who waits, and why" actions={<A href="/tenants?sort=waiting">all tenants</A>}>
      <Show when={waiting().length > 0} fallback={<Empty>Nobody waits for a slot.</Empty>}>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Tenant</th>
                <th class="number">Waiting</th>
                <th>Slots of its cap</th>
              </tr>
            </thead>
            <tbody>
              <For each={waiting()}>
                {(holder) => (
                  <>
                    <tr>
                      <td>
                        <A href={`/tenants/${holder.tenant}`}>{holder.tenant}</A>
                      </td>
                      <td class="number">{count(holder.waiting)}</td>
                      <td>
                        <Meter used={holder.slots} of={holder.cap} label={`slots of ${holder.tenant}`}>
                          <span>
                            {count(holder.slots)}
                            <span class="muted"> / {count(holder.cap)}</span>
                          </span>
                        </Meter>
                      </td>
                    </tr>
                    <Show when={why.value()?.get(holder.tenant)}>
                      {(diagnosis) => (
                        <tr class="beneath">
                          <td colSpan={3} class="muted">
                            <Sentence>{diagnosis().says}</Sentence>
                          </td>
                        </tr>
                      )}
                    </Show>
                  </>
                )}
              </For>
            </tbody>
          </table>
        </div>
      </Show>
    </Panel>
  );
}
