//! Commits, epochs, and what `load` finds afterwards.

use std::sync::Arc;

use fairlane_core::calendar::Calendar;
use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::erasure::Erased;
use fairlane_core::id::RunId;
use fairlane_core::money::Nano;
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{
    Access, AccountRow, Instance, Owner, Part, Role, RunRow, RunStatus, SignalRow, StepRow,
    StepState, Used,
};
use fairlane_core::time::{Span, Time};

use super::samples::{
    account, adequacy, api_key, call, channel, class, context, decision, done, empty_zone, ended,
    erasure, full_run, idempotency, item, key, mail_channel, model, name, notice, org, payload,
    pending_notice, policy, pool, price, region, replan, review, reviewer_pool, run, schedule,
    scope, sign_in_key, signal, states, step, tenant, tier, tool, uses, valve, whole, workflow,
    zone,
};
use super::{Place, checks, claimed};
use crate::error::Error;
use crate::read::{DecisionQuery, DecisionRow, Payloads};
use crate::store::{Epoch, IDEMPOTENCY_RETENTION, SWEEP_MAX, Store};

checks! {
    a_new_place_is_empty
    a_claim_raises_the_epoch_and_survives
    every_change_is_found_again
    declarations_are_replaced_by_name
    the_last_write_of_a_turn_wins
    the_same_turn_twice_is_the_same_as_once
    what_is_dropped_is_gone
    dropping_what_is_not_there_is_no_error
    a_change_that_fails_takes_the_whole_turn_with_it
    a_taken_signal_cannot_be_taken_again
    a_stale_epoch_writes_nothing
    an_empty_turn_checks_the_epoch
    live_runs_load_oldest_first
    runs_that_ended_are_not_loaded
    a_retried_run_is_loaded_again
    contexts_load_if_pinned_or_newest
    accounts_of_the_last_periods_load
    each_log_goes_on_where_it_was
    old_idempotency_keys_are_swept_in_bounded_steps
}

fn a_new_place_is_empty(place: &dyn Place) -> Result<(), Error> {
    let mut store = place.open()?;
    assert_loaded(&mut *store, &Snapshot::default())?;
    store.close()
}

fn a_claim_raises_the_epoch_and_survives(place: &dyn Place) -> Result<(), Error> {
    let (mut store, first) = claimed(place)?;
    let second = store.claim()?;
    assert_eq!((first, second), (Epoch(1), Epoch(2)));
    store.close()?;
    assert_eq!(place.open()?.claim()?, Epoch(3));
    Ok(())
}

/// Compares table by table, so that a difference can be read.
fn assert_loaded(store: &mut dyn Store, expected: &Snapshot) -> Result<(), Error> {
    let loaded = store.load()?;
    macro_rules! equal {
        ($($table:ident)*) => {
            $(assert_eq!(loaded.$table, expected.$table, stringify!($table));)*
        };
    }
    equal!(orgs tiers tenants contexts pools valve workflows tools classes models prices policies residency uses
        accounts calls reviewer_pools keys schedules runs steps signals reviews channels notices);
    assert_eq!(loaded, *expected);
    Ok(())
}

/// A turn with every kind of change that adds something, and what `load` must make of it.
fn everything() -> (Vec<Change>, Snapshot) {
    let snapshot = one_of_each();
    let changes = changes_of(&snapshot);
    (changes, without_payloads(snapshot))
}

