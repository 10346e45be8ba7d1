//! Calls of models: which candidate serves them, what they cost, and what is written of them.

use std::sync::Arc;

use crate::calendar::{Calendar, TimeZone};
use crate::catalog::{
    Candidate, Endpoint, Metered, Model, Price, PriceVersion, Protocol, Rates, Usage,
};
use crate::cell::change::Change;
use crate::cell::effect::{Grant, Response, Work};
use crate::cell::input::{
    Called, CloseCall, Command, Configure, Input, Judged, OpenCall, Outcome, Value,
};
use crate::id::{ModelName, RunId};
use crate::limiter::Answer;
use crate::money::Nano;
use crate::plan::{ModelCall, Retry, SERVER_POOL, Step, StepKind};
use crate::quota::{Budget, BudgetClass, Rule, Rung, Tool, Unit};
use crate::reject::Rejection;
use crate::router::{Because, Demand, NoWay, Passed};
use crate::row::{Failure, LeaseId, Route, RunKey, RunStatus, StepState};
use crate::tenant::Tenant;
use crate::time::{Span, Time};

use super::desk::{Desk, ids, name, payload, pool, step, tenant, workflow};

/// A call with 1,000 tokens of output at most.
pub(super) fn call(text: &str, after: &[u16]) -> Step {
    let kind = StepKind::Model(Box::new(ModelCall {
        model: name("reasoner"),
        system: None,
        prompt: "Check {{ input }}".into(),
        max_tokens: 1_000,
        min_tokens: 250,
    }));
    Step { kind, retry: Retry { attempts: 2, ..Retry::default() }, ..step(text, after) }
}

pub(super) fn endpoint(tool: &str, limits: Vec<Rule>) -> Configure {
    let endpoint = Endpoint {
        protocol: Protocol::Chat,
        url: "http://127.0.0.1:9/v1".into(),
        key: None,
        allow_private: true,
        timeout: Span::from_secs(60),
        answer_bytes_max: 1 << 20,
        surcharge_permille: 0,
    };
    Configure::Tool(Tool { endpoint: Some(endpoint), ..Tool::new(name(tool), limits) })
}

/// So many cents for a million tokens in, five times that for a million out: 1,024 in and 1,000 out are 0.006024 a cent.
fn price(id: &str, cents: u64) -> Configure {
    let rates =
        Rates { input: Nano::from_cents(cents), cached: None, output: Nano::from_cents(5 * cents) };
    let version =
        PriceVersion { from: Time(0), rates, long: None, context: Some(8_000), output_max: None };
    Configure::Price(Price { name: name(id), versions: vec![version] })
}

pub(super) fn model(candidates: &[(&str, &str)]) -> Configure {
    let candidate = |(endpoint, id): &(&str, &str)| Candidate {
        endpoint: name(endpoint),
        model: (*id).into(),
        price: name(id),
        tiers: Vec::new(),
    };
    let candidates = candidates.iter().map(candidate).collect();
    Configure::Model(Model { name: name("reasoner"), candidates })
}

/// `large` at 10,000 cents a million and `small` at 1,000: a call of 1,024 in is held 0.6024 and 0.06024.
pub(super) fn desk_with(steps: Vec<Step>, budget: Budget) -> Desk {
    let mut desk = Desk::new(workflow("other", vec![step("only", &[])]));
    desk.declare(Configure::Pool(pool(SERVER_POOL.as_str())));
    desk.declare(endpoint("eu", Vec::new()));
    desk.declare(endpoint("us", Vec::new()));
    desk.declare(price("large", 10_000));
    desk.declare(price("small", 1_000));
    desk.declare(model(&[("eu", "large"), ("us", "small")]));
    let class = BudgetClass { name: name("tight"), quotas: [].into(), budget };
    desk.declare(Configure::Class(class));
    desk.declare(Configure::Tenant(Tenant {
        budget_class: Some(name("tight")),
        ..tenant("b", "large")
    }));
    desk.declare(Configure::Workflow(Arc::new(workflow("flow", steps))));
    desk
}

