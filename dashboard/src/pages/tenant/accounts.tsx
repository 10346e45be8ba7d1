// What a tenant may spend and has spent, and adding to it.

import { For, Show, createSignal } from "solid-js";

import { api, ask } from "../../api/client";
import type { Account } from "../../api/schema";
import { words } from "../../format";
import { poll } from "../../live/poll";
import { add, approximately, isAmount, isZero } from "../../money";
import { isOperator } from "../../session";
import { Dialog } from "../../ui/dialog";
import { Empty, Failed, Meter, Panel, Waiting } from "../../ui/parts";
import { Away } from "../../ui/time";

export function Accounts(props: { tenant: string }) {
  const path = () => ({ tenant: props.tenant });
  const { value, failure, refresh } = poll((signal) =>
    ask(api.GET("/v1/tenants/{tenant}/budgets", { params: { path: path() }, signal })),
  );
  const [raised, setRaised] = createSignal<Account>();
  return (
    <Panel title="Budgets">
      <Failed of="Budgets could not be read" failure={failure()} />
      <Show when={value()} fallback={<Waiting />}>
        {(seen) => (
          <Show when={seen().accounts.length > 0} fallback={<Empty>What it may spend in a day and a month.</Empty>}>
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th>Period</th>
                    <th title="What calls under way may still cost is held">Spent, held</th>
                    <th class="number">Left</th>
                    <th class="number">Renews</th>
                    <th>
                      <span class="hidden-visually">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  <For each={seen().accounts}>
                    {(account) => <Row account={account} onRaise={() => setRaised(account)} />}
                  </For>
                </tbody>
              </table>
            </div>
          </Show>
        )}
      </Show>
      <Show when={raised()} keyed>
        {(account) => (
          <TopUp tenant={props.tenant} account={account} onDone={refresh} onClose={() => setRaised(undefined)} />
        )}
      </Show>
    </Panel>
  );
}

function Row(props: { account: Account; onRaise: () => void }) {
  const account = () => props.account;
  const budget = () => account().budget;
  const all = () => add(add(budget() ?? "0", account().topped_up), account().forgiven);
  return (
    <tr>
      <td>{words(account().every)}</td>
      <td>
        <Show when={budget()} fallback={<span class="muted">{account().posted}, no bound</span>}>
          <Meter
            used={approximately(account().posted)}
            held={approximately(account().held)}
            of={approximately(all())}
            label={`spent of the budget of the ${account().every}`}
          >
            <span>
              {account().posted}
              <Show when={!isZero(account().held)}>
                <span class="muted"> + {account().held}</span>
              </Show>
              <span class="muted"> / {all()}</span>
            </span>
          </Meter>
        </Show>
      </td>
      <td class="number">
        <Show when={isZero(account().debt)} fallback={<span class="bad">{account().debt} of debt</span>}>
          {account().available ?? ""}
        </Show>
      </td>
      <td class="number muted">
        <Away at={account().ends_at} />
      </td>
      <td class="number">
        <Show when={isOperator() && budget() != null}>
          <button onClick={() => props.onRaise()} aria-label={`Top up the ${account().every}`}>
            Top up
          </button>
        </Show>
      </td>
    </tr>
  );
}

function TopUp(props: { tenant: string; account: Account; onDone: () => Promise<void>; onClose: () => void }) {
  const [amount, setAmount] = createSignal("");
  const sum = () => (isAmount(amount()) ? add(props.account.topped_up, amount()) : undefined);
  const raise = async (): Promise<void> => {
    const { every, forgiven } = props.account;
    const path = { tenant: props.tenant, every };
    const body = { topped_up: sum() ?? props.account.topped_up, forgiven };
    await ask(api.PUT("/v1/tenants/{tenant}/budgets/{every}", { params: { path }, body }));
    await props.onDone();
  };
  return (
    <Dialog
      title={`Top up the ${props.account.every} of ${props.tenant}`}
      action="Top up"
      isReady={sum() !== undefined}
      onDo={raise}
      onClose={props.onClose}
    >
      <div class="field">
        <label for="amount">Amount to add</label>
        <input
          id="amount"
          inputmode="decimal"
          autocomplete="off"
          required
          aria-describedby="amount-hint"
          value={amount()}
          onInput={(event) => setAmount(event.currentTarget.value.trim())}
        />
        <span class="hint" id="amount-hint">
          {sum() === undefined
            ? `An amount such as 25 or 0.50, on top of the budget of ${props.account.budget}. Only this ${props.account.every} has it.`
            : `It has ${add(props.account.budget ?? "0", sum() ?? "0")} in all then, ${sum()} of it topped up. Only this ${props.account.every} has it.`}
        </span>
      </div>
    </Dialog>
  );
}