fn changes_of(snapshot: &Snapshot) -> Vec<Change> {
    let contexts = snapshot.tenants.iter().zip(&snapshot.contexts);
    (snapshot.orgs.iter().cloned().map(Change::Org))
        .chain(snapshot.tiers.iter().cloned().map(Change::Tier))
        .chain(
            contexts.map(|(tenant, context)| Change::Tenant(tenant.clone(), Arc::clone(context))),
        )
        .chain(snapshot.pools.iter().cloned().map(Change::Pool))
        .chain(snapshot.valve.iter().cloned().map(Change::Valve))
        .chain(snapshot.workflows.iter().cloned().map(Change::Workflow))
        .chain(snapshot.tools.iter().cloned().map(Change::Tool))
        .chain(snapshot.classes.iter().cloned().map(Change::Class))
        .chain(snapshot.models.iter().cloned().map(Change::Model))
        .chain(snapshot.prices.iter().cloned().map(Change::Price))
        .chain(snapshot.policies.iter().cloned().map(Change::Policy))
        .chain(snapshot.residency.iter().cloned().map(Change::Residency))
        .chain(snapshot.uses.iter().cloned().map(Change::Use))
        .chain(snapshot.accounts.iter().cloned().map(Change::Account))
        .chain(snapshot.calls.iter().cloned().map(Box::new).map(Change::Call))
        .chain(snapshot.reviewer_pools.iter().cloned().map(Change::ReviewerPool))
        .chain(snapshot.channels.iter().cloned().map(Box::new).map(Change::Channel))
        .chain(snapshot.notices.iter().cloned().map(Box::new).map(Change::Notice))
        .chain(snapshot.keys.iter().cloned().map(Change::Key))
        .chain(snapshot.runs.iter().cloned().map(Box::new).map(Change::Run))
        .chain(snapshot.steps.iter().cloned().map(Box::new).map(Change::Step))
        .chain(snapshot.reviews.iter().cloned().map(Box::new).map(Change::Review))
        .chain(snapshot.replans.iter().cloned().map(Box::new).map(Change::Replan))
        .chain(snapshot.signals.iter().cloned().map(Change::Signal))
        .chain(snapshot.schedules.iter().cloned().map(Change::Schedule))
        .chain(snapshot.erasures.iter().cloned().map(Change::Erasure))
        .chain([
            Change::Idempotency(idempotency("acme", "key", Time(5))),
            Change::Decision(decision(Some("acme"), 11)),
            Change::Decision(decision(None, 12)),
        ])
        .collect()
}

/// Rows of every kind.
fn one_of_each() -> Snapshot {
    let acme = key("acme", 1);
    let steps: Vec<StepRow> =
        states().into_iter().zip(0..).map(|(state, at)| step(&acme, whole(at), state)).collect();
    let parts = [Part::Compensation, Part::Whole, Part::Item(0), Part::Item(u32::MAX)]
        .map(|part| Instance { step: StepIndex(499), part })
        .map(|instance| step(&acme, instance, StepState::Skipped));
    Snapshot {
        orgs: vec![org("banks"), org("shops")],
        tiers: vec![tier("free"), tier("standard")],
        tenants: vec![tenant("acme"), tenant("bolt")],
        contexts: vec![context(&name("acme"), 2), context(&name("bolt"), 1)],
        pools: vec![pool("default"), pool("gpu")],
        valve: Some(valve()),
        workflows: vec![workflow("loan", 1), workflow("loan", 2), workflow("zoo", 1)],
        tools: vec![tool("credit/bureau"), tool("model")],
        classes: vec![class("basic"), class("high-volume")],
        models: vec![model("gpt/5.5"), model("reasoner")],
        prices: vec![price("gpt-5.5"), price("vertex_ai/gemini:2")],
        policies: vec![policy("no-bureau"), policy("premium")],
        residency: vec![adequacy("JP"), region("eu-1"), region("us-1"), zone("mine")],
        region: None,
        share: fairlane_core::quota::Share::default(),
        means: fairlane_core::notice::Means::default(),
        sampling: None,
        uses: vec![
            uses(None, "bucket@1000000", Used::Bucket { full: Time::MAX }),
            uses(None, "concurrent", Used::Window { start: Time(8), units: u64::MAX }),
            uses(Some("acme"), "bucket@1000000", Used::Bucket { full: Time(9) }),
        ],
        accounts: vec![
            account(Owner::Org(name("zoo")), Calendar::Month, Time(70)),
            account(Owner::Tenant(name("acme")), Calendar::Day, Time(60)),
            account(Owner::Tenant(name("acme")), Calendar::Day, Time(61)),
            account(Owner::Tenant(name("acme")), Calendar::Month, Time(60)),
        ],
        calls: vec![call("acme", 3, None), call("acme", 4, Some(&acme)), call("bolt", 1, None)],
        keys: vec![
            api_key("key-1", Role::Operator),
            api_key(
                "key-2",
                Role::Tenant {
                    tenant: name("acme"),
                    access: Access::Audit,
                    person: Some(name("ada")),
                },
            ),
            sign_in_key("key-2b", "bob@acme.example", Role::Reviewer { person: name("bob") }),
            api_key(
                "key-3",
                Role::Worker {
                    pools: vec![name("default"), name("gpu")],
                    tenants: vec![name("acme"), name("bolt")],
                    region: Some(name("eu-1")),
                },
            ),
        ],
        schedules: vec![schedule("acme", "Hourly"), schedule("bolt", "Nightly")],
        runs: vec![full_run(&acme), run(&key("bolt", 1))],
        steps: steps.into_iter().chain(parts).collect(),
        signals: vec![signal(&acme, 1, &payload(3)), signal(&acme, u64::MAX / 2, &payload(0))],
        reviewer_pools: vec![reviewer_pool("seniors"), reviewer_pool("underwriters")],
        reviews: vec![review("acme", 3), review("bolt", 1)],
        replans: vec![replan(&acme, 2)],
        channels: vec![channel("acme", "ops"), mail_channel("bolt", "mail")],
        notices: vec![notice("acme", 7), pending_notice("acme", 8)],
        erasures: vec![
            erasure("acme", 2, Erased::Run(RunId(77))),
            erasure("bolt", 3, Erased::Tenant),
        ],
    }
}

