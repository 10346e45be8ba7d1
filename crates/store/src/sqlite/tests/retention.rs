//! Clocks: what goes when its time is over, for whom, and what a hold keeps.

use fairlane_audit::export::{Head, VERSION};
use fairlane_core::erasure::Erased;
use fairlane_core::id::{ReviewId, RunId};
use fairlane_core::row::{ReviewState, RunKey};
use fairlane_core::tenant::{Rules, Tenant, Tier};
use fairlane_core::time::Span;

use super::*;
use crate::conformance::samples::{
    context, erasure, replan, review, review_event, scope, signal, tenant, tier,
};
use crate::read::Payloads;
use crate::store::{FORGOTTEN_MAX, Forgotten};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// A run that came in on the day of its id and ended a second later.
fn rows(key: &RunKey) -> Vec<Change> {
    let created = Time(u64::try_from(key.run.0).unwrap() * DAY);
    let row = RunRow {
        created,
        ended: Some(created + Span::from_secs(1)),
        input: Some(payload(3_000)),
        ..ended(key, RunStatus::Completed)
    };
    let (tenant, id) = (key.tenant.as_str(), key.run.0);
    let decided = fairlane_core::row::ReviewRow {
        run: key.run,
        state: ReviewState::Superseded,
        ended: Some(created),
        ..review(tenant, id)
    };
    let event = fairlane_core::row::ReviewEvent::Superseded;
    let event =
        fairlane_core::row::ReviewEventRow { run: key.run, ..review_event(tenant, id, 1, event) };
    vec![
        Change::Run(Box::new(row)),
        Change::Step(Box::new(done(key, whole(0), &payload(500)))),
        Change::Signal(signal(key, 1, &payload(7))),
        Change::Replan(Box::new(replan(key, 1))),
        Change::Review(Box::new(decided)),
        Change::ReviewEvent(Box::new(event)),
    ]
}

fn declared(id: &str, rules: Rules) -> Change {
    let tenant = Tenant { rules, tier: name("standard"), ..tenant(id) };
    Change::Tenant(tenant, context(&name(id), 2))
}

fn no_rules(of: &str) -> Change {
    Change::Tier(Tier { rules: Rules::default(), ..tier(of) })
}

/// What is left of a run: its row, whether it is bare, its input, steps, reviews, and its key.
fn left(store: &SqliteStore, key: &RunKey) -> String {
    let mut reader = store.reader().unwrap();
    let tenant = scope(key.tenant.as_str());
    let Some(row) = reader.run(&tenant, key.run, Payloads::Read).unwrap() else {
        return "nothing".to_owned();
    };
    let mut parts = vec![if row.is_bare { "bare" } else { "run" }];
    let mut has = |is_there: bool, what| {
        if is_there {
            parts.push(what);
        }
    };
    has(row.input.is_some(), "input");
    has(!reader.steps(&tenant, key.run, Payloads::Read).unwrap().is_empty(), "steps");
    has(!reader.replans(&tenant, key.run).unwrap().is_empty(), "replans");
    has(reader.review(&tenant, ReviewId(key.run)).unwrap().is_some(), "review");
    let sql = "SELECT key IS NOT NULL FROM runs WHERE tenant = ?1 AND run = ?2";
    let of = rusqlite::params![key.tenant.as_str(), key.run.0.to_be_bytes()];
    has(store.connection.query_one(sql, of, |row| row.get(0)).unwrap(), "key");
    parts.join(" ")
}

/// All that is due at the beginning of that day.
fn forget_at(store: &mut SqliteStore, epoch: Epoch, day: u64) -> Forgotten {
    let mut all = Forgotten::default();
    loop {
        let done = store.forget(epoch, Time(day * DAY)).unwrap();
        all.runs.extend(done.runs);
        all.expired.extend(done.expired);
        all.finished = done.finished;
        if !done.has_more {
            return all;
        }
    }
}

fn ids(runs: &[RunKey]) -> Vec<u128> {
    runs.iter().map(|key| key.run.0).collect()
}

#[test]
fn each_clock_takes_what_is_its_own_from_the_end_of_the_run() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let rules = Rules {
        payload_retention_days: Some(10),
        review_retention_days: Some(20),
        run_retention_days: Some(30),
        ..Rules::default()
    };
    store.commit(epoch, &[no_rules("standard"), declared("acme", rules)]).unwrap();
    store.commit(epoch, &[declared("bolt", Rules::default())]).unwrap();
    let (acme, bolt) = (key("acme", 1), key("bolt", 1));
    store.commit(epoch, &rows(&acme)).unwrap();
    store.commit(epoch, &rows(&bolt)).unwrap();
    let all = "run input steps replans review key";
    let expected = [
        (11, all, vec![]),
        (12, "bare review key", vec![("payloads", 1)]),
        (21, "bare review key", vec![]),
        (22, "bare", vec![("reviews", 1)]),
        (31, "bare", vec![]),
        (32, "nothing", vec![("runs", 1)]),
        (100, "nothing", vec![]),
    ];
    for (day, is_left, expired) in expected {
        let forgotten = forget_at(&mut store, epoch, day);
        assert_eq!(left(&store, &acme), is_left, "on day {day}");
        let expired: Vec<_> =
            expired.into_iter().map(|(what, n)| (name("acme"), what, n)).collect();
        assert_eq!(forgotten.expired, expired, "on day {day}");
        assert_eq!(left(&store, &bolt), all, "who says nothing keeps all");
    }
}

