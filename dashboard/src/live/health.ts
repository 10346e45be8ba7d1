// Whether the server answers, over all that is read: one light at the top of the page.

import { createSignal } from "solid-js";

import type { Failure } from "../api/client";

export type Health = "connecting" | "live" | "failing";

const [health, setHealth] = createSignal<Health>("connecting");
const [readers, setReaders] = createSignal(0);

/// `undefined` where a page reads nothing, and nothing is known.
export const light = (): Health | undefined => (readers() === 0 ? undefined : health());

const [answered, setAnswered] = createSignal<number>();

/// When the server answered last, in milliseconds.
export { answered };

/// Told after each reading. A refusal of the server is an answer.
export function said(failure: Failure | undefined): void {
  const isAnswer = failure === undefined || (failure.status > 0 && failure.status < 500);
  if (isAnswer) {
    setAnswered(Date.now());
  }
  setHealth(isAnswer ? "live" : "failing");
}

/// Told when something begins to be read again and again; what it gives ends it.
export function reading(): () => void {
  setReaders((readers) => readers + 1);
  return () => setReaders((readers) => readers - 1);
}