fn without_payloads(mut snapshot: Snapshot) -> Snapshot {
    for row in &mut snapshot.runs {
        row.input = None;
    }
    for row in &mut snapshot.steps {
        row.output = None;
    }
    for row in &mut snapshot.signals {
        row.payload = payload(0);
    }
    snapshot
}

fn every_change_is_found_again(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (changes, expected) = everything();
    store.commit(epoch, &changes)?;
    assert_loaded(&mut *store, &expected)?;
    store.close()?;

    let mut store = place.open()?;
    assert_loaded(&mut *store, &expected)?;
    let mut reader = store.reader()?;
    let (acme, scope) = (key("acme", 1), scope("acme"));
    assert_eq!(reader.run(&scope, acme.run, Payloads::Read)?, Some(full_run(&acme)));
    assert_eq!(reader.steps(&scope, acme.run, Payloads::Read)?, expected.steps);
    assert_eq!(reader.idempotency(&scope, "key")?, Some(idempotency("acme", "key", Time(5))));
    Ok(())
}

fn declarations_are_replaced_by_name(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (changes, mut expected) = everything();
    store.commit(epoch, &changes)?;

    expected.orgs[0].cap = None;
    expected.tiers[0].burst = None;
    expected.tenants[0].suspended = false;
    expected.contexts[0] = context(&name("acme"), 2);
    expected.pools[0].tasks = None;
    let open = fairlane_core::pool::Valve::default();
    expected.valve = Some(open.clone());
    expected.tools[0].limits.clear();
    expected.classes[0].quotas.clear();
    expected.tools[1].endpoint = None;
    expected.models[0].candidates.truncate(1);
    expected.prices[0].versions.truncate(1);
    expected.policies[0].versions.truncate(1);
    expected.residency[3] = fairlane_core::residency::Declaration::Zone(empty_zone("mine"));
    expected.uses[0].used = Used::Window { start: Time(5), units: 6 };
    expected.accounts[1].posted = Nano(7);
    expected.accounts[1].uncertain = Nano::ZERO;
    expected.accounts[1].topped_up = Nano(8);
    expected.accounts[1].forgiven = Nano(9);
    expected.keys[0].label = "rotated".into();
    expected.schedules[0].next = None;
    expected.schedules[0].last = None;
    expected.schedules[0].queued = false;
    let changes = [
        Change::Org(expected.orgs[0].clone()),
        Change::Tier(expected.tiers[0].clone()),
        Change::Tenant(expected.tenants[0].clone(), Arc::clone(&expected.contexts[0])),
        Change::Pool(expected.pools[0].clone()),
        Change::Valve(open),
        Change::Tool(expected.tools[0].clone()),
        Change::Class(expected.classes[0].clone()),
        Change::Tool(expected.tools[1].clone()),
        Change::Model(expected.models[0].clone()),
        Change::Price(expected.prices[0].clone()),
        Change::Policy(expected.policies[0].clone()),
        Change::Residency(expected.residency[3].clone()),
        Change::Use(expected.uses[0].clone()),
        Change::Account(expected.accounts[1].clone()),
        Change::Key(expected.keys[0].clone()),
        Change::Schedule(expected.schedules[0].clone()),
    ];
    store.commit(epoch, &changes)?;
    assert_loaded(&mut *store, &expected)?;
    Ok(())
}

