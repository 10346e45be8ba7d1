//! What stands in the file, and what does not.

use fairlane_core::row::{Failure, ReviewEvent, SignalRow, StepRow};
use rusqlite::params;

use super::*;
use crate::conformance::samples::{
    channel, full_run, item, name, replan, review, review_event, scope, signal,
};
use crate::read::Payloads;

const MARK: &str = "ada-lovelace-1815";

/// All bytes of the region's files.
fn bytes_of(folder: &TempDir) -> Vec<u8> {
    let files = std::fs::read_dir(folder.path()).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn failure() -> Failure {
    Failure::cut("declined", MARK)
}

fn marked(bytes: usize) -> fairlane_core::row::Payload {
    format!("{MARK}{}", "x".repeat(bytes)).into_bytes().into()
}

/// A run of `acme` with a mark in all that people and workers say.
fn all_marked() -> Vec<Change> {
    let acme = key("acme", 1);
    let run = RunRow { input: Some(marked(0)), failure: Some(failure()), ..full_run(&acme) };
    let backoff = StepState::Backoff { until: Time(9), failure: failure() };
    let commented = ReviewEvent::Commented {
        by: fairlane_core::row::Actor::Person(name("bob")),
        text: MARK.into(),
    };
    let mut asked = review("acme", 5);
    std::sync::Arc::make_mut(&mut asked.terms).form = Some(format!("\"{MARK}\"").into());
    let mut planned = replan(&acme, 2);
    planned.reason = Some(MARK.into());
    planned.failure = failure();
    let mut told = channel("acme", "ops");
    told.channel.to = fairlane_core::notice::Receiver::Email { to: vec![MARK.into()] };
    vec![
        Change::Run(Box::new(run)),
        Change::Step(Box::new(done(&acme, whole(0), &marked(0)))),
        Change::Step(Box::new(done(&acme, whole(1), &marked(5_000)))),
        Change::Step(Box::new(done(&acme, item(2, 3), &marked(7)))),
        Change::Step(Box::new(step(&acme, whole(3), backoff))),
        Change::Step(Box::new(step(&acme, whole(4), StepState::Failed { failure: failure() }))),
        Change::Signal(SignalRow { payload: marked(1), ..signal(&acme, 1, &payload(0)) }),
        Change::Review(Box::new(asked)),
        Change::ReviewEvent(Box::new(review_event("acme", 5, 1, commented))),
        Change::Replan(Box::new(planned)),
        Change::Channel(Box::new(told)),
    ]
}

#[test]
fn nothing_that_anybody_says_stands_in_the_files() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &all_marked()).unwrap();
    let bytes = bytes_of(&folder);
    let id = codec::id_bytes(key("acme", 1).run);
    assert!(has(&bytes, &id) && has(&bytes, b"acme"), "the run is there");
    assert!(!has(&bytes, MARK.as_bytes()), "and what it says is not");
    drop(store);

    let mut store = open(&folder).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.runs[0].failure, Some(failure()));
    let shown = format!("{:?} {:?} {:?}", loaded.reviews, loaded.replans, loaded.channels);
    assert_eq!(shown.matches(MARK).count(), 4, "{shown}");
    let mut reader = store.reader().unwrap();
    let acme = scope("acme");
    let run = key("acme", 1).run;
    assert_eq!(reader.input(&acme, run).unwrap(), Some(marked(0)));
    let steps = reader.steps(&acme, run, Payloads::Read).unwrap();
    let outputs: Vec<_> = steps.iter().filter_map(|row| row.output.clone()).collect();
    assert_eq!(outputs, [marked(0), marked(5_000), marked(7)]);
    assert_eq!(steps.iter().filter(|row| format!("{:?}", row.state).contains(MARK)).count(), 2);
    let record = reader.review_events(&acme, review("acme", 5).id).unwrap();
    assert!(format!("{record:?}").contains(MARK));
}