fn short(rungs: Vec<Rung>, run_cents: u64) -> Budget {
    Budget { run: Some(Nano::from_cents(run_cents)), short: rungs, ..Budget::default() }
}

pub(super) fn counted(desk: &mut Desk, tokens: u32) {
    desk.evaluate(Ok(Value::Tokens(tokens)));
}

pub(super) fn leases(desk: &mut Desk) -> Vec<Grant> {
    desk.exchange_in("server", "s", 10, Vec::new()).grants
}

fn passed(endpoint: &str, upstream: &str, because: Because) -> Passed {
    Passed { endpoint: name(endpoint), upstream: upstream.into(), because }
}

fn route(grant: &Grant) -> &Route {
    match &grant.work {
        Work::Model(route) => route,
        other => panic!("{other:?}"),
    }
}

pub(super) fn used(input: u32, output: u32) -> Metered {
    Metered { usage: Usage { input, cached: 0, output }, is_certain: true }
}

fn done(metered: Metered) -> Outcome {
    let result = Ok(payload("{\"ok\":true}"));
    Outcome::Called(Box::new(Called {
        result,
        judged: Judged::default(),
        metered,
        answer: Answer::Served,
    }))
}

fn report(desk: &mut Desk, lease: &LeaseId, outcome: Outcome) {
    let report = crate::cell::input::Report { lease: lease.clone(), outcome };
    let exchanged = desk.exchange_in("server", "s", 0, vec![report]);
    assert_eq!(format!("{:?}", exchanged.receipts[0].1), "Recorded");
}

pub(super) fn report_done(desk: &mut Desk, lease: &LeaseId) {
    report(desk, lease, done(used(100, 10)));
}

/// What the tenant has spent this month.
fn posted(desk: &Desk) -> (String, String) {
    let accounts = desk.disk().snapshot().accounts;
    let month = accounts.iter().find(|row| row.every == Calendar::Month);
    month.map_or_else(Default::default, |row| (row.posted.to_string(), row.uncertain.to_string()))
}

#[test]
fn a_call_waits_for_its_prompt_to_be_counted_and_costs_what_it_used() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("b", "flow");
    assert_eq!(leases(&mut desk).len(), 0, "what it would cost is not known");
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    let way = route(&grants[0]);
    assert_eq!((&*way.upstream, way.input, way.output, way.rung), ("large", 1_024, 1_000, None));
    report(&mut desk, &grants[0].lease, done(used(900, 100)));
    // 900 in at 100.00 and 100 out at 500.00 a million.
    assert_eq!(posted(&desk), ("0.14".into(), "0.00".into()));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
    let disk = desk.disk();
    let [row] = disk.calls() else { panic!("one call") };
    assert_eq!((&*row.upstream, row.cost.to_string()), ("large", "0.14".to_owned()));
    assert_eq!((row.attempt.unwrap().run, row.metered), (run.run, used(900, 100)));
}

#[test]
fn a_run_that_cannot_pay_the_first_model_is_served_by_a_cheaper_one() {
    let mut desk = desk_with(vec![call("ask", &[])], short(vec![Rung::CheaperModel], 10));
    desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    let way = route(&grants[0]);
    assert_eq!((&*way.upstream, way.rung), ("small", Some(Rung::CheaperModel)));
    assert!(desk.decisions().contains(&"degraded".to_owned()));
    report(&mut desk, &grants[0].lease, done(used(1_000, 200)));
    assert_eq!(posted(&desk).0, "0.02");
    assert_eq!(desk.disk().calls()[0].rung, Some(Rung::CheaperModel));
}

