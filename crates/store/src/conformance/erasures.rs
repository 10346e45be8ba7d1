//! What is erased is gone, all of it, and nothing else is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use fairlane_core::cell::change::Change;
use fairlane_core::erasure::{Erased, ErasureRow, Subject};
use fairlane_core::id::{ErasureId, ReviewId, RunId};
use fairlane_core::row::{
    IdempotencyRow, Parent, ReviewEvent, ReviewEventRow, ReviewRow, ReviewState, RunKey, RunRow,
    RunStatus,
};
use fairlane_core::time::Time;

use super::samples::{
    done, ended, erasure, idempotency, key, payload, replan, review, review_event, run, scope,
    signal, whole,
};
use super::{Place, checks, claimed};
use crate::error::Error;
use crate::read::{ErasureQuery, Payloads, Read, ReviewQuery, RunQuery};
use crate::store::{Epoch, FORGOTTEN_MAX, Forgotten, Store};

checks! {
    a_run_goes_with_all_that_belongs_to_it
    a_run_goes_with_the_runs_that_it_has_called
    what_is_of_one_subject_goes_and_nothing_else
    all_of_a_tenant_goes_but_what_came_later
    what_has_not_ended_is_waited_for
    many_go_some_at_a_time
    erasures_are_listed_newest_first_for_their_tenant_only
}

/// Everything that a run can have.
fn all_of(key: &RunKey) -> Vec<Change> {
    let row = RunRow { input: Some(payload(3_000)), ..ended(key, RunStatus::Completed) };
    let of_key = key.run.0;
    let decided = ReviewRow {
        run: key.run,
        state: ReviewState::Superseded,
        ended: Some(Time(9)),
        ..review(key.tenant.as_str(), of_key)
    };
    let name = format!("request-{of_key}");
    let created = Time(u64::try_from(of_key).expect("samples have small ids"));
    let said = review_event(key.tenant.as_str(), of_key, 1, ReviewEvent::Superseded);
    vec![
        Change::Run(Box::new(row)),
        Change::Step(Box::new(done(key, whole(0), &payload(4_000)))),
        Change::Step(Box::new(done(key, whole(1), &payload(10)))),
        Change::Signal(signal(key, 1, &payload(7))),
        Change::Replan(Box::new(replan(key, 1))),
        Change::Review(Box::new(decided)),
        Change::ReviewEvent(Box::new(ReviewEventRow { run: key.run, ..said })),
        Change::Idempotency(IdempotencyRow {
            run: key.run,
            ..idempotency(key.tenant.as_str(), &name, created)
        }),
    ]
}

fn is_there(reader: &mut dyn Read, key: &RunKey) -> Result<bool, Error> {
    let scope = scope(key.tenant.as_str());
    let name = format!("request-{}", key.run.0);
    let review = ReviewId(key.run);
    let found = [
        reader.run(&scope, key.run, Payloads::Read)?.is_some(),
        reader.input(&scope, key.run)?.is_some(),
        !reader.steps(&scope, key.run, Payloads::Read)?.is_empty(),
        reader.output(&scope, key.run, whole(0))?.is_some(),
        !reader.replans(&scope, key.run)?.is_empty(),
        reader.review(&scope, review)?.is_some(),
        !reader.review_events(&scope, review)?.is_empty(),
        reader.idempotency(&scope, &name)?.is_some(),
        reader
            .runs(&scope, &RunQuery { limit: 1_000, ..RunQuery::default() })?
            .rows
            .iter()
            .any(|row| row.key == *key),
        reader
            .reviews(&scope, ReviewQuery { limit: 1_000, before: None })?
            .rows
            .iter()
            .any(|row| row.id == review),
    ];
    assert!(found == [true; 10] || found == [false; 10], "{key:?} is there in part: {found:?}");
    Ok(found[0])
}

/// Which of them are there.
fn which(reader: &mut dyn Read, runs: &[RunKey]) -> Result<Vec<bool>, Error> {
    runs.iter().map(|key| is_there(reader, key)).collect()
}

