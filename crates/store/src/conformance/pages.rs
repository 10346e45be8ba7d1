//! Pages: their order, their cursors and their filters.

use std::collections::BTreeSet;

use fairlane_core::calendar::Calendar;
use fairlane_core::cell::change::Change;
use fairlane_core::id::RunId;
use fairlane_core::money::Nano;
use fairlane_core::quota::Rung;
use fairlane_core::row::{AccountRow, CallRow, Considered, Lane, Owner, RunRow, RunStatus};
use fairlane_core::time::Time;

use super::samples::{
    account, call, context, decision, ended, ended_call, full_run, idempotency, key, name, payload,
    run, scope, tenant, workflow,
};
use super::{Place, checks, claimed};
use crate::error::Error;
use crate::read::{
    CallQuery, DecisionQuery, DecisionRow, PAGE_MAX, Page, Payloads, Read, RunFilter, RunQuery,
    SCAN_MAX, UsageRow,
};

checks! {
    runs_come_newest_first_without_payloads
    pages_lose_and_repeat_nothing_while_runs_come_in
    filters_find_what_matches_and_nothing_else
    a_rare_match_is_found_in_bounded_pages
    a_page_has_at_least_one_row_and_at_most_the_bound
    a_reader_sees_what_is_committed_after_it_was_opened
    decisions_come_newest_first_each_log_apart
    calls_come_newest_first_and_are_summed_up_by_who_served_them
    accounts_of_a_tenant_come_newest_first_each_period_apart
    workflows_are_found_by_version_or_newest
    tenants_are_listed_by_id
    idempotency_keys_are_listed_for_their_tenant_alone
}

fn put(row: RunRow) -> Change {
    Change::Run(Box::new(row))
}

fn ids(page: &Page<RunRow, RunId>) -> Vec<u128> {
    page.rows.iter().map(|row| row.key.run.0).collect()
}

/// Follows the cursors to the end, with pages of two.
fn all(reader: &mut dyn Read, filter: &RunFilter) -> Result<Vec<u128>, Error> {
    let mut query = RunQuery { limit: 2, filter: filter.clone(), before: None };
    let mut found = Vec::new();
    loop {
        let page = reader.runs(&scope("acme"), &query)?;
        found.extend(ids(&page));
        if page.next.is_none() {
            return Ok(found);
        }
        query.before = page.next;
    }
}

fn runs_come_newest_first_without_payloads(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let large = RunRow { input: Some(payload(5_000)), ..run(&key("acme", 1 << 90)) };
    let rows = [run(&key("acme", 7)), large, full_run(&key("acme", 1 << 40))];
    store.commit(epoch, &rows.clone().map(put))?;
    let page =
        store.reader()?.runs(&scope("acme"), &RunQuery { limit: 10, ..RunQuery::default() })?;
    let bare = [1, 2, 0].map(|at: usize| RunRow { input: None, ..rows[at].clone() });
    assert_eq!(page, Page { rows: bare.into(), next: None });
    Ok(())
}

fn pages_lose_and_repeat_nothing_while_runs_come_in(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let at_first: Vec<u128> = (0..50).map(|at| 1_000 + at * 10).collect();
    let rows: Vec<Change> = at_first.iter().map(|id| put(run(&key("acme", *id)))).collect();
    store.commit(epoch, &rows)?;

    let mut reader = store.reader()?;
    let mut query = RunQuery { limit: 7, ..RunQuery::default() };
    let mut found = Vec::new();
    for round in 0u128.. {
        let page = reader.runs(&scope("acme"), &query)?;
        found.extend(ids(&page));
        // A newer run, one in between, and another tenant's; and one of the first changes its status.
        let first = at_first[usize::try_from(round).unwrap_or(0) % at_first.len()];
        store.commit(
            epoch,
            &[
                put(run(&key("acme", 5_000 + round))),
                put(run(&key("acme", 1_001 + round * 10))),
                put(run(&key("bolt", 1_002 + round))),
                put(ended(&key("acme", first), RunStatus::Completed)),
            ],
        )?;
        if page.next.is_none() {
            break;
        }
        query.before = page.next;
    }
    assert!(found.is_sorted_by(|newer, older| newer > older), "{found:?}");
    let found: BTreeSet<u128> = found.into_iter().collect();
    assert!(at_first.iter().all(|id| found.contains(id)), "{found:?}");
    assert!(found.iter().all(|id| *id < 5_000), "{found:?}");
    Ok(())
}