#[test]
fn a_run_without_money_for_any_choice_goes_down_the_rest_of_its_ladder() {
    for (ladder, status) in [
        (vec![Rung::CheaperModel, Rung::ShorterOutput, Rung::Pause], RunStatus::Paused),
        (vec![Rung::ShorterOutput, Rung::CheaperModel, Rung::Fail], RunStatus::Failed),
        (vec![], RunStatus::Paused),
    ] {
        // 1,024 in and the least out are 0.01024 + 0.0125 of the small one.
        let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
        let run = desk.submit("b", "flow");
        let class = BudgetClass {
            name: name("tight"),
            quotas: [].into(),
            budget: Budget { short: ladder, ..Budget::default() },
        };
        desk.declare(Configure::Class(class));
        let limit = Nano::from_cents(2);
        desk.command(&run, Command::Budget { limit });
        counted(&mut desk, 1_000);
        assert_eq!(leases(&mut desk).len(), 0);
        assert_eq!(desk.rows(&run).0.status, status);
    }
}

#[test]
fn a_shorter_output_is_as_long_as_the_money_lets_it() {
    let mut desk = desk_with(vec![call("ask", &[])], short(vec![Rung::ShorterOutput], 40));
    desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    // 0.40 less 0.1024 for what goes in leaves 595 tokens at 500.00 a million.
    let way = route(&grants[0]);
    assert_eq!((&*way.upstream, way.output, way.rung), ("large", 595, Some(Rung::ShorterOutput)));
}

#[test]
fn the_next_candidate_stands_in_for_one_whose_endpoint_has_no_room() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let tokens = Rule::Window {
        units: 3_000,
        every: Calendar::Hour,
        time_zone: TimeZone::UTC,
        of: Unit::Tokens,
    };
    desk.declare(endpoint("eu", vec![tokens]));
    desk.declare(endpoint("us", vec![Rule::Concurrent { calls: 1 }]));
    for _ in 0..3 {
        desk.submit("b", "flow");
        counted(&mut desk, 1_000);
    }
    let grants = leases(&mut desk);
    let served: Vec<&str> = grants.iter().map(|grant| &*route(grant).upstream).collect();
    assert_eq!(served, ["large", "small"], "2,024 tokens are held of 3,000, and one call runs");
    // What was not used is there again, so that the third fits beside.
    report(&mut desk, &grants[0].lease, done(used(100, 100)));
    let grants = leases(&mut desk);
    assert_eq!(grants.len(), 1);
    assert_eq!(&*route(&grants[0]).upstream, "large");
}

#[test]
fn a_failed_call_pays_for_what_it_used_and_is_tried_again() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    let failure = Failure { class: "output-invalid".into(), message: "no JSON".into(), step: None };
    let called = Called {
        result: Err((failure, true)),
        judged: Judged::default(),
        metered: used(1_000, 100),
        answer: Answer::Served,
    };
    report(&mut desk, &grants[0].lease, Outcome::Called(Box::new(called)));
    assert_eq!(posted(&desk).0, "0.15");
    desk.pass(Span::from_secs(60));
    let grants = leases(&mut desk);
    assert_eq!(grants[0].attempt, 2, "the prompt is counted once");
    report(&mut desk, &grants[0].lease, done(used(1_000, 100)));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
    assert_eq!(desk.disk().calls().len(), 2);
}

#[test]
fn the_next_attempt_tries_another_endpoint_than_one_that_gave_no_answer() {
    for (answer, next) in [(Answer::Broken, "small"), (Answer::Served, "large")] {
        let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
        desk.submit("b", "flow");
        counted(&mut desk, 1_000);
        let grants = leases(&mut desk);
        let failure = Failure { class: "no-luck".into(), message: "no".into(), step: None };
        let called = Called {
            result: Err((failure, true)),
            judged: Judged::default(),
            metered: used(0, 0),
            answer,
        };
        report(&mut desk, &grants[0].lease, Outcome::Called(Box::new(called)));
        desk.pass(Span::from_secs(60));
        let grants = leases(&mut desk);
        let way = route(&grants[0]);
        assert_eq!((&*way.upstream, way.rung), (next, None), "{answer:?}");
    }
}