fn the_last_write_of_a_turn_wins(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    let paused = RunRow { status: RunStatus::Paused, ..full_run(&acme) };
    let leased = step(&acme, whole(0), states()[2].clone());
    let used = |units| uses(None, "month@UTC", Used::Window { start: Time(0), units });
    let owner = Owner::Org(name("banks"));
    let spent = |posted| AccountRow {
        posted: Nano(posted),
        ..account(owner.clone(), Calendar::Month, Time(0))
    };
    store.commit(
        epoch,
        &[
            Change::Run(Box::new(full_run(&acme))),
            Change::Step(Box::new(leased)),
            Change::Run(Box::new(paused)),
            Change::Step(Box::new(done(&acme, whole(0), &payload(9)))),
            Change::Run(Box::new(run(&acme))),
            Change::Use(used(1)),
            Change::Account(spent(1)),
            Change::Use(used(2)),
            Change::Account(spent(2)),
        ],
    )?;
    let loaded = store.load()?;
    assert_eq!(loaded.runs, [run(&acme)]);
    assert_eq!(loaded.steps, [step(&acme, whole(0), StepState::Done)]);
    assert_eq!(loaded.uses, [used(2)]);
    assert_eq!(loaded.accounts, [spent(2)]);
    Ok(())
}

fn the_same_turn_twice_is_the_same_as_once(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (changes, expected) = everything();
    store.commit(epoch, &changes)?;
    store.commit(epoch, &changes)?;
    assert_loaded(&mut *store, &expected)?;
    Ok(())
}

fn what_is_dropped_is_gone(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (changes, mut expected) = everything();
    store.commit(epoch, &changes)?;

    let acme = key("acme", 1);
    let gone = expected.schedules.remove(0);
    let old = expected.keys.remove(1);
    let removed = expected.policies.remove(0);
    expected.steps.retain(|row| row.instance.step != StepIndex(499));
    store.commit(
        epoch,
        &[
            Change::DropSchedule(gone.tenant, gone.workflow, gone.name),
            Change::DropKey(old.id),
            Change::DropPolicy(removed.name),
            Change::DropStep(acme, StepIndex(499)),
        ],
    )?;
    assert_loaded(&mut *store, &expected)?;
    Ok(())
}

fn dropping_what_is_not_there_is_no_error(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let gone = schedule("acme", "Hourly");
    store.commit(
        epoch,
        &[
            Change::DropKey(name("key-1")),
            Change::DropPolicy(name("no-bureau")),
            Change::DropStep(key("acme", 1), StepIndex(0)),
            Change::DropSchedule(gone.tenant, gone.workflow, gone.name),
        ],
    )?;
    assert_loaded(&mut *store, &Snapshot::default())?;
    Ok(())
}

