// Areas over time, one upon the other: what several have of something that they share.

import { A } from "@solidjs/router";
import { For, Show, createEffect, createMemo, createSignal, on, onCleanup } from "solid-js";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { colour, isDark } from "./theme";

const SERIES_MAX = 8;
export const NAMED_MAX = SERIES_MAX;
const REST = "--series-rest";
/// A plot that begins does not stretch two points over its width.
const SPAN_MIN_S = 60;
/// Slots are whole.
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
/// Tops of an axis, in tenths of a power of ten.
const TOPS = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100];
/// Lengths of time that are round to people.
const ROUND_S = [0.001, 0.01, 0.1, 1, 5, 10, 30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 604_800];

export interface Area {
  name: string;
  values: readonly number[];
  /// What is left when the others are named.
  isRest?: boolean;
}

export interface Areas {
  /// In seconds: since 1970, or since anything else if `isClock` is false.
  times: readonly number[];
  areas: readonly Area[];
}

export function StackedArea(props: {
  data: Areas;
  height: number;
  label: string;
  isClock: boolean;
  /// What the axis reaches at least.
  top?: number | undefined;
  axis?: (seconds: number) => string;
  /// Where a name in the legend leads to.
  link?: (name: string) => string;
  /// What is said where nothing was ever held.
  nothing?: string;
  value?: (value: number) => string;
}) {
  let host!: HTMLDivElement;
  const [at, setAt] = createSignal<number>();
  const slots = new Map<string, number>();
  const names = createMemo(() => props.data.areas.map((area) => area.name), [], {
    equals: (one, other) => one.length === other.length && one.every((name, index) => name === other[index]),
  });
  const property = (area: { name: string; isRest?: boolean }): string =>
    area.isRest ? REST : `--series-${slot(slots, names(), area.name)}`;

  createEffect(
    on([names, isDark], () => {
      const areas = props.data.areas.map((area) => ({ ...area, colour: colour(property(area)) }));
      const options = plotOptions(areas, {
        width: host.clientWidth,
        height: props.height,
        isClock: props.isClock,
        top: () => props.top ?? 0,
        axis: props.axis,
        onCursor: setAt,
      });
      const plot = new uPlot(options, stacked(props.data), host);
      createEffect(on(() => props.data, (data) => {
        if (data.areas.length === areas.length) {
          plot.setData(stacked(data));
        }
      }, { defer: true }));
      const resized = new ResizeObserver(() => plot.setSize({ width: host.clientWidth, height: props.height }));
      resized.observe(host);
      onCleanup(() => {
        resized.disconnect();
        plot.destroy();
      });
    }),
  );

  const shown = (area: Area): string => {
    // What has ended has no value now: without a pointer there is the most that it had.
    const last = props.isClock ? props.data.times.length - 1 : area.values.indexOf(Math.max(...area.values));
    const index = at() ?? last;
    const value = area.values[index] ?? 0;
    return props.value?.(value) ?? String(Math.round(value * 10) / 10);
  };
  return (
    <div class="plot">
      <div ref={host} role="img" aria-label={props.label} />
      <ul class="legend">
        <For each={names()}>
          {(name, index) => {
            const area = () => props.data.areas[index()];
            return (
              <li>
                <span class="key" style={{ background: `var(${property(area() ?? { name })})` }} />
                <Show when={area()?.isRest === true ? undefined : props.link?.(name)} fallback={<span>{name}</span>}>
                  {(link) => <A href={link()}>{name}</A>}
                </Show>
                <span class="value">{area() === undefined ? "" : shown(area() as Area)}</span>
              </li>
            );
          }}
        </For>
        <Show when={names().length === 0}>
          <li class="muted">{props.nothing}</li>
        </Show>
      </ul>
    </div>
  );
}

/// A colour stays with its name as long as that is shown: a change of ranks repaints nothing.
function slot(slots: Map<string, number>, names: readonly string[], name: string): number {
  const known = slots.get(name);
  if (known !== undefined) {
    return known;
  }
  for (const gone of [...slots.keys()].filter((other) => !names.includes(other))) {
    slots.delete(gone);
  }
  const taken = new Set(slots.values());
  let free = 1;
  while (taken.has(free) && free < SERIES_MAX) {
    free += 1;
  }
  slots.set(name, free);
  return free;
}

/// Each area's upper edge. uPlot draws the first one last, so that it is the sum of all.
function stacked({ times, areas }: Areas): uPlot.AlignedData {
  const sums = new Array<number>(times.length).fill(0);
  const edges = [...areas].map((area) => area.values.map((value, index) => (sums[index] = (sums[index] ?? 0) + value)));
  return [times as number[], ...edges.reverse()];
}

/// The next round number, so that the axis does not move with each look.
function round(most: number): number {
  if (most <= 4) {
    return 4;
  }
  const unit = 10 ** Math.floor(Math.log10(most)) / 10;
  return (TOPS.find((top) => top * unit >= most) ?? 100) * unit;
}

interface Shape {
  width: number;
  height: number;
  isClock: boolean;
  top: () => number;
  axis: ((seconds: number) => string) | undefined;
  onCursor: (index: number | undefined) => void;
}

function plotOptions(areas: readonly (Area & { colour: string })[], shape: Shape): uPlot.Options {
  const [line, muted, surface] = [colour("--line"), colour("--muted"), colour("--surface")];
  const stepped = uPlot.paths.stepped?.({ align: 1 }) as uPlot.Series.PathBuilder;
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: muted, font, ticks: { show: false } };
  const { axis: written } = shape;
  return {
    width: shape.width,
    height: shape.height,
    padding: [8, 24, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: {
      x: { time: shape.isClock, range: (_, min, max) => [shape.isClock ? Math.min(min, max - SPAN_MIN_S) : min, max] },
      y: { range: (_, __, max) => [0, round(Math.max(shape.top(), max))] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        gap: 6,
        ...(written === undefined ? {} : { values: (_, splits) => splits.map(written) }),
        ...(shape.isClock ? { values: clockTicks() } : { incrs: ROUND_S, space: 90 }),
      },
      { ...axis, grid: { stroke: line, width: 1 }, size: 40, gap: 6, incrs: WHOLE },
    ],
    series: [
      {},
      ...[...areas].reverse().map((area) => ({
        stroke: surface,
        fill: area.colour,
        width: 1,
        // Between two looks nothing is known: what was seen stands until the next one.
        paths: stepped,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [(plot) => shape.onCursor(plot.cursor.idx ?? undefined)] },
  };
}

function clockTicks(): uPlot.Axis.DynamicValues {
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return (_, splits) => splits.map((split) => clock.format(new Date(split * 1_000)));
}