/// A store with the same small run of two tenants.
fn two_tenants(folder: &TempDir) -> SqliteStore {
    let mut store = open(folder).unwrap();
    let epoch = store.claim().unwrap();
    for tenant in ["acme", "bolt"] {
        for number in [1, 2] {
            let run_key = key(tenant, number);
            let input = Some(format!("input of {tenant} {number}").into_bytes().into());
            let changes = [
                Change::Run(Box::new(RunRow { input, ..run(&run_key) })),
                Change::Step(Box::new(done(&run_key, whole(0), &payload(10)))),
                Change::Step(Box::new(done(&run_key, whole(1), &payload(20)))),
            ];
            store.commit(epoch, &changes).unwrap();
        }
    }
    store
}

#[test]
fn a_row_that_is_copied_does_not_open_at_another_place() {
    let acme_1 = key("acme", 1);
    let id = codec::id_bytes(acme_1.run);
    let copies = [
        // Of another tenant, with and without the key of its run.
        "UPDATE runs SET input = (SELECT input FROM runs WHERE tenant = 'bolt' AND run = ?1)
         WHERE tenant = 'acme' AND run = ?1",
        "UPDATE runs SET (input, key) = (SELECT input, key FROM runs WHERE tenant = 'bolt' AND run = ?1)
         WHERE tenant = 'acme' AND run = ?1",
        // Of another run of the same tenant.
        "UPDATE runs SET (input, key) = (SELECT input, key FROM runs WHERE tenant = 'acme' AND run > ?1)
         WHERE tenant = 'acme' AND run = ?1",
        // Of another place of the same run.
        "UPDATE runs SET input = (SELECT output FROM steps WHERE tenant = 'acme' AND run = ?1 AND step = 0)
         WHERE tenant = 'acme' AND run = ?1",
        // Changed.
        "UPDATE runs SET input = CAST(x'01' || zeroblob(60) AS BLOB) WHERE tenant = 'acme' AND run = ?1",
        "UPDATE runs SET input = CAST('{}' AS BLOB) WHERE tenant = 'acme' AND run = ?1",
        "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys WHERE tenant = 'bolt')
         WHERE tenant = 'acme' AND ?1 = ?1",
    ];
    for copy in copies {
        let folder = TempDir::new().unwrap();
        let store = two_tenants(&folder);
        assert_eq!(store.connection.execute(copy, params![id]).unwrap(), 1, "{copy}");
        drop(store);
        let store = open(&folder).unwrap();
        let mut reader = store.reader().unwrap();
        let error = reader.input(&scope("acme"), acme_1.run).unwrap_err();
        assert!(matches!(error, Error::Sealed { .. } | Error::Root { .. }), "{copy}: {error:?}");
        let whole = reader.input(&scope("bolt"), acme_1.run).unwrap();
        assert_eq!(whole.as_deref(), Some(&b"input of bolt 1"[..]), "{copy}");
    }
}

#[test]
fn a_store_opens_with_its_own_root_key_only() {
    let folder = TempDir::new().unwrap();
    drop(two_tenants(&folder));
    let error = SqliteStore::open(folder.path(), "eu", roots(8)).unwrap_err();
    assert!(matches!(error, Error::UnknownRoot { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&roots(7).newest().id().to_string()), "{text}");
    assert!(open(&folder).is_ok());
}

#[test]
fn keys_of_a_turn_that_was_refused_seal_nothing() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let acme = key("acme", 1);
    let begins = Change::Run(Box::new(RunRow { input: Some(payload(9)), ..run(&acme) }));
    let missing = Change::TakeSignal { key: acme.clone(), sequence: 1, instance: whole(0) };
    assert!(store.commit(epoch, &[begins.clone(), missing]).is_err());
    store.commit(epoch, &[begins]).unwrap();
    drop(store);
    let store = open(&folder).unwrap();
    let input = store.reader().unwrap().input(&scope("acme"), acme.run).unwrap();
    assert_eq!(input, Some(payload(9)));
}

