//! The worker's books: leases held, outcomes not yet accepted, exchanges under way. No clock, no network: time
//! comes in with each call, so that every order of events can be tested.
//!
//! The newest exchange is always the long poll. One that reports is sent as soon as there is something to
//! report; the server then answers the older one at once, and keeps the newer one open if there is nothing to
//! lease. At most [`FLIGHTS_MAX`] are under way, and what finishes meanwhile goes with the next one: reports
//! are batched by the time that the server takes, without a timer.
//!
//! INVARIANT: an outcome is in the outbox, in one flight, or accepted; never in two, never in none. Delivery is
//! at least once, because a broken exchange puts its outcomes back; the server records once.
//! INVARIANT: a lease is held, and renewed, from the answer that granted it until its outcome is in the outbox or
//! the server says that it is lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use fairlane_api::worker::{Exchanged, Failed, Lease, Reason, Receipt, Report};

use super::task::class;

/// The long poll and one that supersedes it.
const FLIGHTS_MAX: usize = 2;
/// Most reports in one exchange, as the protocol has it.
const REPORTS_MAX: usize = 10_000;
/// Most bytes of outcomes in one exchange; the server's default bound on a body is twice this.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// A busy worker opens an exchange just to hear of revoked leases after this long without one. Long enough
/// that a worker with short steps never does.
const LISTEN_AFTER: Duration = Duration::from_millis(50);
/// Heartbeats are looked for this often within the time in which one is due: sent after one to two quarters
/// of it, so that two more tries fit before it is over.
const SWEEPS_PER_RENEWAL: u32 = 4;

/// What the worker is to do about an answer.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Begin these.
    pub(super) start: Vec<Lease>,
    /// Stop these: the work is not wanted, and an outcome is still to be reported.
    pub(super) stop: Vec<String>,
    /// Outcomes that had no effect, and why.
    pub(super) refused: Vec<(String, Option<Reason>)>,
}

/// An exchange to send.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) flight: u64,
    /// Leases that the worker can hold; those it still has, while it drains.
    pub(super) slots: u32,
    pub(super) want: u32,
    /// Keep the exchange open as a long poll.
    pub(super) hold: bool,
    pub(super) reports: Vec<Report>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    slots: u32,
    held: BTreeMap<String, Held>,
    outbox: VecDeque<Report>,
    flights: Vec<Flight>,
    /// Leases to renew with the next exchange.
    beats: Vec<String>,
    next_sweep: Option<Instant>,
    /// Last time an exchange was answered.
    heard: Option<Instant>,
    next_flight: u64,
    draining: bool,
    /// The server was told of slots, and not yet that there are none any more.
    offered: bool,
    /// The last exchange failed: one at a time until the server answers again.
    recovering: bool,
    /// Bounds on the outcomes of one exchange; lowered when the server finds one too large.
    batch_bytes: usize,
}

#[derive(Debug)]
struct Held {
    renew_within: Duration,
    renewed: Instant,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    slots: u32,
    want: u32,
    sent: Instant,
    outcomes: Vec<Report>,
    renews: bool,
}

impl Ledger {
    pub(super) const fn new(slots: u32) -> Self {
        Self {
            slots,
            held: BTreeMap::new(),
            outbox: VecDeque::new(),
            flights: Vec::new(),
            beats: Vec::new(),
            next_sweep: None,
            heard: None,
            next_flight: 0,
            draining: false,
            offered: false,
            recovering: false,
            batch_bytes: BATCH_BYTES_MAX,
        }
    }

    /// Leases that are being worked on.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Ask for nothing any more.
    pub(super) const fn drain(&mut self) {
        self.draining = true;
    }

    /// Nothing is left to do or to say. Exchanges that cannot bring a lease may still be under way.
    pub(super) fn is_drained(&self) -> bool {
        self.is_done()
            && !self.offered
            && self.flights.iter().all(|flight| flight.want == 0 && flight.outcomes.is_empty())
    }

