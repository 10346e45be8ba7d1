// One tenant: what it holds and waits for, its runs, what it may call and spend, what it is.

import { A, useParams } from "@solidjs/router";
import { For, Show, createEffect, createSignal } from "solid-js";

import { api, ask } from "../api/client";
import { changeTenant } from "../api/declare";
import type { Readings, Tenant as Declared } from "../api/schema";
import { count, micros, millis, percent } from "../format";
import { poll } from "../live/poll";
import { isOperator } from "../session";
import { Copy } from "../ui/copy";
import { Dialog } from "../ui/dialog";
import { Badge, Failed, Panel, Tile, Waiting } from "../ui/parts";
import { Accounts } from "./tenant/accounts";
import { Decisions } from "./tenant/decisions";
import { Limits } from "./tenant/limits";
import { Runs } from "./tenant/runs";
import { Windows } from "./tenant/windows";

export function Tenant() {
  const params = useParams<{ tenant: string }>();
  return (
    <Show when={params.tenant} keyed>
      {(id) => <One id={id} />}
    </Show>
  );
}

function One(props: { id: string }) {
  const path = { tenant: props.id };
  const tenant = poll((signal) => ask(api.GET("/v1/tenants/{tenant}", { params: { path }, signal })));
  const readings = poll((signal) => ask(api.GET("/v1/tenants/{tenant}/readings", { params: { path }, signal })));
  createEffect(() => (document.title = `${props.id} · Fairlane`));
  const refresh = async (): Promise<void> => {
    await Promise.all([tenant.refresh(), readings.refresh()]);
  };
  return (
    <>
      <div class="head">
        <Show when={isOperator()}>
          <A href="/tenants" class="crumbs">
            Tenants
          </A>
          <span class="muted" aria-hidden="true">
            /
          </span>
        </Show>
        <h1>{props.id}</h1>
        <Copy text={props.id} what="the tenant's name" />
        <Show when={tenant.value()}>
          {(declared) => (
            <>
              <Badge title="Its tier">{declared().tier}</Badge>
              <Show when={declared().suspended}>
                <Badge tone="warn">suspended</Badge>
              </Show>
              <Show when={declared().legal_hold}>
                <Badge tone="active">legal hold</Badge>
              </Show>
              <Show when={isOperator()}>
                <Actions id={props.id} tenant={declared()} onDone={refresh} />
              </Show>
            </>
          )}
        </Show>
      </div>
      <Failed of="The tenant could not be read" failure={tenant.failure() ?? readings.failure()} />
      <Show when={tenant.value()} fallback={<Show when={!tenant.failure()}><Waiting /></Show>}>
        {(declared) => (
          <>
            <Show when={readings.value()}>{(seen) => <Tiles readings={seen()} tenant={declared()} />}</Show>
            <Show when={readings.value()}>{(seen) => <Windows readings={seen()} />}</Show>
            <div class="columns uneven">
              <div class="stack">
                <Runs tenant={props.id} />
                <Decisions tenant={props.id} />
              </div>
              <div class="stack">
                <Accounts tenant={props.id} />
                <Limits tenant={props.id} />
                <Context tenant={declared()} />
              </div>
            </div>
          </>
        )}
      </Show>
    </>
  );
}

function Tiles(props: { readings: Readings; tenant: Declared }) {
  const seen = () => props.readings;
  const sla = () => props.tenant.sla;
  return (
    <dl class="tiles">
      <Tile
        name="Slots"
        value={
          <>
            {count(seen().slots)}
            <span class="muted"> / {count(seen().cap)}</span>
          </>
        }
        note={seen().burst_slots > 0 ? `${count(seen().burst_slots)} of them above the cap` : "of its cap"}
        tone={seen().slots >= seen().cap ? "warn" : undefined}
      />
      <Tile name="Wait for a slot" value={count(seen().waiting)} note={debt(seen().debt_us)} />
      <Tile
        name="Live runs"
        value={count(seen().live_runs)}
        note={`${count(seen().completed)} done, ${count(seen().failed)} failed`}
      />
      <Tile
        name="From submission to end"
        value={seen().latency == null ? "–" : micros(seen().latency?.p95_us ?? 0)}
        note={seen().latency == null ? "no run ended in the last minute" : `p95 of the last minute; p50 ${micros(seen().latency?.p50_us ?? 0)}`}
      />
      <Tile
        name="SLA missed"
        value={count(seen().sla_violations)}
        tone={seen().sla_violations > 0 ? "bad" : undefined}
        note={sla() == null ? "no target" : `${percent((sla()?.percentile_permille ?? 0) / 1_000)} within ${millis(sla()?.latency_ms ?? 0)}`}
      />
    </dl>
  );
}

const debt = (us: number): string => (us === 0 ? "no debt" : `${micros(us)} ahead of its share`);

