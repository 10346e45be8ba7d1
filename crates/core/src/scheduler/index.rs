//! Finds a place in a slab by what stands there: open addressing over numbers, with a fixed mixing function and
//! no way to walk over it, so that nothing can come to depend on its order.

use super::slab::NONE;

/// Smallest table that is not empty.
const SIZE_MIN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Index {
    table: Vec<u32>,
    count: usize,
}

impl Index {
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let mut at = self.home(hash);
        while self.table[at] != NONE {
            if is_it(self.table[at]) {
                return Some(self.table[at]);
            }
            at = self.after(at);
        }
        None
    }

    pub(super) fn insert(&mut self, place: u32, hash_of: impl Fn(u32) -> u64) {
        // At most half full, so that runs stay short.
        if (self.count + 1) * 2 > self.table.len() {
            let larger = vec![NONE; (self.table.len() * 2).max(SIZE_MIN)];
            let before = std::mem::replace(&mut self.table, larger);
            for place in before.into_iter().filter(|place| *place != NONE) {
                self.put(place, hash_of(place));
            }
        }
        self.put(place, hash_of(place));
        self.count += 1;
    }

    pub(super) fn remove(&mut self, place: u32, hash_of: impl Fn(u32) -> u64) {
        let mut gap = self.home(hash_of(place));
        while self.table[gap] != place {
            assert!(self.table[gap] != NONE, "place {place} is not in the index");
            gap = self.after(gap);
        }
        // What was pushed past the gap moves back into it, so that a search never stops too early.
        let mut at = self.after(gap);
        while self.table[at] != NONE {
            let home = self.home(hash_of(self.table[at]));
            let mask = self.table.len() - 1;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.table[gap] = self.table[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.table[gap] = NONE;
        self.count -= 1;
    }

    fn put(&mut self, place: u32, hash: u64) {
        let mut at = self.home(hash);
        while self.table[at] != NONE {
            at = self.after(at);
        }
        self.table[at] = place;
    }

    fn home(&self, hash: u64) -> usize {
        let mask = self.table.len() as u64 - 1;
        usize::try_from(hash & mask).expect("smaller than the table")
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.table.len() - 1)
    }
}
