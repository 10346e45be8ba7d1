// The small parts that pages are made of.

import { For, type JSX, Show, createUniqueId } from "solid-js";

import type { Failure } from "../api/client";
import { millis } from "../format";
import { now } from "../live/clock";
import { answered } from "../live/health";

export type Tone = "good" | "warn" | "bad" | "active" | "calm";

export function Panel(props: { title: string; note?: JSX.Element; actions?: JSX.Element; children: JSX.Element }) {
  const id = createUniqueId();
  return (
    <section class="panel" aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        <Show when={props.note}>
          <span class="muted small">{props.note}</span>
        </Show>
        <Show when={props.actions}>
          <div class="actions">{props.actions}</div>
        </Show>
      </header>
      {props.children}
    </section>
  );
}

export function Tile(props: { name: string; value: JSX.Element; note?: JSX.Element; tone?: Tone | undefined; title?: string }) {
  return (
    <div class="tile" title={props.title}>
      <dt>{props.name}</dt>
      <dd class={props.tone ?? "calm"}>{props.value}</dd>
      <dd class="note">{props.note}</dd>
    </div>
  );
}

/// Without a tone it is a name, and not a state.
export function Badge(props: { tone?: Tone; children: JSX.Element; title?: string }) {
  return (
    <span class={`badge ${props.tone ?? "plain"}`} title={props.title}>
      {props.children}
    </span>
  );
}

/// How much is used of what there is. `held` is what is set aside besides.
export function Meter(props: { used: number; of: number; held?: number; label: string; children?: JSX.Element }) {
  const part = (value: number): string => {
    const of = Math.max(props.of, 1e-9);
    return `${Math.min(100, Math.max(0, (value / of) * 100)).toFixed(2)}%`;
  };
  const all = (): number => props.used + (props.held ?? 0);
  return (
    <div class="meter">
      <div
        class="track"
        role="meter"
        aria-label={props.label}
        aria-valuemin={0}
        aria-valuemax={props.of}
        aria-valuenow={Math.min(props.used, props.of)}
      >
        <div class="fill held" style={{ width: part(all()) }} />
        <div class="fill" classList={{ full: props.used >= props.of }} style={{ width: part(props.used) }} />
      </div>
      {props.children}
    </div>
  );
}

/// A sentence of the server, in which names stand between backticks. A line does not end between a number and its sign.
export function Sentence(props: { children: string }) {
  return <For each={props.children.replaceAll(" %", "\u00a0%").split("`")}>{(part, at) => (at() % 2 === 0 ? part : <code>{part}</code>)}</For>;
}

/// What would be here, and what makes it.
export function Empty(props: { children: JSX.Element; command?: string }) {
  return (
    <div class="empty">
      <p>{props.children}</p>
      <Show when={props.command}>
        <p>
          <code>{props.command}</code>
        </p>
      </Show>
    </div>
  );
}

/// What failed. What was read before stays on the page.
export function Failed(props: { of: string; failure: Failure | undefined; isTried?: boolean }) {
  return (
    <Show when={props.failure}>
      {(failure) => (
        <div class="failure" role="alert">
          <span>
            {props.of}: <Sentence>{failure().message}</Sentence>
          </span>
          <Show when={(props.isTried ?? true) && failure().status !== 404}>
            <span>
              It is tried again.
              <Show when={failure().status === 0 && answered()}>
                {(at) => <> What is shown is from {millis(Math.max(1_000, now() - at()))} ago.</>}
              </Show>
            </span>
          </Show>
        </div>
      )}
    </Show>
  );
}

/// While the first answer is on its way.
export function Waiting() {
  return (
    <div class="empty" aria-busy="true">
      <p>Reading …</p>
    </div>
  );
}
