//! P14: every decision, and everything that somebody does, is in the log with its facts and who it was.

use crate::cell::input::{Command, Configure, Input, Judged};
use crate::id::RunId;
use crate::money::Nano;
use crate::quota::{Budget, BudgetClass};
use crate::row::{Access, Actor, Credential, Decision, KeyRow, Lane, Role, RunKey};
use crate::tenant::Tenant;
use crate::time::{Span, Time};

use super::desk::{Desk, ids, name, payload, step, tenant, workflow};
use crate::cell::input::Submit;

/// The entries that are wanted, each as code, who, and facts.
fn log(desk: &Desk, codes: &[&str]) -> String {
    let entries = desk.logged(|decision| codes.contains(&&*decision.code));
    entries
        .iter()
        .map(|Decision { tenant, code, by, facts, .. }| {
            let tenant = tenant.as_ref().map_or("platform", |tenant| tenant.as_str());
            let by = match by {
                None => String::new(),
                Some(Actor::Person(person)) => format!(" by {person}"),
                Some(Actor::Key(key)) => format!(" by key {key}"),
            };
            format!("{tenant}: {code}{by} {facts}\n")
        })
        .collect()
}

fn key() -> Actor {
    Actor::Key(name("k1"))
}

/// One step, which costs a cent; tenant `b` has two of them.
fn desk() -> Desk {
    let paid = crate::plan::Step { cost_nano: Nano::from_cents(1).0, ..step("call", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![paid]));
    let budget = Budget { month: Some(Nano::from_cents(2)), ..Budget::default() };
    desk.declare(Configure::Class(BudgetClass { name: name("tight"), quotas: [].into(), budget }));
    let tight = Some(name("tight"));
    desk.declare(Configure::Tenant(Tenant { budget_class: tight, ..tenant("b", "large") }));
    desk
}

fn submit(desk: &mut Desk, run: u128) -> RunKey {
    let key = RunKey { tenant: name("b"), run: RunId(run) };
    desk.ask(|reply| {
        Input::Submit(Box::new(Submit {
            trace: None,
            subject: None,
            reply,
            key: key.clone(),
            workflow: name("flow"),
            version: None,
            lane: Lane::Urgent,
            requester: Some(name("ada")),
            by: Some(Actor::Person(name("ada"))),
            input: payload("{}"),
            idempotency: None,
        }))
    });
    key
}

#[test]
fn admission_hold_park_and_refusal_are_logged_with_their_numbers() {
    let mut desk = desk();
    for run in 1..=4 {
        submit(&mut desk, run);
    }
    let leases = ids(&desk.lease("w"));
    assert_eq!(leases.len(), 2);
    submit(&mut desk, 5);
    let said = log(&desk, &["admitted", "held", "parked", "rejected"]);
    let run = |run: u128| RunId(run).to_string();
    let mut expected = String::new();
    for at in 1..=4 {
        let run = run(at);
        expected += &format!(
            "b: admitted by ada {{\"run\":\"{run}\",\"workflow\":\"flow\",\"version\":1,\"lane\":\"urgent\",\"context\":2}}\n"
        );
    }
    for at in 1..=2 {
        let run = run(at);
        expected += &format!(
            "b: held {{\"run\":\"{run}\",\"step\":\"call\",\"attempt\":1,\"held\":\"0.01\"}}\n"
        );
    }
    assert!(said.starts_with(&expected), "{said}");
    let rest = &said[expected.len()..];
    let parked =
        format!("b: parked {{\"run\":\"{}\",\"step\":\"call\",\"pool\":\"default\"", run(3));
    assert!(rest.starts_with(&parked) && rest.contains("\"tenant_month\""), "{rest}");
    assert!(
        rest.contains("b: rejected by ada {\"asked\":\"run\",\"cause\":{\"budget_exhausted\":"),
        "{rest}"
    );
}

