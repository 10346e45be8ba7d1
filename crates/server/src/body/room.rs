//! Room for large bodies while they arrive, so that nobody fills the memory by sending many of them slowly.
//!
//! What is small is not counted: it is bounded by the number of connections. What goes beyond is counted for all together and
//! for each sender, who may have a part of the room; a tenant that fills its part keeps nobody else from sending.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::Sender;

/// Bodies up to this are not counted.
pub(super) const SMALL_BYTES: usize = 64 << 10;
/// So many bodies of the largest size may arrive at once.
const BODIES_MAX: usize = 64;
/// And so many of one sender.
const OF_ONE_MAX: usize = 16;

/// The room that there is.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    body_bytes_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: BTreeMap<Option<Sender>, usize>,
}

/// What a body has of it, until it has arrived.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    /// `None`: nobody knows who it is.
    sender: Option<Sender>,
    bytes: usize,
}

impl Room {
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        Self { body_bytes_max, taken: Arc::default() }
    }

    pub(super) fn held(&self, sender: Option<Sender>) -> Held {
        Held { room: self.clone(), sender, bytes: 0 }
    }
}

impl Held {
    /// Whether there is room for a body of so many bytes. O(log n) in those who send large ones.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        if bytes <= SMALL_BYTES {
            return true;
        }
        let more = bytes.saturating_sub(self.bytes);
        let most = self.room.body_bytes_max;
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.of.get(&self.sender).copied().unwrap_or(0);
        if taken.all + more > BODIES_MAX * most || own + more > OF_ONE_MAX * most {
            return false;
        }
        taken.all += more;
        taken.of.insert(self.sender.clone(), own + more);
        self.bytes += more;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.bytes;
        if let Some(own) = taken.of.get_mut(&self.sender) {
            *own -= self.bytes;
            if *own == 0 {
                taken.of.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_has_a_part_of_the_room_and_gives_it_back() {
        let most = 1 << 20;
        let room = Room::new(most);
        let sender = |name: &str| Some(Sender::Tenant(name.parse().unwrap()));
        let mut bodies: Vec<_> = (0..OF_ONE_MAX).map(|_| room.held(sender("a"))).collect();
        assert!(bodies.iter_mut().all(|body| body.grow(most / 2) && body.grow(most)));
        let mut next = room.held(sender("a"));
        assert!(next.grow(SMALL_BYTES) && !next.grow(SMALL_BYTES + 1));
        assert!(room.held(sender("b")).grow(most));
        bodies.pop();
        assert!(next.grow(most));
        drop((bodies, next));
        let taken = room.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.of.is_empty(), "{taken:?}");
    }

    #[test]
    fn all_together_have_the_whole_room() {
        let most = 1 << 20;
        let room = Room::new(most);
        let held = |at: usize| {
            let tenant = format!("s{}", at / OF_ONE_MAX).parse().unwrap();
            room.held(Some(Sender::Tenant(tenant)))
        };
        let mut bodies: Vec<_> = (0..=BODIES_MAX).map(held).collect();
        let taken: Vec<_> = bodies.iter_mut().map(|body| body.grow(most)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), BODIES_MAX);
        assert!(!taken[BODIES_MAX]);
    }
}