#[test]
fn a_step_without_its_run_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let row: StepRow = done(&key("acme", 1), whole(0), &payload(9));
    let error = store.commit(epoch, &[Change::Step(Box::new(row))]).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
}

/// A file as it was before anything was sealed: with the mark in all places, small and large.
fn file_in_the_clear(folder: &TempDir) {
    let mut connection = Connection::open(folder.path().join("eu.db")).unwrap();
    connection.pragma_update(None, "application_id", open::APPLICATION_ID).unwrap();
    schema::migrate(&mut connection, ("eu", &Keyring::new(roots(7))), 0, 42).unwrap();
    connection.execute("INSERT INTO cells (cell, epoch, decisions) VALUES (0, 1, 0)", []).unwrap();
    let id = codec::id_bytes(key("acme", 1).run);
    let failure = codec::to_json(&failure());
    let text = format!("\"{MARK}\"");
    let large = format!("{MARK}{}", "x".repeat(5_000)).into_bytes();
    let run = "INSERT INTO runs (tenant, run, workflow, version, context, lane, status, created, revision, input_bytes,
         input, failure) VALUES ('acme', ?1, 'loan', 1, 1, 'normal', 'running', 1, 1, 0, ?2, ?3)";
    connection.execute(run, params![id, MARK.as_bytes(), failure]).unwrap();
    let step = "INSERT INTO steps (tenant, run, step, part, state, detail, attempt, fence, since, ready, output)
         VALUES ('acme', ?1, ?2, -1, ?3, ?4, 1, 1, 1, 1, ?5)";
    let detail = format!("{{\"until\":9,\"failure\":{failure}}}");
    for (at, state, detail, output) in [
        (0, "done", None, Some(MARK.as_bytes())),
        (1, "done", None, None),
        (2, "backoff", Some(detail), None),
        (3, "failed", Some(format!("{{\"failure\":{failure}}}")), None),
    ] {
        connection.execute(step, params![id, at, state, detail, output]).unwrap();
    }
    let payload = "INSERT INTO payloads VALUES ('acme', ?1, 1, -1, ?2)";
    connection.execute(payload, params![id, large]).unwrap();
    let signal = "INSERT INTO signals VALUES ('acme', ?1, 1, 'approved', 3, ?2)";
    connection.execute(signal, params![id, text.as_bytes()]).unwrap();
    let mut asked = review("acme", 5);
    Arc::make_mut(&mut asked.terms).form = Some(text.into());
    let asking = "INSERT INTO reviews VALUES ('acme', ?1, ?2, NULL, ?3)";
    let (state, body) = (codec::to_json(&asked.state), codec::to_json(&asked));
    connection.execute(asking, params![codec::id_bytes(asked.id.0), state, body]).unwrap();
    let event = ReviewEvent::Commented {
        by: fairlane_core::row::Actor::Person(name("bob")),
        text: MARK.into(),
    };
    let commented = "INSERT INTO review_events VALUES ('acme', ?1, 1, 3, ?2)";
    let body = codec::to_json(&event);
    connection.execute(commented, params![codec::id_bytes(asked.id.0), body]).unwrap();
    let mut planned = replan(&key("acme", 1), 1);
    planned.reason = Some(MARK.into());
    let replans = "INSERT INTO replans VALUES ('acme', ?1, 1, ?2)";
    connection.execute(replans, params![id, codec::to_json(&planned)]).unwrap();
    let body = codec::to_json(&channel("acme", "ops"));
    connection.execute("INSERT INTO channels VALUES ('acme', 'ops', ?1)", [body]).unwrap();
    connection.execute("UPDATE runs SET replans = 1", []).unwrap();
}