fn filters_find_what_matches_and_nothing_else(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = |id| key("acme", id);
    let rows = [
        run(&acme(1)),
        RunRow { lane: Lane::Urgent, ..run(&acme(2)) },
        RunRow { workflow: name("other"), ..run(&acme(3)) },
        RunRow { status: RunStatus::Paused, ..run(&acme(4)) },
        ended(&acme(5), RunStatus::Failed),
        ended(&acme(6), RunStatus::Completed),
        RunRow {
            lane: Lane::Urgent,
            workflow: name("other"),
            ..ended(&acme(7), RunStatus::Failed)
        },
        run(&acme(8)),
        ended(&acme(9), RunStatus::Failed),
    ];
    store.commit(epoch, &rows.map(put))?;
    store.commit(epoch, &[put(ended(&key("bolt", 5), RunStatus::Failed))])?;

    let mut reader = store.reader()?;
    let mut check = |filter: RunFilter, expected: &[u128]| -> Result<(), Error> {
        assert_eq!(all(&mut *reader, &filter)?, expected, "{filter:?}");
        Ok(())
    };
    let status = |status| RunFilter { status: Some(status), ..RunFilter::default() };
    check(RunFilter::default(), &[9, 8, 7, 6, 5, 4, 3, 2, 1])?;
    check(status(RunStatus::Running), &[8, 3, 2, 1])?;
    check(status(RunStatus::Paused), &[4])?;
    check(status(RunStatus::Failed), &[9, 7, 5])?;
    check(status(RunStatus::Cancelled), &[])?;
    check(RunFilter { lane: Some(Lane::Urgent), ..RunFilter::default() }, &[7, 2])?;
    check(RunFilter { workflow: Some(name("other")), ..RunFilter::default() }, &[7, 3])?;
    check(RunFilter { workflow: Some(name("other")), ..status(RunStatus::Running) }, &[3])?;
    check(RunFilter { created_from: Some(Time(7)), ..RunFilter::default() }, &[9, 8, 7])?;
    check(RunFilter { created_until: Some(Time(3)), ..RunFilter::default() }, &[2, 1])?;
    let between = RunFilter {
        created_from: Some(Time(4)),
        created_until: Some(Time(8)),
        ..RunFilter::default()
    };
    check(between.clone(), &[7, 6, 5, 4])?;
    check(RunFilter { lane: Some(Lane::Normal), ..between }, &[6, 5, 4])
}

fn a_rare_match_is_found_in_bounded_pages(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let last = u128::from(SCAN_MAX) + 10;
    let rows: Vec<Change> =
        (2..=last).map(|id| put(ended(&key("acme", id), RunStatus::Completed))).collect();
    store.commit(epoch, &rows)?;
    store.commit(epoch, &[put(ended(&key("acme", 1), RunStatus::Failed))])?;

    let mut reader = store.reader()?;
    let filter = RunFilter { status: Some(RunStatus::Failed), ..RunFilter::default() };
    let mut query = RunQuery { limit: 5, filter, before: None };
    let page = reader.runs(&scope("acme"), &query)?;
    assert_eq!(page, Page { rows: vec![], next: Some(RunId(11)) });
    query.before = page.next;
    let page = reader.runs(&scope("acme"), &query)?;
    assert_eq!((ids(&page), page.next), (vec![1], None));
    Ok(())
}

fn a_page_has_at_least_one_row_and_at_most_the_bound(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let last = u128::from(PAGE_MAX) + 5;
    let rows: Vec<Change> = (1..=last).map(|id| put(run(&key("acme", id)))).collect();
    store.commit(epoch, &rows)?;
    let mut reader = store.reader()?;
    for (limit, rows) in [(0, 1), (1, 1), (PAGE_MAX, PAGE_MAX), (u32::MAX, PAGE_MAX)] {
        let page = reader.runs(&scope("acme"), &RunQuery { limit, ..RunQuery::default() })?;
        assert_eq!(page.rows.len(), rows as usize);
        assert_eq!(page.next, Some(RunId(last + 1 - u128::from(rows))));
    }
    let beyond = RunQuery { before: Some(RunId(1)), limit: 5, ..RunQuery::default() };
    assert_eq!(reader.runs(&scope("acme"), &beyond)?, Page { rows: vec![], next: None });
    Ok(())
}