/// Erases until there is nothing to do at once; gives all that was done.
pub(crate) fn forget(store: &mut dyn Store, epoch: Epoch) -> Result<Forgotten, Error> {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let mut all = Forgotten::default();
    loop {
        // Each time much later: a log is emptied every ten seconds at most.
        let now = Time(SECONDS.fetch_add(20, Ordering::Relaxed) * 1_000_000);
        let done = store.forget(epoch, now)?;
        all.runs.extend(done.runs);
        // Each is named by the step that looks at it, and by later ones again.
        let named: Vec<_> =
            done.finished.into_iter().filter(|one| !all.finished.contains(one)).collect();
        all.finished.extend(named);
        all.is_waiting = done.is_waiting;
        if !done.has_more {
            return Ok(all);
        }
    }
}

fn ids(forgotten: &Forgotten) -> Vec<u128> {
    let ids: BTreeSet<u128> = forgotten.runs.iter().map(|key| key.run.0).collect();
    ids.into_iter().collect()
}

fn a_run_goes_with_all_that_belongs_to_it(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let runs = [key("acme", 1), key("acme", 2), key("bolt", 1)];
    store.commit(epoch, &runs.iter().flat_map(all_of).collect::<Vec<_>>())?;
    let mut reader = store.reader()?;
    for key in &runs {
        assert!(is_there(&mut *reader, key)?);
    }
    let asked = erasure("acme", 100, Erased::Run(RunId(1)));
    store.commit(epoch, &[Change::Erasure(asked.clone())])?;
    assert_eq!(store.load()?.erasures, std::slice::from_ref(&asked));
    let forgotten = forget(&mut *store, epoch)?;
    assert_eq!(forgotten.runs, [key("acme", 1)]);
    assert_eq!(forgotten.finished, [(asked.tenant.clone(), asked.id, 1)]);
    assert_eq!(which(&mut *reader, &runs)?, [false, true, true]);

    // It is named until it is committed as done.
    assert_eq!(forget(&mut *store, epoch)?.finished, forgotten.finished);
    let done = ErasureRow { runs: 1, done: Some(Time(500)), ..asked };
    store.commit(epoch, &[Change::Erasure(done.clone())])?;
    assert_eq!(forget(&mut *store, epoch)?, Forgotten::default());
    assert_eq!(store.load()?.erasures, []);
    assert_eq!(reader.erasure(&scope("acme"), done.id)?, Some(done));
    Ok(())
}

fn a_run_goes_with_the_runs_that_it_has_called(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let called = |id: u128, by: u128| {
        let parent = Some(Parent { run: RunId(by), instance: whole(0), depth: 1 });
        let row = RunRow { parent, ..ended(&key("acme", id), RunStatus::Completed) };
        Change::Run(Box::new(row))
    };
    let top = |id| Change::Run(Box::new(ended(&key("acme", id), RunStatus::Completed)));
    let rows = [top(1), called(2, 1), called(3, 2), called(4, 1), top(5), called(6, 5)];
    store.commit(epoch, &rows)?;
    let changes = [Change::Erasure(erasure("acme", 100, Erased::Run(RunId(1))))];
    store.commit(epoch, &changes)?;
    assert_eq!(ids(&forget(&mut *store, epoch)?), [1, 2, 3, 4]);
    let changes = [Change::Erasure(erasure("acme", 101, Erased::Run(RunId(6))))];
    store.commit(epoch, &changes)?;
    assert_eq!(ids(&forget(&mut *store, epoch)?), [6]);
    Ok(())
}

fn what_is_of_one_subject_goes_and_nothing_else(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let of = |tenant: &str, id: u128, subject: Option<u8>| {
        let subject = subject.map(|byte| Subject([byte; 16]));
        let row = RunRow { subject, ..ended(&key(tenant, id), RunStatus::Failed) };
        Change::Run(Box::new(row))
    };
    store.commit(
        epoch,
        &[
            of("acme", 1, Some(1)),
            of("acme", 2, Some(2)),
            of("acme", 3, None),
            of("acme", 4, Some(1)),
            of("bolt", 5, Some(1)),
            // Came in after it was asked for.
            of("acme", 101, Some(1)),
        ],
    )?;
    let asked = erasure("acme", 100, Erased::Subject(Subject([1; 16])));
    store.commit(epoch, &[Change::Erasure(asked.clone())])?;
    let forgotten = forget(&mut *store, epoch)?;
    assert_eq!(ids(&forgotten), [1, 4]);
    assert_eq!(forgotten.finished, [(asked.tenant, asked.id, 2)]);
    Ok(())
}

