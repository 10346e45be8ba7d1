//! What people are told of a tenant and of the platform: situations that are made, and the diagnosis of each.

use crate::cell::effect::{Response, TenantView};
use crate::cell::input::{Configure, Input, Query, Value};
use crate::cell::view::{PlatformView, WindowView};
use crate::id::{TenantId, ToolName};
use crate::plan::{Step, StepKind, Wait, Workflow};
use crate::pool::{Policy, Pool};
use crate::quota::{Budget, BudgetClass, Rule, Tool};
use crate::reading::Window;
use crate::reading::diagnosis::State;
use crate::row::LeaseId;
use crate::tenant::{Sla, Tenant};
use crate::time::{Span, Time};

use super::desk::{Desk, name, pool, step, tenant, workflow};
use super::reviews;

const SECOND: Span = Span::from_secs(1);

/// A desk with a worker that takes what there is and reports it when it is done.
struct Town {
    desk: Desk,
    held: Vec<(Time, LeaseId)>,
    /// How long a step takes, and how much longer some take.
    work: Span,
    spread: Span,
    taken: u64,
    commit: Span,
}

impl Town {
    fn new(step: Step) -> Self {
        let mut desk = Desk::new(workflow("one", vec![step]));
        for id in ["c", "d", "e"] {
            desk.declare(Configure::Tenant(tenant(id, "large")));
        }
        let (work, commit) = (Span::from_millis(900), Span::from_millis(2));
        Self { desk, held: Vec::new(), work, spread: Span::ZERO, taken: 0, commit }
    }

    fn submit(&mut self, tenant: &str, runs: usize) {
        (0..runs).for_each(|_| drop(self.desk.submit(tenant, "one")));
    }

    /// The worker reports and takes.
    fn serve(&mut self) {
        let now = self.desk.now();
        let (done, held) = self.held.drain(..).partition(|(due, _)| *due <= now);
        self.held = held;
        let done: Vec<LeaseId> = Vec::into_iter(done).map(|(_, lease)| lease).collect();
        self.desk.complete("w", &done);
        for grant in self.desk.lease("w") {
            self.taken += 1;
            let more = Span(self.spread.0 * (self.taken % 7) / 7);
            self.held.push((now + self.work + more, grant.lease));
        }
        let took = self.commit;
        self.desk.input(Input::CommitTook(took));
    }

    fn pass(&mut self, span: Span) {
        let tick = if self.spread == Span::ZERO { SECOND } else { Span::from_millis(50) };
        for _ in 0..span.0 / tick.0 {
            self.serve();
            self.desk.pass(tick);
        }
    }

    /// The tenants come so often, with one run each.
    fn pass_with(&mut self, span: Span, tenants: &[&str], every: u64) {
        for second in 0..span.0 / SECOND.0 {
            if second % every == 0 {
                for tenant in tenants {
                    self.submit(tenant, 1);
                }
            }
            self.pass(SECOND);
        }
    }

    /// State, code, place, whether it is its own.
    fn diagnosis(&mut self, tenant: &str) -> String {
        let TenantView { diagnosis, .. } = self.desk.tenant_view(tenant);
        match diagnosis.reason {
            None => format!("{:?}", diagnosis.state),
            Some(reason) => {
                let place = reason.place.unwrap_or_default();
                let own = if reason.is_own { " own" } else { "" };
                format!("{:?} {} {place}{own}", diagnosis.state, reason.code)
            }
        }
    }