#[test]
fn what_an_older_version_left_in_the_clear_is_sealed_when_it_is_opened() {
    let folder = TempDir::new().unwrap();
    file_in_the_clear(&folder);
    assert!(has(&bytes_of(&folder), MARK.as_bytes()));
    let mut store = open(&folder).unwrap();
    let bytes = bytes_of(&folder);
    assert!(!has(&bytes, MARK.as_bytes()), "nothing is left of it, in free pages neither");
    assert!(has(&bytes, &codec::id_bytes(key("acme", 1).run)), "the run is there");

    let loaded = store.load().unwrap();
    assert_eq!(loaded.runs[0].failure, Some(failure()));
    let backoff = StepState::Backoff { until: Time(9), failure: failure() };
    let failed = StepState::Failed { failure: failure() };
    let states: Vec<_> = loaded.steps.iter().map(|row| row.state.clone()).collect();
    assert_eq!(states, [StepState::Done, StepState::Done, backoff, failed]);
    assert_eq!(loaded.channels, [channel("acme", "ops")]);
    assert_eq!(loaded.replans[0].reason.as_deref(), Some(MARK));
    assert_eq!(loaded.reviews[0].terms.form.as_deref(), Some(&*format!("\"{MARK}\"")));
    let (mut reader, acme, run) = (store.reader().unwrap(), scope("acme"), key("acme", 1).run);
    assert_eq!(reader.input(&acme, run).unwrap().as_deref(), Some(MARK.as_bytes()));
    assert_eq!(reader.output(&acme, run, whole(0)).unwrap().as_deref(), Some(MARK.as_bytes()));
    assert_eq!(reader.output(&acme, run, whole(1)).unwrap(), Some(marked(5_000)));
    let record = reader.review_events(&acme, loaded.reviews[0].id).unwrap();
    assert!(format!("{record:?}").contains(MARK), "{record:?}");
    let epoch = store.claim().unwrap();
    let take = Change::TakeSignal { key: key("acme", 1), sequence: 1, instance: whole(2) };
    store.commit(epoch, &[take]).unwrap();
    let taken = store.reader().unwrap().output(&acme, run, whole(2)).unwrap();
    assert_eq!(taken.as_deref(), Some(format!("\"{MARK}\"").as_bytes()));
}