fn a_reader_sees_what_is_committed_after_it_was_opened(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let mut reader = store.reader()?;
    let acme = key("acme", 1);
    assert_eq!(reader.run(&scope("acme"), acme.run, Payloads::Leave)?, None);
    store.commit(epoch, &[put(run(&acme))])?;
    assert_eq!(reader.run(&scope("acme"), acme.run, Payloads::Leave)?, Some(run(&acme)));
    let paused = RunRow { status: RunStatus::Paused, ..run(&acme) };
    store.commit(epoch, &[put(paused.clone())])?;
    assert_eq!(reader.run(&scope("acme"), acme.run, Payloads::Leave)?, Some(paused));
    Ok(())
}

fn decisions_come_newest_first_each_log_apart(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let of = [Some("acme"), None, Some("bolt")];
    let rows: Vec<Change> =
        (0..300).map(|at| Change::Decision(decision(of[at % 3], at as u64 + 1))).collect();
    store.commit(epoch, &rows)?;

    let mut reader = store.reader()?;
    let page = reader.decisions(&scope("acme"), DecisionQuery { before: None, limit: 2 })?;
    let row = |tenant, sequence, at| DecisionRow { sequence, decision: decision(tenant, at) };
    let expected = vec![row(Some("acme"), 100, 298), row(Some("acme"), 99, 295)];
    assert_eq!(page, Page { rows: expected, next: Some(99) });
    let page = reader.decisions(&scope("acme"), DecisionQuery { before: page.next, limit: 98 })?;
    assert_eq!((page.rows.len(), page.next), (98, None));

    let page = reader.platform_decisions(DecisionQuery { before: Some(3), limit: 1 })?;
    assert_eq!(page, Page { rows: vec![row(None, 2, 5)], next: Some(2) });
    let page = reader.platform_decisions(DecisionQuery { before: Some(u64::MAX), limit: 1_000 })?;
    assert_eq!((page.rows.len(), page.next), (100, None));
    assert!(page.rows.iter().all(|row| row.decision.tenant.is_none()));
    let page = reader.platform_decisions(DecisionQuery { before: Some(1), limit: 10 })?;
    assert_eq!(page, Page { rows: vec![], next: None });
    Ok(())
}

fn calls_come_newest_first_and_are_summed_up_by_who_served_them(
    place: &dyn Place,
) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let run = key("acme", 9);
    let made_for = |id: u32| Some(&run).filter(|_| id.is_multiple_of(3));
    let mut begun: Vec<CallRow> = (1..=6).map(|id| call("acme", id, made_for(id))).collect();
    // Nobody knew where the endpoint was.
    begun[0].considered = Considered::default();
    let begun = begun.into_iter().map(Box::new).map(Change::Call);
    store.commit(epoch, &begun.collect::<Vec<_>>())?;
    let other = CallRow { upstream: "maker/small".into(), ..ended_call("acme", 4, None) };
    let mut over: Vec<CallRow> = [1, 2, 3].map(|id| ended_call("acme", id, made_for(id))).into();
    over.extend([other.clone(), ended_call("bolt", 5, None)]);
    store
        .commit(epoch, &over.iter().cloned().map(Box::new).map(Change::Call).collect::<Vec<_>>())?;

    let mut reader = store.reader()?;
    let page = reader.calls(&scope("acme"), CallQuery { before: Some(6), limit: 2, run: None })?;
    // What is known of a call from its beginning does not change with its end.
    let fourth =
        CallRow { upstream: "maker/large-1".into(), rung: Some(Rung::CheaperModel), ..other };
    assert_eq!(page, Page { rows: vec![call("acme", 5, None), fourth], next: Some(4) });
    let of_run = CallQuery { before: None, limit: 10, run: Some(run.run) };
    let ids: Vec<u64> =
        reader.calls(&scope("acme"), of_run)?.rows.iter().map(|call| call.id).collect();
    assert_eq!(ids, [6, 3]);

    let line = |calls, tokens: u64, cost, uncertain| UsageRow {
        model: name("reasoner"),
        endpoint: name("models/eu"),
        upstream: "maker/large-1".into(),
        region: Some(name("eu-1")),
        calls,
        input: 10 * tokens,
        cached: tokens,
        output: 2 * tokens,
        cost: Nano(cost),
        uncertain: Nano(uncertain),
    };
    let nowhere = UsageRow { region: None, ..line(1, 1, 1, 1) };
    assert_eq!(reader.usage(&scope("acme"), Time(0), Time(100))?, [nowhere, line(3, 9, 9, 3)]);
    assert_eq!(reader.usage(&scope("acme"), Time(2), Time(4))?, [line(2, 5, 5, 3)]);
    assert_eq!(reader.usage(&scope("acme"), Time(5), Time(100))?, [], "those are under way");
    Ok(())
}