    fn platform(&mut self) -> PlatformView {
        match self.desk.ask(|reply| Input::Query(reply, Query::Platform)) {
            Response::Platform(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// State, and each reason with how many tenants it touches.
    fn platform_says(&mut self) -> String {
        let view = self.platform();
        let mut text = format!("{:?}", view.state);
        for shared in view.reasons {
            let place = shared.reason.place.unwrap_or_default();
            text.push_str(&format!("; {} {place} {}", shared.reason.code, shared.tenants));
        }
        text
    }

    fn window(&mut self, tenant: &str, window: Window) -> WindowView {
        let view = self.desk.tenant_view(tenant);
        view.windows.into_iter().find(|view| view.window == window).expect("all are told")
    }
}

fn with_tool(tool: &str) -> Step {
    Step { tool: Some(name::<ToolName>(tool)), ..step("only", &[]) }
}

#[test]
fn nothing_is_wrong_with_tenants_that_are_served() {
    let mut town = Town::new(step("only", &[]));
    town.pass_with(Span::from_secs(90), &["a", "b", "c"], 2);
    for tenant in ["a", "b", "c", "d"] {
        assert_eq!(town.diagnosis(tenant), "Healthy", "{tenant}");
    }
    assert_eq!(town.platform_says(), "Healthy");
    let minute = town.window("b", Window::Minute);
    assert!(minute.queue.unwrap().p95 <= SECOND, "{minute:?}");
    assert_eq!(minute.held, []);
    let view = town.platform();
    assert_eq!((view.tenants, view.active, view.slow, view.slow_expected), (5, 3, 0, 0));
}

#[test]
fn one_at_its_own_cap_is_slow_as_expected_and_nobody_else_is() {
    let mut town = Town::new(step("only", &[]));
    town.submit("a", 90);
    town.pass_with(Span::from_secs(40), &["b"], 2);
    assert_eq!(town.diagnosis("a"), "Degrading tenant-cap default own");
    assert_eq!(town.diagnosis("b"), "Healthy");
    assert_eq!(town.platform_says(), "Healthy");
    assert_eq!(town.platform().slow_expected, 1);
    let held = &town.window("a", Window::Minute).held[0];
    assert_eq!((held.cause, held.is_own), ("tenant-cap", true));
    assert!(held.time > Span::from_secs(40 * 40), "of 90 down to 10 steps each second: {held:?}");
}

#[test]
fn one_with_its_part_of_a_full_pool_is_slow_as_expected() {
    let mut town = Town::new(step("only", &[]));
    town.submit("b", 90);
    town.pass_with(Span::from_secs(20), &["c"], 2);
    assert_eq!(town.diagnosis("b"), "Degrading own-share default own");
    assert_eq!(town.platform_says(), "Healthy");
}

#[test]
fn several_that_want_more_than_their_part_of_a_full_pool_mean_that_it_is_too_small() {
    let mut town = Town::new(step("only", &[]));
    for tenant in ["b", "c", "d", "e"] {
        town.submit(tenant, 90);
    }
    town.pass(Span::from_secs(60));
    assert_eq!(town.diagnosis("c"), "Degrading own-share default own");
    assert_eq!(town.platform_says(), "Broken; slots default 4");
    let view = town.platform();
    assert_eq!((view.slow, view.slow_expected), (4, 0), "what many want is nobody's own");
    let pool = &view.pools[0];
    let minute = &pool.fairness[0];
    assert_eq!((minute.contenders, minute.jain_permille), (4, Some(1_000)), "{minute:?}");
    assert!(pool.full_permille > 900, "{pool:?}");
}

#[test]
fn a_pool_without_workers_is_told_by_those_that_wait_for_one() {
    let mut town = Town::new(step("only", &[]));
    town.submit("b", 2);
    for _ in 0..70 {
        town.desk.pass(SECOND);
    }
    assert_eq!(town.diagnosis("b"), "Broken workers default");
    assert_eq!(town.platform_says(), "Degrading; workers default 1");
}

#[test]
fn an_own_quota_is_expected_and_a_providers_limit_is_everybodys() {
    let rule = Rule::Bucket { units: 1, per: SECOND, burst: 1, of: crate::quota::Unit::Calls };
    let mut town = Town::new(with_tool("bureau"));
    let quotas = [(name("bureau"), vec![rule.clone()])].into();
    let class = BudgetClass { name: name("slow"), quotas, budget: Budget::default() };
    town.desk.declare(Configure::Class(class));
    let of_class = Tenant { budget_class: Some(name("slow")), ..tenant("b", "large") };
    town.desk.declare(Configure::Tenant(of_class));
    town.submit("b", 60);
    town.pass_with(Span::from_secs(20), &["c"], 2);
    assert_eq!(town.diagnosis("b"), "Degrading own-quota bureau own");
    assert_eq!(town.diagnosis("c"), "Healthy");
    assert_eq!(town.platform_says(), "Healthy");

    let mut town = Town::new(with_tool("bureau"));
    town.desk.declare(Configure::Tool(Tool::new(name("bureau"), vec![rule])));
    for tenant in ["b", "c"] {
        town.submit(tenant, 60);
    }
    town.pass(Span::from_secs(20));
    assert_eq!(town.diagnosis("c"), "Degrading provider bureau");
    assert_eq!(town.platform_says(), "Broken; provider bureau 2");
}

#[test]
fn a_tool_that_became_slow_is_found() {
    let mut town = Town::new(with_tool("bureau"));
    town.pass_with(Span::from_secs(1_200), &["b", "c"], 4);
    assert_eq!(town.platform_says(), "Healthy");
    town.work = Span::from_secs(3);
    town.pass_with(Span::from_secs(120), &["b", "c"], 4);
    assert_eq!(town.diagnosis("b"), "Degrading slow-tool bureau");
    let says = town.platform_says();
    assert!(says.contains("; slow-tool bureau 2"), "{says}");
    let view = town.platform();
    let bureau = view.work.iter().find(|work| work.name == "bureau").unwrap();
    assert!(bureau.is_slow && bureau.minute.unwrap().p50 > bureau.hour.unwrap().p50);
}

#[test]
fn a_store_that_became_slow_is_found() {
    let mut town = Town::new(step("only", &[]));
    town.pass_with(Span::from_secs(600), &["b"], 2);
    assert_eq!(town.platform_says(), "Healthy");
    town.commit = Span::from_millis(400);
    town.pass_with(Span::from_secs(60), &["b"], 2);
    assert_eq!(town.platform_says(), "Degrading; slow-store  0");
}

#[test]
fn too_few_reviewers_are_found() {
    let mut town = Town::new(step("only", &[]));
    town.desk.declare(Configure::ReviewerPool(reviews::pool("people", &["ada", "bob"])));
    let review = reviews::review("manual", &[], reviews::terms());
    let second = Workflow { version: 2, ..workflow("one", vec![review]) };
    town.desk.declare(Configure::Workflow(std::sync::Arc::new(second)));
    for minute in 0..20 {
        town.submit("b", 2);
        (0..2).for_each(|_| town.desk.evaluate(Ok(Value::Digest([7; 32]))));
        town.desk.pass(Span::from_secs(60));
        if minute == 4 {
            assert_eq!(town.platform_says(), "Healthy", "people take their time");
        }
    }
    town.desk.pass(Span::from_secs(60));
    assert_eq!(town.diagnosis("b"), "Degrading reviewers people");
    assert_eq!(town.platform_says(), "Degrading; reviewers people 1");
    let view = town.platform();
    let people = &view.reviewers[0];
    assert_eq!((people.open, people.opened, people.ended, people.is_short), (40, 40, 0, true));
    assert!(people.oldest.unwrap() >= Span::from_secs(20 * 60), "{people:?}");
}

#[test]
fn a_target_that_is_missed_is_told_with_its_error_budget() {
    let mut town = Town::new(step("only", &[]));
    let sla = Sla { percentile_permille: 900, latency: Span::from_secs(5) };
    town.desk.declare(Configure::Tenant(Tenant { sla: Some(sla), ..tenant("a", "small") }));
    town.pass_with(Span::from_secs(60), &["a"], 2);
    let hour = town.window("a", Window::Hour);
    assert_eq!((hour.aimed, hour.late), (30, 0));
    assert_eq!(town.diagnosis("a"), "Healthy");
    town.submit("a", 60);
    town.pass(Span::from_secs(45));
    let hour = town.window("a", Window::Hour);
    assert_eq!((hour.aimed, hour.late), (90, 50));
    assert_eq!(town.diagnosis("a"), "Broken tenant-cap default own");
    assert_eq!(town.platform_says(), "Healthy", "its own cap");
}

/// A pool that serves by age alone is a hole in the isolation of slots.
#[test]
fn waits_that_follow_a_loud_neighbour_are_found_where_isolation_is_broken_and_only_there() {
    // Slots come back one by one, or all at once.
    let [apart, together] = [Span::from_millis(400), Span::ZERO];
    for (policy, spread, is_broken) in [
        (Policy::Fifo, apart, true),
        (Policy::Fifo, together, true),
        (Policy::Fair, apart, false),
        (Policy::Fair, together, false),
    ] {
        let mut town = Town::new(step("only", &[]));
        town.spread = spread;
        town.desk.declare(Configure::Pool(Pool { policy, ..pool("default") }));
        for minute in 0..28 {
            // So that no two bursts come after the same time.
            if minute % 5 == 1 || minute % 7 == 3 {
                town.submit("b", 80);
            }
            town.pass_with(Span::from_secs(60), &["c", "d"], 3);
        }
        let view = town.platform();
        let found: Vec<_> =
            view.interference.iter().filter(|found| found.found.is_significant).collect();
        assert_eq!(!found.is_empty(), is_broken, "{policy:?} {spread:?}: {:?}", view.interference);
        if is_broken {
            let found = found[0];
            assert_eq!((found.tenant.clone(), found.at), (name::<TenantId>("b"), "slots"));
            assert_eq!(found.place.as_deref(), Some("default"));
            // Each of its steps that goes before takes a quarter of a second of a pool of four.
            assert!((100.0..500.0).contains(&found.found.ms_per_slot), "{found:?}");
            let says = town.platform_says();
            assert!(says.contains("interference default"), "{says}");
            assert_ne!(view.state, State::Healthy);
        }
    }
}

#[test]
fn a_tenant_that_was_never_seen_takes_no_memory_and_has_no_numbers() {
    let mut town = Town::new(step("only", &[]));
    town.pass_with(Span::from_secs(5), &["a"], 1);
    let view = town.desk.tenant_view("e");
    assert!(view.windows.iter().all(|window| window.end.is_none() && window.held.is_empty()));
    assert_eq!(town.platform().active, 1);
}

/// First in, first out gives most to whoever asks for most at once; under the default policy many with a small part each,
/// or long steps of one who came first, are no unfairness.
#[test]
fn a_pool_that_gives_some_more_than_their_part_is_found_unfair() {
    let unfair = |town: &mut Town| town.platform_says().contains("; unfair default");
    for (policy, is_unfair) in [(Policy::Fifo, true), (Policy::Fair, false)] {
        let mut town = Town::new(step("only", &[]));
        town.spread = Span::from_millis(400);
        town.desk.declare(Configure::Pool(Pool { policy, ..pool("default") }));
        for _ in 0..2 {
            town.submit("b", 80);
            town.pass_with(Span::from_secs(30), &["c", "d", "e"], 2);
        }
        assert_eq!(unfair(&mut town), is_unfair, "{policy:?}: {}", town.platform_says());
        assert_eq!(town.diagnosis("c").contains("unfair default"), is_unfair, "{policy:?}");
        let jain = town.platform().pools[0].fairness[0].jain_permille;
        assert_eq!(jain.is_some_and(|jain| jain < 900), is_unfair, "{policy:?}: {jain:?}");
    }
    let mut town = Town::new(step("only", &[]));
    for number in 0..30 {
        let id = format!("small-{number}");
        town.desk.declare(Configure::Tenant(tenant(&id, "large")));
        town.submit(&id, 60);
    }
    town.pass(Span::from_secs(120));
    let fairness = &town.platform().pools[0].fairness;
    let jain = [0, 1].map(|window: usize| fairness[window].jain_permille.unwrap());
    assert!(jain.into_iter().all(|jain| jain >= 950), "a tenth of a slot each: {jain:?}");
    assert!(!unfair(&mut town));

    let mut town = Town::new(step("only", &[]));
    town.work = Span::from_secs(60);
    town.submit("b", 40);
    town.pass(Span::from_secs(1));
    town.submit("c", 40);
    town.pass(Span::from_secs(50));
    assert!(!unfair(&mut town), "no slot has come back yet");
    town.pass(Span::from_secs(300));
    assert!(!unfair(&mut town), "{}", town.platform_says());
}

#[test]
fn what_made_runs_late_some_minutes_ago_is_still_the_reason_and_what_is_mended_is_well() {
    let mut town = Town::new(step("only", &[]));
    let nap = Step { kind: StepKind::Wait(Wait::For(Span::from_secs(90))), ..step("nap", &[0]) };
    let napping = Workflow { version: 2, ..workflow("one", vec![step("only", &[]), nap]) };
    town.desk.declare(Configure::Workflow(std::sync::Arc::new(napping)));
    let sla = Sla { percentile_permille: 900, latency: Span::from_secs(95) };
    let capped = Tenant { sla: Some(sla), cap: Some(1), ..tenant("b", "large") };
    town.desk.declare(Configure::Tenant(capped));
    town.work = Span::from_secs(4);
    // All but the first wait for the others, and are late when they have slept.
    town.submit("b", 4);
    town.pass(Span::from_secs(108));
    assert_eq!(town.window("b", Window::Minute).held, []);
    assert_eq!(town.diagnosis("b"), "Broken tenant-cap default own");
    town.work = SECOND;
    town.pass_with(Span::from_secs(160), &["b"], 8);
    let ten_minutes = town.window("b", Window::TenMinutes);
    assert!(ten_minutes.late * 10 > ten_minutes.aimed, "still more than may be: {ten_minutes:?}");
    assert_eq!(town.diagnosis("b"), "Healthy");
}
