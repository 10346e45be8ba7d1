//! Virtual time: what happens when. Events of one moment happen in the order in which they were planned.

use std::collections::BTreeMap;

use fairlane_core::time::Time;

/// Planned events, soonest first.
#[derive(Debug)]
pub struct Agenda<E> {
    planned: BTreeMap<(Time, u64), E>,
    count: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { planned: BTreeMap::new(), count: 0 }
    }
}

impl<E> Agenda<E> {
    pub fn plan(&mut self, at: Time, event: E) {
        self.count += 1;
        self.planned.insert((at, self.count), event);
    }

    /// Takes the next event, with its time.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        self.planned.pop_first().map(|((at, _), event)| (at, event))
    }

    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }
}
