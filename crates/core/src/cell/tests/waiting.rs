//! Calls through the gateway that wait until their endpoint has room.

use std::collections::BTreeMap;

use crate::calendar::{Calendar, TimeZone};
use crate::cell::effect::Response;
use crate::cell::input::{CloseCall, Configure, Input, OpenCall, ReplyId};
use crate::limiter::Answer;
use crate::money::Nano;
use crate::quota::{Budget, BudgetClass, Rule, Unit};
use crate::reject::Rejection;
use crate::router::Demand;
use crate::tenant::Tenant;
use crate::time::{Span, Time};

use super::desk::{Desk, name, tenant};
use super::models::{call, counted, desk_with, endpoint, leases, model, used};
use super::quota::window;

const DEMAND: Demand = Demand { input: 100, max_output: 100, min_output: 1, answers: 1 };
const MINUTE: Span = Span::from_secs(60);

fn bucket(units: u64, per: Span, burst: u64) -> Rule {
    Rule::Bucket { units, per, burst, of: Unit::Calls }
}

/// One endpoint with these limits, at the beginning of a minute.
fn desk(limits: Vec<Rule>, budget: Budget) -> Desk {
    let mut desk = desk_with(vec![call("ask", &[])], budget);
    desk.declare(model(&[("eu", "large")]));
    desk.declare(endpoint("eu", limits));
    desk.now = Time(desk.now.0.next_multiple_of(MINUTE.0));
    desk.answers();
    desk
}

fn open(desk: &mut Desk, tenant: &str, wait_max: Span) -> ReplyId {
    let call = OpenCall {
        by: None,
        tenant: name(tenant),
        lease: None,
        model: name("reasoner"),
        demand: DEMAND,
        avoid: Vec::new(),
        wait_max,
    };
    desk.begin(|reply| Input::OpenCall(reply, Box::new(call)))
}

type Answers = (Vec<(ReplyId, u64)>, Vec<(ReplyId, Rejection)>);

/// Who was let in, and what the others were told.
fn answers(desk: &mut Desk) -> Answers {
    let (mut opened, mut refused) = (Vec::new(), Vec::new());
    for (reply, response) in desk.answers() {
        match response {
            Response::Opened { call, .. } => opened.push((reply, call)),
            Response::Rejected(rejection) => refused.push((reply, rejection)),
            other => panic!("{other:?}"),
        }
    }
    (opened, refused)
}

fn opened(desk: &mut Desk) -> Vec<ReplyId> {
    let (opened, refused) = answers(desk);
    assert_eq!(refused, []);
    opened.into_iter().map(|(reply, _)| reply).collect()
}

fn close(desk: &mut Desk, tenant: &str, call: u64) {
    let (metered, answer) = (used(100, 10), Answer::Served);
    desk.input(Input::CloseCall(CloseCall { tenant: name(tenant), call, metered, answer }));
}

#[test]
fn a_call_waits_for_the_next_window_and_those_of_its_tenant_go_in_their_order() {
    let mut desk = desk(vec![window(1, Calendar::Minute)], Budget::default());
    let calls = [0, 1, 2].map(|_| open(&mut desk, "b", Span::from_secs(150)));
    assert_eq!(opened(&mut desk), calls[..1]);
    desk.pass(Span::from_secs(59));
    assert_eq!(opened(&mut desk), []);
    desk.pass(Span::from_secs(1));
    assert_eq!(opened(&mut desk), calls[1..2]);
    desk.pass(MINUTE);
    assert_eq!(opened(&mut desk), calls[2..]);
}

#[test]
fn a_call_that_would_wait_in_vain_is_refused_at_once_and_one_that_did_when_its_time_is_over() {
    let mut desk =
        desk(vec![window(1, Calendar::Minute), Rule::Concurrent { calls: 1 }], Budget::default());
    open(&mut desk, "b", Span::ZERO);
    let (first, _) = answers(&mut desk);
    let in_vain = open(&mut desk, "b", Span::from_secs(59));
    let (_, refused) = answers(&mut desk);
    assert_eq!(refused[0].0, in_vain);
    assert!(
        matches!(&refused[0].1, Rejection::LimitReached { retry_after, .. } if *retry_after == MINUTE),
        "{refused:?}"
    );

    let patient = open(&mut desk, "b", Span::from_secs(61));
    desk.pass(Span::from_secs(60));
    assert_eq!(answers(&mut desk), (vec![], vec![]), "the first one is under way still");
    desk.pass(Span::from_secs(1));
    let (_, refused) = answers(&mut desk);
    assert!(matches!(refused[..], [(reply, Rejection::LimitReached { .. })] if reply == patient));
    close(&mut desk, "b", first[0].1);
    assert_eq!(answers(&mut desk), (vec![], vec![]), "it is answered once");
    open(&mut desk, "b", Span::ZERO);
    assert_eq!(opened(&mut desk).len(), 1, "nothing is kept for it");
}