fn accounts_of_a_tenant_come_newest_first_each_period_apart(
    place: &dyn Place,
) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let of = |tenant: &str, every, start| account(Owner::Tenant(name(tenant)), every, Time(start));
    let months = [3, 1, 2, 9].map(|start| of("acme", Calendar::Month, start));
    let others = [
        of("acme", Calendar::Day, 3),
        of("acm", Calendar::Month, 3),
        of("acme-", Calendar::Month, 3),
        account(Owner::Org(name("acme")), Calendar::Month, Time(3)),
    ];
    let rows: Vec<Change> = months.iter().chain(&others).cloned().map(Change::Account).collect();
    store.commit(epoch, &rows)?;
    let mut reader = store.reader()?;
    let mut starts = |tenant: &str, every, from| -> Result<Vec<u64>, Error> {
        let found = reader.accounts(&scope(tenant), every, Time(from))?;
        Ok(found.iter().map(|row| row.start.0).collect())
    };
    assert_eq!(starts("acme", Calendar::Month, 2)?, [9, 3, 2]);
    assert!(starts("acme", Calendar::Month, 10)?.is_empty());
    assert_eq!(starts("acme", Calendar::Day, 0)?, [3]);
    assert!(starts("zoo", Calendar::Month, 0)?.is_empty());
    let newer = AccountRow { posted: Nano(7), ..months[3].clone() };
    store.commit(epoch, &[Change::Account(newer.clone())])?;
    let found = store.reader()?.accounts(&scope("acme"), Calendar::Month, Time(9))?;
    assert_eq!(found, [newer]);
    Ok(())
}

fn workflows_are_found_by_version_or_newest(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let loan = name("loan");
    let declare = |version| Change::Workflow(workflow("loan", version));
    store.commit(epoch, &[declare(2), declare(300), declare(1), declare(3)])?;
    store.commit(epoch, &[Change::Workflow(workflow("zoo", 999))])?;

    let mut reader = store.reader()?;
    assert_eq!(reader.workflow(&loan, Some(2))?, Some(workflow("loan", 2)));
    assert_eq!(reader.workflow(&loan, None)?, Some(workflow("loan", 300)));
    assert_eq!(reader.workflow(&loan, Some(4))?, None);
    assert_eq!(reader.workflow(&name("none"), None)?, None);
    let page = reader.workflow_versions(&loan, None, 3)?;
    assert_eq!(page, Page { rows: vec![300, 3, 2], next: Some(2) });
    let page = reader.workflow_versions(&loan, page.next, 3)?;
    assert_eq!(page, Page { rows: vec![1], next: None });
    Ok(())
}

fn tenants_are_listed_by_id(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let declare = |id: &str| Change::Tenant(tenant(id), context(&name(id), 1));
    store.commit(epoch, &["zoo", "acme", "bolt", "a-b"].map(declare))?;
    let mut reader = store.reader()?;
    let page = reader.tenants(None, 3)?;
    let expected = ["a-b", "acme", "bolt"].map(tenant);
    assert_eq!(page, Page { rows: expected.into(), next: Some(name("bolt")) });
    let page = reader.tenants(page.next.as_ref(), 3)?;
    assert_eq!(page, Page { rows: vec![tenant("zoo")], next: None });
    Ok(())
}

fn idempotency_keys_are_listed_for_their_tenant_alone(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let rows = [("acme", "c"), ("acme", "a"), ("bolt", "b"), ("acme", "e"), ("zero", "a")];
    let put = |(tenant, key)| Change::Idempotency(idempotency(tenant, key, Time(1)));
    store.commit(epoch, &rows.map(put))?;

    let mut reader = store.reader()?;
    let first = reader.idempotency_keys(&scope("acme"), None, 2)?;
    assert_eq!(first.rows, ["a".into(), "c".into()]);
    let last = reader.idempotency_keys(&scope("acme"), first.next.as_deref(), 2)?;
    assert_eq!((last.rows, last.next), (vec!["e".into()], None));
    assert_eq!(reader.idempotency_keys(&scope("nobody"), None, 2)?, Page::default());
    Ok(())
}
