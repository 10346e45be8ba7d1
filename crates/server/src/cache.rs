//! Payloads of runs under way, so that the next step finds its inputs without reading the store.
//!
//! Written by the driver thread only, with what a turn has committed: a lookup gives either what the store
//! holds or nothing. Runs are forgotten whole, those that were not touched for longest first (second chance:
//! a run that was read since it was queued goes round once more), when the bytes exceed the bound.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairlane_core::cell::change::Change;
use fairlane_core::id::{RunId, WorkflowName};
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::row::{Instance, Payload, RunKey, StepState};

/// Locks that runs are spread over, so that workers' requests do not wait for each other.
const SHARDS: usize = 16;
/// What an entry costs besides its bytes, about.
const OVERHEAD_BYTES: usize = 128;

/// Which payload of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Input,
    Output(Instance),
}

/// What the cache knows of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Payload(Payload),
    /// The step is done, and its output is to be put together from other rows.
    Elsewhere,
    /// The step ended without an output: skipped, failed or cancelled, as its status says.
    Absent(&'static str),
}

/// What a run follows.
#[derive(Clone, Debug)]
pub(crate) enum Followed {
    /// This version of this workflow, as it was declared.
    Declared(WorkflowName, u32),
    /// A plan of its own, since it was revised.
    Revised(Arc<Workflow>),
}

/// A write of a turn, to be applied once the turn is committed.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// The run follows this from now on.
    Follows(RunKey, Followed),
    Put(RunKey, Slot, Known),
    /// The call has started this run.
    Child(RunKey, Instance, RunId),
    /// The step's instances were forgotten: the run is retried from it.
    Drop(RunKey, StepIndex),
}

#[derive(Debug)]
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    runs: HashMap<RunKey, Entry>,
    queue: VecDeque<RunKey>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    follows: Option<Followed>,
    children: Vec<(Instance, RunId)>,
    slots: Vec<(Slot, Known)>,
    touched: bool,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), bytes_max: bytes_max / SHARDS }
    }

    pub(crate) fn get(&self, key: &RunKey, slot: Slot) -> Option<Known> {
        let mut shard = self.shard(key);
        let entry = shard.runs.get_mut(key)?;
        entry.touched = true;
        entry.slots.iter().find(|(known, _)| *known == slot).map(|(_, value)| value.clone())
    }

    /// What the run follows.
    pub(crate) fn follows(&self, key: &RunKey) -> Option<Followed> {
        self.shard(key).runs.get(key)?.follows.clone()
    }

    /// The newest run that the call has started.
    pub(crate) fn child(&self, key: &RunKey, instance: Instance) -> Option<RunId> {
        let shard = self.shard(key);
        let children = &shard.runs.get(key)?.children;
        children.iter().rev().find(|(caller, _)| *caller == instance).map(|(_, child)| *child)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    /// These runs are gone.
    pub(crate) fn forget(&self, runs: &[RunKey]) {
        for key in runs {
            self.shard(key).remove(key);
        }
    }

    pub(crate) fn apply(&self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            match write {
                Write::Follows(key, followed) => {
                    self.shard(&key).entry(key).follows = Some(followed);
                }
                Write::Child(key, caller, child) => {
                    self.shard(&key).entry(key).children.push((caller, child));
                }
                Write::Put(key, slot, known) => self.shard(&key).put(key, slot, known),
                Write::Drop(key, step) => self.shard(&key).forget(&key, step),
            }
        }
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            while shard.bytes > self.bytes_max && shard.evict() {}
        }
    }

    fn shard(&self, key: &RunKey) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn entry(&mut self, key: RunKey) -> &mut Entry {
        self.runs.entry(key).or_insert_with_key(|key| {
            self.queue.push_back(key.clone());
            self.bytes += OVERHEAD_BYTES;
            Entry::default()
        })
    }

    fn put(&mut self, key: RunKey, slot: Slot, known: Known) {
        let added = size(&known);
        let entry = self.entry(key);
        let place = entry.slots.iter_mut().find(|(present, _)| *present == slot);
        let removed = if let Some((_, value)) = place {
            size(&std::mem::replace(value, known))
        } else {
            entry.slots.push((slot, known));
            0
        };
        self.bytes = self.bytes + added - removed;
    }

    fn forget(&mut self, key: &RunKey, step: StepIndex) {
        let Some(entry) = self.runs.get_mut(key) else { return };
        let bytes = &mut self.bytes;
        entry.slots.retain(|(slot, value)| {
            let keep = !matches!(slot, Slot::Output(instance) if instance.step == step);
            if !keep {
                *bytes -= size(value);
            }
            keep
        });
    }

    fn remove(&mut self, key: &RunKey) {
        if let Some(entry) = self.runs.remove(key) {
            self.bytes -=
                OVERHEAD_BYTES + entry.slots.iter().map(|(_, value)| size(value)).sum::<usize>();
        }
    }

    /// Forgets one run; false if there is none.
    fn evict(&mut self) -> bool {
        while let Some(key) = self.queue.pop_front() {
            let Some(entry) = self.runs.get_mut(&key) else { continue };
            if std::mem::take(&mut entry.touched) {
                self.queue.push_back(key);
                continue;
            }
            let slots = self.runs.remove(&key).map(|entry| entry.slots).unwrap_or_default();
            let freed: usize = slots.iter().map(|(_, value)| size(value)).sum();
            self.bytes -= OVERHEAD_BYTES + freed;
            return true;
        }
        false
    }
}

