//! When applications come: independent arrivals at each institution, and the burst of one.

use std::time::Duration;

use super::town::{TIERS, Town};
use crate::load::drive::Arrival;
use crate::load::random::Random;
use crate::load::work::LOAN_TASKS;

/// The traffic of one phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// How long applications come.
    pub(crate) length: Duration,
    /// Normal traffic as a part of the pool, in percent.
    pub(crate) load_percent: u32,
    pub(crate) seed: u64,
}

/// The applications of the burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) from: Duration,
    pub(crate) length: Duration,
    pub(crate) applications: u32,
}

/// The burst bank sends its applications in files of this many.
const FILE: u32 = 25;

impl Traffic {
    /// Every institution but the burst bank, in the order of time. The same for every phase.
    pub(crate) fn normal(&self, town: &Town) -> Vec<Arrival> {
        let parts: u32 =
            town.institutions[..town.burst()].iter().map(|one| TIERS[one.tier].traffic).sum();
        let slots = f64::from(town.slots()) * f64::from(self.load_percent) / 100.0;
        let mut arrivals = Vec::new();
        for (tenant, institution) in town.institutions[..town.burst()].iter().enumerate() {
            let part = f64::from(TIERS[institution.tier].traffic) / f64::from(parts.max(1));
            let mean = town.work().as_secs_f64() / (slots * part);
            let mut random = Random::new(self.seed ^ ((tenant as u64) << 32));
            let mut due = random.exponential(mean);
            while due < self.length.as_secs_f64() {
                arrivals.push(arrival(Duration::from_secs_f64(due), tenant));
                due += random.exponential(mean);
            }
        }
        arrivals.sort_by_key(|arrival| (arrival.due, arrival.tenant));
        arrivals
    }

    /// The same with the burst in it.
    pub(crate) fn with_burst(&self, town: &Town, burst: &Burst) -> Vec<Arrival> {
        let mut arrivals = self.normal(town);
        arrivals.extend(burst.arrivals(town));
        arrivals.sort_by_key(|arrival| (arrival.due, arrival.tenant));
        arrivals
    }
}

impl Burst {
    /// Its own alone.
    pub(crate) fn arrivals(&self, town: &Town) -> impl Iterator<Item = Arrival> {
        let files = self.applications.div_ceil(FILE).max(1);
        let (from, length, bank) = (self.from, self.length, town.burst());
        (0..self.applications)
            .map(move |application| arrival(from + length * (application / FILE) / files, bank))
    }
}

/// Slot time of one application.
pub(crate) fn work() -> Duration {
    LOAN_TASKS.iter().map(|(_, takes)| *takes).sum()
}

fn arrival(due: Duration, tenant: usize) -> Arrival {
    let work_us = u64::try_from(work().as_micros()).unwrap_or(u64::MAX);
    Arrival { due, tenant: u32::try_from(tenant).unwrap_or(u32::MAX), work_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: Traffic =
        Traffic { length: Duration::from_secs(10), load_percent: 40, seed: 11 };

    #[test]
    fn an_application_is_forty_five_milliseconds_of_work() {
        assert_eq!(work(), Duration::from_millis(45));
    }

    #[test]
    fn the_traffic_is_the_load_that_was_asked_for_and_always_the_same() {
        let town = Town::new(200, 100);
        let arrivals = TRAFFIC.normal(&town);
        assert_eq!(arrivals, TRAFFIC.normal(&town));
        let slots = work().as_secs_f64() * f64::from(u32::try_from(arrivals.len()).unwrap()) / 10.0;
        assert!((38.0..42.0).contains(&slots), "{slots} slots");
    }

    #[test]
    fn the_burst_adds_to_the_normal_traffic_and_changes_nothing_of_it() {
        let town = Town::new(20, 10);
        let burst = Burst {
            from: Duration::from_secs(1),
            length: Duration::from_secs(2),
            applications: 1_001,
        };
        let all = TRAFFIC.with_burst(&town, &burst);
        let is_burst = |arrival: &Arrival| arrival.tenant as usize == town.burst();
        let rest: Vec<Arrival> = all.iter().copied().filter(|one| !is_burst(one)).collect();
        assert_eq!(rest, TRAFFIC.normal(&town));
        let mut of_burst = all.iter().filter(|one| is_burst(one));
        assert!(
            of_burst
                .clone()
                .all(|one| one.due >= burst.from && one.due < burst.from + burst.length)
        );
        assert_eq!(of_burst.by_ref().count(), 1_001);
    }
}