#[test]
fn a_lost_call_is_settled_at_what_was_held_and_the_prompt_counted_again_after_a_restart() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    assert_eq!(leases(&mut desk).len(), 1);
    desk.restart();
    desk.pass(Span::from_secs(11));
    assert_eq!(posted(&desk), ("0.6024".into(), "0.6024".into()));
    assert!(!desk.disk().calls()[0].metered.is_certain);
    counted(&mut desk, 1_000);
    assert_eq!(leases(&mut desk).len(), 1);
}

#[test]
fn without_a_way_a_run_is_refused_and_a_step_waits_for_the_catalog() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("b", "flow");
    desk.declare(model(&[("eu", "large")]));
    let only = |tier: &str| {
        let candidate = Candidate {
            endpoint: name("eu"),
            model: "large".into(),
            price: name("large"),
            tiers: vec![name(tier)],
        };
        Configure::Model(Model { name: name("reasoner"), candidates: vec![candidate] })
    };
    desk.declare(only("small"));
    counted(&mut desk, 1_000);
    assert_eq!(leases(&mut desk).len(), 0);
    let waits = desk.explain(&run);
    assert!(waits.contains("Route { model: \"reasoner\", because: Tier, passed"), "{waits}");
    let key = RunKey { tenant: name("b"), run: RunId(9_999) };
    let refused = desk.try_submit(&key, "flow");
    let expected = Rejection::ModelUnavailable {
        step: Some(name("ask")),
        model: name("reasoner"),
        because: NoWay::Tier,
        passed: vec![passed("eu", "large", Because::Tier)],
    };
    assert!(matches!(&refused, Response::Rejected(because) if *because == expected), "{refused:?}");
    desk.declare(only("large"));
    assert_eq!(leases(&mut desk).len(), 1, "a changed catalog acts at once");
}

#[test]
fn a_prompt_that_no_candidate_takes_fails_its_step() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("b", "flow");
    counted(&mut desk, 7_900);
    assert_eq!(leases(&mut desk).len(), 0);
    let failure = desk.rows(&run).0.failure.unwrap();
    assert_eq!(&*failure.class, "prompt-too-long");
}

#[test]
fn a_run_comes_in_only_with_money_for_its_calls() {
    let mut desk = desk_with(vec![call("ask", &[])], short(vec![Rung::Pause], 1));
    let key = RunKey { tenant: name("b"), run: RunId(9_999) };
    let refused = desk.try_submit(&key, "flow");
    assert!(
        matches!(refused, Response::Rejected(Rejection::BudgetExhausted { .. })),
        "{refused:?}"
    );
}

const DEMAND: Demand = Demand { input: 1_000, max_output: 1_000, min_output: 1, answers: 1 };

fn open(desk: &mut Desk, lease: Option<&LeaseId>) -> Result<(u64, Route), Rejection> {
    open_but(desk, lease, &[])
}

fn open_but(
    desk: &mut Desk,
    lease: Option<&LeaseId>,
    avoid: &[&str],
) -> Result<(u64, Route), Rejection> {
    open_of(desk, DEMAND, lease, avoid)
}

fn open_of(
    desk: &mut Desk,
    demand: Demand,
    lease: Option<&LeaseId>,
    avoid: &[&str],
) -> Result<(u64, Route), Rejection> {
    let call = OpenCall {
        by: None,
        tenant: name("b"),
        lease: lease.cloned(),
        model: name::<ModelName>("reasoner"),
        demand,
        avoid: avoid.iter().copied().map(name).collect(),
        wait_max: Span::ZERO,
    };
    match desk.ask(|reply| Input::OpenCall(reply, Box::new(call))) {
        Response::Opened { call, route, .. } => Ok((call, *route)),
        Response::Rejected(rejection) => Err(rejection),
        other => panic!("{other:?}"),
    }
}

