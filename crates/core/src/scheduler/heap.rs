//! A heap with four children a node whose entries know where they are, so that any of them can be moved or taken
//! out in O(log n) and nothing is allocated but the array itself.

/// A place in the order: smallest tag first, then the order of activation, then the flow's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) tag: u128,
    pub(super) activated: u64,
    pub(super) flow: u32,
}

/// Four children share two cache lines, and the tree is half as deep as a binary one.
const CHILDREN: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Heap {
    keys: Vec<Key>,
}

/// Where each flow stands in the one heap that it is in; shared by all heaps of one order.
#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: Vec<u32>,
    /// Keys that were moved so far: the work that orders cost.
    pub(super) moves: u64,
}

impl Seats {
    fn seat(&self, flow: u32) -> usize {
        self.seats[flow as usize] as usize
    }

    fn sit(&mut self, flow: u32, at: usize) {
        let flow = flow as usize;
        if self.seats.len() <= flow {
            self.seats.resize(flow + 1, 0);
        }
        self.seats[flow] = u32::try_from(at).expect("flows are counted in 32 bits");
        self.moves += 1;
    }
}

impl Heap {
    pub(super) fn first(&self) -> Option<&Key> {
        self.keys.first()
    }

    /// The smallest key after the first.
    pub(super) fn second(&self) -> Option<&Key> {
        self.keys.iter().take(CHILDREN + 1).skip(1).min()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn key(&self, flow: u32, seats: &Seats) -> Key {
        let key = self.keys[seats.seat(flow)];
        assert!(key.flow == flow, "flow {flow} is not where its seat says, {} is", key.flow);
        key
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    pub(super) fn push(&mut self, key: Key, seats: &mut Seats) {
        if self.keys.capacity() == 0 {
            // Most organisations have one tenant that is active.
            self.keys.reserve_exact(1);
        }
        self.keys.push(key);
        self.rise(self.keys.len() - 1, seats);
    }

    pub(super) fn remove(&mut self, flow: u32, seats: &mut Seats) {
        let at = seats.seat(flow);
        let gone = self.keys.swap_remove(at);
        assert!(gone.flow == flow, "flow {flow} is not where its seat says, {} is", gone.flow);
        if at < self.keys.len() {
            self.settle(at, seats);
        }
    }

    pub(super) fn set(&mut self, key: Key, seats: &mut Seats) {
        let at = seats.seat(key.flow);
        assert!(self.keys[at].flow == key.flow, "flow {} is not where its seat says", key.flow);
        self.keys[at] = key;
        self.settle(at, seats);
    }

    /// How many keys are smaller, counted up to `most`; no more than four times as many are looked at.
    pub(super) fn count_before(&self, key: &Key, most: u32) -> u32 {
        self.count_below(0, key, most)
    }

    fn count_below(&self, at: usize, key: &Key, most: u32) -> u32 {
        if most == 0 || self.keys.get(at).is_none_or(|found| found >= key) {
            return 0;
        }
        let mut count = 1;
        for child in children(at) {
            count += self.count_below(child, key, most - count);
        }
        count
    }

    fn settle(&mut self, at: usize, seats: &mut Seats) {
        if at > 0 && self.keys[at] < self.keys[(at - 1) / CHILDREN] {
            self.rise(at, seats);
        } else {
            self.sink(at, seats);
        }
    }

    fn rise(&mut self, mut at: usize, seats: &mut Seats) {
        let key = self.keys[at];
        while at > 0 {
            let parent = (at - 1) / CHILDREN;
            if self.keys[parent] <= key {
                break;
            }
            self.keys[at] = self.keys[parent];
            seats.sit(self.keys[at].flow, at);
            at = parent;
        }
        self.keys[at] = key;
        seats.sit(key.flow, at);
    }

    fn sink(&mut self, mut at: usize, seats: &mut Seats) {
        let key = self.keys[at];
        let smallest = |keys: &[Key], at: usize| {
            children(at).take_while(|child| *child < keys.len()).min_by_key(|child| keys[*child])
        };
        while let Some(child) = smallest(&self.keys, at) {
            if key <= self.keys[child] {
                break;
            }
            self.keys[at] = self.keys[child];
            seats.sit(self.keys[at].flow, at);
            at = child;
        }
        self.keys[at] = key;
        seats.sit(key.flow, at);
    }
}

const fn children(at: usize) -> std::ops::RangeInclusive<usize> {
    at * CHILDREN + 1..=at * CHILDREN + CHILDREN
}