fn a_change_that_fails_takes_the_whole_turn_with_it(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    let sent = signal(&acme, 1, &payload(3));
    let (run_row, step_row) = (full_run(&acme), done(&acme, whole(0), &payload(5)));
    store.commit(
        epoch,
        &[
            Change::Run(Box::new(run_row.clone())),
            Change::Step(Box::new(step_row.clone())),
            Change::Signal(sent),
        ],
    )?;
    let before = store.load()?;

    let turn = |fails: Change| {
        vec![
            Change::Org(org("banks")),
            Change::Run(Box::new(RunRow { input: Some(payload(2_000)), ..run(&acme) })),
            Change::Run(Box::new(run(&key("acme", 2)))),
            Change::Step(Box::new(done(&acme, whole(0), &payload(2_000)))),
            Change::DropStep(acme.clone(), StepIndex(0)),
            Change::Idempotency(idempotency("acme", "key", Time(5))),
            Change::Decision(decision(None, 5)),
            fails,
            Change::Org(org("shops")),
        ]
    };
    let no_signal = Change::TakeSignal { key: acme.clone(), sequence: 2, instance: whole(0) };
    let no_step = Change::TakeSignal { key: acme.clone(), sequence: 1, instance: whole(7) };
    for fails in [no_signal, no_step] {
        let error = store.commit(epoch, &turn(fails)).expect_err("the change needs a row");
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        assert_loaded(&mut *store, &before)?;
        let mut reader = store.reader()?;
        let found = reader.run_and_steps(&scope("acme"), acme.run, Payloads::Read)?;
        assert_eq!(found, Some((run_row.clone(), vec![step_row.clone()])));
        assert_eq!(reader.idempotency(&scope("acme"), "key")?, None);
    }
    store.commit(epoch, &[Change::Org(org("shops"))])?;
    assert_loaded(&mut *store, &Snapshot { orgs: vec![org("shops")], ..before })?;
    Ok(())
}

fn a_taken_signal_cannot_be_taken_again(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    let take = Change::TakeSignal { key: acme.clone(), sequence: 1, instance: whole(0) };
    let turn = [
        Change::Run(Box::new(run(&acme))),
        Change::Signal(signal(&acme, 1, &payload(3))),
        Change::Step(Box::new(step(&acme, whole(0), StepState::Done))),
        take.clone(),
    ];
    store.commit(epoch, &turn)?;
    assert_eq!(store.load()?.signals, []);
    assert!(matches!(store.commit(epoch, &[take]), Err(Error::Missing { .. })));
    Ok(())
}

fn a_stale_epoch_writes_nothing(place: &dyn Place) -> Result<(), Error> {
    let (mut store, held) = claimed(place)?;
    store.commit(held, &[Change::Idempotency(idempotency("acme", "key", Time(0)))])?;
    let current = store.claim()?;
    for wrong in [held, Epoch(current.0 + 1), Epoch(0)] {
        let (changes, _) = everything();
        let error = store.commit(wrong, &changes).expect_err("the epoch is not the newest");
        assert!(
            matches!(error, Error::StaleEpoch { held, current: now } if (held, now) == (wrong, current)),
            "{error}"
        );
        assert!(store.sweep(wrong, Time::MAX).is_err_and(|error| error.is_stale()));
    }
    assert_loaded(&mut *store, &Snapshot::default())?;
    assert!(store.reader()?.idempotency(&scope("acme"), "key")?.is_some());
    store.commit(current, &[Change::Org(org("banks"))])
}

fn an_empty_turn_checks_the_epoch(place: &dyn Place) -> Result<(), Error> {
    let (mut store, held) = claimed(place)?;
    store.commit(held, &[])?;
    store.claim()?;
    assert!(store.commit(held, &[]).is_err_and(|error| error.is_stale()));
    Ok(())
}

