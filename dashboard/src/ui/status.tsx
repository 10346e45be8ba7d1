// How far something is, as a word with a colour.

import type { Phase, ReviewState, RunStatus, Wellness } from "../api/schema";
import { words } from "../format";
import { Badge, type Tone } from "./parts";

const TONES: Record<RunStatus | Phase | ReviewState, Tone> = {
  running: "active",
  paused: "warn",
  stopping: "warn",
  compensating: "warn",
  completed: "good",
  failed: "bad",
  cancelled: "calm",
  pending: "calm",
  evaluating: "active",
  ready: "warn",
  leased: "active",
  backoff: "warn",
  sleeping: "calm",
  listening: "calm",
  calling: "active",
  reviewing: "warn",
  mapping: "active",
  disputed: "bad",
  proposed: "active",
  done: "good",
  skipped: "calm",
  open: "active",
  claimed: "warn",
  decided: "good",
  overdue: "bad",
  superseded: "calm",
};

export function Status(props: { of: RunStatus | Phase | ReviewState }) {
  return <Badge tone={TONES[props.of]}>{words(props.of)}</Badge>;
}

const WELL: Record<Wellness, Tone> = { healthy: "good", degrading: "warn", broken: "bad" };

export function Well(props: { of: Wellness }) {
  return <Badge tone={WELL[props.of]}>{props.of}</Badge>;
}
