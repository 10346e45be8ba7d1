//! P7: no tenant exceeds its quota in any window, no provider limit is exceeded by all together, and an empty quota of one
//! tenant changes nothing for another.

use std::sync::Arc;

use crate::calendar::{Calendar, TimeZone};
use crate::cell::input::{Configure, Input};
use crate::plan::Step;
use crate::quota::{Budget, BudgetClass, Rule, Tool, Unit};
use crate::row::RunKey;
use crate::tenant::Tenant;
use crate::time::{Span, Time};

use super::desk::{Desk, ids, name, step, tenant, workflow};

pub(crate) fn window(units: u64, every: Calendar) -> Rule {
    Rule::Window { units, every, time_zone: TimeZone::UTC, of: Unit::Calls }
}

/// Tenant `b` may call the bureau so often, all tenants together so often.
fn desk(own: Vec<Rule>, shared: Vec<Rule>) -> Desk {
    let call = Step { tool: Some(name("bureau")), ..step("call", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![call]));
    desk.declare(Configure::Tool(Tool::new(name("bureau"), shared)));
    class(&mut desk, own);
    desk.declare(Configure::Tenant(Tenant {
        budget_class: Some(name("small")),
        ..tenant("b", "large")
    }));
    desk
}

fn class(desk: &mut Desk, own: Vec<Rule>) {
    let quotas = [(name("bureau"), own)].into();
    let class = BudgetClass { name: name("small"), quotas, budget: Budget::default() };
    desk.declare(Configure::Class(class));
}

/// Leases what can be leased, completes it, and so on; how many of each tenant there were.
fn work_off(desk: &mut Desk) -> (usize, usize) {
    let (mut a, mut b) = (0, 0);
    loop {
        let grants = desk.lease("w");
        if grants.is_empty() {
            return (a, b);
        }
        let of_a = grants.iter().filter(|grant| grant.lease.key.tenant.as_str() == "a").count();
        (a, b) = (a + of_a, b + grants.len() - of_a);
        desk.complete("w", &ids(&grants));
    }
}

fn submit(desk: &mut Desk, tenant: &str, count: usize) -> Vec<RunKey> {
    (0..count).map(|_| desk.submit(tenant, "flow")).collect()
}

#[test]
fn an_empty_quota_parks_its_tenant_until_the_window_turns() {
    let mut desk = desk(vec![window(3, Calendar::Minute)], Vec::new());
    let runs = submit(&mut desk, "b", 8);
    submit(&mut desk, "a", 4);
    assert_eq!(work_off(&mut desk), (4, 3));
    let waits = desk.explain(&runs[7]);
    assert!(
        waits.contains(
            "Limit { tool: \"bureau\", holder: Tenant, rule: \"minute@UTC\", used: 3, of: 3"
        ),
        "{waits}"
    );
    desk.pass(Span::from_secs(60));
    assert_eq!(work_off(&mut desk), (0, 3));
    desk.pass(Span::from_secs(60));
    assert_eq!(work_off(&mut desk), (0, 2));
}

#[test]
fn quotas_outlive_the_server() {
    let mut desk =
        desk(vec![window(3, Calendar::Minute), Rule::Concurrent { calls: 2 }], Vec::new());
    submit(&mut desk, "b", 8);
    let grants = desk.lease("w");
    assert_eq!(grants.len(), 2, "two calls at once");
    desk.restart();
    assert_eq!(desk.lease("w").len(), 0, "they are still under way");
    desk.complete("w", &ids(&grants));
    assert_eq!(work_off(&mut desk), (0, 1), "and count in the window");
}

#[test]
fn a_call_that_never_left_is_given_back() {
    let mut desk = desk(vec![window(2, Calendar::Minute)], Vec::new());
    submit(&mut desk, "b", 4);
    let grants = desk.lease("w");
    assert_eq!(grants.len(), 2);
    desk.input(Input::Undelivered(ids(&grants)));
    assert_eq!(work_off(&mut desk), (0, 2));
}