#[test]
fn reviews_go_before_payloads_where_they_are_kept_for_less() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    // The tier's, and the tenant's own in its place.
    let of_tier = Rules { payload_retention_days: Some(1), ..Rules::default() };
    let own = Rules {
        payload_retention_days: Some(20),
        review_retention_days: Some(10),
        ..Rules::default()
    };
    let tier = Change::Tier(Tier { rules: of_tier, ..tier("standard") });
    store
        .commit(epoch, &[tier, declared("acme", own), declared("bolt", Rules::default())])
        .unwrap();
    let (acme, bolt) = (key("acme", 1), key("bolt", 1));
    store.commit(epoch, &rows(&acme)).unwrap();
    store.commit(epoch, &rows(&bolt)).unwrap();
    forget_at(&mut store, epoch, 12);
    assert_eq!(left(&store, &acme), "run input steps replans key");
    assert_eq!(left(&store, &bolt), "bare review key");
    forget_at(&mut store, epoch, 22);
    assert_eq!(left(&store, &acme), "bare");
    // A new key of the tenant has nothing to do with runs that have none.
    store.commit(epoch, &[Change::RenewSeal(Some(name("acme")))]).unwrap();
    while store.sweep(epoch, Time(22 * DAY)).unwrap() == SWEEP_MAX {}
    drop(store);
    assert_eq!(left(&open(&folder).unwrap(), &acme), "bare");
}

#[test]
fn a_run_that_goes_on_is_kept_until_its_own_end_is_long_ago() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let rules = Rules { run_retention_days: Some(10), ..Rules::default() };
    store.commit(epoch, &[no_rules("standard"), declared("acme", rules)]).unwrap();
    let long = RunRow { created: Time(DAY), ..run(&key("acme", 1)) };
    store.commit(epoch, &[Change::Run(Box::new(long.clone()))]).unwrap();
    for id in [2, 3, 30] {
        store.commit(epoch, &rows(&key("acme", id))).unwrap();
    }
    assert_eq!(ids(&forget_at(&mut store, epoch, 20).runs), [2, 3]);
    let over = RunRow { status: RunStatus::Failed, ended: Some(Time(25 * DAY)), ..long };
    store.commit(epoch, &[Change::Run(Box::new(over))]).unwrap();
    assert_eq!(ids(&forget_at(&mut store, epoch, 34).runs), [0; 0]);
    assert_eq!(ids(&forget_at(&mut store, epoch, 36).runs), [1]);
    assert_eq!(ids(&forget_at(&mut store, epoch, 42).runs), [30]);
    let rows: i64 = store
        .connection
        .query_one("SELECT count(*) FROM expiry_late", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn a_hold_stops_clocks_and_erasures_until_it_is_taken_back() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let rules = |is_held| Rules {
        run_retention_days: Some(10),
        legal_hold: Some(is_held),
        ..Rules::default()
    };
    store.commit(epoch, &[no_rules("standard"), declared("acme", rules(true))]).unwrap();
    store.commit(epoch, &rows(&key("acme", 1))).unwrap();
    store.commit(epoch, &rows(&key("acme", 90))).unwrap();
    let asked = erasure("acme", 95 * DAY, Erased::Run(RunId(90)));
    store.commit(epoch, &[Change::Erasure(asked)]).unwrap();
    let forgotten = forget_at(&mut store, epoch, 100);
    assert_eq!((forgotten.runs, forgotten.finished), (vec![], vec![]));
    store.commit(epoch, &[declared("acme", rules(false))]).unwrap();
    assert_eq!(ids(&forget_at(&mut store, epoch, 101).runs), [90, 1]);
}