/// What a turn writes to the cache once it is committed.
pub(crate) fn writes(changes: &[Change]) -> Vec<Write> {
    let mut writes = Vec::new();
    for change in changes {
        if let Change::Run(row) = change
            && row.input.is_some()
        {
            let declared = Followed::Declared(row.workflow.clone(), row.version);
            writes.push(Write::Follows(row.key.clone(), declared));
        }
        writes.extend(write(change));
    }
    writes
}

fn write(change: &Change) -> Option<Write> {
    match change {
        Change::Run(row) => {
            let input = row.input.clone()?;
            Some(Write::Put(row.key.clone(), Slot::Input, Known::Payload(input)))
        }
        Change::Step(row) => {
            if let StepState::Calling { child } = row.state {
                return Some(Write::Child(row.key.clone(), row.instance, child));
            }
            let known = match (&row.state, &row.output) {
                (StepState::Done, Some(output)) => Known::Payload(output.clone()),
                (StepState::Done, None) => Known::Elsewhere,
                (state, _) => Known::Absent(ended(state)?),
            };
            Some(Write::Put(row.key.clone(), Slot::Output(row.instance), known))
        }
        Change::Replan(row) => {
            let key = RunKey { tenant: row.tenant.clone(), run: row.run };
            Some(Write::Follows(key, Followed::Revised(row.plan.clone())))
        }
        Change::DropStep(key, step) => Some(Write::Drop(key.clone(), *step)),
        _ => None,
    }
}

/// The status of a step that ended without an output, as expressions see it.
pub(crate) const fn ended(state: &StepState) -> Option<&'static str> {
    match state {
        StepState::Skipped => Some("skipped"),
        StepState::Failed { .. } => Some("failed"),
        StepState::Cancelled => Some("cancelled"),
        _ => None,
    }
}

fn size(known: &Known) -> usize {
    OVERHEAD_BYTES
        + match known {
            Known::Payload(payload) => payload.len(),
            Known::Elsewhere | Known::Absent(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairlane_core::id::{RunId, TenantId};
    use fairlane_core::row::Part;

    fn key(run: u128) -> RunKey {
        RunKey { tenant: TenantId::parse("t").unwrap(), run: RunId(run) }
    }

    fn output(step: u16) -> Slot {
        Slot::Output(Instance { step: StepIndex(step), part: Part::Whole })
    }

    fn payload(text: &str) -> Known {
        Known::Payload(Payload::from(text.as_bytes()))
    }

    #[test]
    fn the_last_write_of_a_slot_is_read() {
        let cache = Cache::new(1 << 20);
        cache.apply([
            Write::Put(key(1), Slot::Input, payload("1")),
            Write::Put(key(1), output(0), payload("2")),
            Write::Put(key(1), output(0), payload("3")),
        ]);
        assert_eq!(cache.get(&key(1), Slot::Input), Some(payload("1")));
        assert_eq!(cache.get(&key(1), output(0)), Some(payload("3")));
        assert_eq!(cache.get(&key(1), output(1)), None);
        assert_eq!(cache.get(&key(2), Slot::Input), None);
    }

    #[test]
    fn a_step_that_is_retried_is_forgotten() {
        let cache = Cache::new(1 << 20);
        cache.apply([
            Write::Put(key(1), output(0), payload("0")),
            Write::Put(key(1), output(1), payload("1")),
            Write::Drop(key(1), StepIndex(1)),
        ]);
        assert_eq!(cache.get(&key(1), output(0)), Some(payload("0")));
        assert_eq!(cache.get(&key(1), output(1)), None);
    }

    #[test]
    fn the_bytes_stay_within_the_bound() {
        let entry = 2 * OVERHEAD_BYTES + 100;
        let cache = Cache::new(SHARDS * 10 * entry);
        let text = "x".repeat(100);
        for run in 0..10_000 {
            cache.apply([Write::Put(key(run), Slot::Input, payload(&text))]);
        }
        let known = (0..10_000).filter(|run| cache.get(&key(*run), Slot::Input).is_some()).count();
        assert!((1..=SHARDS * 10).contains(&known), "{known}");
        for shard in &cache.shards {
            let shard = shard.lock().unwrap();
            assert_eq!(shard.bytes, shard.runs.len() * entry);
            assert_eq!(shard.queue.len(), shard.runs.len());
        }
    }
}
