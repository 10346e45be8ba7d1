// Tiers: their targets, and how far their tenants are apart.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";

import type { TierReadings } from "../../api/schema";
import { brief, micros, percent } from "../../format";
import { Empty, Panel } from "../../ui/parts";

const WINDOW = "10m";

export function Tiers(props: { tiers: TierReadings[] }) {
  return (
    <Panel title="Tiers" note="from submission to end; of the last ten minutes">
      <Show when={props.tiers.length > 0} fallback={<Empty>How long runs take, by tier.</Empty>}>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Tier</th>
                <th class="number">In time</th>
                <th>Target</th>
                <th class="number">p50</th>
                <th class="number">p95</th>
                <th class="number" title="The tenant of it with the highest p95, and the lowest of all">
                  Slowest tenant
                </th>
              </tr>
            </thead>
            <tbody>
              <For each={props.tiers}>{(tier) => <Row tier={tier} />}</For>
            </tbody>
          </table>
        </div>
      </Show>
    </Panel>
  );
}

function Row(props: { tier: TierReadings }) {
  const window = () => props.tier.windows.find((read) => read.window === WINDOW);
  const attained = () => window()?.sla?.attained_permille;
  const isMissed = () => {
    const [found, target] = [attained(), props.tier.sla?.percentile_permille];
    return found != null && target != null && found < target;
  };
  return (
    <tr>
      <td>{props.tier.tier}</td>
      <td class="number" classList={{ bad: isMissed() }}>
        {attained() == null ? "" : percent((attained() ?? 0) / 1_000)}
      </td>
      <td class="muted">
        <Show when={props.tier.sla}>
          {(sla) => (
            <>
              {percent(sla().percentile_permille / 1_000)} in {micros(sla().latency_us)}
            </>
          )}
        </Show>
      </td>
      <td class="number">{window()?.latency == null ? "" : brief(window()?.latency?.p50_us ?? 0)}</td>
      <td class="number">{window()?.latency == null ? "" : brief(window()?.latency?.p95_us ?? 0)}</td>
      <td class="number">
        <Show when={props.tier.spread}>
          {(spread) => (
            <>
              <A href={`/tenants/${spread().highest_of}`}>{spread().highest_of}</A> {brief(spread().highest_us)}
              <div class="muted small">lowest {brief(spread().lowest_us)}</div>
            </>
          )}
        </Show>
      </td>
    </tr>
  );
}