fn close(desk: &mut Desk, call: u64, metered: Metered) {
    let answer = Answer::Served;
    desk.input(Input::CloseCall(CloseCall { tenant: name("b"), call, metered, answer }));
}

fn month(cents: u64) -> Budget {
    Budget { month: Some(Nano::from_cents(cents)), ..Budget::default() }
}

#[test]
fn a_call_through_the_gateway_holds_money_until_it_is_over() {
    // 0.60 each: 1,000 in and 1,000 out of the large one.
    let mut desk = desk_with(vec![call("ask", &[])], month(130));
    let (first, way) = open(&mut desk, None).unwrap();
    assert_eq!((&*way.upstream, way.output), ("large", 1_000));
    let (second, _) = open(&mut desk, None).unwrap();
    let refused = open(&mut desk, None).unwrap_err();
    assert!(matches!(refused, Rejection::BudgetExhausted { .. }), "{refused:?}");
    close(&mut desk, first, used(1_000, 100));
    assert_eq!(posted(&desk).0, "0.15");
    close(&mut desk, first, used(1_000, 1_000));
    assert_eq!(posted(&desk).0, "0.15", "a call ends once");
    let uncertain = Metered { is_certain: false, ..used(1_000, 100) };
    close(&mut desk, second, uncertain);
    assert_eq!(posted(&desk), ("0.30".into(), "0.15".into()));
    assert!(open(&mut desk, None).is_ok());
}

#[test]
fn calls_under_way_are_settled_unconfirmed_by_the_next_owner() {
    let mut desk = desk_with(vec![call("ask", &[])], month(130));
    let (first, _) = open(&mut desk, None).unwrap();
    open(&mut desk, None).unwrap();
    desk.restart();
    assert_eq!(posted(&desk), ("1.20".into(), "1.20".into()));
    close(&mut desk, first, used(1, 1));
    assert_eq!(posted(&desk).0, "1.20");
    desk.restart();
    assert_eq!(posted(&desk).0, "1.20", "once");
    assert!(desk.disk().calls().iter().all(|call| call.ended.is_some()));
}

#[test]
fn a_call_under_a_lease_is_paid_by_its_run_and_ends_with_the_lease() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.declare(Configure::Class(BudgetClass {
        name: name("tight"),
        quotas: [].into(),
        budget: short(Vec::new(), 130),
    }));
    let run = desk.submit("b", "other");
    let lease = ids(&desk.lease("w")).remove(0);
    let (first, _) = open(&mut desk, Some(&lease)).unwrap();
    open(&mut desk, Some(&lease)).unwrap();
    assert!(open(&mut desk, Some(&lease)).is_err(), "the run's own budget bounds it");
    assert!(open(&mut desk, None).is_ok(), "and not the tenant's other calls");
    close(&mut desk, first, used(1_000, 100));
    desk.complete("w", std::slice::from_ref(&lease));
    let money = desk.rows(&run).0.money;
    assert_eq!(
        (money.posted.to_string(), money.uncertain.to_string()),
        ("0.75".into(), "0.60".into())
    );
    let refused = open(&mut desk, Some(&lease)).unwrap_err();
    assert!(matches!(refused, Rejection::StaleLease { .. }), "{refused:?}");
    let of_run = |call: &crate::row::CallRow| call.attempt.is_some_and(|made| made.run == run.run);
    assert_eq!(desk.disk().calls().iter().filter(|call| of_run(call)).count(), 2);
}

