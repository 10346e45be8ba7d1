//! The stage is set at the beginning; at the end faults stop, and the cell must become empty.

use std::collections::BTreeMap;
use std::fmt::Write;

use fairlane_core::catalog::Model;
use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::{Command, Configure, Input, Query};
use fairlane_core::money::Nano;
use fairlane_core::quota::{Budget, BudgetClass, Tool};
use fairlane_core::row::{RunStatus, StepState};
use fairlane_core::tenant::{Org, Rules, Tenant};
use fairlane_core::time::Span;

use super::{Act, Event, HEALING_MAX, World};
use crate::bounds;
use crate::fault::Faults;
use crate::host::{About, Sender};
use crate::plans;
use crate::prng::Prng;
use crate::violation::{Verdict, holds};

/// Wake-ups that an empty cell may still have planned.
const WAKES_MAX: u32 = 10_000;
/// How often the drain looks for what must be let go.
const DRAIN_EVERY: Span = Span::from_millis(700);

impl World {
    /// Plans the first acts of everybody.
    pub(super) fn set_the_stage(&mut self, seed: u64) {
        let stage = &mut Prng::split(seed, "stage", 0);
        for at in 0..self.clients.len() {
            let gap = self.clients[at].gap();
            self.plan(gap, Event::ClientActs(at));
        }
        for at in 0..self.workers.len() {
            self.plan(Span::from_millis(stage.between(0, 500)), Event::WorkerWakes(at));
        }
        for at in 0..self.reviewers.len() {
            let gap = self.reviewers[at].gap();
            self.plan(gap, Event::ReviewerActs(at));
        }
        if let Some(gap) = self.operator.gap() {
            self.plan(gap, Event::OperatorActs);
        }
        if let Some(gap) = self.gateway.gap() {
            self.plan(gap, Event::GatewayCalls);
        }
        if let Some(gap) = self.faults.crash_gap {
            self.plan(gap, Event::Crash);
        }
        if let Some(gap) = self.faults.clock_gap {
            self.plan(gap, Event::ClockJumps);
        }
        self.plan(Span::from_millis(stage.between(2_000, 25_000)), Event::Heal);
    }

    pub(super) fn is_declared(&self) -> bool {
        self.plans.iter().all(|plan| self.rows.workflows.contains_key(&(plan.name.clone(), 1)))
    }

    /// Declares what there is. The workflows come last, and need everything else.
    pub(super) fn declare_all(&mut self) -> Verdict {
        for declaration in self.landscape.clone().declarations() {
            self.declare(declaration)?;
        }
        for plan in self.plans.clone() {
            self.declare(Configure::Workflow(plan))?;
        }
        Ok(())
    }

    pub(super) fn heal(&mut self) -> Verdict {
        self.note("heal", format_args!(""));
        self.faults = Faults::default();
        for worker in &mut self.workers {
            worker.faults = self.faults.worker;
        }
        self.act = Act::Healing { since: self.now };
        self.drain()
    }

    /// Lets go what waits for somebody: suspended tenants, paused runs, signals that nobody sends.
    pub(super) fn drain(&mut self) -> Verdict {
        let Act::Healing { since } = self.act else { return Ok(()) };
        let waited = self.now.since(since);
        holds(waited < HEALING_MAX, "progress", || self.stuck())?;
        if self.host.driver.is_some() {
            self.let_go()?;
            if self.is_drained() {
                self.probe()?;
                self.checks.emptied(&self.rows)?;
                self.act = Act::Empty;
                return self.run_down();
            }
        }
        self.plan(DRAIN_EVERY, Event::Drain);
        Ok(())
    }