#[test]
fn a_limit_that_is_changed_acts_on_what_waits() {
    let mut desk = desk(vec![window(1, Calendar::Day)], Vec::new());
    submit(&mut desk, "b", 9);
    assert_eq!(work_off(&mut desk), (0, 1));
    class(&mut desk, vec![window(3, Calendar::Day)]);
    assert_eq!(work_off(&mut desk), (0, 2));
    class(&mut desk, Vec::new());
    assert_eq!(work_off(&mut desk), (0, 6));
}

#[test]
fn a_provider_limit_is_shared_by_weight() {
    let mut desk = desk(Vec::new(), vec![window(90, Calendar::Hour)]);
    desk.declare(Configure::Tenant(Tenant { weight: Some(2), ..tenant("b", "large") }));
    desk.declare(Configure::Tenant(Tenant { cap: Some(10), ..tenant("a", "small") }));
    // The first window goes to who is there first.
    submit(&mut desk, "a", 90);
    assert_eq!(work_off(&mut desk), (90, 0));
    for _ in 0..9 {
        submit(&mut desk, "a", 10);
        submit(&mut desk, "b", 10);
    }
    let waiting = submit(&mut desk, "a", 1);
    assert_eq!(work_off(&mut desk), (0, 0));
    let waits = desk.explain(&waiting[0]);
    assert!(waits.contains("holder: Provider, rule: \"hour@UTC\""), "{waits}");
    let turned = desk.now.0 / 3_600_000_000 + 1;
    desk.pass(Time(turned * 3_600_000_000).since(desk.now));
    assert_eq!(work_off(&mut desk), (30, 60), "one to two");
}

#[test]
fn calls_under_way_are_known_to_a_new_rule_and_after_a_restart() {
    let mut desk = desk(Vec::new(), Vec::new());
    submit(&mut desk, "b", 3);
    let first = desk.exchange("w", 1, Vec::new()).grants;
    assert_eq!(first.len(), 1);
    class(&mut desk, vec![Rule::Concurrent { calls: 1 }]);
    assert_eq!(desk.lease("w").len(), 0, "one is under way");
    desk.restart();
    assert_eq!(desk.lease("w").len(), 0, "still");
    desk.complete("w", &ids(&first));
    assert_eq!(desk.lease("w").len(), 1);
}

#[test]
fn a_tool_that_only_a_class_names_is_counted_after_a_restart() {
    let call = Step { tool: Some(name("bureau")), ..step("call", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![call]));
    class(&mut desk, vec![Rule::Concurrent { calls: 1 }]);
    desk.declare(Configure::Tenant(Tenant {
        budget_class: Some(name("small")),
        ..tenant("b", "large")
    }));
    submit(&mut desk, "b", 3);
    assert_eq!(desk.lease("w").len(), 1);
    desk.restart();
    assert_eq!(desk.lease("w").len(), 0, "one is under way");
}

#[test]
fn steps_of_one_tool_that_cost_differently_do_not_leave_each_other_behind() {
    let call = Step { tool: Some(name("bureau")), ..step("call", &[]) };
    let dear = Step { cost_nano: 1, ..call.clone() };
    let mut desk = Desk::new(workflow("flow", vec![call]));
    desk.declare(Configure::Workflow(Arc::new(workflow("dear", vec![dear]))));
    let shared = |limits| Configure::Tool(Tool::new(name("bureau"), limits));
    desk.declare(shared(vec![Rule::Concurrent { calls: 1 }]));
    let first = desk.submit("b", "flow");
    let grants = desk.lease("w");
    assert_eq!(grants[0].lease.key, first);
    desk.submit("b", "dear");
    assert_eq!(desk.lease("w").len(), 0, "it waits in the provider's line");
    desk.declare(shared(Vec::new()));
    // Another one of its tenant is there before it is woken.
    desk.submit("b", "flow");
    let mut given = 0;
    for _ in 0..3 {
        given += desk.lease("w").len();
        desk.pass(Span::from_secs(2));
    }
    assert_eq!(given, 2, "both");
}
