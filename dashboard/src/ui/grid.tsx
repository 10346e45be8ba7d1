// A table of any length: only the rows that are seen exist. It is operated by the arrow keys like a list, sorted by
// its heads, and read aloud as a grid. While somebody moves in it the order stays: what is pointed at does not slip
// away, and only numbers change.

import { type Accessor, For, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount, untrack } from "solid-js";
import type { JSX } from "solid-js";

export interface Column<T> {
  id: string;
  name: string;
  /// What it is sorted by. Numbers come largest first, texts from a to z.
  by: (row: T) => number | string;
  /// Made once for each place; what stands there changes with the row.
  cell: (row: Accessor<T>) => JSX.Element;
  isNumber?: boolean;
  /// Left out where there is no room: 1 sooner than 2.
  minor?: 1 | 2;
  /// What stands in it, in a sentence.
  title?: string;
}

export interface Sort {
  column: string;
  isReversed: boolean;
}

const ROW_PX = 30;
/// Rows beyond the edges, so that quick scrolling shows no gap.
const BEYOND = 6;
/// So long after the last movement rows are put in order again.
const STILL_MS = 2_500;

/// Where in a list somebody was who comes back to it, by its label.
const left = new Map<string, { active: string | undefined; top: number }>();

export function Grid<T>(props: {
  label: string;
  rows: readonly T[];
  /// Those that are shown. All are put in order, so that another choice among them needs no sorting.
  only?: ((row: T) => boolean) | undefined;
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
  const before = left.get(props.label);
  const [active, setActive] = createSignal<string | undefined>(before?.active);
  const { isHeld, hold } = holding();

  const order = createMemo<Order<T> | undefined>((kept) => ordered(kept, isHeld(), props));
  const sorted = createMemo(() => {
    const [rows, only] = [order()?.rows ?? [], props.only];
    return only === undefined ? rows : rows.filter(only);
  });
  // Those that exist take the places that are seen by turns: of rows that stay in sight nothing is touched, and none is
  // made while the list moves.
  const many = createMemo(() => Math.min(sorted().length, Math.ceil(height() / ROW_PX) + 2 * BEYOND));
  const first = createMemo(() => Math.max(0, Math.min(Math.floor(top() / ROW_PX) - BEYOND, sorted().length - many())));
  const turns = createMemo(() => Array.from({ length: many() }, (_, turn) => turn));
  const placeOf = (turn: number): number => first() + ((((turn - first()) % many()) + many()) % many());
  const major = (): number => props.columns.filter((column) => column.minor === undefined).length;
  const activeAt = createMemo(() => {
    const id = active();
    return id === undefined ? -1 : sorted().findIndex((row) => props.idOf(row) === id);
  });

  onMount(() => {
    const resized = new ResizeObserver(() => setHeight(box.clientHeight));
    resized.observe(box);
    onCleanup(() => resized.disconnect());
    box.scrollTop = before?.top ?? 0;
  });
  onCleanup(() => left.set(props.label, { active: active(), top: top() }));
  createEffect(() => props.onShown?.(sorted().slice(first(), first() + many())));
  // The browser lays everything out before it moves: it is asked only where that is needed, and before rows change.
  const scroll = (to: number): void => {
    box.scrollTop = to;
    setTop(to);
  };
  // Another order or choice is read from its beginning.
  const course = createMemo(() => [props.sort.column, props.sort.isReversed, props.only] as const, undefined, {
    equals: (one, other) => one.every((part, index) => part === other[index]),
  });
  createEffect(on(course, () => untrack(top) > 0 && scroll(0), { defer: true }));

  const move = (to: number): void => {
    const at = Math.max(0, Math.min(sorted().length - 1, to));
    const row = sorted()[at];
    if (row === undefined) {
      return;
    }
    hold();
    const [above, below] = [at * ROW_PX, (at + 2) * ROW_PX - height()];
    if (above < top()) {
      scroll(above);
    } else if (below > top()) {
      scroll(below);
    }
    setActive(props.idOf(row));
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
      style={{ "--rows": sorted().length, "--all": props.columns.length - 1, "--major": major() - 1 }}
      onKeyDown={onKey}
      onPointerMove={hold}
      onScroll={() => (hold(), setTop(box.scrollTop))}
    >
      <div class="grid-row head" role="row" aria-rowindex={1}>
        <For each={props.columns}>
          {(column) => <Head column={column} sort={props.sort} onSort={props.onSort} />}
        </For>
      </div>
      <div class="grid-space" role="presentation" style={{ height: `${sorted().length * ROW_PX}px` }}>
        <For each={turns()}>
          {(turn) => {
            const at = createMemo(() => placeOf(turn));
            const row = createMemo<T>((kept) => sorted()[at()] ?? (kept as T));
            return (
              <div
                class="grid-row shown"
                role="row"
                id={rowId(at())}
                aria-rowindex={at() + 2}
                aria-selected={at() === activeAt()}
                style={{ transform: `translateY(${at() * ROW_PX}px)` }}
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
            );
          }}
        </For>
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
  const arrow = () => (
    <span class="arrow" aria-hidden="true">
      {isSorted() ? (isAscending() ? "↑" : "↓") : ""}
    </span>
  );
  return (
    <div
      role="columnheader"
      class={classOf(props.column)}
      aria-sort={isSorted() ? (isAscending() ? "ascending" : "descending") : "none"}
    >
      <button class="sort" title={props.column.title} onClick={onSort}>
        <Show when={props.column.isNumber}>{arrow()}</Show>
        {props.column.name}
        <Show when={!props.column.isNumber}>{arrow()}</Show>
      </button>
    </div>
  );
}

const rowId = (at: number): string => `row-${at}`;

function classOf<T>(column: Column<T>): string {
  return `${column.isNumber ? "number" : ""} ${column.minor === undefined ? "" : `minor-${column.minor}`}`;
}

/// Whether somebody moves in the list: `isHeld` is read anew when that has ended, and not when it begins.
function holding(): { isHeld: () => boolean; hold: () => void } {
  const [ended, end] = createSignal(undefined, { equals: false });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const release = (): void => {
    timer = undefined;
    end();
  };
  onCleanup(() => clearTimeout(timer));
  return {
    isHeld: () => (ended(), timer !== undefined),
    hold: () => {
      clearTimeout(timer);
      timer = setTimeout(release, STILL_MS);
    },
  };
}

interface Order<T> {
  rows: readonly T[];
  sort: Sort;
  /// The place of each row when it was last sorted, by its id. Made when it is first needed.
  places?: Map<string, number>;
}

interface Sortable<T> {
  rows: readonly T[];
  columns: readonly Column<T>[];
  sort: Sort;
  idOf: (row: T) => string;
}

/// The rows in the order that is asked for, or, while that is held, in the one that they had.
function ordered<T>(kept: Order<T> | undefined, isHeld: boolean, { rows, columns, sort, idOf }: Sortable<T>): Order<T> {
  const isSame = kept?.sort.column === sort.column && kept.sort.isReversed === sort.isReversed;
  const placed = kept !== undefined && isSame && isHeld ? inPlaces(kept, rows, idOf) : undefined;
  return placed ?? { rows: sortedBy(rows, columns, sort, idOf), sort };
}

/// Nothing if one of them had no place.
function inPlaces<T>(kept: Order<T>, rows: readonly T[], idOf: (row: T) => string): Order<T> | undefined {
  const places = kept.places ?? new Map(kept.rows.map((row, at) => [idOf(row), at]));
  const placed: T[] = [];
  for (const row of rows) {
    const at = places.get(idOf(row));
    if (at === undefined) {
      return undefined;
    }
    placed[at] = row;
  }
  // Those that are gone leave gaps, which `filter` passes over.
  return { ...kept, places, rows: placed.filter(() => true) };
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
