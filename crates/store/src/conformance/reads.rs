//! Rows that are found by what they belong to: children by their caller, and all that a retry takes.

use std::sync::Arc;

use fairlane_core::cell::change::{Change, EndedRun};
use fairlane_core::id::RunId;
use fairlane_core::row::{Instance, Parent, RunRow, RunStatus, SignalRow, StepState};
use fairlane_core::time::Time;

use super::samples::{
    context, done, ended, item, key, name, payload, run, scope, signal, step, tenant, whole,
};
use super::{Place, checks, claimed};
use crate::error::Error;

checks! {
    a_child_is_found_by_the_step_that_called_it
    of_several_children_the_newest_is_found
    an_ended_run_is_read_with_all_that_a_retry_takes
    a_run_that_has_not_ended_is_not_read_to_retry
}

fn child_of(id: u128, run: u128, instance: Instance) -> RunRow {
    let parent = Parent { run: RunId(run), instance, depth: 1 };
    RunRow { parent: Some(parent), ..ended(&key("acme", id), RunStatus::Completed) }
}

fn put(row: RunRow) -> Change {
    Change::Run(Box::new(row))
}

fn a_child_is_found_by_the_step_that_called_it(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let rows = [
        child_of(10, 1, whole(0)),
        child_of(11, 1, item(0, 0)),
        child_of(12, 1, item(0, 1)),
        child_of(13, 1, whole(1)),
        child_of(14, 2, whole(0)),
    ];
    store.commit(epoch, &rows.clone().map(put))?;
    store.commit(epoch, &[put(run(&key("acme", 15))), put(run(&key("acme", 1)))])?;
    let mut reader = store.reader()?;
    for row in rows {
        let parent = row.parent.clone().expect("each of them has one");
        let found = reader.child(&scope("acme"), parent.run, parent.instance)?;
        assert_eq!(found, Some(row));
        for foreign in ["acm", "acme-", "zoo"] {
            assert_eq!(reader.child(&scope(foreign), parent.run, parent.instance)?, None);
        }
    }
    for (run, instance) in [(1, whole(2)), (1, item(0, 2)), (2, item(0, 0)), (10, whole(0))] {
        assert_eq!(reader.child(&scope("acme"), RunId(run), instance)?, None);
    }
    Ok(())
}

fn of_several_children_the_newest_is_found(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let created = |id, at| RunRow { created: Time(at), ..child_of(id, 1, whole(0)) };
    // Ids of one millisecond are in no order.
    let rows = [created(30, 100), created(10, 300), created(20, 200), created(40, 1)];
    store.commit(epoch, &rows.clone().map(put))?;
    let live = RunRow { input: Some(payload(5_000)), ..run(&key("acme", 5)) };
    let live = RunRow { parent: rows[0].parent.clone(), created: Time(400), ..live };
    let mut reader = store.reader()?;
    let mut newest = || reader.child(&scope("acme"), RunId(1), whole(0));
    assert_eq!(newest()?, Some(rows[1].clone()));
    store.commit(epoch, &[put(live.clone())])?;
    let bare = RunRow { input: None, ..live };
    assert_eq!(newest()?, Some(bare.clone()));
    let over = RunRow { status: RunStatus::Failed, ended: Some(Time(900)), ..bare };
    store.commit(epoch, &[put(over.clone())])?;
    assert_eq!(newest()?, Some(over));
    Ok(())
}

fn an_ended_run_is_read_with_all_that_a_retry_takes(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (acme, other) = (key("acme", 7), key("acme", 8));
    let declare = |version| Change::Tenant(tenant("acme"), context(&name("acme"), version));
    let over = RunRow { context: 2, ..ended(&acme, RunStatus::Failed) };
    let signals = [3, 1, u64::MAX / 2, 2].map(|sequence| signal(&acme, sequence, &payload(3)));
    store.commit(epoch, &[declare(1), declare(2), declare(3)])?;
    store.commit(
        epoch,
        &[
            put(RunRow { input: Some(payload(10)), ..over.clone() }),
            put(ended(&other, RunStatus::Failed)),
            put(run(&key("bolt", 7))),
            Change::Step(Box::new(done(&acme, whole(0), &payload(10)))),
            Change::Step(Box::new(step(&acme, whole(1), StepState::Cancelled))),
            Change::Step(Box::new(done(&other, whole(0), &payload(10)))),
            Change::Signal(signal(&other, 1, &payload(3))),
            Change::Signal(signal(&key("bolt", 7), 1, &payload(3))),
        ],
    )?;
    store.commit(epoch, &signals.clone().map(Change::Signal))?;
    let take = Change::TakeSignal { key: acme.clone(), sequence: 2, instance: whole(0) };
    store.commit(epoch, &[take])?;

    let [third, first, last, _] = signals.map(|row| SignalRow { payload: payload(0), ..row });
    let expected = EndedRun {
        run: over,
        steps: vec![
            step(&acme, whole(0), StepState::Done),
            step(&acme, whole(1), StepState::Cancelled),
        ],
        signals: vec![first, third, last],
        context: Some(context(&name("acme"), 2)),
        plan: None,
    };
    let mut reader = store.reader()?;
    assert_eq!(reader.ended_run(&scope("acme"), acme.run)?, Some(expected));
    let without = reader.ended_run(&scope("acme"), other.run)?.expect("it has ended");
    assert_eq!(without.context.as_ref().map(Arc::as_ref), Some(&*context(&name("acme"), 1)));
    for foreign in ["acm", "acme-", "bolt"] {
        assert_eq!(reader.ended_run(&scope(foreign), acme.run)?, None);
    }
    Ok(())
}

fn a_run_that_has_not_ended_is_not_read_to_retry(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 7);
    let mut reader = store.reader()?;
    assert_eq!(reader.ended_run(&scope("acme"), acme.run)?, None);
    store.commit(epoch, &[put(run(&acme))])?;
    assert_eq!(reader.ended_run(&scope("acme"), acme.run)?, None);
    store.commit(epoch, &[put(ended(&acme, RunStatus::Cancelled))])?;
    let rows = reader.ended_run(&scope("acme"), acme.run)?.expect("it has ended");
    assert_eq!((rows.context, rows.signals), (None, vec![]), "no context of its tenant is stored");
    Ok(())
}
