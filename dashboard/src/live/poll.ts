// Reads something again and again while it is shown: each second, not while the tab is hidden, and more slowly while
// it fails.

import { type Accessor, batch, createSignal, onCleanup, untrack } from "solid-js";
import { createStore, reconcile } from "solid-js/store";

import { Failure } from "../api/client";
import { signOut } from "../session";
import { reading, said } from "./health";

export const EVERY_MS = 1_000;
/// A server that does not answer is asked again after so long at most.
const FAILING_MS_MAX = 8_000;

export interface Poll<T> {
  /// What was read last; it stays while reading fails.
  value: Accessor<T | undefined>;
  /// Why it could not be read the last time.
  failure: Accessor<Failure | undefined>;
  /// Reads at once, after something was done. Ends when that has been read.
  refresh: () => Promise<void>;
}

export interface Options<T> {
  /// Time from the end of one reading to the next.
  everyMs?: Accessor<number>;
  /// Called with what was read, before it is shown.
  onRead?: (value: T) => void;
  /// Whatever is read takes the place of what was read before, as a whole: for lists so long that comparing them would
  /// take longer than showing what of them is seen.
  isWhole?: boolean;
  /// Once it says so of what was read, it is read no more but on request.
  isFinal?: (value: T) => boolean;
}

/// Must be called where a page is made; it ends with the page.
export function poll<T>(read: (signal: AbortSignal) => Promise<T>, options: Options<T> = {}): Poll<T> {
  const [kept, keep] = options.isWhole === true ? asAWhole<T>() : asParts<T>();
  const [failure, setFailure] = createSignal<Failure>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let underway: AbortController | undefined;
  let failures = 0;
  let isFinal = false;
  const everyMs = options.everyMs ?? (() => EVERY_MS);

  const once = async (): Promise<void> => {
    clearTimeout(timer);
    underway?.abort();
    const current = new AbortController();
    underway = current;
    try {
      const value = await read(current.signal);
      if (current.signal.aborted) {
        return;
      }
      failures = 0;
      said(undefined);
      isFinal = options.isFinal?.(value) ?? false;
      batch(() => {
        options.onRead?.(value);
        keep(value);
        setFailure(undefined);
      });
    } catch (error) {
      if (current.signal.aborted) {
        return;
      }
      failures += 1;
      const found = error instanceof Failure ? error : new Failure(String(error), 0);
      said(found);
      if (found.isUnknownKey) {
        signOut("The key is not valid any more.");
      }
      setFailure(found);
    }
    if (!current.signal.aborted && !isFinal && document.visibilityState === "visible") {
      const waitMs = failures === 0 ? everyMs() : Math.min(EVERY_MS * 2 ** (failures - 1), FAILING_MS_MAX);
      timer = setTimeout(once, waitMs);
    }
  };

  const onVisible = (): void => {
    clearTimeout(timer);
    if (document.visibilityState === "visible" && !isFinal) {
      void once();
    }
  };
  document.addEventListener("visibilitychange", onVisible);
  const ended = reading();
  onCleanup(() => {
    ended();
    document.removeEventListener("visibilitychange", onVisible);
    clearTimeout(timer);
    underway?.abort();
  });
  // What is read meanwhile is no reason to make the page anew.
  untrack(() => void once());
  return { value: kept, failure, refresh: once };
}

type Kept<T> = [Accessor<T | undefined>, (value: T) => void];

function asAWhole<T>(): Kept<T> {
  const [value, setValue] = createSignal<T>();
  return [value, (read) => setValue(() => read)];
}

/// Only what is other changes on the page: what has the keyboard keeps it, what is selected stays selected. Items are
/// told apart by their ids, and those without one by their places.
function asParts<T>(): Kept<T> {
  const [store, setStore] = createStore<{ value: T | undefined }>({ value: undefined });
  const by = { key: "id", merge: true };
  return [() => store.value, (read) => setStore("value", reconcile<T | undefined, T | undefined>(read, by))];
}
