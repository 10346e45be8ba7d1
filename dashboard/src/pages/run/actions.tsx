// What may be done with a run as it is.

import { For, Show, createSignal } from "solid-js";

import { api, ask } from "../../api/client";
import type { Run } from "../../api/schema";
import { add, isAmount } from "../../money";
import { Dialog } from "../../ui/dialog";

type Command = "pause" | "resume" | "cancel" | "retry" | "raise";

interface Offer {
  name: string;
  says: string;
  isDanger?: boolean;
}

const OFFERS: Record<Command, Offer> = {
  pause: { name: "Pause", says: "Nothing more of it is dispatched until it is resumed. What workers hold goes on to its end." },
  resume: { name: "Resume", says: "It goes on where it was paused." },
  cancel: { name: "Cancel", says: "What is under way is stopped, and what was done is undone where the workflow says how. It cannot be taken back.", isDanger: true },
  retry: { name: "Retry", says: "What has failed is tried again. What is done stays done." },
  raise: { name: "Raise budget", says: "" },
};

function offered(run: Run): Command[] {
  switch (run.status) {
    case "running":
      return ["pause", "cancel"];
    case "paused":
      return run.money?.short == null ? ["resume", "cancel"] : ["raise", "resume", "cancel"];
    case "failed":
      return ["retry"];
    default:
      return [];
  }
}

export function Actions(props: { tenant: string; run: Run; onDone: () => Promise<void> }) {
  const [asked, setAsked] = createSignal<Command>();
  const [amount, setAmount] = createSignal("");
  const limit = () => (isAmount(amount()) ? add(props.run.money?.limit ?? "0", amount()) : undefined);
  const perform = async (): Promise<void> => {
    const params = { path: { tenant: props.tenant, run: props.run.id } };
    const command = asked();
    if (command === "raise") {
      await ask(api.PUT("/v1/tenants/{tenant}/runs/{run}/budget", { params, body: { limit: limit() ?? "0" } }));
    } else if (command !== undefined) {
      await ask(api.POST(`/v1/tenants/{tenant}/runs/{run}/${command}`, { params }));
    }
    await props.onDone();
  };
  return (
    <div class="actions">
      <For each={offered(props.run)}>
        {(command) => (
          <button classList={{ danger: OFFERS[command].isDanger }} onClick={() => setAsked(command)}>
            {OFFERS[command].name}
          </button>
        )}
      </For>
      <Show when={asked()} keyed>
        {(command) => (
          <Dialog
            title={`${OFFERS[command].name}: run …${props.run.id.slice(-8)}`}
            action={OFFERS[command].name}
            isDanger={OFFERS[command].isDanger ?? false}
            isReady={command !== "raise" || limit() !== undefined}
            onDo={perform}
            onClose={() => setAsked(undefined)}
          >
            <Show when={command === "raise"} fallback={<p>{OFFERS[command].says}</p>}>
              <div class="field">
                <label for="more">Amount to add</label>
                <input
                  id="more"
                  inputmode="decimal"
                  autocomplete="off"
                  required
                  value={amount()}
                  onInput={(event) => setAmount(event.currentTarget.value.trim())}
                />
                <span class="hint">
                  {limit() === undefined ? `It may spend ${props.run.money?.limit} now.` : `It may spend ${limit()} in all then.`}
                </span>
              </div>
            </Show>
          </Dialog>
        )}
      </Show>
    </div>
  );
}
