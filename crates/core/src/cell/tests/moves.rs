//! A tenant moves to another organisation while its runs are under way.

use super::desk::{ids, name, pool, tasks, tenant};
use super::{Desk, step, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{Configure, Input, Query};
use crate::plan::{Step, StepKind};
use crate::tenant::{Org, Tenant};

/// Tenant `b` moves to the organisation `narrow`, whose tenants hold one slot together.
fn moved(desk: &mut Desk) {
    desk.declare(Configure::Org(Org { id: name("narrow"), weight: 1, cap: Some(1), budget: None }));
    desk.declare(Configure::Tenant(Tenant { org: name("narrow"), ..tenant("b", "large") }));
}

#[test]
fn what_a_moved_tenant_holds_and_waits_for_counts_where_it_went_at_once() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let runs: Vec<_> = (0..3).map(|_| desk.submit("b", "one")).collect();
    let held = desk.exchange("w", 2, Vec::new()).grants;
    moved(&mut desk);
    assert!(desk.lease("w").is_empty());
    let waits = desk.explain(&runs[2]);
    assert!(waits.contains("OrgCap { in_flight: 2, cap: 1 }"), "{waits}");
    desk.complete("w", &ids(&held[..1]));
    assert!(desk.lease("w").is_empty(), "the other one is all that `narrow` may hold");
    desk.complete("w", &ids(&held[1..]));
    assert_eq!(desk.lease("w").len(), 1);
}

#[test]
fn a_pool_that_is_declared_after_the_move_has_the_tenant_where_it_went() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    moved(&mut desk);
    desk.declare(Configure::Pool(pool("later")));
    let kind = StepKind::Task { task: name("only"), pool: name("later") };
    let plan = workflow("late", vec![Step { kind, ..step("only", &[]) }]);
    desk.declare(Configure::Workflow(std::sync::Arc::new(plan)));
    let runs = [desk.submit("b", "late"), desk.submit("b", "late")];
    assert_eq!(tasks(&desk.exchange_in("later", "w", 10, Vec::new()).grants), "only");
    let waits = desk.explain(&runs[1]);
    assert!(waits.contains("OrgCap { in_flight: 1, cap: 1 }"), "{waits}");
}

#[test]
fn a_moved_tenant_is_where_it_went_after_a_restart() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let runs = [desk.submit("b", "one"), desk.submit("b", "one")];
    moved(&mut desk);
    assert_eq!(desk.lease("w").len(), 1);
    desk.restart();
    assert!(desk.lease("w").is_empty());
    let waits = desk.explain(&runs[1]);
    assert!(waits.contains("OrgCap { in_flight: 1, cap: 1 }"), "{waits}");
}

#[test]
fn readings_show_the_organisation_that_a_tenant_moved_to() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    desk.submit("b", "one");
    desk.lease("w");
    moved(&mut desk);
    let Response::Tenant(view) = desk.ask(|reply| Input::Query(reply, Query::Tenant(name("b"))))
    else {
        panic!("the tenant is declared");
    };
    assert_eq!((view.org.as_str(), view.slots, view.live_runs), ("narrow", 1, 1));
}