    /// A task ended. Its outcome is dropped if the lease was lost meanwhile.
    pub(super) fn finish(&mut self, report: Report) {
        if self.held.remove(&report.lease).is_some() {
            self.outbox.push_back(bounded(report));
        }
    }

    /// The exchange to send now, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Plan> {
        self.sweep(now);
        let flights_max = if self.recovering { 1 } else { FLIGHTS_MAX };
        if self.flights.len() >= flights_max {
            return None;
        }
        let want = self.free();
        let asked = self.flights.last().map(|flight| flight.want);
        let due = !self.outbox.is_empty()
            || !self.beats.is_empty()
            || match asked {
                // What was asked for is not wanted any more, or more is.
                Some(asked) => asked < want || (self.draining && asked > 0),
                None => want > 0 || self.listen_at().is_some_and(|at| at <= now),
            }
            || self.must_take_leave();
        due.then(|| self.take_off(now, want))
    }

    /// When [`Ledger::next`] may have something though nothing happens before.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let listen = if self.flights.is_empty() { self.listen_at() } else { None };
        match (self.next_sweep, listen) {
            (Some(sweep), Some(listen)) => Some(sweep.min(listen)),
            (sweep, listen) => sweep.or(listen),
        }
    }

    /// The server answered.
    pub(super) fn answered(&mut self, flight: u64, answer: Exchanged, now: Instant) -> Orders {
        let mut orders = Orders::default();
        let Some(flight) = self.land(flight) else { return orders };
        self.recovering = false;
        self.offered &= flight.slots > 0;
        self.heard = Some(now);
        self.batch_bytes = (self.batch_bytes * 2).min(BATCH_BYTES_MAX);
        let mut outcomes: BTreeMap<String, Report> =
            flight.outcomes.into_iter().map(|report| (report.lease.clone(), report)).collect();
        for accepted in answer.accepted {
            let outcome = outcomes.remove(&accepted.lease);
            match (accepted.receipt, outcome) {
                (Receipt::Recorded, _) => {}
                (Receipt::Renewed, _) => self.renewed(&accepted.lease, flight.sent),
                (Receipt::Revoked, _) => orders.stop.push(accepted.lease),
                (Receipt::Stale, Some(_)) => orders.refused.push((accepted.lease, accepted.reason)),
                (Receipt::Stale, None) => {
                    if self.held.remove(&accepted.lease).is_some() {
                        orders.stop.push(accepted.lease);
                    }
                }
            }
        }
        // The server said nothing of these: they are still to be accepted.
        self.outbox.extend(outcomes.into_values());
        orders.stop.extend(answer.revoked);
        for lease in answer.leases {
            self.take(&lease, now);
            orders.start.push(lease);
        }
        orders
    }

    /// The exchange did not get through, or nobody knows: its outcomes go with the next one.
    pub(super) fn failed(&mut self, flight: u64) {
        let Some(flight) = self.land(flight) else { return };
        self.recovering = true;
        // A server that is away is not waited for just to take leave of it.
        self.offered = false;
        if flight.renews {
            // Look again at once for what is to be renewed.
            self.next_sweep = Some(flight.sent);
        }
        for report in flight.outcomes.into_iter().rev() {
            self.outbox.push_front(report);
        }
    }

    /// The server cannot read the exchange: too large, or an output that it does not take. Smaller ones follow,
    /// until the outcome that is to blame travels alone; it is replaced by a failure, so that it does not hold
    /// up the others. False: there was no outcome to blame.
    pub(super) fn unreadable(&mut self, flight: u64, why: &str) -> bool {
        let Some(flight) = self.flights.iter_mut().find(|known| known.id == flight) else {
            return true;
        };
        match flight.outcomes.as_mut_slice() {
            [only] if only.completed.is_some() => *only = not_taken(&only.lease, why),
            [] | [_] => return false,
            several => self.batch_bytes = (several.iter().map(size).sum::<usize>() / 2).max(1),
        }
        let id = flight.id;
        self.failed(id);
        true
    }

    fn take_off(&mut self, now: Instant, want: u32) -> Plan {
        let mut reports = Vec::new();
        let mut bytes = 0;
        while let Some(report) = self.outbox.front() {
            bytes += size(report);
            if !reports.is_empty() && (bytes > self.batch_bytes || reports.len() >= REPORTS_MAX) {
                break;
            }
            reports.extend(self.outbox.pop_front());
        }
        let outcomes = reports.clone();
        let room = REPORTS_MAX.saturating_sub(reports.len());
        let beats = self.beats.split_off(self.beats.len().saturating_sub(room));
        let renews = !beats.is_empty();
        reports.extend(beats.into_iter().map(Report::heartbeat));
        let id = self.next_flight;
        self.next_flight += 1;
        let slots = if self.draining { self.holds() } else { self.slots };
        self.offered |= slots > 0;
        self.flights.push(Flight { id, slots, want, sent: now, outcomes, renews });
        // Not kept open if something is left over for the next one, or if it is the last.
        let last = self.draining && self.held.is_empty();
        let hold = !last && self.outbox.is_empty() && self.beats.is_empty();
        Plan { flight: id, slots, want, hold, reports }
    }

    fn land(&mut self, flight: u64) -> Option<Flight> {
        let at = self.flights.iter().position(|candidate| candidate.id == flight)?;
        Some(self.flights.remove(at))
    }

    fn take(&mut self, lease: &Lease, now: Instant) {
        let renew_within = Duration::from_millis(lease.renew_within_ms.max(1));
        let sweep = now + renew_within / SWEEPS_PER_RENEWAL;
        self.next_sweep = Some(self.next_sweep.map_or(sweep, |next| next.min(sweep)));
        self.held.insert(lease.lease.clone(), Held { renew_within, renewed: now });
    }

    fn renewed(&mut self, lease: &str, sent: Instant) {
        if let Some(held) = self.held.get_mut(lease) {
            held.renewed = sent;
        }
    }

    /// Finds the leases that are to be renewed.
    fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|at| at > now) {
            return;
        }
        let part = |held: &Held| held.renew_within / SWEEPS_PER_RENEWAL;
        self.beats = self
            .held
            .iter()
            .filter(|(_, held)| now.saturating_duration_since(held.renewed) >= part(held))
            .map(|(lease, _)| lease.clone())
            .collect();
        self.next_sweep = self.held.values().map(part).min().map(|part| now + part);
    }

    /// When a worker without free slots, and without an exchange, should open one to hear of revoked leases.
    fn listen_at(&self) -> Option<Instant> {
        let heard = self.heard?;
        (!self.held.is_empty()).then(|| heard + LISTEN_AFTER)
    }

    fn free(&self) -> u32 {
        if self.draining {
            return 0;
        }
        self.slots.saturating_sub(self.holds())
    }

    fn holds(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    fn is_done(&self) -> bool {
        self.draining && self.held.is_empty() && self.outbox.is_empty()
    }

    /// Whether the last exchange is to be sent, by which the server forgets the worker.
    fn must_take_leave(&self) -> bool {
        self.is_done() && self.offered && self.flights.iter().all(|flight| flight.slots > 0)
    }
}

/// About the bytes that an outcome takes on the wire.
fn size(report: &Report) -> usize {
    let output = report.completed.as_ref().and_then(|completed| completed.output.as_ref());
    let failed =
        report.failed.as_ref().map_or(0, |failed| failed.class.len() + failed.message.len());
    64 + report.lease.len() + output.map_or(0, |output| output.get().len()) + failed
}

fn bounded(report: Report) -> Report {
    if size(&report) <= BATCH_BYTES_MAX {
        return report;
    }
    not_taken(&report.lease, &format!("it is larger than {BATCH_BYTES_MAX} bytes"))
}

fn not_taken(lease: &str, why: &str) -> Report {
    let message = format!("the output cannot be reported: {why}");
    let class = class::OUTPUT_NOT_TAKEN.to_owned();
    Report::failed(lease, Failed { class, message, ..Failed::default() })
}

#[cfg(test)]
mod tests;
