// What was decided of a tenant's work, newest first.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";

import { api, ask } from "../../api/client";
import { tail, words } from "../../format";
import { poll } from "../../live/poll";
import { Empty, Failed, Panel, Waiting } from "../../ui/parts";
import { Moment } from "../../ui/time";

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
                        <td class="muted">
                          <Moment at={decision.at} />
                        </td>
                        <td>{words(decision.code)}</td>
                        <td class="facts-cell">
                          <Facts tenant={props.tenant} of={decision.facts} />
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

/// In one line, with all of it behind it. The run is a way to it.
function Facts(props: { tenant: string; of: unknown }) {
  const run = (): string | undefined => {
    const found = typeof props.of === "object" && props.of !== null && "run" in props.of ? props.of.run : undefined;
    return typeof found === "string" ? found : undefined;
  };
  const rest = (): string =>
    typeof props.of !== "object" || props.of === null
      ? ""
      : Object.entries(props.of)
          .filter(([name, value]) => name !== "run" && value !== null)
          .map(([name, value]) => `${words(name)} ${written(value, name === "changed")}`)
          .join(", ");
  return (
    <span class="muted" title={rest()}>
      <Show when={run()}>
        {(run) => (
          <>
            <A href={`/tenants/${props.tenant}/runs/${run()}`} class="mono" title={run()}>
              …{tail(run())}
            </A>{" "}
          </>
        )}
      </Show>
      {rest()}
    </span>
  );
}

/// What is within something stands in brackets, and what is not there does not. Two values of something that changed
/// are from and to.
function written(value: unknown, isChange = false): string {
  if (Array.isArray(value)) {
    return value.map((one) => written(one)).join(isChange ? " → " : ", ");
  }
  if (typeof value !== "object" || value === null) {
    return value === null ? "none" : words(String(value));
  }
  const parts = Object.entries(value).filter(([, part]) => part !== null);
  const one = (name: string, part: unknown): string =>
    typeof part === "object" ? `${words(name)} (${written(part, isChange)})` : `${words(name)} ${written(part)}`;
  return parts.map(([name, part]) => one(name, part)).join(", ");
}
