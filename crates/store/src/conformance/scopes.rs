//! A scope sees its own tenant's rows; another tenant's answer as if they were not there.

use fairlane_core::cell::change::{Change, EndedRun};
use fairlane_core::id::{ReviewId, RunId};
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{
    CallRow, IdempotencyRow, Parent, Payload, ReviewEvent, ReviewEventRow, ReviewRow, RunKey,
    RunRow, RunStatus, StepRow, StepState,
};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;

use super::samples::{
    decision, done, ended, ended_call, full_run, idempotency, item, key, payload, review,
    review_event, run, scope, signal, step, whole,
};
use super::{Place, checks, claimed};
use crate::error::Error;
use crate::read::{
    CallQuery, DecisionQuery, DecisionRow, Page, Payloads, Read, ReviewQuery, RunFilter, RunQuery,
    UsageRow,
};

checks! {
    a_foreign_id_answers_as_a_missing_one
    equal_ids_of_two_tenants_are_two_rows
}

/// All that a scope can ask about a run id and an idempotency key, and the answers.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    run: Option<RunRow>,
    steps: Vec<StepRow>,
    both: Option<(RunRow, Vec<StepRow>)>,
    input: Option<Payload>,
    output: Option<Payload>,
    outputs: Vec<(u32, Payload)>,
    ended: Option<EndedRun>,
    child: Option<RunRow>,
    idempotency: Option<IdempotencyRow>,
    runs: Page<RunRow, RunId>,
    live: Page<RunRow, RunId>,
    decisions: Page<DecisionRow, u64>,
    calls: Page<CallRow, u64>,
    calls_of_run: Page<CallRow, u64>,
    usage: Vec<UsageRow>,
    review: Option<ReviewRow>,
    reviews: Page<ReviewRow, ReviewId>,
    review_events: Vec<ReviewEventRow>,
}

fn ask(
    reader: &mut dyn Read,
    scope: &TenantScope,
    run: RunId,
    key: &str,
) -> Result<Answers, Error> {
    let query = RunQuery { limit: 10, ..RunQuery::default() };
    let filter = RunFilter { status: Some(RunStatus::Running), ..RunFilter::default() };
    Ok(Answers {
        run: reader.run(scope, run, Payloads::Read)?,
        steps: reader.steps(scope, run, Payloads::Read)?,
        both: reader.run_and_steps(scope, run, Payloads::Read)?,
        input: reader.input(scope, run)?,
        output: reader.output(scope, run, whole(0))?,
        outputs: reader.outputs(scope, run, StepIndex(1))?,
        ended: reader.ended_run(scope, run)?,
        child: reader.child(scope, run, whole(0))?,
        idempotency: reader.idempotency(scope, key)?,
        runs: reader.runs(scope, &query)?,
        live: reader.runs(scope, &RunQuery { filter, ..query })?,
        decisions: reader.decisions(scope, DecisionQuery { before: None, limit: 10 })?,
        calls: reader.calls(scope, CallQuery { limit: 10, ..CallQuery::default() })?,
        calls_of_run: reader.calls(scope, CallQuery { run: Some(run), limit: 10, before: None })?,
        usage: reader.usage(scope, Time(0), Time::MAX)?,
        review: reader.review(scope, ReviewId(run))?,
        reviews: reader.reviews(scope, ReviewQuery { before: None, limit: 10 })?,
        review_events: reader.review_events(scope, ReviewId(run))?,
    })
}

/// Everything that belongs to a run, with payloads of a size.
fn all_of(key: &RunKey, bytes: usize) -> [Change; 10] {
    let tenant = key.tenant.as_str();
    let child = RunKey { tenant: key.tenant.clone(), run: RunId(key.run.0 + 1) };
    let overdue = review_event(tenant, key.run.0, 1, ReviewEvent::Overdue);
    let parent = Some(Parent { run: key.run, instance: whole(0), depth: 1 });
    [
        Change::Run(Box::new(RunRow { parent, ..ended(&child, RunStatus::Completed) })),
        Change::Run(Box::new(RunRow { input: Some(payload(bytes)), ..run(key) })),
        Change::Step(Box::new(done(key, whole(0), &payload(bytes)))),
        Change::Step(Box::new(done(key, item(1, 0), &payload(bytes)))),
        Change::Signal(signal(key, 1, &payload(bytes))),
        Change::Idempotency(idempotency(tenant, "key", Time(3))),
        Change::Decision(decision(Some(tenant), 1)),
        Change::Call(Box::new(ended_call(tenant, 1, Some(key)))),
        Change::Review(Box::new(ReviewRow { run: key.run, ..review(tenant, key.run.0) })),
        Change::ReviewEvent(Box::new(ReviewEventRow { run: key.run, ..overdue })),
    ]
}

fn a_foreign_id_answers_as_a_missing_one(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (small, large) = (key("acme", 10), key("acme", 20));
    store.commit(epoch, &all_of(&small, 10))?;
    store.commit(epoch, &all_of(&large, 5_000))?;
    store.commit(epoch, &[Change::Decision(decision(None, 2))])?;
    let mut reader = store.reader()?;
    // Names around the owner's, too: a prefix, one more letter, one after.
    for foreign in ["acm", "acme-", "acmf", "zoo", "a"] {
        let foreign = scope(foreign);
        let missing = ask(&mut *reader, &foreign, RunId(999), "none")?;
        assert_eq!(missing, Answers::default());
        for id in [small.run, large.run] {
            assert_eq!(ask(&mut *reader, &foreign, id, "key")?, missing);
        }
    }
    let own = ask(&mut *reader, &scope("acme"), large.run, "key")?;
    assert_eq!(own.input, Some(payload(5_000)));
    assert_eq!((own.runs.rows.len(), own.decisions.rows.len()), (4, 2));
    Ok(())
}

fn equal_ids_of_two_tenants_are_two_rows(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (acme, bolt) = (key("acme", 10), key("bolt", 10));
    store.commit(epoch, &all_of(&acme, 10))?;
    store.commit(epoch, &all_of(&bolt, 5_000))?;
    let before = ask(&mut *store.reader()?, &scope("acme"), acme.run, "key")?;

    let take = Change::TakeSignal { key: bolt.clone(), sequence: 1, instance: whole(0) };
    store.commit(
        epoch,
        &[
            Change::Step(Box::new(step(&bolt, whole(0), StepState::Done))),
            take,
            Change::DropStep(bolt.clone(), StepIndex(1)),
            Change::Run(Box::new(full_run(&bolt))),
            Change::Run(Box::new(ended(&bolt, RunStatus::Failed))),
            Change::Idempotency(IdempotencyRow {
                run: RunId(4),
                ..idempotency("bolt", "key", Time(9))
            }),
        ],
    )?;
    assert_eq!(ask(&mut *store.reader()?, &scope("acme"), acme.run, "key")?, before);
    let loaded = store.load()?;
    assert_eq!(loaded.runs.iter().map(|row| &row.key).collect::<Vec<_>>(), [&acme]);
    assert_eq!(loaded.signals.iter().map(|row| &row.key).collect::<Vec<_>>(), [&acme]);
    let taken = store.reader()?.output(&scope("bolt"), bolt.run, whole(0))?;
    assert_eq!(taken, Some(payload(5_000)));
    Ok(())
}