#[test]
fn a_full_endpoint_refuses_a_call_and_says_when_to_come_again() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let hourly =
        Rule::Window { units: 1, every: Calendar::Hour, time_zone: TimeZone::UTC, of: Unit::Calls };
    desk.declare(endpoint("eu", vec![hourly]));
    desk.declare(endpoint("us", vec![Rule::Concurrent { calls: 1 }]));
    let served: Vec<_> = (0..2).map(|_| open(&mut desk, None).unwrap().1.upstream).collect();
    assert_eq!(served, ["large".into(), "small".into()]);
    let Rejection::LimitReached { tool, opens, retry_after, .. } =
        open(&mut desk, None).unwrap_err()
    else {
        panic!("both are full");
    };
    assert_eq!((tool.as_str(), opens, retry_after), ("us", None, Span::from_secs(1)));
}

#[test]
fn endpoints_that_failed_a_call_are_left_out() {
    let mut desk = desk_with(vec![call("ask", &[])], month(10));
    let refused = open(&mut desk, None).unwrap_err();
    assert!(matches!(refused, Rejection::BudgetExhausted { .. }), "{refused:?}");
    let (_, way) = open_but(&mut desk, None, &["eu"]).unwrap();
    assert_eq!((&*way.upstream, way.rung), ("small", None), "it is the first of those left");
    let refused = open_but(&mut desk, None, &["us", "eu"]).unwrap_err();
    let because = NoWay::Endpoint;
    let passed =
        vec![passed("eu", "large", Because::Broken), passed("us", "small", Because::Broken)];
    let model = name("reasoner");
    assert_eq!(refused, Rejection::ModelUnavailable { step: None, model, because, passed });
}

#[test]
fn what_is_written_of_a_call_comes_before_its_answer() {
    let mut desk = desk_with(vec![call("ask", &[])], month(130));
    let (id, _) = open(&mut desk, None).unwrap();
    let is_begun =
        |change: &Change| matches!(change, Change::Call(row) if row.id == id && row.hold.is_some());
    assert!(desk.committed.iter().any(is_begun));
}

/// Prices for what comes out alone, so that a call of 1,000 tokens costs so many cents.
fn output_price(id: &str, cents: u64) -> Configure {
    let rates = Rates { input: Nano::ZERO, cached: None, output: Nano::from_cents(cents * 1_000) };
    let version =
        PriceVersion { from: Time(0), rates, long: None, context: None, output_max: None };
    Configure::Price(Price { name: name(id), versions: vec![version] })
}

#[test]
fn a_run_of_50_cents_ends_at_its_reserve_on_the_cheaper_model() {
    let paid = |text: &str, after: &[u16], cost: u64| Step {
        cost_nano: Nano::from_cents(cost).0,
        ..step(text, after)
    };
    let tokens = |text: &str, after: &[u16], max_tokens: u32| {
        let mut step = call(text, after);
        let StepKind::Model(model) = &mut step.kind else { unreachable!() };
        (model.max_tokens, model.min_tokens) = (max_tokens, max_tokens);
        step
    };
    let steps = vec![
        paid("verify", &[], 2),
        paid("credit", &[0], 5),
        paid("replan", &[1], 8),
        paid("deep", &[2], 12),
        paid("second", &[3], 8),
        tokens("planned", &[4], 1_000),
        tokens("decide", &[5], 800),
    ];
    let budget = Budget { reserve: Nano::from_cents(5), ..short(vec![Rung::CheaperModel], 50) };
    let mut desk = desk_with(steps, budget);
    desk.declare(output_price("large", 15));
    desk.declare(output_price("small", 10));
    // The cheapest way through it is more than the run has: it comes in with more, and is left with 0.50.
    desk.declare(Configure::Class(BudgetClass {
        name: name("tight"),
        quotas: [].into(),
        budget: Budget {
            run: None,
            reserve: Nano::from_cents(5),
            ..short(vec![Rung::CheaperModel], 0)
        },
    }));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: Nano::from_cents(50) });
    let mut left = Vec::new();
    for _ in 0..5 {
        let leases = ids(&desk.lease("w"));
        desk.complete("w", &leases);
        let money = desk.rows(&run).0.money;
        left.push(money.limit.unwrap().minus(money.posted).to_string());
    }
    assert_eq!(left, ["0.48", "0.43", "0.35", "0.23", "0.15"]);
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    // On the first model it would be 0.15, and pass the reserve.
    let way = route(&grants[0]);
    assert_eq!((&*way.upstream, way.rung), ("small", Some(Rung::CheaperModel)));
    report(&mut desk, &grants[0].lease, done(used(900, 1_000)));
    assert_eq!(desk.rows(&run).0.money.posted.to_string(), "0.45");
    counted(&mut desk, 1_000);
    assert_eq!(leases(&mut desk).len(), 0);
    let row = desk.rows(&run).0;
    let halt = row.money.halt.unwrap();
    assert_eq!((row.status, halt.rung), (RunStatus::Paused, Rung::Pause));
    assert_eq!((halt.need.to_string(), halt.left.to_string()), ("0.08".into(), "0.00".into()));
    desk.command(&run, Command::Budget { limit: Nano::from_cents(58) });
    let grants = leases(&mut desk);
    assert_eq!(&*route(&grants[0]).upstream, "small", "a top-up is one of its offers");
}

