// A table of any length: only the rows that are seen exist. It is operated by the arrow keys like a list, sorted by
// its heads, and read aloud as a grid.

import { type Accessor, For, Index, createEffect, createMemo, createSignal, on, onCleanup, onMount } from "solid-js";
import type { JSX } from "solid-js";

export interface Column<T> {
  id: string;
  name: string;
  /// What it is sorted by. Numbers come largest first, texts from a to z.
  by: (row: T) => number | string;
  /// Made once for each place; what stands there changes with the row.
  cell: (row: Accessor<T>) => JSX.Element;
  isNumber?: boolean;
  /// Left out where there is no room.
  isMinor?: boolean;
  title?: string;
}

export interface Sort {
  column: string;
  isReversed: boolean;
}

const ROW_PX = 30;
/// Rows beyond the edges, so that quick scrolling shows no gap.
const BEYOND = 6;

export function Grid<T>(props: {
  label: string;
  rows: readonly T[];
  idOf: (row: T) => string;
  columns: readonly Column<T>[];
  sort: Sort;
  onSort: (sort: Sort) => void;
  onOpen?: (row: T) => void;
  /// Told of the rows that exist, whenever they are others.
  onShown?: (rows: readonly T[]) => void;
  /// Widths of the columns, as a class of pages.css.
  class: string;
}) {
  let box!: HTMLDivElement;
  const [top, setTop] = createSignal(0);
  const [height, setHeight] = createSignal(600);
  const [active, setActive] = createSignal<string>();

  const sorted = createMemo(() => sortedBy(props.rows, props.columns, props.sort, props.idOf));
  const first = createMemo(() => Math.max(0, Math.floor(top() / ROW_PX) - BEYOND));
  const shown = createMemo(() => {
    const most = Math.ceil(height() / ROW_PX) + 2 * BEYOND;
    return sorted().slice(first(), first() + most);
  });
  const activeAt = createMemo(() => {
    const id = active();
    return id === undefined ? -1 : sorted().findIndex((row) => props.idOf(row) === id);
  });

  onMount(() => {
    const resized = new ResizeObserver(() => setHeight(box.clientHeight));
    resized.observe(box);
    onCleanup(() => resized.disconnect());
  });
  createEffect(() => props.onShown?.(shown()));
  // Another order is read from its beginning.
  createEffect(on(() => [props.sort.column, props.sort.isReversed], () => (box.scrollTop = 0), { defer: true }));

  const move = (to: number): void => {
    const at = Math.max(0, Math.min(sorted().length - 1, to));
    const row = sorted()[at];
    if (row === undefined) {
      return;
    }
    setActive(props.idOf(row));
    const head = ROW_PX;
    if (at * ROW_PX < box.scrollTop) {
      box.scrollTop = at * ROW_PX;
    } else if ((at + 1) * ROW_PX + head > box.scrollTop + box.clientHeight) {
      box.scrollTop = (at + 1) * ROW_PX + head - box.clientHeight;
    }
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.target !== box) {
      return;
    }
    const page = Math.max(1, Math.floor(height() / ROW_PX) - 2);
    const at = activeAt();
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: sorted().length - 1,
    };
    const to = steps[event.key];
    const row = sorted()[at];
    if (to !== undefined) {
      move(to);
    } else if (event.key === "Enter" && row !== undefined) {
      props.onOpen?.(row);
    } else {
      return;
    }
    event.preventDefault();
  };
  return (
    <div
      class={`grid ${props.class}`}
      role="grid"
      aria-label={props.label}
      aria-rowcount={sorted().length + 1}
      aria-activedescendant={activeAt() < 0 ? undefined : rowId(activeAt())}
      tabIndex={0}
      ref={box}
      onKeyDown={onKey}
      onScroll={() => setTop(box.scrollTop)}
    >
      <div class="grid-row head" role="row" aria-rowindex={1}>
        <For each={props.columns}>
          {(column) => <Head column={column} sort={props.sort} onSort={props.onSort} />}
        </For>
      </div>
      <div class="grid-space" role="presentation" style={{ height: `${sorted().length * ROW_PX}px` }}>
        <div class="grid-shown" role="presentation" style={{ transform: `translateY(${first() * ROW_PX}px)` }}>
          <Index each={shown()}>
            {(row, index) => (
              <div
                class="grid-row"
                role="row"
                id={rowId(first() + index)}
                aria-rowindex={first() + index + 2}
                aria-selected={first() + index === activeAt()}
                onClick={() => (setActive(props.idOf(row())), props.onOpen?.(row()))}
              >
                <For each={props.columns}>
                  {(column) => (
                    <div role="gridcell" class={classOf(column)}>
                      {column.cell(row)}
                    </div>
                  )}
                </For>
              </div>
            )}
          </Index>
        </div>
      </div>
    </div>
  );
}

function Head<T>(props: { column: Column<T>; sort: Sort; onSort: (sort: Sort) => void }) {
  const isSorted = (): boolean => props.sort.column === props.column.id;
  // Numbers come largest first, unless reversed.
  const isAscending = (): boolean => (props.column.isNumber ?? false) === props.sort.isReversed;
  const onSort = (): void =>
    props.onSort({ column: props.column.id, isReversed: isSorted() && !props.sort.isReversed });
  return (
    <div
      role="columnheader"
      class={classOf(props.column)}
      aria-sort={isSorted() ? (isAscending() ? "ascending" : "descending") : "none"}
    >
      <button class="sort" title={props.column.title} onClick={onSort}>
        {props.column.name}
        <span aria-hidden="true">{isSorted() ? (isAscending() ? " ↑" : " ↓") : ""}</span>
      </button>
    </div>
  );
}

const rowId = (at: number): string => `row-${at}`;

function classOf<T>(column: Column<T>): string {
  return `${column.isNumber ? "number" : ""} ${column.isMinor ? "minor" : ""}`;
}

function sortedBy<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  sort: Sort,
  idOf: (row: T) => string,
): readonly T[] {
  const column = columns.find((column) => column.id === sort.column) ?? columns[0];
  if (column === undefined) {
    return rows;
  }
  // Read once for each row: a comparison is made a dozen times as often.
  const keyed = rows.map((row) => ({ row, by: column.by(row), id: idOf(row) }));
  const turn = sort.isReversed ? -1 : 1;
  keyed.sort((one, other) => {
    const order = compare(one.by, other.by) * turn;
    return order !== 0 ? order : compare(one.id, other.id);
  });
  return keyed.map(({ row }) => row);
}

/// Plain order of code points: it is much quicker than that of a language, and ids have none.
function compare(one: number | string, other: number | string): number {
  if (typeof one === "number" && typeof other === "number") {
    return other - one;
  }
  return one < other ? -1 : one > other ? 1 : 0;
}
