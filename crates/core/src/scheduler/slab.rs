//! Places that are taken and given back: a value keeps its number while it lives, and numbers are used again.

use std::ops::{Index, IndexMut};

/// No place.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Slab<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self[place] = value;
            return place;
        }
        let place = u32::try_from(self.values.len()).ok().filter(|place| *place != NONE);
        self.values.push(value);
        place.expect("what waits and runs in a pool is counted in 32 bits")
    }

    /// Takes the value out; its place may be given to another one.
    pub(super) fn remove(&mut self, place: u32) -> T {
        let value = std::mem::take(&mut self[place]);
        self.free.push(place);
        value
    }

    /// What stands at the place, if it is one.
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.values.get(place as usize)
    }

    /// All values, those that stand where nothing is included.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }

    /// All places, those that are free included.
    pub(super) fn places(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.values.len()).expect("places are counted in 32 bits")
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, place: u32) -> &T {
        &self.values[place as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.values[place as usize]
    }
}