#[test]
fn many_go_in_small_steps_and_over_many_tenants() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let rules = Rules { run_retention_days: Some(10), ..Rules::default() };
    store.commit(epoch, &[no_rules("standard")]).unwrap();
    let ids: Vec<String> = (0..250).map(|at| format!("t{at:03}")).collect();
    for id in &ids {
        let runs = |id: &str| -> Vec<Change> {
            let one = |at: u128| {
                let row = ended(&key(id, at), RunStatus::Completed);
                Change::Run(Box::new(row))
            };
            (1..=3).map(one).collect()
        };
        store.commit(epoch, &[declared(id, rules.clone())]).unwrap();
        store.commit(epoch, &runs(id)).unwrap();
    }
    let (mut gone, mut steps) = (0, 0);
    loop {
        let forgotten = store.forget(epoch, Time(100 * DAY)).unwrap();
        assert!(forgotten.runs.len() <= FORGOTTEN_MAX);
        (gone, steps) = (gone + forgotten.runs.len(), steps + 1);
        if !forgotten.has_more {
            break;
        }
    }
    assert_eq!(gone, 750);
    assert!(steps >= 15, "{steps}");
    let rows: i64 =
        store.connection.query_one("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn runs_of_many_rows_go_a_few_at_a_time_and_none_is_forgotten() {
    let days = |payloads, runs| Rules {
        payload_retention_days: payloads,
        run_retention_days: runs,
        ..Rules::default()
    };
    for (rules, asked) in [
        (days(None, Some(10)), None),
        (days(Some(10), None), None),
        (Rules::default(), Some(erasure("acme", 100 * DAY, Erased::Tenant))),
    ] {
        let folder = TempDir::new().unwrap();
        let mut store = open(&folder).unwrap();
        let epoch = store.claim().unwrap();
        store.commit(epoch, &[no_rules("standard"), declared("acme", rules)]).unwrap();
        for id in 1..=7 {
            let key = key("acme", id);
            let steps =
                (0..200).map(|at| Change::Step(Box::new(done(&key, whole(at), &payload(9)))));
            let turn: Vec<Change> = rows(&key).into_iter().take(1).chain(steps).collect();
            store.commit(epoch, &turn).unwrap();
        }
        store.commit(epoch, &asked.map(Change::Erasure).into_iter().collect::<Vec<_>>()).unwrap();
        let mut gone = Vec::new();
        loop {
            let forgotten = store.forget(epoch, Time(101 * DAY)).unwrap();
            assert!(forgotten.runs.len() <= 3, "{forgotten:?}");
            gone.extend(ids(&forgotten.runs));
            if !forgotten.has_more {
                break;
            }
        }
        gone.sort_unstable();
        assert_eq!(gone, [1, 2, 3, 4, 5, 6, 7]);
        let sql = "SELECT count(*) FROM steps";
        let steps: i64 = store.connection.query_one(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(steps, 0);
    }
}

#[test]
fn old_ranges_of_a_log_go_and_the_rest_verifies() {
    let folder = TempDir::new().unwrap();
    let signer = Arc::new(Signer::of_seed(&[5; 32]));
    let mut store = open(&folder).unwrap().sign_with(signer.clone());
    let epoch = store.claim().unwrap();
    let rules = Rules { audit_retention_days: Some(30), ..Rules::default() };
    store.commit(epoch, &[no_rules("standard"), declared("acme", rules)]).unwrap();
    for day in 1..=20_u64 {
        let said = |tenant: &str| {
            let (tenant, at) = (Some(name(tenant)), Time(day * DAY));
            let (code, facts) = ("held".into(), format!("{{\"day\":{day}}}").into());
            Change::Decision(fairlane_core::row::Decision { tenant, at, code, by: None, facts })
        };
        store.commit(epoch, &[said("acme"), said("bolt"), said("acme")]).unwrap();
        store.sweep(epoch, Time(day * DAY) + Span::from_secs(100)).unwrap();
    }
    // Closed in the second minute of their days: on day 42 all but those of the first eleven days are kept.
    let forgotten = forget_at(&mut store, epoch, 42);
    let gone: u64 = forgotten.expired.iter().map(|(_, _, records)| records).sum();
    assert_eq!(gone, 22, "{:?}", forgotten.expired);
    let mut reader = store.reader().unwrap();
    let page = reader.audit(Some(&scope("acme")), 0, 100).unwrap().unwrap();
    assert_eq!((page.records.len(), page.records[0].sequence), (18, 23));
    let head = Head {
        version: VERSION,
        log: page.log.clone(),
        first: 23,
        last: 40,
        after: page.base.clone(),
        closed: page.newest.clone(),
    };
    assert_eq!(head.after.as_ref().unwrap().checkpoint.last, 22);
    let text = super::audit::lines(&head, page);
    let report = fairlane_audit::verify(text.as_bytes(), &[signer.public()], &[]).unwrap();
    assert_eq!((report.records, report.findings), (18, vec![]));
    assert!(reader.audit_proof(Some(&scope("acme")), 22).unwrap().is_none());
    assert!(reader.audit_proof(Some(&scope("acme")), 23).unwrap().is_some());
    assert_eq!(reader.audit(Some(&scope("bolt")), 0, 100).unwrap().unwrap().records.len(), 20);
    // It goes on.
    assert_eq!(
        reader
            .decisions(&scope("acme"), crate::read::DecisionQuery { limit: 100, before: None })
            .unwrap()
            .rows
            .len(),
        18
    );
}
