// All tenants, to be searched and sorted.

import { useNavigate, useSearchParams } from "@solidjs/router";
import { For, Show, createMemo, createSignal, onCleanup, onMount } from "solid-js";

import type { Readings, Wellness } from "../api/schema";
import { brief, count, percent } from "../format";
import { allTenants } from "../live/tenants";
import { type Column, Grid, type Sort } from "../ui/grid";
import { Badge, Empty, Failed, Meter, Waiting } from "../ui/parts";
import { Well } from "../ui/status";

const SEVERITY: Record<Wellness, number> = { broken: 2, degrading: 1, healthy: 0 };

const COLUMNS: readonly Column<Readings>[] = [
  {
    id: "tenant",
    name: "Tenant",
    by: (row) => row.tenant,
    cell: (row) => (
      <span class="link" title={row().tenant}>
        {row().tenant}
      </span>
    ),
  },
  {
    id: "state",
    name: "State",
    by: (row) => SEVERITY[row.diagnosis?.state ?? "healthy"],
    cell: (row) => (
      <Show when={!row().suspended} fallback={<Badge tone="warn">suspended</Badge>}>
        <Show when={row().diagnosis}>
          {(diagnosis) => (
            <span title={diagnosis().says}>
              <Well of={diagnosis().state} />
            </span>
          )}
        </Show>
      </Show>
    ),
    title: "Whether it is slow now; those that are not well come first",
  },
  { id: "tier", name: "Tier", by: (row) => row.tier, cell: (row) => row().tier, minor: 1 },
  { id: "org", name: "Org", by: (row) => row.org, cell: (row) => <span class="muted">{row().org}</span>, minor: 1 },
  { id: "waiting", name: "Waiting", by: (row) => row.waiting, cell: (row) => count(row().waiting), isNumber: true, title: "Steps that are ready and wait for a slot" },
  {
    id: "slots",
    name: "Slots of its cap",
    by: (row) => row.slots,
    title: "Slots that it holds now, of the most that it may hold at once",
    cell: (row) => (
      <Meter used={row().slots} of={row().cap} label={`slots of ${row().tenant}`}>
        <span class="of">
          {count(row().slots)}
          <span class="muted"> / {count(row().cap)}</span>
        </span>
      </Meter>
    ),
  },
  { id: "cap", name: "Cap", by: (row) => row.cap, cell: (row) => count(row().cap), isNumber: true, minor: 2, title: "Most slots that it may hold at once, in each pool" },
  { id: "wait", name: "Wait p95", by: (row) => row.queue_wait?.p95_us ?? 0, cell: (row) => (row().queue_wait == null ? "" : brief(row().queue_wait?.p95_us ?? 0)), isNumber: true, title: "Of its steps, from ready to dispatched, in the last minute" },
  {
    id: "share",
    name: "Share",
    by: (row) => -(row.share_permille ?? 1_000_000),
    cell: (row) => <Part of={row().share_permille} isBad={(part) => part < 800} />,
    isNumber: true,
    title: "Slot time that it had, of what it was entitled to, while it wanted more than it had; those that had least come first",
  },
  {
    id: "budget",
    name: "Budget",
    by: (row) => row.budget_used_permille ?? -1,
    cell: (row) => <Part of={row().budget_used_permille} isBad={(part) => part >= 1_000} />,
    isNumber: true,
    title: "Spent or held of its budget of the day or the month, whichever is used up further",
  },
  { id: "debt", name: "Debt", by: (row) => row.debt_us, cell: (row) => zero(row().debt_us), isNumber: true, title: "Slot time had ahead of its share" },
  { id: "p95", name: "Run p95", by: (row) => row.latency?.p95_us ?? 0, cell: (row) => (row().latency == null ? "" : brief(row().latency?.p95_us ?? 0)), isNumber: true, minor: 2, title: "From submission to the end of a run, in the last minute" },
  { id: "live", name: "Live runs", by: (row) => row.live_runs, cell: (row) => count(row().live_runs), isNumber: true, minor: 2, title: "Runs that have not ended" },
  { id: "sla", name: "SLA missed", by: (row) => row.sla_violations, cell: (row) => <Count of={row().sla_violations} />, isNumber: true, title: "Runs that ended later than its target, since the server began" },
];

