// A report of `fairlane simulate --json`, as far as it is shown.

export interface Report {
  scenario: string;
  start: string;
  lasts_us: number;
  column_us: number;
  plays: Play[];
  differences: Difference[];
  took_us: number;
}

export interface Play {
  name: string;
  groups: Group[];
  tenants: Record<string, Tenant>;
  /** Of reports with pools; older ones have none. */
  pools?: Pool[];
  /** Only where people decide. */
  desks?: Desk[];
}

export interface Pool {
  name: string;
  slots: number;
  /** Of all its slot time. */
  used: number;
  full_us: number;
  /** Absent if it was never full. */
  jain?: number;
}

/** What became of what was asked. */
export interface Reviews {
  asked: number;
  decided: number;
  overdue: number;
  dropped: number;
  open: number;
  /** From asked to claimed, and to decided. */
  wait: Summary;
  took: Summary;
}

export interface Desk extends Reviews {
  name: string;
  people: number;
  /** Of all their time on duty. */
  busy: number;
}

export interface Summary {
  count: number;
  p50_us: number;
  p95_us: number;
  p99_us: number;
  max_us: number;
}

export interface Group {
  name: string;
  tenants: number;
  runs: number;
  completed: number;
  live: number;
  wait: Summary;
  latency: Summary;
  late: number;
  sla_missed: number;
  last_end_us: number;
  slots: number[];
  reviews?: Reviews;
}

export interface Tenant {
  runs: number;
  completed: number;
  failed: number;
  refused: number;
  live: number;
  wait: Summary;
  latency: Summary;
  slots_max: number;
  spent: string;
  reviews?: Reviews;
  sla?: { late: number; in_time: number; met: boolean };
}

export interface Difference {
  play: string;
  to: string;
  same: string[];
  tenants: Sides;
  groups?: Sides;
}

/** How many are on which side, and each of them, who loses most first. Pairs are of the first play and of this one. */
export interface Sides {
  gain: number;
  lose: number;
  unchanged: number;
  all: Effect[];
}

export interface Effect {
  name: string;
  side: "gains" | "loses" | "unchanged";
  /** How many times as long the 95th percentile is. */
  ratio: number;
  took_p95_us: [number, number];
}

/// The report, or a sentence that says what else was read.
export function parse(text: string): Report | string {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return "It is not JSON.";
  }
  const missing = ["scenario", "start", "lasts_us", "column_us", "plays", "differences"].filter(
    (field) => typeof read !== "object" || read === null || !(field in read),
  );
  if (missing.length > 0) {
    return `It is JSON, but has no ${missing.map((field) => `\`${field}\``).join(", ")}.`;
  }
  const report = read as Report;
  const isWhole = (play: Play): boolean =>
    Array.isArray(play.groups) && typeof play.tenants === "object" && play.groups.every((group) => Array.isArray(group.slots));
  if (!Array.isArray(report.plays) || !report.plays.every(isWhole)) {
    return "It has `plays`, but not each of them has `groups` with `slots`, and `tenants`: another version made it.";
  }
  return report;
}
