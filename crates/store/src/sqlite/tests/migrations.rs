//! Files of other versions.

use fairlane_core::quota::Tool;
use fairlane_core::row::{StepRow, Worked};

use super::*;

/// Everything that makes up a schema.
fn schema_of(connection: &Connection) -> Vec<(String, String, Option<String>)> {
    connection
        .prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// A file as the program of that schema version left it.
pub(super) fn file_of_version(folder: &TempDir, version: i64) -> Connection {
    let mut connection = Connection::open(folder.path().join("eu.db")).unwrap();
    connection.pragma_update(None, "application_id", open::APPLICATION_ID).unwrap();
    schema::migrate(&mut connection, ("eu", &Keyring::new(roots(7))), 0, version).unwrap();
    connection
}

#[test]
fn the_chain_of_migrations_leads_to_the_fresh_schema() {
    let mut chained = Connection::open_in_memory().unwrap();
    schema::migrate(&mut chained, ("eu", &Keyring::new(roots(7))), 0, schema::VERSION).unwrap();
    let mut fresh = Connection::open_in_memory().unwrap();
    schema::create(&mut fresh).unwrap();
    assert_eq!(schema_of(&chained), schema_of(&fresh));
    assert_eq!(schema::version(&chained).unwrap(), schema::version(&fresh).unwrap());
}

#[test]
fn a_migration_is_one_statement() {
    for migration in schema::MIGRATIONS {
        assert_eq!(migration.matches(';').count(), 1, "{migration}");
        assert!(migration.trim_end().ends_with(';'), "{migration}");
    }
}

#[test]
fn a_file_of_any_older_version_is_brought_up() {
    let mut fresh = Connection::open_in_memory().unwrap();
    schema::create(&mut fresh).unwrap();
    for version in 0..schema::VERSION {
        let folder = TempDir::new().unwrap();
        drop(file_of_version(&folder, version));
        let store = open(&folder).unwrap();
        assert_eq!(schema_of(&store.connection), schema_of(&fresh), "from version {version}");
        assert_eq!(schema::version(&store.connection).unwrap(), schema::VERSION);
    }
}

#[test]
fn rows_that_the_last_version_wrote_are_loaded() {
    let folder = TempDir::new().unwrap();
    let old = file_of_version(&folder, schema::VERSION);
    cells::claim(&old).unwrap();
    let acme = key("acme", 1);
    let keys = Keyring::new(roots(7));
    let db = Db { connection: &old, keys: &keys };
    let ended_run = ended(&key("acme", 2), RunStatus::Completed);
    for row in [RunRow { input: Some(payload(9)), ..run(&acme) }, ended_run] {
        runs::put(db, &row).unwrap();
    }
    steps::put(db, &done(&acme, whole(0), &payload(5_000))).unwrap();
    let body = r#"{"name": "bureau", "limits": []}"#;
    old.execute("INSERT INTO tools (tool, body) VALUES ('bureau', ?1)", [body]).unwrap();
    // What this version writes besides is taken away again.
    old.execute_batch("ALTER TABLE steps DROP COLUMN worked").unwrap();
    old.pragma_update(None, "user_version", schema::VERSION - 1).unwrap();
    drop(old);

    let mut store = open(&folder).unwrap();
    assert_eq!(store.claim().unwrap(), Epoch(2));
    let loaded = store.load().unwrap();
    assert_eq!(loaded.runs, [run(&acme)]);
    assert_eq!(loaded.tools, [Tool::new(name("bureau"), Vec::new())]);
    let step = StepRow { worked: Worked::default(), ..step(&acme, whole(0), StepState::Done) };
    assert_eq!(loaded.steps, [step]);
}

#[test]
fn runs_from_before_accounts_load_without_a_bound() {
    let folder = TempDir::new().unwrap();
    let old = file_of_version(&folder, 19);
    old.execute("INSERT INTO cells (cell, epoch, decisions) VALUES (0, 1, 0)", []).unwrap();
    let acme = key("acme", 1);
    old.execute(
        "INSERT INTO runs (tenant, run, workflow, version, context, lane, status, created, revision, input_bytes)
         VALUES ('acme', ?1, 'loan', 1, 1, 'normal', 'running', 1, 1, 0)",
        [codec::id_bytes(acme.run)],
    )
    .unwrap();
    drop(old);
    assert_eq!(open(&folder).unwrap().load().unwrap().runs, [run(&acme)]);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).unwrap();
    store.connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    Box::new(store).close().unwrap();
    let before = std::fs::read(folder.path().join("eu.db")).unwrap();
    let error = open(&folder).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, Error::NewerSchema { found, supported, .. }
            if (found, supported) == (schema::VERSION + 1, schema::VERSION)),
        "{text}"
    );
    assert!(text.contains("run the newer release"), "{text}");
    assert!(std::fs::read(folder.path().join("eu.db")).unwrap() == before);
}