fn live_runs_load_oldest_first(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let at = |tenant, id, created| RunRow { created: Time(created), ..run(&key(tenant, id)) };
    let sorted =
        [at("zoo", 9, 1), at("bolt", 2, 5), at("acme", 3, 5), at("zoo", 3, 5), at("acme", 1, 6)];
    let unsorted = [2, 4, 0, 3, 1].map(|at: usize| sorted[at].clone());
    store.commit(epoch, &unsorted.map(|row| Change::Run(Box::new(row))))?;
    // Steps and signals come in order of their keys.
    let (acme, zoo) = (key("acme", 3), key("zoo", 3));
    let instances = [item(2, 7), whole(2), item(1, 0), whole(300)];
    let steps =
        instances.map(|instance| Change::Step(Box::new(step(&zoo, instance, StepState::Ready))));
    store.commit(epoch, &steps)?;
    store.commit(
        epoch,
        &[
            Change::Step(Box::new(step(&acme, whole(9), StepState::Ready))),
            Change::Signal(signal(&zoo, 1, &payload(1))),
            Change::Signal(signal(&acme, 256, &payload(1))),
            Change::Signal(signal(&acme, 2, &payload(1))),
        ],
    )?;

    let loaded = store.load()?;
    assert_eq!(loaded.runs, sorted);
    let steps: Vec<_> = loaded.steps.iter().map(|row| (&row.key, row.instance)).collect();
    let ordered = [item(1, 0), whole(2), item(2, 7), whole(300)].map(|instance| (&zoo, instance));
    assert_eq!(steps[..1], [(&acme, whole(9))]);
    assert_eq!(steps[1..], ordered);
    let signals: Vec<_> = loaded.signals.iter().map(|row| (&row.key, row.sequence)).collect();
    assert_eq!(signals, [(&acme, 2), (&acme, 256), (&zoo, 1)]);
    Ok(())
}

fn runs_that_ended_are_not_loaded(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let all = [key("acme", 1), key("acme", 2), key("bolt", 1)];
    for key in &all {
        store.commit(
            epoch,
            &[
                Change::Run(Box::new(run(key))),
                Change::Step(Box::new(done(key, whole(0), &payload(10)))),
                Change::Signal(signal(key, 1, &payload(10))),
            ],
        )?;
    }
    store.commit(epoch, &[Change::Run(Box::new(ended(&all[0], RunStatus::Completed)))])?;
    let loaded = store.load()?;
    let live: Vec<_> = loaded.runs.iter().map(|row| row.key.clone()).collect();
    assert_eq!(live, [key("bolt", 1), key("acme", 2)]);
    assert!(loaded.steps.iter().map(|row: &StepRow| &row.key).eq(&all[1..]));
    assert!(loaded.signals.iter().map(|row: &SignalRow| &row.key).eq(&all[1..]));
    Ok(())
}

fn a_retried_run_is_loaded_again(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    store.commit(
        epoch,
        &[
            Change::Run(Box::new(ended(&acme, RunStatus::Failed))),
            Change::Step(Box::new(done(&acme, whole(0), &payload(10)))),
        ],
    )?;
    store.commit(epoch, &[Change::Run(Box::new(run(&acme)))])?;
    let loaded = store.load()?;
    assert_eq!((loaded.runs.len(), loaded.steps.len()), (1, 1));
    Ok(())
}

fn contexts_load_if_pinned_or_newest(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let pins = |id, context| Change::Run(Box::new(RunRow { context, ..run(&key("acme", id)) }));
    let versions = |tenant_name: &str, versions: &[u32]| {
        let declare = |version: &u32| {
            Change::Tenant(tenant(tenant_name), context(&name(tenant_name), *version))
        };
        versions.iter().map(declare).collect::<Vec<_>>()
    };
    store.commit(epoch, &versions("acme", &[1, 2, 3, 4, 5]))?;
    store.commit(epoch, &versions("bolt", &[1, 2]))?;
    store.commit(epoch, &[pins(1, 2), pins(2, 4), pins(3, 2)])?;
    store.commit(
        epoch,
        &[Change::Run(Box::new(RunRow {
            context: 4,
            ..ended(&key("acme", 2), RunStatus::Cancelled)
        }))],
    )?;
    let loaded = store.load()?;
    let found: Vec<_> =
        loaded.contexts.iter().map(|context| (context.tenant.as_str(), context.version)).collect();
    assert_eq!(found, [("acme", 2), ("acme", 5), ("bolt", 2)]);
    Ok(())
}