fn all_of_a_tenant_goes_but_what_came_later(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let runs = [key("acme", 1), key("acme", 2), key("bolt", 1), key("acme", 200)];
    store.commit(epoch, &runs.iter().flat_map(all_of).collect::<Vec<_>>())?;
    store.commit(epoch, &[Change::Erasure(erasure("acme", 100, Erased::Tenant))])?;
    assert_eq!(ids(&forget(&mut *store, epoch)?), [1, 2]);
    let mut reader = store.reader()?;
    assert_eq!(which(&mut *reader, &runs)?, [false, false, true, true]);
    // The rest goes with its keys, and the tenant can be used again.
    store.commit(epoch, &[Change::Erasure(erasure("acme", 300, Erased::Tenant))])?;
    assert_eq!(ids(&forget(&mut *store, epoch)?), [200]);
    store.commit(epoch, &all_of(&runs[0]))?;
    assert!(is_there(&mut *reader, &runs[0])?);
    assert!(is_there(&mut *reader, &runs[2])?);
    Ok(())
}

fn what_has_not_ended_is_waited_for(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    for (of, id) in [
        (Erased::Run(RunId(1)), 100),
        (Erased::Subject(Subject([3; 16])), 101),
        (Erased::Tenant, 102),
    ] {
        let subject = Some(Subject([3; 16]));
        let live = RunRow { subject, ..run(&key("acme", 1)) };
        store.commit(epoch, &[Change::Run(Box::new(live))])?;
        let asked = erasure("acme", id, of);
        store.commit(epoch, &[Change::Erasure(asked.clone())])?;
        let forgotten = forget(&mut *store, epoch)?;
        assert_eq!((forgotten.runs, forgotten.finished), (vec![], vec![]), "{of:?}");
        assert!(forgotten.is_waiting);
        let over = RunRow { subject, ..ended(&key("acme", 1), RunStatus::Cancelled) };
        store.commit(epoch, &[Change::Run(Box::new(over))])?;
        let forgotten = forget(&mut *store, epoch)?;
        assert_eq!(forgotten.finished, [(asked.tenant.clone(), asked.id, 1)]);
        let done = ErasureRow { done: Some(Time(500)), ..asked };
        store.commit(epoch, &[Change::Erasure(done)])?;
    }
    Ok(())
}

fn many_go_some_at_a_time(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let count = FORGOTTEN_MAX as u64 * 2 + 1;
    let rows = |tenant: &str| -> Vec<Change> {
        let ended = |id| ended(&key(tenant, id), RunStatus::Completed);
        (1..=count).map(|id| Change::Run(Box::new(ended(id.into())))).collect()
    };
    store.commit(epoch, &rows("acme"))?;
    store.commit(epoch, &rows("bolt"))?;
    let both = ["acme", "bolt"].map(|tenant| erasure(tenant, 1_000, Erased::Tenant));
    store.commit(epoch, &both.clone().map(Change::Erasure))?;
    let first = store.forget(epoch, Time(1))?;
    assert_eq!((first.runs.len(), first.has_more), (FORGOTTEN_MAX, true));
    assert_eq!(first.finished, []);
    let rest = forget(&mut *store, epoch)?;
    assert_eq!((first.runs.len() + rest.runs.len()) as u64, 2 * count);
    let finished = both.map(|row| (row.tenant, row.id, count));
    assert_eq!(rest.finished, finished);
    Ok(())
}

fn erasures_are_listed_newest_first_for_their_tenant_only(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let rows: Vec<ErasureRow> =
        (1..=5).map(|id| erasure("acme", id, Erased::Run(RunId(id.into())))).collect();
    store.commit(epoch, &rows.iter().cloned().map(Change::Erasure).collect::<Vec<_>>())?;
    store.commit(epoch, &[Change::Erasure(erasure("bolt", 9, Erased::Tenant))])?;
    let mut reader = store.reader()?;
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = reader.erasures(&scope("acme"), ErasureQuery { before, limit: 2 })?;
        found.extend(page.rows);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    found.reverse();
    assert_eq!(found, rows);
    let theirs = ErasureId(RunId(9));
    assert_eq!(reader.erasure(&scope("acme"), theirs)?, None);
    assert!(reader.erasure(&scope("bolt"), theirs)?.is_some());
    Ok(())
}
