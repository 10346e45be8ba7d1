//! The clock of the driver thread. Its readings never fall, whatever is done to the clock of the machine.
//!
//! A reading is the wall clock at the start plus what the monotonic clock has counted since. If the wall
//! clock is ahead of that (it was corrected forward, or the machine slept), the reading follows it; if it is
//! behind (it was set back), time goes on at its normal pace, so that no timer stands still.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fairlane_core::time::Time;

/// A correction smaller than this is left alone: the two clocks always differ a little.
const STEP_MIN: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    base: Duration,
    last: Time,
}

impl Clock {
    /// `floor`: no reading is earlier (the newest time that the store has seen).
    pub(crate) fn new(floor: Time) -> Self {
        let base = wall().max(Duration::from_micros(floor.0));
        Self { started: Instant::now(), base, last: floor }
    }

    pub(crate) fn now(&mut self) -> Time {
        self.read(self.started.elapsed(), wall())
    }

    fn read(&mut self, elapsed: Duration, wall: Duration) -> Time {
        let steady = self.base + elapsed;
        if wall > steady + STEP_MIN {
            self.base = wall.saturating_sub(elapsed);
        }
        let micros = u64::try_from((self.base + elapsed).as_micros()).unwrap_or(u64::MAX);
        self.last = self.last.max(Time(micros.min(Time::MAX.0)));
        self.last
    }
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock { started: Instant::now(), base: Duration::from_secs(1_000), last: Time(0) }
    }

    #[test]
    fn a_wall_clock_set_back_does_not_stop_time() {
        let mut clock = clock();
        let readings = [
            clock.read(Duration::from_secs(1), Duration::from_secs(1_001)),
            clock.read(Duration::from_secs(2), Duration::from_secs(10)),
            clock.read(Duration::from_secs(3), Duration::from_secs(11)),
        ];
        assert_eq!(readings, [Time(1_001_000_000), Time(1_002_000_000), Time(1_003_000_000)]);
    }

    #[test]
    fn a_wall_clock_set_forward_is_followed() {
        let mut clock = clock();
        let readings = [
            clock.read(Duration::from_secs(1), Duration::from_secs(5_000)),
            clock.read(Duration::from_secs(2), Duration::from_secs(5_001)),
        ];
        assert_eq!(readings, [Time(5_000_000_000), Time(5_001_000_000)]);
    }

    #[test]
    fn time_goes_on_from_the_floor_if_the_wall_clock_is_behind_it() {
        let floor = Time(4_000_000_000_000_000);
        let mut clock = Clock::new(floor);
        let first = clock.read(Duration::ZERO, Duration::from_secs(1_000));
        let second = clock.read(Duration::from_secs(1), Duration::from_secs(1_001));
        assert_eq!(first, floor);
        assert_eq!(second, Time(floor.0 + 1_000_000));
    }
}
