//! Random draws that a seed fixes for ever: xoshiro256++ (Blackman, Vigna 2019), seeded by `SplitMix64`.
//!
//! Every purpose has a stream of its own, named by a text and a number, so that one draw more in one place shifts
//! nothing anywhere else: a worker that lives longer does not change what the clients submit.

use fairlane_core::id::mix;

/// One stream of draws.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

impl Prng {
    /// The stream of a purpose, and of one of several that share it.
    pub fn split(seed: u64, purpose: &str, number: u64) -> Self {
        let start = purpose.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        let start = mix(start ^ mix(number));
        Self { state: [mix(start), mix(start ^ 1), mix(start ^ 2), mix(start ^ 3)] }
    }

    pub const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Less than `bound`, which must not be 0. The bias of the multiplication is far below what a test could see.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// From `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// [`Prng::between`] for small numbers.
    #[expect(clippy::cast_possible_truncation, reason = "the result is at most `high`")]
    pub const fn small(&mut self, low: u32, high: u32) -> u32 {
        self.between(low as u64, high as u64) as u32
    }

    /// True in so many of a thousand draws.
    pub const fn chance(&mut self, permille: u32) -> bool {
        self.below(1_000) < permille as u64
    }

    /// One of them; there must be one.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// A position in a list of that length, which must not be 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index below a length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_purposes_differ_and_repeat() {
        let draw = |purpose, number| Prng::split(7, purpose, number).next();
        assert_eq!(draw("worker", 1), draw("worker", 1));
        assert_ne!(draw("worker", 1), draw("worker", 2));
        assert_ne!(draw("worker", 1), draw("client", 1));
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut prng = Prng::split(1, "test", 0);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| prng.between(3, 6)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    }
}