#[test]
fn a_class_that_waits_is_logged_once_until_one_of_it_has_passed() {
    let mut desk = desk();
    for run in 1..=4 {
        submit(&mut desk, run);
    }
    let leases = ids(&desk.lease("w"));
    let parked = |desk: &Desk| log(desk, &["parked"]).lines().count();
    assert_eq!(parked(&desk), 1);
    for _ in 0..3 {
        assert_eq!(desk.lease("w").len(), 0);
        desk.pass(Span::from_secs(1));
    }
    assert_eq!(parked(&desk), 1, "nothing has changed");
    // One costs nothing in the end: the third passes, the fourth does not.
    let outcome = crate::cell::input::Outcome::Completed {
        output: payload("1"),
        judged: Judged::default(),
        cost: Some(Nano::ZERO),
    };
    desk.report("w", &leases[..1], &outcome);
    assert_eq!(desk.lease("w").len(), 1);
    assert_eq!(desk.lease("w").len(), 0);
    assert_eq!(parked(&desk), 2);
}

#[test]
fn what_is_refused_again_and_again_in_one_turn_is_one_entry() {
    let mut desk = desk();
    desk.declare(Configure::Tenant(Tenant { suspended: true, ..tenant("a", "small") }));
    let before = desk.logged(|_| true).len();
    for run in 10..13 {
        let key = RunKey { tenant: name("a"), run: RunId(run) };
        desk.try_submit(&key, "flow");
    }
    let said = log(&desk, &["rejected"]);
    let one = "a: rejected {\"asked\":\"run\",\"cause\":{\"suspended\":{\"tenant\":\"a\"}},\"times\":1}\n";
    assert_eq!(said, one.repeat(3), "each in a turn of its own");
    assert_eq!(desk.logged(|_| true).len(), before + 3);
    let key = RunKey { tenant: name("nobody"), run: RunId(20) };
    desk.try_submit(&key, "flow");
    assert_eq!(desk.logged(|_| true).len(), before + 3, "nobody has no log");
}

#[test]
fn commands_are_logged_with_who_gave_them() {
    let mut desk = desk();
    let run = submit(&mut desk, 1);
    let signal = Command::Signal { name: name("go"), payload: payload("1"), idempotency: None };
    for command in [Command::Pause, Command::Resume, signal, Command::Cancel] {
        desk.ask(|reply| Input::Command(reply, Some(key()), run.clone(), command));
    }
    desk.ask(|reply| Input::Command(reply, Some(key()), run.clone(), Command::Pause));
    let id = run.run;
    let said = log(&desk, &["run-paused", "run-resumed", "run-signalled", "run-cancelled"]);
    assert_eq!(
        said,
        format!(
            "b: run-paused by key k1 {{\"run\":\"{id}\"}}\n\
             b: run-resumed by key k1 {{\"run\":\"{id}\"}}\n\
             b: run-signalled by key k1 {{\"run\":\"{id}\",\"signal\":\"go\"}}\n\
             b: run-cancelled by key k1 {{\"run\":\"{id}\"}}\n"
        ),
        "the run had ended when it was to be paused again"
    );
}

#[test]
fn declarations_are_logged_with_what_they_changed() {
    let mut desk = desk();
    let declare = |desk: &mut Desk, configure| {
        desk.ask(|reply| Input::Configure(reply, Some(key()), configure));
    };
    let before = log(&desk, &["declared"]).len();
    let changed =
        Tenant { cap: Some(7), attributes: "{\"iban\":\"DE1\"}".into(), ..tenant("a", "small") };
    declare(&mut desk, Configure::Tenant(changed.clone()));
    declare(&mut desk, Configure::Tenant(changed));
    let role = Role::Tenant { tenant: name("a"), access: Access::Full, person: None };
    let row = KeyRow {
        id: name("k2"),
        credential: Credential::Secret([9; 32]),
        role,
        created: Time(1),
        expires: None,
        rate: None,
        label: "ci".into(),
    };
    declare(&mut desk, Configure::Key(row));
    declare(&mut desk, Configure::DropKey(name("k2")));
    declare(&mut desk, Configure::DropKey(name("k2")));
    assert_eq!(
        log(&desk, &["declared"])[before..],
        *"a: declared by key k1 {\"kind\":\"tenant\",\"name\":\"a\",\"changed\":{\"cap\":[null,7],\"attributes\":\"changed\"}}\n"
    );
    assert_eq!(
        log(&desk, &["key-issued", "key-revoked"]),
        "a: key-issued by key k1 {\"key\":\"k2\",\"role\":{\"tenant\":{\"tenant\":\"a\"}},\"expires\":null}\n\
         a: key-revoked by key k1 {\"key\":\"k2\"}\n"
    );
}