fn accounts_of_the_last_periods_load(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let day = |day: u64| Time(day * 86_400_000_000);
    let of = |owner: &Owner, every, at| account(owner.clone(), every, day(at));
    let (acme, banks) = (Owner::Tenant(name("acme")), Owner::Org(name("banks")));
    let rows = [
        // Another owner's newest period is older, and it has the name of a tenant.
        of(&Owner::Org(name("acme")), Calendar::Month, 1),
        of(&banks, Calendar::Month, 9),
        of(&banks, Calendar::Month, 10),
        of(&banks, Calendar::Month, 72),
        of(&acme, Calendar::Day, 37),
        of(&acme, Calendar::Day, 38),
        of(&acme, Calendar::Day, 100),
        of(&acme, Calendar::Month, 31),
        of(&acme, Calendar::Month, 90),
    ];
    store.commit(epoch, &rows.clone().map(Change::Account))?;
    let kept = [0, 2, 3, 5, 6, 8].map(|at: usize| rows[at].clone());
    assert_eq!(store.load()?.accounts, kept);
    Ok(())
}

fn each_log_goes_on_where_it_was(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let said = [(Some("acme"), 1), (None, 2), (Some("acme"), 3), (Some("bolt"), 4)];
    store.commit(epoch, &said.map(|(of, at)| Change::Decision(decision(of, at))))?;
    store.commit(epoch, &[Change::Decision(decision(Some("acme"), 5))])?;
    store.close()?;
    let mut store = place.open()?;
    let epoch = store.claim()?;
    store.commit(epoch, &[Change::Decision(decision(Some("acme"), 6))])?;
    let mut reader = store.reader()?;
    let query = DecisionQuery { before: None, limit: 10 };
    let logged = reader.decisions(&scope("acme"), query)?.rows;
    let expected = [(4, 6), (3, 5), (2, 3), (1, 1)]
        .map(|(sequence, at)| DecisionRow { sequence, decision: decision(Some("acme"), at) });
    assert_eq!(logged, expected, "what others do is not seen in the numbers");
    assert_eq!(reader.decisions(&scope("bolt"), query)?.rows[0].sequence, 1);
    assert_eq!(reader.platform_decisions(query)?.rows[0].sequence, 1);
    Ok(())
}

fn old_idempotency_keys_are_swept_in_bounded_steps(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let submit = |at: u32| {
        let tenant = if at.is_multiple_of(2) { "acme" } else { "bolt" };
        Change::Idempotency(idempotency(tenant, &format!("key-{at}"), Time(u64::from(at))))
    };
    store.commit(epoch, &(0..SWEEP_MAX + 10).map(submit).collect::<Vec<_>>())?;

    let boundary = Time(u64::from(SWEEP_MAX) + 5) + IDEMPOTENCY_RETENTION;
    assert_eq!(store.sweep(epoch, boundary - Span::from_secs(1))?, 0);
    assert_eq!(store.sweep(epoch, boundary)?, SWEEP_MAX);
    let mut reader = store.reader()?;
    let last = format!("key-{}", SWEEP_MAX - 1);
    assert_eq!(reader.idempotency(&scope("bolt"), &last)?, None);
    let next = format!("key-{SWEEP_MAX}");
    assert!(reader.idempotency(&scope("acme"), &next)?.is_some());

    assert_eq!(store.sweep(epoch, boundary)?, 5);
    assert_eq!(store.sweep(epoch, boundary)?, 0);
    let at_boundary = format!("key-{}", SWEEP_MAX + 5);
    assert!(reader.idempotency(&scope("bolt"), &at_boundary)?.is_some());
    Ok(())
}
