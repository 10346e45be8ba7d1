// One play: who held the slots over its time, and every tenant of it.

import { Show, createMemo, createSignal } from "solid-js";

import { count, brief, millis, percent } from "../../format";
import { type Areas, NAMED_MAX, StackedArea } from "../../ui/area";
import { type Column, Grid, type Sort } from "../../ui/grid";
import { Badge, Panel } from "../../ui/parts";
import type { Play, Tenant } from "./report";

interface Row extends Tenant {
  id: string;
}

const number = (id: string, name: string, by: (row: Row) => number, cell: (value: number) => string = count): Column<Row> => ({
  id,
  name,
  by,
  cell: (row) => cell(by(row())),
  isNumber: true,
});

const COLUMNS: readonly Column<Row>[] = [
  { id: "tenant", name: "Tenant", by: (row) => row.id, cell: (row) => row().id },
  number("runs", "Runs", (row) => row.runs),
  number("done", "Done", (row) => row.completed),
  { ...number("failed", "Failed", (row) => row.failed), minor: 1 },
  { ...number("refused", "Refused", (row) => row.refused), minor: 1 },
  number("wait", "Wait p95", (row) => row.wait.p95_us, brief),
  number("p95", "Latency p95", (row) => row.latency.p95_us, brief),
  { ...number("max", "Max", (row) => row.latency.max_us, brief), minor: 1 },
  { ...number("slots", "Most slots", (row) => row.slots_max), minor: 1 },
  {
    ...number("review", "Review p95", (row) => row.reviews?.took.p95_us ?? 0),
    cell: (row) => ((row().reviews?.asked ?? 0) === 0 ? "" : brief(row().reviews?.took.p95_us ?? 0)),
    title: "From asked to decided",
  },
  { ...number("spent", "Spent", (row) => Number(row.spent)), cell: (row) => row().spent },
  {
    id: "sla",
    name: "In time",
    by: (row) => 1 - (row.sla?.in_time ?? 1),
    cell: (row) => (
      <Show when={row().sla}>
        {(sla) => <Badge tone={sla().met ? "good" : "bad"}>{percent(sla().in_time)}</Badge>}
      </Show>
    ),
    isNumber: true,
  },
];

export function OnePlay(props: { play: Play; columnUs: number }) {
  const [sort, setSort] = createSignal<Sort>({ column: "p95", isReversed: false });
  const rows = createMemo(() => Object.entries(props.play.tenants).map(([id, tenant]) => ({ ...tenant, id })));
  // Of reviews nothing is said where nobody was asked.
  const columns = createMemo(() =>
    rows().some((row) => (row.reviews?.asked ?? 0) > 0) ? COLUMNS : COLUMNS.filter((column) => column.id !== "review"),
  );
  const areas = createMemo(() => areasOf(props.play, props.columnUs));
  return (
    <>
      <Panel title="Slots held" note={`${props.play.name}; with a group's name the most that it had, or what is under the pointer`}>
        <div class="body">
          <StackedArea
            data={areas()}
            height={220}
            isClock={false}
            axis={(seconds) => millis(seconds * 1_000)}
            label={`Slots that groups of tenants held over the time of the play ${props.play.name}`}
          />
        </div>
      </Panel>
      <Grid
        label={`Tenants of ${props.play.name}`}
        class="played"
        rows={rows()}
        idOf={(row) => row.id}
        columns={columns()}
        sort={sort()}
        onSort={setSort}
      />
    </>
  );
}

function areasOf(play: Play, columnUs: number): Areas {
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  const columns = Math.max(0, ...play.groups.map((group) => group.slots.length));
  const sorted = [...play.groups].sort((one, other) => sum(other.slots) - sum(one.slots));
  const named = sorted.slice(0, NAMED_MAX).map((group) => ({ name: group.name, values: group.slots }));
  const rest = sorted.slice(NAMED_MAX);
  const times = Array.from({ length: columns }, (_, column) => (column * columnUs) / 1e6);
  const others = times.map((_, column) => sum(rest.map((group) => group.slots[column] ?? 0)));
  return { times, areas: rest.length > 0 ? [...named, { name: "all others", values: others, isRest: true }] : named };
}