function Actions(props: { id: string; tenant: Declared; onDone: () => Promise<void> }) {
  const [isChanging, setChanging] = createSignal(false);
  const [isSuspending, setSuspending] = createSignal(false);
  const [cap, setCap] = createSignal("");
  const [weight, setWeight] = createSignal("");
  const open = (): void => {
    setCap(String(props.tenant.cap));
    setWeight(String(props.tenant.weight));
    setChanging(true);
  };
  const change = async (): Promise<void> => {
    // What stays as it is may be the tier's, and goes on following it.
    await changeTenant(props.id, {
      ...(Number(cap()) === props.tenant.cap ? {} : { cap: Number(cap()) }),
      ...(Number(weight()) === props.tenant.weight ? {} : { weight: Number(weight()) }),
    });
    await props.onDone();
  };
  const suspend = async (): Promise<void> => {
    await changeTenant(props.id, { suspended: !props.tenant.suspended });
    await props.onDone();
  };
  return (
    <div class="actions">
      <button onClick={open}>Change cap or weight</button>
      <button onClick={() => setSuspending(true)}>{props.tenant.suspended ? "Resume" : "Suspend"}</button>
      <Show when={isChanging()}>
        <Dialog title={`Cap and weight of ${props.id}`} action="Change" onDo={change} onClose={() => setChanging(false)}>
          <Whole id="cap" label="Cap" value={cap()} onInput={setCap} hint="Most slots that it may hold at once, in each pool. It acts at once." />
          <Whole id="weight" label="Weight" value={weight()} onInput={setWeight} hint="Its share against others of its organisation." />
        </Dialog>
      </Show>
      <Show when={isSuspending()}>
        <Dialog
          title={props.tenant.suspended ? `Resume ${props.id}` : `Suspend ${props.id}`}
          action={props.tenant.suspended ? "Resume" : "Suspend"}
          isDanger={!props.tenant.suspended}
          onDo={suspend}
          onClose={() => setSuspending(false)}
        >
          <p>
            {props.tenant.suspended
              ? "Its steps are dispatched again, and its new runs are taken."
              : "Its steps are not dispatched any more, and its new runs are refused, until it is resumed. What workers hold goes on to its end."}
          </p>
        </Dialog>
      </Show>
    </div>
  );
}

function Whole(props: { id: string; label: string; value: string; hint: string; onInput: (value: string) => void }) {
  return (
    <div class="field">
      <label for={props.id}>{props.label}</label>
      <input
        id={props.id}
        type="number"
        min={1}
        max={1_000_000}
        step={1}
        required
        aria-describedby={`${props.id}-hint`}
        value={props.value}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
      <span class="hint" id={`${props.id}-hint`}>
        {props.hint}
      </span>
    </div>
  );
}

function Context(props: { tenant: Declared }) {
  return (
    <Panel title="Context" note={`version ${props.tenant.version}; new runs are pinned to it`}>
      <div class="body">
        <dl class="facts">
          <For each={facts(props.tenant)}>
            {([name, value]) => (
              <>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </>
            )}
          </For>
        </dl>
      </div>
    </Panel>
  );
}

function facts(tenant: Declared): [string, string][] {
  const days = (days: number | null | undefined): string | undefined => (days == null ? undefined : `${count(days)} days`);
  const { burst, data_residency: residency } = tenant;
  const all: [string, string | null | undefined][] = [
    ["Organisation", tenant.org],
    ["Tier", tenant.tier],
    ["Region", tenant.region],
    ["Weight, cap", `${count(tenant.weight)}, ${count(tenant.cap)} slots`],
    ["Burst", burst == null ? undefined : `${count(burst.extra_slots)} slots, ${millis(burst.credit_ms)} of credit`],
    ["Urgent share", percent(tenant.urgent_share_permille / 1_000)],
    ["Runs at once", count(tenant.runs_max)],
    ["Budget class", tenant.budget_class],
    ["Reviewer pool", tenant.reviewer_pool],
    ["Data may be in", residency == null ? "anywhere" : where(residency)],
    ["Allowed tools", tenant.allowed_tools == null ? "all" : tenant.allowed_tools.join(", ") || "none"],
    ["Denied tools", tenant.denied_tools?.join(", ")],
    ["Model tier", tenant.model_tier],
    ["Audit kept", days(tenant.audit_retention_days) ?? "for ever"],
    ["Payloads kept", days(tenant.payload_retention_days) ?? "for ever"],
    ["Reviews kept", days(tenant.review_retention_days)],
    ["Runs kept", days(tenant.run_retention_days)],
    ["Attributes", Object.keys(tenant.attributes ?? {}).length > 0 ? JSON.stringify(tenant.attributes) : undefined],
  ];
  return all.filter((fact): fact is [string, string] => fact[1] != null && fact[1] !== "");
}

function where(residency: object): string {
  return Object.entries(residency)
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") : String(value)}`)
    .join("; ");
}
