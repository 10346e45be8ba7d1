// What was decided of a tenant's work, newest first.

import { For, Show } from "solid-js";

import { api, ask } from "../../api/client";
import { moment, words } from "../../format";
import { now } from "../../live/clock";
import { poll } from "../../live/poll";
import { Empty, Failed, Panel, Waiting } from "../../ui/parts";

const SHOWN = 12;

export function Decisions(props: { tenant: string }) {
  const path = () => ({ tenant: props.tenant });
  const query = { limit: SHOWN };
  const { value, failure } = poll((signal) =>
    ask(api.GET("/v1/tenants/{tenant}/decisions", { params: { path: path(), query }, signal })),
  );
  return (
    <Panel title="Decisions" note={`the newest ${SHOWN} of its log`}>
      <Failed of="Decisions could not be read" failure={failure()} />
      <Show when={value()} fallback={<Waiting />}>
        {(seen) => (
          <Show when={seen().items.length > 0} fallback={<Empty>What the platform decides of its work is logged here.</Empty>}>
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th>At</th>
                    <th>Decision</th>
                    <th>Facts</th>
                  </tr>
                </thead>
                <tbody>
                  <For each={seen().items}>
                    {(decision) => (
                      <tr>
                        <td class="muted">{moment(decision.at, now())}</td>
                        <td>{words(decision.code)}</td>
                        <td class="facts-cell">
                          <span class="mono muted">{facts(decision.facts)}</span>
                        </td>
                      </tr>
                    )}
                  </For>
                </tbody>
              </table>
            </div>
          </Show>
        )}
      </Show>
    </Panel>
  );
}

function facts(facts: unknown): string {
  if (typeof facts !== "object" || facts === null) {
    return "";
  }
  const parts = Object.entries(facts).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return parts.join(", ");
}
