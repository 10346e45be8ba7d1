//! How often and how long a call is tried again.

use std::time::Duration;

/// Bounds on trying a call again after a broken connection or a 503.
///
/// The wait doubles from `delay_min` to `delay_max`, less a random part of up to a half, so that many clients
/// do not come back at the same moment; it is never shorter than what the server asked for. When that would
/// exceed `patience` in all, the last error is returned at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// All tries together, the first included.
    pub attempts_max: u32,
    pub delay_min: Duration,
    pub delay_max: Duration,
    /// Bound on the sum of the waits.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    /// Outlasts a restart of the server.
    fn default() -> Self {
        Self {
            attempts_max: 10,
            delay_min: Duration::from_millis(50),
            delay_max: Duration::from_secs(2),
            patience: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// One try.
    pub const NEVER: Self = Self {
        attempts_max: 1,
        delay_min: Duration::ZERO,
        delay_max: Duration::ZERO,
        patience: Duration::ZERO,
    };
}

/// The waits of one call, or of one loop that reconnects.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    tries: u32,
    waited: Duration,
}

impl Backoff {
    pub(crate) const fn new(policy: RetryPolicy) -> Self {
        Self { policy, tries: 0, waited: Duration::ZERO }
    }

    /// How long to wait after a failed try; `None`: give up. `asked` is what the server wants.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.next_with(asked, random_u64())
    }

    fn next_with(&mut self, asked: Option<Duration>, random: u64) -> Option<Duration> {
        self.tries = self.tries.saturating_add(1);
        if self.tries >= self.policy.attempts_max {
            return None;
        }
        let doublings = (self.tries - 1).min(20);
        let full = self.policy.delay_min.saturating_mul(1 << doublings).min(self.policy.delay_max);
        let half = full / 2;
        let jitter = u32::try_from(random % 1_000).unwrap_or_default();
        let wait = (half + half * jitter / 1_000).max(asked.unwrap_or_default());
        let waited = self.waited.saturating_add(wait);
        if waited > self.policy.patience {
            return None;
        }
        self.waited = waited;
        Some(wait)
    }
}

/// Random bits for waits and names; where the system has none, fixed ones do no harm.
pub(crate) fn random_u64() -> u64 {
    getrandom::u64().unwrap_or(0x5eed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn policy() -> RetryPolicy {
        RetryPolicy { attempts_max: 6, delay_min: MS(10), delay_max: MS(40), patience: MS(1_000) }
    }

    #[test]
    fn waits_double_up_to_the_bound_and_then_end() {
        let mut backoff = Backoff::new(policy());
        let waits: Vec<_> = std::iter::from_fn(|| backoff.next_with(None, 0)).collect();
        assert_eq!(waits, [MS(5), MS(10), MS(20), MS(20), MS(20)]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(Backoff::new(policy()).next_with(None, 0), Some(MS(5)));
        assert!(Backoff::new(policy()).next_with(None, 999).unwrap() < MS(10));
    }

    #[test]
    fn the_server_s_wish_is_a_lower_bound() {
        assert_eq!(Backoff::new(policy()).next_with(Some(MS(300)), 0), Some(MS(300)));
    }

    #[test]
    fn a_wait_beyond_the_patience_is_not_begun() {
        assert_eq!(Backoff::new(policy()).next_with(Some(MS(1_001)), 0), None);
        assert_eq!(Backoff::new(RetryPolicy::NEVER).next_with(None, 0), None);
    }
}
