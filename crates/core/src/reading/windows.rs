//! The last minute, ten minutes, hour and day of a value that merges, in slots of which the finer ones make up the
//! coarser.
//!
//! What happens is added once, to the finest slot that is open. A slot that is over is merged into the open one of the
//! next level and kept at its own until it is out of the window. Adding costs O(1), amortised over the merges: each slot
//! is merged once a level. Reading merges at most five slots, and one of each finer level.

use std::collections::VecDeque;

use crate::time::{Span, Time};

/// How far back a reading looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    Minute,
    TenMinutes,
    Hour,
    Day,
}

impl Window {
    pub const ALL: [Self; 4] = [Self::Minute, Self::TenMinutes, Self::Hour, Self::Day];

    pub const fn span(self) -> Span {
        Span(SLOTS * self.slot().0)
    }

    /// What it ends and begins in whole ones of, so that it looks back by up to one more than its length.
    const fn slot(self) -> Span {
        match self {
            Self::Minute => Span::from_secs(15),
            Self::TenMinutes => Span::from_secs(150),
            Self::Hour => Span::from_secs(900),
            Self::Day => Span::from_secs(6 * 3_600),
        }
    }
}

/// Slots to a window.
const SLOTS: u64 = 4;

/// What can be added up: `a` then `b` is the same as `b` then `a`.
pub trait Merge: Default {
    fn merge(&mut self, other: &Self);
}

/// A value over each [`Window`].
#[derive(Debug)]
pub struct Windows<T> {
    levels: [Level<T>; 4],
}

/// Slots by number (time over length), the open one last.
#[derive(Debug)]
struct Level<T> {
    slots: VecDeque<(u64, T)>,
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { slots: VecDeque::new() }
    }
}

impl<T> Default for Windows<T> {
    fn default() -> Self {
        Self { levels: std::array::from_fn(|_| Level::default()) }
    }
}

impl<T: Merge> Windows<T> {
    /// The slot that is open then. Time must not fall; what is late counts as if it were now.
    pub fn at(&mut self, now: Time) -> &mut T {
        let number = number_of(now, Window::Minute);
        let open = self.levels[0].slots.back().map(|(open, _)| *open);
        if open.is_none_or(|open| open < number) {
            self.carry(0);
            self.levels[0].open(number);
        }
        &mut self.levels[0].slots.back_mut().expect("a slot was opened").1
    }

    /// What was added in the window that ends now, and up to a quarter of it longer ago.
    pub fn over(&self, now: Time, window: Window) -> T {
        let mut sum = T::default();
        self.each(now, window, |value| sum.merge(value));
        sum
    }

    /// The parts of which [`Windows::over`] is the sum.
    pub fn each(&self, now: Time, window: Window, mut part: impl FnMut(&T)) {
        for (level, coarse) in Window::ALL.into_iter().enumerate() {
            if coarse > window {
                break;
            }
            let slots = &self.levels[level].slots;
            let own = slots
                .iter()
                .filter(|(number, _)| number_of(now, coarse).saturating_sub(*number) <= SLOTS);
            // Of a finer level the open slot alone is not merged into a coarser one yet.
            let open = slots.back().filter(|(number, _)| {
                let end = Time((number + 1) * coarse.slot().0);
                now.since(end) < window.span()
            });
            if coarse == window {
                own.for_each(|(_, value)| part(value));
            } else if let Some((_, value)) = open {
                part(value);
            }
        }
    }

    /// How long ago the slot began in which something was added last.
    pub fn since(&self, now: Time) -> Span {
        let last = self.levels[0].slots.back().map(|(number, _)| *number);
        last.map_or(Span::MAX, |number| now.since(Time(number * Window::Minute.slot().0)))
    }

    /// The open slot of the level is over: it becomes part of the next level's.
    fn carry(&mut self, level: usize) {
        let (this, coarser) = self.levels.split_at_mut(level + 1);
        let (Some(next), Some((number, value))) = (coarser.first(), this[level].slots.back())
        else {
            return;
        };
        let start = Time(number * Window::ALL[level].slot().0);
        let number = number_of(start, Window::ALL[level + 1]);
        if next.slots.back().is_none_or(|(open, _)| *open < number) {
            // The borrow of what is merged must end before the coarser level is carried on.
            let mut merged = T::default();
            merged.merge(value);
            self.carry(level + 1);
            self.levels[level + 1].open(number).merge(&merged);
        } else if let Some((_, open)) = coarser[0].slots.back_mut() {
            open.merge(value);
        }
    }
}

impl<T: Merge> Level<T> {
    fn open(&mut self, number: u64) -> &mut T {
        while self.slots.front().is_some_and(|(first, _)| number - first > SLOTS) {
            self.slots.pop_front();
        }
        self.slots.push_back((number, T::default()));
        &mut self.slots.back_mut().expect("just pushed").1
    }
}

const fn number_of(at: Time, window: Window) -> u64 {
    at.0 / window.slot().0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Merge for u64 {
        fn merge(&mut self, other: &Self) {
            *self += other;
        }
    }

    proptest! {
        /// Each window has all that was added within its length, and nothing from before a slot more than that.
        #[test]
        fn a_window_has_what_happened_in_it(
            gaps in prop::collection::vec((0..4_u32, 0..40_000_u64), 1..300),
            after in 0..100_000_u64,
        ) {
            let mut windows = Windows::default();
            let mut now = Time(1_700_000_000_000_000);
            let mut added = Vec::new();
            for (scale, gap) in gaps {
                now = now + Span::from_millis(gap * 10_u64.pow(scale) / 10);
                *windows.at(now) += 1;
                added.push(now);
            }
            now = now + Span::from_secs(after);
            for window in Window::ALL {
                let within = |span: Span| {
                    added.iter().filter(|at| now.since(**at) < span).count() as u64
                };
                let got = windows.over(now, window);
                let least = within(window.span());
                let most = within(Span(window.span().0 + window.slot().0));
                prop_assert!((least..=most).contains(&got), "{window:?}: {got} of {least} to {most}");
            }
            for level in &windows.levels {
                prop_assert!(level.slots.len() <= 5);
            }
        }
    }
}
