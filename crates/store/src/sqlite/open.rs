//! Opening a region's file, new or old, and refusing what is not a store.
//!
//! A new file is made complete under another name and then renamed, so that a file under the right name is a store or
//! is damaged: an empty one is reported like any other damage, and never taken for a new one.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::codec::Fault;
use super::keyring::{self, Keyring};
use super::{cleartext, report, schema};
use crate::error::Error;

/// "FARL": marks a file as ours in SQLite's header.
pub(super) const APPLICATION_ID: i32 = 0x4641_524c;
/// SQLite's default. Keys that begin with the tenant scatter a commit's rows, each over a page that is written whole:
/// 8 KiB doubled the bytes of a commit of 200 tenants, and smaller pages saved bytes but no time.
const PAGE_BYTES: u32 = 4096;
/// Pages that the writer keeps: 64 MiB hold the leaves of some hundred thousand live runs.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Statements that a connection keeps prepared; there are about forty.
const STATEMENTS_MAX: usize = 64;
/// Files up to this size are checked whole when they are opened: about 50 milliseconds.
const CHECKED_BYTES_MAX: u64 = 16 << 20;
/// Nothing but a foreign program's lock makes a statement wait.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
const APPLICATION_ID_AT: usize = 68;

/// Opens the writer's connection; the caller holds the region's lock.
pub(super) fn writer(path: &Path, region: &str, keys: &Keyring) -> Result<Connection, Error> {
    let exists = path.try_exists().map_err(|source| Error::Io {
        action: "look for",
        path: path.to_owned(),
        source,
    })?;
    if exists {
        check_header(path)?;
    } else {
        create(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let fail = |error: rusqlite::Error| report("open the database", path, error.into());
    let mut connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    let version = schema::supported(schema::version(&connection).map_err(fail)?, path)?;
    set_up_writer(&connection).map_err(|fault| report("set up the database", path, fault))?;
    check_size(&connection, path)?;
    if version < schema::VERSION {
        schema::migrate(&mut connection, (region, keys), version, schema::VERSION)
            .map_err(|fault| report("migrate the schema", path, fault))?;
    }
    if version < cleartext::VERSION {
        // What was in the clear is in free pages still, and in the log.
        connection
            .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(|error| report("overwrite what was in the clear", path, error.into()))?;
    }
    keyring::renew_root(&mut connection, keys)
        .map_err(|fault| report("wrap keys with the newest root key", path, fault))?;
    Ok(connection)
}

/// Opens a reader's connection beside a writer's.
pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    let fail = |error: rusqlite::Error| report("open the database for reading", path, error.into());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB).map_err(fail)?;
    Ok(connection)
}

fn set_up_writer(connection: &Connection) -> Result<(), Fault> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Column(format!("its journal mode stays {mode}, WAL is needed")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What is deleted is overwritten: a key that is left in a free page has not been destroyed.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(())
}

fn create(path: &Path) -> Result<(), Error> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let log = beside(path, "-wal");
    if log.exists() {
        let detail = format!("the file is gone, but its log {} is there", log.display());
        return Err(Error::Corrupt { path: path.to_owned(), detail });
    }
    let new = beside(path, ".new");
    for leftover in [new.clone(), beside(&new, "-journal")] {
        if leftover.exists() {
            std::fs::remove_file(&leftover).map_err(io("remove the unfinished", &leftover))?;
        }
    }
    let fill = || -> Result<(), Fault> {
        let mut connection = Connection::open(&new)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        schema::create(&mut connection)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    };
    fill().map_err(|fault| report("create the database", &new, fault))?;
    std::fs::rename(&new, path).map_err(io("rename the new database to", path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io("make the new file durable in", folder))
}

/// Looks at the file before SQLite does, which would take an empty one for a new database.
pub(super) fn check_header(path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { action: "read the header of", path: path.to_owned(), source };
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let file = File::open(path).map_err(io)?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(io)?;
    let detail = if header.is_empty() {
        "it is empty"
    } else if header.len() < HEADER_BYTES {
        "it is cut off within its header"
    } else if !header.starts_with(MAGIC) {
        "it is no SQLite database"
    } else if header[APPLICATION_ID_AT..][..4] != APPLICATION_ID.to_be_bytes() {
        "it is another program's database"
    } else {
        return Ok(());
    };
    Err(Error::Corrupt { path: path.to_owned(), detail: detail.to_owned() })
}

/// Every page must be in the file or in its log. A small file is checked whole.
fn check_size(connection: &Connection, path: &Path) -> Result<(), Error> {
    let fail = |error: rusqlite::Error| report("check the database", path, error.into());
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = pragma("page_count").map_err(fail)? * pragma("page_size").map_err(fail)?;
    let bytes = u64::try_from(bytes).unwrap_or(0);
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let stored = length(path) + length(&beside(path, "-wal"));
    let corrupt = |detail| Err(Error::Corrupt { path: path.to_owned(), detail });
    if stored < bytes {
        return corrupt(format!("it should have {bytes} bytes and has {stored}, its log included"));
    }
    if bytes <= CHECKED_BYTES_MAX {
        let found: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
        if found != "ok" {
            return corrupt(found);
        }
    }
    Ok(())
}

/// The path with something appended to the file's name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