#[test]
fn a_call_that_asks_for_more_than_its_limit_ever_has_does_not_wait() {
    let (every, time_zone, of) = (Calendar::Minute, TimeZone::UTC, Unit::Tokens);
    let mut desk = desk(vec![Rule::Window { units: 199, every, time_zone, of }], Budget::default());
    open(&mut desk, "b", MINUTE);
    let (_, refused) = answers(&mut desk);
    assert!(matches!(&refused[0].1, Rejection::LimitReached { is_never: true, .. }), "{refused:?}");
}

#[test]
fn a_call_does_not_hold_up_others_at_an_endpoint_that_never_serves_it() {
    let (every, time_zone, of) = (Calendar::Minute, TimeZone::UTC, Unit::Tokens);
    let mut desk = desk(vec![Rule::Concurrent { calls: 1 }], Budget::default());
    let small = Rule::Window { units: 100, every, time_zone, of };
    desk.declare(endpoint("us", vec![small, Rule::Concurrent { calls: 1 }]));
    desk.declare(model(&[("eu", "large"), ("us", "small")]));
    let calls = [0, 1].map(|_| open(&mut desk, "b", MINUTE));
    let (first, _) = answers(&mut desk);
    assert_eq!(first[0].0, calls[0], "200 tokens are never let through at the other one");
    let tiny = OpenCall {
        by: None,
        tenant: name("b"),
        lease: None,
        model: name("reasoner"),
        demand: Demand { input: 10, max_output: 10, ..DEMAND },
        avoid: vec![name("eu")],
        wait_max: MINUTE,
    };
    let tiny = desk.begin(|reply| Input::OpenCall(reply, Box::new(tiny)));
    assert_eq!(opened(&mut desk), [tiny]);
    close(&mut desk, "b", first[0].1);
    assert_eq!(opened(&mut desk), calls[1..]);
}

#[test]
fn a_call_that_is_given_up_makes_room_for_the_next() {
    let mut desk = desk(vec![Rule::Concurrent { calls: 1 }], Budget::default());
    let calls = [0, 1, 2].map(|_| open(&mut desk, "b", MINUTE));
    let (first, _) = answers(&mut desk);
    desk.input(Input::GiveUpCall(calls[1]));
    assert_eq!(answers(&mut desk).1[0].0, calls[1]);
    close(&mut desk, "b", first[0].1);
    assert_eq!(opened(&mut desk), calls[2..]);
    desk.input(Input::GiveUpCall(calls[2]));
    assert_eq!(answers(&mut desk), (vec![], vec![]), "it is in");
}

#[test]
fn one_that_cannot_pay_any_more_does_not_stop_those_behind_it() {
    let day = |cents| Budget { day: Some(Nano::from_cents(cents)), ..Budget::default() };
    let mut desk = desk(vec![Rule::Concurrent { calls: 1 }], day(100));
    let calls = [0, 1, 2].map(|_| open(&mut desk, "b", MINUTE));
    let (first, _) = answers(&mut desk);
    let class = |budget| BudgetClass { name: name("tight"), quotas: [].into(), budget };
    desk.declare(Configure::Class(class(day(1))));
    close(&mut desk, "b", first[0].1);
    let (_, refused) = answers(&mut desk);
    let told: Vec<ReplyId> = refused.iter().map(|(reply, _)| *reply).collect();
    assert_eq!(told, calls[1..]);
    assert!(matches!(refused[0].1, Rejection::BudgetExhausted { .. }), "{refused:?}");
}

