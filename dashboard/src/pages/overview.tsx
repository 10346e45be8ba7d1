// The platform at a glance: whether it is well and fair, who holds the slots, who waits and why.

import { useSearchParams } from "@solidjs/router";
import { For, Show, createEffect, createSignal, on } from "solid-js";

import { api, ask } from "../api/client";
import type { Overview as Seen, PoolReadings } from "../api/schema";
import { count, micros, ratio, short } from "../format";
import { History } from "../live/history";
import { poll } from "../live/poll";
import { type Areas, NAMED_MAX, StackedArea } from "../ui/area";
import { Empty, Failed, Panel, Sentence, Tile, Waiting } from "../ui/parts";
import { Well } from "../ui/status";
import { Pools } from "./overview/pools";
import { Reasons } from "./overview/reasons";
import { Reviewers } from "./overview/reviewers";
import { Tiers } from "./overview/tiers";
import { Waits } from "./overview/waits";

export function Overview() {
  const [asked, choose] = useSearchParams<{ region?: string }>();
  let history = new History();
  const [areas, setAreas] = createSignal<Areas>({ times: [], areas: [] });
  const query = () => (asked.region === undefined ? {} : { region: asked.region });
  const { value, failure, refresh } = poll(
    (signal) => ask(api.GET("/v1/platform/overview", { params: { query: query() }, signal })),
    {
      onRead: (seen) => {
        history.add(Date.now(), held(seen.pools), sum(seen.pools, (pool) => pool.other_slots));
        setAreas(areasOf(history));
      },
    },
  );
  // Another region has had another course.
  createEffect(on(() => asked.region, () => ((history = new History()), void refresh()), { defer: true }));
  // Of several tabs the one that is not well is seen.
  createEffect(() => {
    const state = value()?.state ?? "healthy";
    document.title = `${state === "healthy" ? "" : `${state}: `}Overview · Fairlane`;
  });
  return (
    <>
      <div class="head">
        <h1>Overview</h1>
        <Show when={value()}>{(seen) => <Well of={seen().state} />}</Show>
        <Show when={summary(value())}>
          {(says) => (
            <span class="muted">
              <Sentence>{says()}</Sentence>
            </span>
          )}
        </Show>
        <Show when={(value()?.regions.length ?? 0) > 1}>
          <div class="actions">
            <label for="region" class="muted">
              Region
            </label>
            <select id="region" value={value()?.region} onChange={(event) => choose({ region: event.currentTarget.value })}>
              <For each={value()?.regions}>{(region) => <option value={region}>{region}</option>}</For>
            </select>
          </div>
        </Show>
      </div>
      <Failed of="The platform could not be read" failure={failure()} />
      <Show when={value()} fallback={<Show when={!failure()}><Waiting /></Show>}>
        {(seen) => (
          <>
            <Tiles seen={seen()} />
            <Reasons reasons={seen().reasons} />
            <Panel title="Slots by tenant" note="the last ten minutes, since this page was opened">
              <div class="body">
                <Show when={areas().times.length > 1} fallback={<Empty>The course of it begins now.</Empty>}>
                  <StackedArea
                    data={areas()}
                    height={240}
                    isClock
                    link={(tenant) => `/tenants/${tenant}`}
                    nothing="Nobody holds a slot."
                    label="Slots that each tenant holds, over time; the table of tenants has the same numbers"
                  />
                </Show>
              </div>
            </Panel>
            <div class="columns">
              <div class="stack">
                <Pools pools={seen().pools} />
                <Reviewers reviewers={seen().reviewers} />
                <Tiers tiers={seen().tiers} />
              </div>
              <div class="stack">
                <Waits pools={seen().pools} />
              </div>
            </div>
          </>
        )}
      </Show>
    </>
  );
}

/// What is said of the platform, unless the first of the reasons beneath it says the same.
function summary(seen: Seen | undefined): string | undefined {
  return seen?.reasons[0]?.says === seen?.says ? undefined : seen?.says;
}

function Tiles(props: { seen: Seen }) {
  const seen = () => props.seen;
  // What the server itself calls needs no worker, and is none of their slots.
  const workers = () => seen().pools.filter((pool) => pool.pool !== "server");
  const commits = () => seen().commits.find((commit) => commit.window === "1m")?.took;
  const jain = () => fairness(seen().pools);
  return (
    <dl class="tiles many">
      <Tile
        name="Slots in use"
        value={count(sum(workers(), (pool) => pool.in_flight))}
        note={`of ${count(sum(workers(), (pool) => Math.min(pool.dispatchable, pool.offered)))} that workers offer`}
      />
      <Tile name="Wait for a slot" value={count(sum(seen().pools, (pool) => pool.waiting))} note="steps that are ready" />
      <Tile
        name="Jain's index"
        value={jain() === undefined ? "–" : ratio((jain()?.permille ?? 0) / 1_000)}
        title="How alike those are served who want more than they have: 1 is fair, 0.95 and more is healthy"
        tone={jain() !== undefined && (jain()?.permille ?? 0) < JAIN_HEALTHY_PERMILLE ? "bad" : undefined}
        note={jain() === undefined ? "nobody contended in the last minute" : `${count(jain()?.contenders ?? 0)} contend for ${jain()?.pool}`}
      />
      <Tile
        name="Tenants at work"
        value={count(seen().active)}
        note={`of ${count(seen().tenants)}; ${count(seen().slow)} slow, ${count(seen().slow_expected)} by their own limits`}
      />
      <Tile
        name="Live runs"
        value={count(seen().valve.live_runs)}
        note={`the valve acts from ${short(seen().valve.runs_soft)} on`}
      />
      <Tile
        name="Valve"
        title="It is shut where more runs live than the platform may hold: new ones are refused then"
        value={seen().valve.open ? "open" : "shut"}
        tone={seen().valve.open ? undefined : "bad"}
        note={`${count(seen().valve.refused)} refused since the start`}
      />
      <Tile
        name="Commits, p95"
        value={commits() === undefined ? "none" : micros(commits()?.p95_us ?? 0)}
        note="of the store, in the last minute"
      />
      <Tile
        name="Cross-tenant tries"
        title="How often a key asked for what is another tenant's. All of them were refused; healthy is none"
        value={count(seen().cross_tenant_attempts)}
        tone={seen().cross_tenant_attempts > 0 ? "bad" : undefined}
        note="refused since the start"
      />
    </dl>
  );
}

/// Below it shares are not what they should be; see the documents of the scheduler.
const JAIN_HEALTHY_PERMILLE = 950;

/// Of the pool that is shared worst just now.
function fairness(pools: PoolReadings[]): { pool: string; permille: number; contenders: number } | undefined {
  const found = pools.flatMap(({ pool, fairness }) => {
    const minute = fairness.find((read) => read.window === "1m");
    const permille = minute?.jain_permille;
    return minute === undefined || permille == null ? [] : [{ pool, permille, contenders: minute.contenders }];
  });
  return found.sort((one, other) => one.permille - other.permille)[0];
}

function sum(pools: PoolReadings[], of: (pool: PoolReadings) => number): number {
  return pools.reduce((all, pool) => all + of(pool), 0);
}

function held(pools: PoolReadings[]): Map<string, number> {
  const slots = new Map<string, number>();
  for (const { tenant, slots: some } of pools.flatMap((pool) => pool.top)) {
    if (some > 0) {
      slots.set(tenant, (slots.get(tenant) ?? 0) + some);
    }
  }
  return slots;
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
