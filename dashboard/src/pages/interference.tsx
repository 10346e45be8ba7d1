// Whose load is seen in others' waits, and where: what isolation lets through.

import { A } from "@solidjs/router";
import { For, Show, onMount } from "solid-js";

import { api, ask } from "../api/client";
import type { Interference as Found } from "../api/schema";
import { count, micros, short } from "../format";
import { poll } from "../live/poll";
import { Badge, Empty, Failed, Panel, Waiting } from "../ui/parts";

const EVERY_MS = 5_000;

export function Interference() {
  const { value, failure } = poll((signal) => read(signal), { everyMs: () => EVERY_MS });
  onMount(() => (document.title = "Interference · Fairlane"));
  return (
    <>
      <div class="head">
        <h1>Interference</h1>
        <span class="muted">how the waits of quiet tenants follow the load of a loud one, over the last half hour</span>
      </div>
      <Failed of="It could not be read" failure={failure()} />
      <Show when={value()} fallback={<Show when={!failure()}><Waiting /></Show>}>
        {(found) => (
          <Show
            when={found().length > 0}
            fallback={
              <section class="panel">
                <Empty>
                  No tenant's load was compared with others' waits yet. That takes some minutes in which one of them wants
                  much, and others want little and wait.
                </Empty>
              </section>
            }
          >
            <Matrix found={found()} />
            <Pairs found={found()} />
          </Show>
        )}
      </Show>
    </>
  );
}

/// Of all regions: each has its own pools and its own neighbours.
async function read(signal: AbortSignal): Promise<Found[]> {
  const first = await ask(api.GET("/v1/platform/overview", { signal }));
  const others = first.regions.filter((region) => region !== first.region);
  const more = others.map((region) => ask(api.GET("/v1/platform/overview", { params: { query: { region } }, signal })));
  return [first, ...(await Promise.all(more))].flatMap((overview) => overview.interference);
}

const placeOf = (found: Found): string => (found.place == null ? found.at : `${found.at} ${found.place}`);

function Matrix(props: { found: Found[] }) {
  const places = () => [...new Set(props.found.map(placeOf))].sort();
  const tenants = () => [...new Set(props.found.map((found) => found.tenant))];
  const at = (tenant: string, place: string): Found | undefined =>
    props.found.find((found) => found.tenant === tenant && placeOf(found) === place);
  return (
    <Panel title="Who reaches others, and where" note="how much longer a quiet tenant's step waits while the loud one is busy">
      <div class="scroll">
        <table class="matrix">
          <thead>
            <tr>
              <th scope="col">Loud tenant</th>
              <For each={places()}>{(place) => <th scope="col">{place}</th>}</For>
            </tr>
          </thead>
          <tbody>
            <For each={tenants()}>
              {(tenant) => (
                <tr>
                  <th scope="row">
                    <A href={`/tenants/${tenant}`}>{tenant}</A>
                  </th>
                  <For each={places()}>
                    {(place) => (
                      <td>
                        <Show when={at(tenant, place)}>
                          {(found) => (
                            <Badge tone={found().significant ? "bad" : "good"}>
                              {found().significant ? micros(found().effect_us) : "isolated"}
                            </Badge>
                          )}
                        </Show>
                      </td>
                    )}
                  </For>
                </tr>
              )}
            </For>
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Pairs(props: { found: Found[] }) {
  const sorted = () => [...props.found].sort((one, other) => other.effect_us - one.effect_us);
  return (
    <Panel title="How it was found" note="isolation is incomplete where it is unlikely by chance and more than is unavoidable">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Tenant</th>
              <th>At</th>
              <th class="number" title="In its busiest tenth of the time, less those in its quietest">Slots it wanted</th>
              <th class="number" title="How much longer a quiet tenant's step waits for each slot more that this one wants">ms a slot</th>
              <th class="number" title="How much longer quiet tenants' steps waited for all that it wanted">Longer by</th>
              <th class="number" title="How long after its load the waits follow">After</th>
              <th class="number">Correlation</th>
              <th class="number" title="How likely such a correlation is without any influence, over all pairs that were looked at">By chance</th>
              <th class="number" title="Stretches of ten seconds that were compared">Buckets</th>
              <th>Isolation</th>
            </tr>
          </thead>
          <tbody>
            <For each={sorted()}>
              {(found) => (
                <tr>
                  <td>
                    <A href={`/tenants/${found.tenant}`}>{found.tenant}</A>
                  </td>
                  <td>{placeOf(found)}</td>
                  <td class="number">{short(found.slots)}</td>
                  <td class="number">{found.ms_per_slot.toFixed(2)}</td>
                  <td class="number">{micros(found.effect_us)}</td>
                  <td class="number">{micros(found.lag_us)}</td>
                  <td class="number">{found.correlation.toFixed(2)}</td>
                  <td class="number">{found.probability < 0.001 ? "< 0.001" : found.probability.toFixed(3)}</td>
                  <td class="number">{count(found.buckets)}</td>
                  <td>
                    <Badge tone={found.significant ? "bad" : "good"}>{found.significant ? "incomplete" : "holds"}</Badge>
                  </td>
                </tr>
              )}
            </For>
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