#[test]
fn a_call_goes_to_whichever_endpoint_has_room_first_and_leaves_the_others_line() {
    let mut desk = desk(vec![Rule::Concurrent { calls: 1 }], Budget::default());
    desk.declare(endpoint("us", vec![Rule::Concurrent { calls: 1 }]));
    desk.declare(model(&[("eu", "large"), ("us", "small")]));
    let calls = [0, 1, 2, 3].map(|_| open(&mut desk, "b", MINUTE));
    let (first, _) = answers(&mut desk);
    assert_eq!(first.len(), 2);
    close(&mut desk, "b", first[1].1);
    let (third, _) = answers(&mut desk);
    assert_eq!(third[0].0, calls[2]);
    close(&mut desk, "b", first[0].1);
    let (fourth, _) = answers(&mut desk);
    assert_eq!(fourth[0].0, calls[3]);
    close(&mut desk, "b", third[0].1);
    open(&mut desk, "a", Span::ZERO);
    assert_eq!(opened(&mut desk).len(), 1, "nothing is kept in a line that nobody stands in");
}

/// Two tenants, of which `b` weighs three times as much, with calls at these gaps in milliseconds, at a provider that takes ten
/// a second; what each got in ten minutes.
fn shared(
    gaps: [(&'static str, u64); 2],
    mut also: impl FnMut(&mut Desk),
) -> BTreeMap<&'static str, u64> {
    let mut desk = desk(vec![bucket(10, Span::from_secs(1), 1)], Budget::default());
    desk.declare(Configure::Tenant(Tenant { weight: Some(3), ..tenant("b", "large") }));
    let mut got = BTreeMap::new();
    let mut senders = BTreeMap::new();
    for milli in 0..600_000 {
        let mut is_new = false;
        for (tenant, gap) in gaps {
            if milli % gap == 0 {
                senders.insert(open(&mut desk, tenant, Span::from_secs(10)), tenant);
                is_new = true;
            }
        }
        also(&mut desk);
        if is_new || desk.driver.next_wake().is_some_and(|due| due <= desk.now) {
            desk.input(Input::Tick);
            for (reply, call) in answers(&mut desk).0 {
                let Some(tenant) = senders.remove(&reply) else { continue };
                *got.entry(tenant).or_insert(0) += 1;
                close(&mut desk, tenant, call);
            }
        }
        desk.now = desk.now + Span::from_millis(1);
    }
    got
}

#[test]
fn tenants_share_a_provider_by_weight_however_often_they_call() {
    // Each of them would be enough to use all of it, one many times over.
    for gaps in [[("a", 20), ("b", 80)], [("a", 80), ("b", 20)]] {
        let got = shared(gaps, |_| {});
        let all: u64 = got.values().sum();
        assert!((5_990..=6_001).contains(&all), "{got:?}");
        let due = all * 3 / 4;
        assert!(got["b"].abs_diff(due) * 50 <= due, "within 2 %: {got:?}");
    }
}

#[test]
fn a_tenant_that_asks_for_less_than_its_share_gets_all_of_it() {
    let got = shared([("a", 500), ("b", 20)], |_| {});
    assert!(got["a"] >= 1_190, "2 a second, of 2.5: {got:?}");
}

#[test]
fn steps_in_the_line_do_not_shut_out_calls_nor_calls_them() {
    let mut desk = desk(vec![bucket(10, Span::from_secs(1), 1)], Budget::default());
    desk.declare(Configure::Tenant(Tenant { weight: Some(1), ..tenant("b", "large") }));
    for _ in 0..90 {
        desk.submit("b", "flow");
        counted(&mut desk, 100);
    }
    desk.answers();
    for _ in 0..200 {
        open(&mut desk, "a", MINUTE);
    }
    let (mut steps, mut calls) = (0, 0);
    for _ in 0..10_000 {
        let grants = leases(&mut desk);
        steps += grants.len();
        for grant in grants {
            super::models::report_done(&mut desk, &grant.lease);
        }
        for (_, call) in answers(&mut desk).0 {
            calls += 1;
            close(&mut desk, "a", call);
        }
        desk.pass(Span::from_millis(1));
    }
    assert!((95..=102).contains(&(steps + calls)), "{steps} and {calls}");
    assert!(steps.abs_diff(calls) <= 2, "{steps} steps and {calls} calls");
}

#[test]
fn a_quota_of_tokens_lets_the_next_in_when_one_used_less() {
    let (every, time_zone, of) = (Calendar::Minute, TimeZone::UTC, Unit::Tokens);
    let mut desk = desk(vec![Rule::Window { units: 310, every, time_zone, of }], Budget::default());
    let calls = [0, 1].map(|_| open(&mut desk, "b", MINUTE));
    let (first, _) = answers(&mut desk);
    assert_eq!(first.len(), 1, "200 of 310 are taken");
    close(&mut desk, "b", first[0].1);
    assert_eq!(opened(&mut desk), calls[1..], "110 were used");
}
