// The calls of models that were made for a run: the way each went, what it did not go to, and what it cost.

import { For, Show } from "solid-js";

import { api, ask } from "../../api/client";
import type { Call } from "../../api/schema";
import { count, moment, took, words } from "../../format";
import { now } from "../../live/clock";
import { poll } from "../../live/poll";
import { Badge, Failed, Panel } from "../../ui/parts";
import { Refused } from "./refused";

const SHOWN = 100;

export function Calls(props: { tenant: string; run: string }) {
  const { value, failure } = poll((signal) => {
    const params = { path: { tenant: props.tenant }, query: { run: props.run, limit: SHOWN } };
    return ask(api.GET("/v1/tenants/{tenant}/calls", { params, signal }));
  });
  const calls = () => value()?.items ?? [];
  return (
    <>
      <Failed of="Calls of models could not be read" failure={failure()} />
      <Show when={calls().length > 0}>
        <Panel title="Calls of models" note={value()?.next == null ? "newest first" : `the newest ${SHOWN}`}>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th>Step</th>
                  <th>Model</th>
                  <th>Went to</th>
                  <th>Region</th>
                  <th>Began</th>
                  <th class="number">Took</th>
                  <th class="number">Tokens in, out</th>
                  <th class="number">Cost</th>
                </tr>
              </thead>
              <tbody>
                <For each={calls()}>{(call) => <Row call={call} />}</For>
              </tbody>
            </table>
          </div>
        </Panel>
      </Show>
    </>
  );
}

function Row(props: { call: Call }) {
  const call = () => props.call;
  return (
    <>
      <tr>
        <td>
          {call().step} <span class="muted">attempt {call().attempt}</span>
        </td>
        <td>{call().model}</td>
        <td>
          <span class="mono">
            {call().served_by} at {call().endpoint}
          </span>
          <Show when={call().degraded}>
            {(rung) => (
              <>
                {" "}
                <Badge tone="warn" title="Done because the money was short">
                  {words(rung())}
                </Badge>
              </>
            )}
          </Show>
        </td>
        <td class="muted">
          {call().region ?? ""}
          <Show when={call().adequate}>{(country) => <> (adequacy of {country()})</>}</Show>
        </td>
        <td class="muted">{moment(call().began_at, now())}</td>
        <td class="number">
          {call().status === "open" ? <Badge tone="active">under way</Badge> : took(call().began_at, call().ended_at, now())}
        </td>
        <td class="number">
          {count(call().tokens.input)}, {count(call().tokens.output)}
        </td>
        <td class="number" title={call().certain ? undefined : "The provider has not confirmed it"}>
          {call().held ?? call().cost}
          {call().certain ? "" : " ?"}
        </td>
      </tr>
      <Show when={(call().passed ?? []).length > 0}>
        <tr class="beneath">
          <td colSpan={8}>
            <Refused candidates={call().passed ?? []} />
          </td>
        </tr>
      </Show>
    </>
  );
}