export function Tenants() {
  const [asked, ask] = useSearchParams<{ q?: string; sort?: string; reversed?: string }>();
  const navigate = useNavigate();
  const [shown, setShown] = createSignal<readonly string[]>([]);
  const { value, failure } = allTenants(shown);
  let search!: HTMLInputElement;
  const sort = createMemo<Sort>(() => ({ column: asked.sort ?? "waiting", isReversed: asked.reversed === "1" }));
  const only = createMemo(() => matching(asked.q ?? ""));
  const found = createMemo(() => {
    const [rows, is] = [value() ?? [], only()];
    return is === undefined ? rows.length : rows.reduce((sum, row) => sum + (is(row) ? 1 : 0), 0);
  });
  onMount(() => (document.title = "Tenants · Fairlane"));

  // As in most tools of this kind, `/` is where one types.
  const onKey = (event: KeyboardEvent): void => {
    const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  };
  addEventListener("keydown", onKey);
  // From what was found one goes on into the list.
  const toList = (event: KeyboardEvent): void => {
    const grid = document.querySelector<HTMLElement>(".grid");
    if (grid !== null && (event.key === "ArrowDown" || event.key === "Enter")) {
      event.preventDefault();
      grid.focus();
      grid.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    }
  };
  onCleanup(() => removeEventListener("keydown", onKey));
  return (
    <>
      <div class="head">
        <h1>Tenants</h1>
        <span class="muted" role="note">
          {value() === undefined ? "" : only() === undefined ? count(found()) : `${count(found())} of ${count(value()?.length ?? 0)}`}
        </span>
        <div class="actions">
          <label class="hidden-visually" for="search">
            Search tenants
          </label>
          <input
            id="search"
            type="search"
            class="search"
            placeholder="Tenant, org or tier     /"
            ref={search}
            value={asked.q ?? ""}
            onInput={(event) => ask({ q: event.currentTarget.value || null }, { replace: true })}
            onKeyDown={toList}
          />
          <Columns />
        </div>
      </div>
      <Failed of="Tenants could not be read" failure={failure()} />
      <Show when={value()} fallback={<Show when={!failure()}><Waiting /></Show>}>
        <Show
          when={found() > 0}
          fallback={
            <section class="panel">
              <Show
                when={value()?.length === 0}
                fallback={<Empty>No tenant has "{asked.q}" in its name, its organisation or its tier.</Empty>}
              >
                <Empty command="fairlane tenant put bank-001 --org group-1 --tier standard">
                  Tenants stand here as soon as one is declared.
                </Empty>
              </Show>
            </section>
          }
        >
          <Grid
            label="Tenants"
            class="tenants"
            rows={value() ?? []}
            only={only()}
            idOf={(row) => row.tenant}
            columns={COLUMNS}
            sort={sort()}
            onSort={({ column, isReversed }) => ask({ sort: column, reversed: isReversed ? "1" : null }, { replace: true })}
            onShown={(rows) => setShown(rows.map((row) => row.tenant))}
            onOpen={(row) => navigate(`/tenants/${row.tenant}`)}
          />
        </Show>
      </Show>
    </>
  );
}

/// What stands in the columns, for whoever has no pointer to hold over their heads.
function Columns() {
  let details!: HTMLDetailsElement;
  const close = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && details.open) {
      details.open = false;
      details.querySelector("summary")?.focus();
    }
  };
  return (
    <details class="help" ref={details} onKeyDown={close}>
      <summary>Columns</summary>
      <dl class="facts">
        <For each={COLUMNS.filter((column) => column.title !== undefined)}>
          {(column) => (
            <>
              <dt>{column.name}</dt>
              <dd>{column.title}</dd>
            </>
          )}
        </For>
      </dl>
    </details>
  );
}

/// Nothing if all are meant.
function matching(text: string): ((row: Readings) => boolean) | undefined {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") {
    return undefined;
  }
  return (row) => row.tenant.includes(wanted) || row.org.includes(wanted) || row.tier.includes(wanted);
}

function Count(props: { of: number }) {
  return <span class={props.of > 0 ? "bad" : "muted"}>{count(props.of)}</span>;
}

/// Thousandths, if there are any.
function Part(props: { of: number | null | undefined; isBad: (permille: number) => boolean }) {
  return (
    <Show when={props.of ?? undefined} keyed fallback={<span class="muted">{props.of === 0 ? "0 %" : ""}</span>}>
      {(part) => <span class={props.isBad(part) ? "bad" : ""}>{percent(part / 1_000)}</span>}
    </Show>
  );
}

function zero(us: number) {
  return us === 0 ? <span class="muted">0</span> : brief(us);
}