    fn let_go(&mut self) -> Verdict {
        let is_kept = |tenant: &&Tenant| tenant.suspended || tenant.rules != Rules::default();
        let kept = self.rows.tenants.values().filter(is_kept);
        let free = |tenant: &Tenant| {
            let rules = Rules::default();
            Tenant { suspended: false, rules, ..tenant.clone() }
        };
        let freed: Vec<Tenant> = kept.map(free).collect();
        for tenant in freed {
            self.declare(Configure::Tenant(tenant))?;
        }
        let classes: Vec<BudgetClass> = self.rows.classes.values().cloned().collect();
        for class in classes {
            self.declare(Configure::Class(BudgetClass {
                name: class.name,
                quotas: BTreeMap::new(),
                budget: Budget::default(),
            }))?;
        }
        let tools: Vec<Tool> = self.rows.tools.values().cloned().collect();
        for tool in tools {
            let location = bounds::inside();
            self.declare(Configure::Tool(Tool { limits: Vec::new(), location, ..tool }))?;
        }
        // Whoever waits for a way finds one.
        let models: Vec<Model> = self.rows.models.values().cloned().collect();
        for mut model in models {
            model.candidates.iter_mut().for_each(|candidate| candidate.tiers.clear());
            self.declare(Configure::Model(model))?;
        }
        let bounded = self.rows.orgs.values().filter(|org| org.budget.is_some());
        let bounded: Vec<Org> = bounded.map(|org| Org { budget: None, ..org.clone() }).collect();
        for org in bounded {
            self.declare(Configure::Org(org))?;
        }
        for plan in self.plans.clone() {
            if !plan.schedules.is_empty() {
                self.declare(Configure::Workflow(plans::retired(&plan).into()))?;
            }
        }
        let paused = self.rows.live_runs().filter(|run| run.status == RunStatus::Paused);
        let paused: Vec<_> = paused.map(|run| run.key.clone()).collect();
        for key in paused {
            if self.rows.runs[&key].money.halt.is_some() {
                self.command(key.clone(), Command::Budget { limit: Nano::MAX })?;
            }
            self.command(key, Command::Resume)?;
        }
        self.let_reviews_go()?;
        let live: Vec<_> = self.rows.live_runs().map(|run| run.key.clone()).collect();
        for key in live {
            let listening = self.rows.steps_of(&key).find_map(|step| match &step.state {
                StepState::Listening { signal } => Some(signal.clone()),
                _ => None,
            });
            let client = self.clients.iter_mut().find(|client| client.tenant == key.tenant);
            if let (Some(signal), Some(client)) = (listening, client)
                && let crate::client::Request::Command(key, signal) = client.signal(key, signal)
            {
                self.command(key, signal)?;
            }
        }
        Ok(())
    }

    /// An empty cell has nothing left to do: what it still wants to be woken for changes nothing, and ends.
    fn run_down(&mut self) -> Verdict {
        let Some(driver) = &mut self.host.driver else { return Ok(()) };
        for _ in 0..WAKES_MAX {
            let Some(wake) = driver.next_wake() else { return Ok(()) };
            driver.step(wake, Input::Tick);
            let changes = driver.take().unwrap_or_default();
            let is_late = |change: &Change| matches!(change, Change::Run(_) | Change::Step(_));
            holds(!changes.iter().any(is_late), "P9 nothing leaks", || {
                format!("woken at {wake}, the empty cell changes {changes:?}")
            })?;
            if driver.is_committing() {
                driver.committed();
            }
        }
        holds(false, "P9 nothing leaks", || "the empty cell wants to be woken for ever".into())
    }

    fn is_drained(&self) -> bool {
        let is_idle = self.host.driver.as_ref().is_some_and(|driver| !driver.is_committing());
        let has_schedules = self.plans.iter().any(|plan| {
            !plan.schedules.is_empty()
                && !self.rows.workflows.contains_key(&(plan.name.clone(), plan.version + 1))
        });
        let has_calls = self.rows.open_calls().next().is_some();
        is_idle && !has_schedules && !has_calls && self.rows.live_runs().next().is_none()
    }

    /// What keeps the cell from becoming empty.
    pub(super) fn stuck(&self) -> String {
        let mut facts = format!("after {HEALING_MAX} of healing these runs are live:");
        for run in self.rows.live_runs() {
            let steps: Vec<_> = self.rows.steps_of(&run.key).collect();
            write!(facts, "\n{run:?}\n{steps:#?}").expect("a text takes everything");
        }
        for call in self.rows.open_calls() {
            write!(facts, "\n{call:?} is under way").expect("a text takes everything");
        }
        facts
    }
}

impl World {
    /// Asks the cell about itself, if nothing is under way and nothing is due, so that the answer is about the rows as
    /// they are.
    pub(super) fn probe(&mut self) -> Verdict {
        let Some(driver) = &self.host.driver else { return Ok(()) };
        let is_due = driver.next_wake().is_some_and(|wake| wake <= self.clock());
        if driver.is_committing() || is_due {
            return Ok(());
        }
        let mut queries = vec![
            Query::Pools,
            Query::Valve,
            Query::Residency,
            Query::Tenants { after: None, limit: 100 },
        ];
        queries.extend(self.rows.live_runs().map(|run| Query::Explain(run.key.clone())));
        for query in queries {
            let reply =
                self.host.expect_reply(Sender::Probe, About::Query { commits: self.commits });
            self.step(Input::Query(reply, query))?;
        }
        Ok(())
    }
}
