//! Lists that maps run over, evaluated once for all their items. Bounded; what is missing is evaluated again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use fairlane_core::plan::StepIndex;
use fairlane_core::row::{Payload, RunKey};

/// Lists that are kept.
const LISTS_MAX: usize = 1_000;
/// Bytes of the lists that are kept, about.
const BYTES_MAX: usize = 32 << 20;
/// What an item costs besides its bytes, about.
const OVERHEAD_BYTES: usize = 32;

type Place = (RunKey, StepIndex);
type List = Arc<Vec<Payload>>;

#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lists: BTreeMap<Place, List>,
    order: VecDeque<Place>,
    bytes: usize,
}

impl Lists {
    pub(super) fn get(&self, place: &Place) -> Option<List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lists.get(place).cloned()
    }

    pub(super) fn put(&self, place: Place, list: Vec<Payload>) -> List {
        let list = Arc::new(list);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += size(&list);
        match kept.lists.insert(place.clone(), list.clone()) {
            Some(older) => kept.bytes -= size(&older),
            None => kept.order.push_back(place),
        }
        while kept.order.len() > LISTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            let freed = kept.lists.remove(&oldest).map_or(0, |list| size(&list));
            kept.bytes -= freed;
        }
        list
    }
}

fn size(list: &[Payload]) -> usize {
    list.iter().map(|item| item.len() + OVERHEAD_BYTES).sum()
}
