// The platform at a glance: who holds the slots, what the pools and the valve do, who waits.

import { A } from "@solidjs/router";
import { For, Show, createSignal, onMount } from "solid-js";

import { api, ask } from "../api/client";
import type { Pool, Readings, Valve } from "../api/schema";
import { count, micros, short, words } from "../format";
import { History } from "../live/history";
import { poll } from "../live/poll";
import { type Areas, NAMED_MAX, StackedArea } from "../ui/area";
import { Badge, Empty, Failed, Meter, Panel, Tile, Waiting } from "../ui/parts";

/// One look at the platform.
interface Look {
  tenants: Readings[];
  /// Not all tenants are in it.
  isCut: boolean;
  pools: Pool[];
  valve: Valve;
  reviews: number;
  hasMoreReviews: boolean;
}

const ROWS_MAX = 1_000;
const WAITING_MAX = 12;

async function look(signal: AbortSignal): Promise<Look> {
  const [tenants, pools, valve, reviews] = await Promise.all([
    ask(api.GET("/v1/platform/tenants", { params: { query: { limit: ROWS_MAX } }, signal })),
    ask(api.GET("/v1/platform/pools", { signal })),
    ask(api.GET("/v1/platform/valve", { signal })),
    ask(api.GET("/v1/reviews", { params: { query: { limit: 100 } }, signal })),
  ]);
  return {
    tenants: tenants.items,
    isCut: tenants.next != null,
    pools: pools.items,
    valve,
    reviews: reviews.items.length,
    hasMoreReviews: reviews.next != null,
  };
}

export function Overview() {
  const history = new History();
  const [areas, setAreas] = createSignal<Areas>({ times: [], areas: [] });
  const { value, failure } = poll(look, {
    onRead: ({ tenants }) => {
      const held = tenants.filter((tenant) => tenant.slots > 0).map((tenant) => [tenant.tenant, tenant.slots] as const);
      history.add(Date.now(), new Map(held));
      setAreas(areasOf(history));
    },
  });
  onMount(() => (document.title = "Overview · Fairlane"));
  return (
    <>
      <div class="head">
        <h1>Overview</h1>
      </div>
      <Failed of="The platform could not be read" failure={failure()} />
      <Show when={value()} fallback={<Show when={!failure()}><Waiting /></Show>}>
        {(seen) => (
          <>
            <Tiles look={seen()} />
            <Panel title="Slots by tenant" note="the last ten minutes, since this page was opened">
              <div class="body">
                <Show when={areas().times.length > 1} fallback={<Empty>The course of it begins now.</Empty>}>
                  <StackedArea
                    data={areas()}
                    height={240}
                    isClock
                    label="Slots that each tenant holds, over time; the table of tenants has the same numbers"
                  />
                </Show>
              </div>
            </Panel>
            <div class="columns">
              <Pools pools={seen().pools} />
              <Waits look={seen()} />
            </div>
          </>
        )}
      </Show>
    </>
  );
}

function areasOf(history: History): Areas {
  const named = history.largest(NAMED_MAX);
  const areas = named.map((name) => ({ name, values: history.series(name) }));
  const rest = history.others(named);
  const hasRest = rest.some((value) => value > 0);
  return {
    times: [...history.times],
    areas: hasRest ? [...areas, { name: "all others", values: rest, isRest: true }] : areas,
  };
}

function Tiles(props: { look: Look }) {
  const sum = (of: (pool: Pool) => number): number => props.look.pools.reduce((all, pool) => all + of(pool), 0);
  const valve = () => props.look.valve;
  return (
    <dl class="tiles">
      <Tile
        name="Slots in use"
        value={count(sum((pool) => pool.in_flight))}
        note={`of ${count(sum((pool) => Math.min(pool.dispatchable, pool.offered)))} that workers offer`}
      />
      <Tile name="Steps waiting for a slot" value={count(sum((pool) => pool.waiting))} />
      <Tile name="Live runs" value={count(valve().live_runs)} note={`the valve acts from ${short(valve().runs_soft)} on`} />
      <Tile
        name="Valve"
        value={valve().open ? "open" : "shut"}
        tone={valve().open ? undefined : "bad"}
        note={`${count(valve().refused)} refused since the start`}
      />
      <Tile
        name="Open reviews"
        value={
          <A href="/reviews">
            {count(props.look.reviews)}
            {props.look.hasMoreReviews ? "+" : ""}
          </A>
        }
      />
    </dl>
  );
}

function Pools(props: { pools: Pool[] }) {
  const regions = () => new Set(props.pools.map((pool) => pool.region));
  return (
    <Panel title="Pools">
      <Show
        when={props.pools.length > 0}
        fallback={<Empty command="fairlane pool put default --slots 100">Slots that workers offer, by pool. None is declared.</Empty>}
      >
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Pool</th>
                <th>Policy</th>
                <th>Slots in use</th>
                <th class="number">Waiting</th>
                <th class="number">Workers</th>
              </tr>
            </thead>
            <tbody>
              <For each={props.pools}>
                {(pool) => (
                  <tr>
                    <td>
                      {pool.name}
                      <Show when={regions().size > 1}>
                        <span class="muted"> {pool.region}</span>
                      </Show>
                    </td>
                    <td>{words(pool.policy)}</td>
                    <td>
                      <Meter used={pool.in_flight} of={pool.dispatchable} label={`slots of ${pool.name} in use`}>
                        <span>
                          {count(pool.in_flight)}
                          <span class="muted"> / {count(pool.dispatchable)}</span>
                        </span>
                      </Meter>
                    </td>
                    <td class="number">{count(pool.waiting)}</td>
                    <td class="number">
                      {pool.workers === 0 ? <Badge tone="warn">none</Badge> : count(pool.workers)}
                    </td>
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

function Waits(props: { look: Look }) {
  const waiting = () =>
    props.look.tenants
      .filter((tenant) => tenant.waiting > 0)
      .sort((one, other) => other.waiting - one.waiting || one.tenant.localeCompare(other.tenant));
  return (
    <Panel
      title="Who waits"
      actions={<A href="/tenants">all tenants</A>}
      note={waiting().length > WAITING_MAX ? `${WAITING_MAX} of ${count(waiting().length)}` : undefined}
    >
      <Show when={waiting().length > 0} fallback={<Empty>Nobody waits for a slot.</Empty>}>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Tenant</th>
                <th class="number">Waiting</th>
                <th>Slots of its cap</th>
                <th class="number">p95</th>
              </tr>
            </thead>
            <tbody>
              <For each={waiting().slice(0, WAITING_MAX)}>
                {(tenant) => (
                  <tr>
                    <td>
                      <A href={`/tenants/${tenant.tenant}`}>{tenant.tenant}</A>
                    </td>
                    <td class="number">{count(tenant.waiting)}</td>
                    <td>
                      <Meter used={tenant.slots} of={tenant.cap} label={`slots of ${tenant.tenant}`}>
                        <span>
                          {count(tenant.slots)}
                          <span class="muted"> / {count(tenant.cap)}</span>
                        </span>
                      </Meter>
                    </td>
                    <td class="number">{tenant.latency == null ? "" : micros(tenant.latency.p95_us)}</td>
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
