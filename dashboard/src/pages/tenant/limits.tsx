// What a tenant may call, how much of it is used, and when there is more.

import { For, Show } from "solid-js";

import { api, ask } from "../../api/client";
import { count } from "../../format";
import { poll } from "../../live/poll";
import { Empty, Failed, Meter, Panel, Waiting } from "../../ui/parts";
import { Away } from "../../ui/time";

export function Limits(props: { tenant: string }) {
  const path = () => ({ tenant: props.tenant });
  const { value, failure } = poll((signal) =>
    ask(api.GET("/v1/tenants/{tenant}/limits", { params: { path: path() }, signal })),
  );
  return (
    <Panel title="Limits">
      <Failed of="Limits could not be read" failure={failure()} />
      <Show when={value()} fallback={<Waiting />}>
        {(seen) => (
          <Show
            when={seen().limits.length > 0}
            fallback={
              <Empty>
                Quotas of tools stand here. Its budget class has none: only what all tenants share of a tool bounds it.
              </Empty>
            }
          >
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th>Tool</th>
                    <th>Rule</th>
                    <th>Used</th>
                    <th class="number" title="When there is room for more">Next room</th>
                  </tr>
                </thead>
                <tbody>
                  <For each={seen().limits}>
                    {(limit) => (
                      <tr>
                        <td>{limit.tool}</td>
                        <td class="muted">{rule(limit.rule)}</td>
                        <td>
                          <Meter used={limit.used} of={limit.of} label={`used of ${limit.tool}`}>
                            <span>
                              {count(limit.used)}
                              <span class="muted"> / {count(limit.of)}</span>
                            </span>
                          </Meter>
                        </td>
                        <td class="number muted"><Show when={limit.opens_at}>{(at) => <Away at={at()} />}</Show></td>
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

/// `tokens:hour@UTC`, `bucket@1000000` and `concurrent` in words.
function rule(name: string): string {
  const [unit, kind = ""] = name.includes(":") ? name.split(":") : ["calls", name];
  const [every, of] = kind.split("@");
  if (every === "concurrent") {
    return "at once";
  }
  if (every === "bucket") {
    return `${unit}, each ${Number(of) / 1e6} s`;
  }
  return `${unit} a ${every}${of === undefined || of === "UTC" ? "" : ` in ${of}`}`;
}
