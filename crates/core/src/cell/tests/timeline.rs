//! The story of three banks in virtual time: one uses up its hour's calls, waits for the next hour, and nobody else
//! notices, by not one microsecond.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::Calendar;
use crate::cell::input::Configure;
use crate::money::Nano;
use crate::plan::{Retry, Step, Timeouts};
use crate::pool::Pool;
use crate::quota::{Budget, BudgetClass, Tool};
use crate::row::{LeaseId, RunKey};
use crate::tenant::Tier;
use crate::time::{Span, Time};

use super::desk::{Desk, name, pool, step, tenant, workflow};
use super::quota::window;

const MINUTE: Span = Span::from_secs(60);
/// One call of the bureau.
const CALL: Span = Span::from_secs(150);
/// Calls that a run of the regional bank needs: it is answered at the fourth attempt.
const ATTEMPTS: u32 = 4;

struct Town {
    desk: Desk,
    start: Time,
    /// Steps that run, by when they end.
    running: BTreeMap<(Time, u64), (String, LeaseId, u32)>,
    arrivals: BTreeSet<(Time, &'static str)>,
    submitted: BTreeMap<RunKey, Time>,
    /// Tenant, time of submission and of completion, after the start.
    done: Vec<(&'static str, Span, Span)>,
    /// When the regional bank called the bureau.
    calls: Vec<Span>,
}

impl Town {
    fn new(has_burst: bool) -> Self {
        let retry = Retry {
            attempts: ATTEMPTS,
            backoff_min: Span::from_millis(1),
            backoff_max: Span::from_millis(1),
            jitter_permille: 0,
        };
        let timeout = Timeouts { attempt: Span::from_secs(600), ..Timeouts::default() };
        let tool = Some(name("credit_bureau"));
        let credit =
            Step { tool, retry, timeout, cost_nano: Nano::from_cents(1).0, ..step("credit", &[]) };
        let mut desk = Desk::new(workflow("loan", vec![credit]));
        // The hour begins with the story.
        desk.now = Time(1_000 * 3_600_000_000);
        desk.declare(Configure::Pool(Pool {
            slots: 100,
            lease: Span::from_secs(600),
            ..pool("default")
        }));
        desk.declare(Configure::Tool(Tool::new(name("credit_bureau"), Vec::new())));
        for (tier, weight, cap, calls, cents) in
            [("enterprise", 10, 50, 500, 200), ("standard", 4, 10, 50, 50), ("free", 1, 3, 10, 10)]
        {
            let quotas = [(name("credit_bureau"), vec![window(calls, Calendar::Hour)])].into();
            let budget = Budget { run: Some(Nano::from_cents(cents)), ..Budget::default() };
            desk.declare(Configure::Class(BudgetClass { name: name(tier), quotas, budget }));
            desk.declare(Configure::Tier(Tier {
                name: name(tier),
                weight,
                cap,
                burst: None,
                urgent_share_permille: 1_000,
                runs_max: 1_000,
                sla: None,
                budget_class: Some(name(tier)),
                rules: crate::tenant::Rules::default(),
            }));
        }
        for (id, tier) in
            [("regional-bank", "enterprise"), ("credit-union", "standard"), ("start-up", "free")]
        {
            desk.declare(Configure::Tenant(tenant(id, tier)));
        }
        let start = desk.now;
        let mut arrivals = BTreeSet::new();
        for minutes in 0..90_u64 {
            // A few seconds past the minute, each at its own.
            let at = |seconds| start + Span::from_secs(minutes * 60 + seconds);
            if minutes % 2 == 0 {
                arrivals.insert((at(7), "credit-union"));
            }
            if minutes % 10 == 0 {
                arrivals.insert((at(11), "start-up"));
            }
        }
        let mut town = Self {
            desk,
            start,
            running: BTreeMap::new(),
            arrivals,
            submitted: BTreeMap::new(),
            done: Vec::new(),
            calls: Vec::new(),
        };
        if has_burst {
            (0..200).for_each(|_| town.submit("regional-bank"));
        }
        town
    }

    fn submit(&mut self, tenant: &'static str) {
        let key = self.desk.submit(tenant, "loan");
        self.submitted.insert(key, self.desk.now);
    }

    /// Ten workers take what they can get.
    fn work(&mut self) {
        for worker in (0..10).map(|at| format!("w{at}")) {
            for grant in self.desk.lease(&worker) {
                if grant.lease.key.tenant.as_str() == "regional-bank" {
                    self.calls.push(self.desk.now.since(self.start));
                }
                let ends = (self.desk.now + CALL, grant.lease.fence);
                self.running.insert(ends, (worker.clone(), grant.lease, grant.attempt));
            }
        }
    }

    fn run_until(&mut self, end: Span) {
        let end = self.start + end;
        self.work();
        loop {
            let ends = self.running.keys().next().map(|(at, _)| *at);
            let arrives = self.arrivals.first().map(|(at, _)| *at);
            let wakes = self.desk.driver.next_wake();
            let next = [ends, arrives, wakes].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.desk.pass(next.since(self.desk.now));
            while let Some(&key) = self.running.keys().next().filter(|(at, _)| *at <= next) {
                self.report(key);
            }
            while let Some(arrival) = self.arrivals.first().copied().filter(|(at, _)| *at <= next) {
                self.arrivals.remove(&arrival);
                self.submit(arrival.1);
            }
            self.work();
        }
        self.desk.pass(end.since(self.desk.now));
    }

    fn report(&mut self, key: (Time, u64)) {
        let (worker, lease, attempt) = self.running.remove(&key).unwrap();
        let bank = ["regional-bank", "credit-union", "start-up"]
            .into_iter()
            .find(|id| *id == lease.key.tenant.as_str())
            .unwrap();
        if bank == "regional-bank" && attempt < ATTEMPTS {
            self.desk.fail(&worker, &lease, true);
            return;
        }
        self.desk.complete(&worker, std::slice::from_ref(&lease));
        let submitted = self.submitted[&lease.key];
        self.done.push((bank, submitted.since(self.start), self.desk.now.since(self.start)));
    }

    fn done_of(&self, bank: &str) -> usize {
        self.done.iter().filter(|(of, ..)| *of == bank).count()
    }

    /// Those of everyone but the regional bank.
    fn others(&self) -> Vec<(&'static str, Span, Span)> {
        self.done.iter().filter(|(of, ..)| *of != "regional-bank").copied().collect()
    }
}

#[test]
fn a_bank_that_uses_up_its_calls_waits_for_the_next_hour_and_nobody_else_notices() {
    let mut town = Town::new(true);
    town.run_until(Span::from_secs(1));
    let bank = town.desk.tenant_view("regional-bank");
    assert_eq!((bank.slots, bank.live_runs), (50, 200), "50 run, 150 wait");
    town.run_until(Span(MINUTE.0 * 40));
    assert_eq!(town.calls.len(), 500, "the hour's calls are used");
    let last = *town.calls.last().unwrap();
    assert!((22..=25).contains(&(last.0 / MINUTE.0)), "the last one at {last}");
    let bank = town.desk.tenant_view("regional-bank");
    assert_eq!((bank.slots, bank.debt), (0, Span::ZERO), "it holds nothing while it waits");
    town.run_until(Span(MINUTE.0 * 90));
    let resumed = town.calls[500];
    assert_eq!(resumed, Span(MINUTE.0 * 60), "it goes on with the next hour");
    assert_eq!(town.done_of("regional-bank"), 200);
    assert_eq!(town.calls.len(), 200 * ATTEMPTS as usize);

    let mut quiet = Town::new(false);
    quiet.run_until(Span(MINUTE.0 * 90));
    assert_eq!(quiet.done_of("credit-union"), 44);
    assert_eq!(quiet.done_of("start-up"), 9);
    assert_eq!(town.others(), quiet.others(), "to the microsecond");
}
