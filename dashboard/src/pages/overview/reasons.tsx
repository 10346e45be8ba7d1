// Why the platform is not well, what touches most tenants first.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";

import type { SharedReason } from "../../api/schema";
import { count } from "../../format";
import { Panel, Sentence } from "../../ui/parts";

export function Reasons(props: { reasons: SharedReason[] }) {
  return (
    <Show when={props.reasons.length > 0}>
      <Panel title="Why it is not well">
        <div class="scroll">
          <table>
            <tbody>
              <For each={props.reasons}>
                {(reason) => (
                  <tr>
                    <td class="wide">
                      <Sentence>{reason.says}</Sentence>
                    </td>
                    <td class="number">
                      {reason.tenants === 0 ? "" : `${count(reason.tenants)} ${reason.tenants === 1 ? "tenant" : "tenants"}`}
                    </td>
                    <td>
                      <For each={reason.examples}>
                        {(tenant, at) => (
                          <>
                            {at() > 0 ? ", " : ""}
                            <A href={`/tenants/${tenant}`}>{tenant}</A>
                          </>
                        )}
                      </For>
                    </td>
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