#[test]
fn a_call_that_outlived_its_server_began_when_it_was_let_through() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    let (grants, began) = (leases(&mut desk), desk.now);
    desk.pass(Span::from_secs(1));
    desk.restart();
    report(&mut desk, &grants[0].lease, done(used(900, 100)));
    assert_eq!(desk.disk().calls()[0].began, began);
}

#[test]
fn a_step_whose_prompt_is_counted_again_is_called_off_for_good() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    let failure = Failure { class: "broken".into(), message: "no".into(), step: None };
    let answer = Answer::Broken;
    let called = Called {
        result: Err((failure, true)),
        judged: Judged::default(),
        metered: used(0, 0),
        answer,
    };
    report(&mut desk, &grants[0].lease, Outcome::Called(Box::new(called)));
    desk.restart();
    desk.pass(Span::from_secs(60));
    desk.command(&run, Command::Cancel);
    let (row, steps) = desk.rows(&run);
    assert_eq!(row.status, RunStatus::Cancelled);
    assert_eq!(steps[0].state, StepState::Cancelled, "and not what it was before the prompt");
}

#[test]
fn a_call_whose_worker_says_what_it_cost_is_written_with_that() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    let cost = Some(Nano::from_cents(7));
    report(
        &mut desk,
        &grants[0].lease,
        Outcome::Completed { output: payload("1"), judged: Judged::default(), cost },
    );
    assert_eq!(posted(&desk).0, "0.07");
    assert_eq!(desk.disk().calls()[0].cost.to_string(), "0.07");
}

#[test]
fn a_call_is_not_made_under_a_lease_of_another_tenant() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("a", "other");
    let lease = ids(&desk.lease("w")).remove(0);
    let refused = open(&mut desk, Some(&lease)).unwrap_err();
    assert_eq!(refused, Rejection::StaleLease { run: run.run });
}

#[test]
fn calls_under_a_lease_that_never_reached_its_worker_end_with_it() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let run = desk.submit("b", "other");
    let lease = ids(&desk.lease("w")).remove(0);
    open(&mut desk, Some(&lease)).unwrap();
    desk.input(Input::Undelivered(vec![lease]));
    assert_eq!(posted(&desk), ("0.60".into(), "0.60".into()), "it may have been made");
    let again = ids(&desk.lease("w"));
    desk.complete("w", &again);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

