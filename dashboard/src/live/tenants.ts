// The readings of all tenants, however many there are: page by page, and no more often than the server and this page
// can well do. Where that is not each second, what is seen is read each second besides.

import { type Accessor, createMemo, createSignal } from "solid-js";

import { Failure, api, ask } from "../api/client";
import type { Readings } from "../api/schema";
import { EVERY_MS, poll } from "./poll";

const PAGE_ROWS = 1_000;
/// Of all time at most this part is spent on reading all.
const READING_PART = 1 / 4;

export interface Tenants {
  value: Accessor<Readings[] | undefined>;
  failure: Accessor<Failure | undefined>;
}

/// `shown` are the tenants that are seen.
export function allTenants(shown: Accessor<readonly string[]>): Tenants {
  const [everyMs, setEveryMs] = createSignal(EVERY_MS);
  const [fresh, setFresh] = createSignal<ReadonlyMap<string, Readings>>(new Map());
  const all = poll(
    async (signal) => {
      const began = performance.now();
      const found = await readAll(signal);
      const tookMs = performance.now() - began;
      setEveryMs(Math.max(EVERY_MS - tookMs, tookMs / READING_PART - tookMs, 0));
      return found;
    },
    { everyMs, isWhole: true, onRead: () => setFresh(new Map()) },
  );
  poll(async (signal) => {
    const isQuick = (all.value()?.length ?? 0) <= PAGE_ROWS;
    const seen = isQuick ? [] : await Promise.all(shown().map((tenant) => readOne(tenant, signal)));
    setFresh(new Map(seen.flatMap((row) => (row === undefined ? [] : [[row.tenant, row]]))));
    return seen.length;
  });
  const value = createMemo(() => {
    const newer = fresh();
    return newer.size === 0 ? all.value() : all.value()?.map((row) => newer.get(row.tenant) ?? row);
  });
  return { value, failure: all.failure };
}

async function readAll(signal: AbortSignal): Promise<Readings[]> {
  const found: Readings[] = [];
  let cursor: string | undefined;
  do {
    const query = cursor === undefined ? { limit: PAGE_ROWS } : { limit: PAGE_ROWS, cursor };
    const page = await ask(api.GET("/v1/platform/tenants", { params: { query }, signal }));
    found.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return found;
}

/// Nothing if it is gone.
async function readOne(tenant: string, signal: AbortSignal): Promise<Readings | undefined> {
  try {
    return await ask(api.GET("/v1/tenants/{tenant}/readings", { params: { path: { tenant } }, signal }));
  } catch (error) {
    if (error instanceof Failure && error.status === 404) {
      return undefined;
    }
    throw error;
  }
}