fn keys_of(store: &SqliteStore, tenant: &str) -> Vec<(u32, [u8; 8])> {
    let sql = "SELECT version, root FROM tenant_keys WHERE tenant = ?1 ORDER BY version";
    let mut statement = store.connection.prepare(sql).unwrap();
    let rows = statement.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn inputs(store: &SqliteStore) -> Vec<String> {
    let mut reader = store.reader().unwrap();
    let mut input = |tenant, number| {
        let input = reader.input(&scope(tenant), key(tenant, number).run).unwrap().unwrap();
        String::from_utf8(input.to_vec()).unwrap()
    };
    vec![input("acme", 1), input("acme", 2), input("bolt", 1), input("bolt", 2)]
}

#[test]
fn a_new_root_key_wraps_the_keys_of_all_tenants_and_the_old_one_is_not_needed() {
    let folder = TempDir::new().unwrap();
    let before = inputs(&two_tenants(&folder));
    let both = Roots::new(roots(8).newest(), vec![roots(7).newest()]);
    let store = SqliteStore::open(folder.path(), "eu", Arc::new(both)).unwrap();
    let eight = roots(8).newest().id().0;
    assert_eq!([keys_of(&store, "acme"), keys_of(&store, "bolt")], [[(1, eight)]; 2]);
    assert_eq!(inputs(&store), before);
    drop(store);
    let mut store = SqliteStore::open(folder.path(), "eu", roots(8)).unwrap();
    assert_eq!(inputs(&store), before);

    // And while it runs.
    let epoch = store.claim().unwrap();
    store.keys.renew_roots(roots(9).newest());
    store.commit(epoch, &[Change::RenewSeal(None)]).unwrap();
    assert_eq!(keys_of(&store, "bolt"), [(1, roots(9).newest().id().0)]);
    assert_eq!(inputs(&store), before);
    drop(store);
    let store = SqliteStore::open(folder.path(), "eu", roots(9)).unwrap();
    assert_eq!(inputs(&store), before);
}

#[test]
fn a_tenants_new_key_takes_over_its_runs_little_by_little_and_the_old_one_is_destroyed() {
    let folder = TempDir::new().unwrap();
    let mut store = two_tenants(&folder);
    let epoch = store.claim().unwrap();
    let told = channel("acme", "ops");
    store.commit(epoch, &[Change::Channel(Box::new(told.clone()))]).unwrap();
    let before = inputs(&store);
    store.commit(epoch, &[Change::RenewSeal(Some(name("acme")))]).unwrap();
    let versions = |store: &SqliteStore, tenant| {
        keys_of(store, tenant).into_iter().map(|(version, _)| version).collect::<Vec<_>>()
    };
    assert_eq!(versions(&store, "acme"), [1, 2]);
    assert_eq!(inputs(&store), before);
    let third = key("acme", 3);
    store.commit(epoch, &[Change::Run(Box::new(run(&third)))]).unwrap();
    let mut sweep = || {
        let tx = store.connection.transaction().unwrap();
        let swept = Db { connection: &tx, keys: &store.keys }.sweep_keys(2).unwrap();
        tx.commit().unwrap();
        swept
    };
    assert_eq!([sweep(), sweep(), sweep(), sweep()], [2, 1, 0, 0]);
    assert_eq!([versions(&store, "acme"), versions(&store, "bolt")], [[2], [1]]);
    assert_eq!(inputs(&store), before);
    drop(store);

    let mut store = open(&folder).unwrap();
    assert_eq!(inputs(&store), before);
    assert_eq!(store.load().unwrap().channels, [told]);
    // A sweep that was broken off begins anew, and finds nothing.
    let epoch = store.claim().unwrap();
    assert_eq!(store.sweep(epoch, Time(1)).unwrap(), 0);
}

#[test]
fn a_reader_of_an_older_commit_does_not_bring_a_destroyed_key_back() {
    let folder = TempDir::new().unwrap();
    let mut store = two_tenants(&folder);
    let epoch = store.claim().unwrap();
    let (acme, one) = (scope("acme"), key("acme", 1).run);
    let old = open::reader(store.path()).unwrap();
    let old = old.unchecked_transaction().unwrap();
    let count: u32 = old.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 4);
    store.commit(epoch, &[Change::RenewSeal(Some(name("acme")))]).unwrap();
    store.sweep(epoch, Time(1)).unwrap();
    assert_eq!(keys_of(&store, "acme").len(), 1);
    // As after a turn that was refused.
    store.keys.forget();
    let input = runs::input(Db { connection: &old, keys: &store.keys }, &acme, one).unwrap();
    assert_eq!(input.as_deref(), Some(&b"input of acme 1"[..]));

    let third = key("acme", 3);
    let row = RunRow { input: Some(payload(3)), ..run(&third) };
    store.commit(epoch, &[Change::Run(Box::new(row))]).unwrap();
    drop(old);
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(store.reader().unwrap().input(&acme, third.run).unwrap(), Some(payload(3)));
}

#[test]
fn no_two_places_are_the_same_to_what_is_sealed_there() {
    use keyring::Place;
    let slot = |step, part| payloads::Slot { step, part };
    let asked = [review("acme", 5).id, review("acme", 6).id];
    let places = [
        Place::Payload(slot(0, 0)),
        Place::Payload(slot(0, 1)),
        Place::Payload(slot(1, 0)),
        Place::StepFailure(slot(0, 0)),
        Place::RunFailure,
        Place::Signal(0),
        Place::Signal(1),
        Place::Review(asked[0]),
        Place::Review(asked[1]),
        Place::ReviewEvent(asked[0], 0),
        Place::ReviewEvent(asked[0], 1),
        Place::Replan(0),
        Place::Replan(1),
    ];
    let runs = [key("acme", 1), key("acme", 2), key("acme-", 1), key("bolt", 1)];
    let all = runs.iter().flat_map(|run| places.iter().map(|place| place.context(run)));
    let distinct: BTreeSet<Vec<u8>> = all.collect();
    assert_eq!(distinct.len(), runs.len() * places.len());
}