#[test]
fn a_step_stays_in_the_line_of_a_provider_when_a_smaller_call_passes_it() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let tokens = |units| {
        let (every, time_zone, of) = (Calendar::Hour, TimeZone::UTC, Unit::Tokens);
        endpoint("eu", vec![Rule::Window { units, every, time_zone, of }])
    };
    desk.declare(tokens(3_000));
    desk.declare(model(&[("eu", "large")]));
    desk.submit("b", "flow");
    desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    counted(&mut desk, 1_000);
    let grants = leases(&mut desk);
    assert_eq!(grants.len(), 1, "2,024 of 3,000 are taken, and the other one stands in the line");
    let small = Demand { input: 100, max_output: 100, min_output: 1, answers: 1 };
    let passed = open_of(&mut desk, small, None, &[]);
    assert!(passed.is_ok(), "{passed:?}");
    desk.declare(tokens(30_000));
    assert_eq!(leases(&mut desk).len(), 1);
}

/// A flow of one call of so many tokens at most.
fn flow_of(desk: &mut Desk, text: &str, max_tokens: u32) {
    let Step { kind: StepKind::Model(ask), .. } = call("ask", &[]) else { unreachable!() };
    let kind = StepKind::Model(Box::new(ModelCall { max_tokens, min_tokens: 1, ..*ask }));
    let steps = vec![Step { kind, ..call("ask", &[]) }];
    desk.declare(Configure::Workflow(Arc::new(workflow(text, steps))));
}

#[test]
fn a_step_in_line_is_woken_although_the_one_before_it_cannot_pay_any_more() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    flow_of(&mut desk, "middle", 500);
    flow_of(&mut desk, "small", 100);
    let tokens = |units| {
        let (every, time_zone, of) = (Calendar::Hour, TimeZone::UTC, Unit::Tokens);
        endpoint("eu", vec![Rule::Window { units, every, time_zone, of }])
    };
    desk.declare(tokens(3_300));
    desk.declare(model(&[("eu", "large")]));
    let runs = ["flow", "flow", "middle"].map(|flow| {
        let run = desk.submit("b", flow);
        counted(&mut desk, 1_000);
        run
    });
    assert_eq!(leases(&mut desk).len(), 1, "2,024 of 3,300 are taken, and two stand in the line");
    desk.command(&runs[1], Command::Budget { limit: Nano::ZERO });
    // The small one passes both. It wakes them, and the first is short of money by now.
    desk.submit("b", "small");
    counted(&mut desk, 1_000);
    assert_eq!(leases(&mut desk).len(), 1);
    assert!(desk.rows(&runs[1]).0.money.halt.is_some());
    desk.declare(tokens(30_000));
    let grants = leases(&mut desk);
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].lease.key, runs[2]);
}

#[test]
fn a_person_lets_a_run_go_on_with_a_cheaper_model_that_its_ladder_does_not_have() {
    let mut desk = desk_with(vec![call("ask", &[]), call("more", &[0])], short(vec![], 25));
    let run = desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    assert_eq!(leases(&mut desk).len(), 0);
    assert!(desk.rows(&run).0.money.halt.is_some());
    let allow = || Command::AllowCheaper;
    let other = desk.submit("b", "flow");
    let response = desk.command(&other, allow());
    assert!(matches!(response, Response::Rejected(Rejection::WrongStatus { .. })), "{response:?}");
    desk.command(&other, Command::Cancel);
    let response = desk.command(&run, allow());
    assert!(matches!(response, Response::Commanded { status: RunStatus::Running }), "{response:?}");
    desk.restart();
    counted(&mut desk, 1_000);
    for step in ["ask", "more"] {
        let grants = leases(&mut desk);
        let way = route(&grants[0]);
        assert_eq!((&*way.upstream, way.rung), ("small", Some(Rung::CheaperModel)), "{step}");
        report(&mut desk, &grants[0].lease, done(used(1_000, 100)));
        if step == "ask" {
            counted(&mut desk, 1_000);
        }
    }
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
    let decided = desk.decided("cheaper-model-allowed");
    assert_eq!(decided.len(), 1, "{decided:?}");
    let response = desk.command(&run, allow());
    assert!(matches!(response, Response::Rejected(Rejection::UnknownRun { .. })), "{response:?}");
}
