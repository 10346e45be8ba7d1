//! What the cell counts for people of one tenant, or of all tenants of a tier.

use crate::reading::{Held, Merge, Percentiles, Sketch, Window, Windows};
use crate::row::RunStatus;
use crate::tenant::Sla;
use crate::time::{Span, Time};

#[derive(Debug, Default)]
pub(crate) struct TenantReading {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) sla_violations: u64,
    /// Made when something first happens, so that tenants that never come take nothing.
    recent: Option<Box<Windows<Tally>>>,
}

/// What happened in a span of time.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// From ready to dispatched, of each attempt.
    pub(crate) queue: Sketch,
    /// From submission to the first dispatch of a run.
    pub(crate) start: Sketch,
    /// From submission to the end of a run.
    pub(crate) end: Sketch,
    /// From dispatch to report, of each attempt.
    pub(crate) work: Sketch,
    /// Runs that ended with a target in force.
    pub(crate) aimed: u64,
    /// Those of them that took longer than it.
    pub(crate) late: u64,
    /// Slot time held.
    pub(crate) service: Span,
    /// What held ready steps up, and how long any was.
    pub(crate) held: Held,
    pub(crate) stood: Span,
    /// How long its reviews stood there that nobody had claimed.
    pub(crate) reviewing: Held,
}

impl Merge for Tally {
    fn merge(&mut self, other: &Self) {
        self.queue.merge(&other.queue);
        self.start.merge(&other.start);
        self.end.merge(&other.end);
        self.work.merge(&other.work);
        self.aimed += other.aimed;
        self.late += other.late;
        self.service.0 = self.service.0.saturating_add(other.service.0);
        self.held.merge(&other.held);
        self.reviewing.merge(&other.reviewing);
        self.stood.0 = self.stood.0.saturating_add(other.stood.0);
    }
}

impl Tally {
    /// A run ended, and took so long.
    pub(crate) fn ended(&mut self, took: Span, sla: Option<Sla>) {
        self.end.add(took);
        if let Some(sla) = sla {
            self.aimed += 1;
            self.late += u64::from(took > sla.latency);
        }
    }
}

impl TenantReading {
    pub(crate) fn now(&mut self, now: Time) -> &mut Tally {
        self.recent.get_or_insert_default().at(now)
    }

    pub(crate) fn ended(&mut self, now: Time, took: Span, status: RunStatus, sla: Option<Sla>) {
        if status == RunStatus::Completed {
            self.completed += 1;
        } else {
            self.failed += 1;
        }
        self.sla_violations += u64::from(sla.is_some_and(|sla| took > sla.latency));
        self.now(now).ended(took, sla);
    }

    pub(crate) fn over(&self, now: Time, window: Window) -> Tally {
        self.recent.as_ref().map(|recent| recent.over(now, window)).unwrap_or_default()
    }

    /// The parts of which [`TenantReading::over`] is the sum.
    pub(crate) fn each(&self, now: Time, window: Window, part: impl FnMut(&Tally)) {
        if let Some(recent) = &self.recent {
            recent.each(now, window, part);
        }
    }

    /// One of the histograms of [`TenantReading::over`], without the others.
    pub(crate) fn sketch(&self, now: Time, window: Window, of: fn(&Tally) -> &Sketch) -> Sketch {
        let mut sum = Sketch::default();
        self.each(now, window, |tally| sum.merge(of(tally)));
        sum
    }

    /// How long ago something was seen of it.
    pub(crate) fn since(&self, now: Time) -> Span {
        self.recent.as_ref().map_or(Span::MAX, |recent| recent.since(now))
    }

    /// From submission to end, over the last minute.
    pub(crate) fn latency(&self, now: Time) -> Option<Percentiles> {
        self.sketch(now, Window::Minute, |tally| &tally.end).percentiles()
    }

    /// Of an attempt, from ready to dispatched, over the last minute.
    pub(crate) fn queue_wait(&self, now: Time) -> Option<Percentiles> {
        self.sketch(now, Window::Minute, |tally| &tally.queue).percentiles()
    }
}
