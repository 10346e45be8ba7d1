//! Copies of a region's file while it is in use, and the way back.
//!
//! A copy is what one commit left, whole and without free pages, so that nothing that was deleted before is in it. It is read
//! through a connection of its own: the writer goes on, and its log grows until the copy is made. What is sealed stays sealed:
//! the root key is in no copy.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OpenFlags, params};
use serde::{Deserialize, Serialize};

use super::codec::{Columns, Fault};
use super::erasures::list_beside;
use super::lock::Lock;
use super::{open, report, schema};
use crate::error::Error;
use crate::seal::Roots;

/// A restored store begins so many epochs later: owners that came after the copy was made gave out leases, and none of theirs may
/// be taken for one of the new owner's.
const EPOCHS_SKIPPED: u64 = 10_000;
const BLOCK_BYTES: usize = 1 << 16;

/// What a copy has in it, and how it is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    pub region: String,
    /// Within the backup.
    pub file: String,
    pub bytes: u64,
    /// As 64 hexadecimal digits.
    pub sha256: String,
    pub schema: i64,
    pub tenants: u64,
    pub runs: u64,
    /// Runs that had not ended.
    pub live: u64,
    /// Names the root keys without which it cannot be read.
    pub root_keys: Vec<String>,
}

/// Copies a region's file into a folder. It may be in use.
pub fn back_up(data: &Path, region: &str, to: &Path) -> Result<Copy, Error> {
    let from = data.join(format!("{region}.db"));
    open::check_header(&from)?;
    let fail = |error: rusqlite::Error| report("copy the database", &from, error.into());
    let connection = open::reader(&from)?;
    schema::supported(schema::version(&connection).map_err(fail)?, &from)?;
    let file = format!("{region}.db");
    let path = to.join(&file);
    let part = open::beside(&path, ".part");
    remove(&part)?;
    let text = part.to_str().ok_or_else(|| Error::Corrupt {
        path: part.clone(),
        detail: "its path is no text".to_owned(),
    })?;
    connection.execute("VACUUM INTO ?1", params![text]).map_err(fail)?;
    drop(connection);
    let copy = describe(&part, region)?;
    let io = |action| {
        let path = path.clone();
        move |source| Error::Io { action, path, source }
    };
    File::open(&part).and_then(|file| file.sync_all()).map_err(io("make durable the copy"))?;
    std::fs::rename(&part, &path).map_err(io("rename the copy to"))?;
    // After the rows, so that it knows of all that is not among them.
    copy_list(&list_beside(&from), &list_beside(&path))?;
    File::open(to).and_then(|folder| folder.sync_all()).map_err(io("make durable the copy"))?;
    Ok(copy)
}

/// Whether a copy is what its description says, to the byte, and every page of it is in order.
pub fn check(copy: &Copy, folder: &Path) -> Result<(), Error> {
    let path = folder.join(&copy.file);
    let corrupt = |detail: String| Err(Error::Corrupt { path: path.clone(), detail });
    open::check_header(&path)?;
    let (bytes, sha256) = digest(&path)?;
    if bytes != copy.bytes {
        return corrupt(format!("it should have {} bytes and has {bytes}", copy.bytes));
    }
    if sha256 != copy.sha256 {
        return corrupt("it is not what was copied: its SHA-256 is another one".to_owned());
    }
    let found = describe(&path, &copy.region)?;
    if found != *copy {
        return corrupt("it has not in it what its description says".to_owned());
    }
    Ok(())
}

/// Puts a copy where a server will open it, with the newest schema and under new epochs. Nothing is written unless all of it can
/// be: the copy is in order, there is no store yet, and the root keys open it.
pub fn restore(copy: &Copy, folder: &Path, data: &Path, roots: Arc<Roots>) -> Result<(), Error> {
    check(copy, folder)?;
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    std::fs::create_dir_all(data).map_err(io("create the folder", data))?;
    let lock = Lock::take(data.join(format!("{}.lock", copy.region)))?;
    let path = data.join(format!("{}.db", copy.region));
    let log = open::beside(&path, "-wal");
    for there in [&path, &log] {
        if there.exists() {
            return Err(Error::Exists { path: there.clone() });
        }
    }
    let work = tempfile_beside(&path);
    remove_all(&work)?;
    let filled = fill(&folder.join(&copy.file), &work, &copy.region, roots);
    let moved = filled.and_then(|()| {
        // What was erased since is known by the list that is there; without one, by the copy's.
        if !list_beside(&path).exists() {
            copy_list(&list_beside(&folder.join(&copy.file)), &list_beside(&path))?;
        }
        std::fs::rename(&work, &path).map_err(io("rename the copy to", &path))?;
        File::open(data)
            .and_then(|folder| folder.sync_all())
            .map_err(io("make durable the files in", data))
    });
    if moved.is_err() {
        remove_all(&work)?;
    }
    drop(lock);
    moved
}

/// The list of erasures of a region, if there is one.
fn copy_list(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.exists() {
        return Ok(());
    }
    std::fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()).map_err(|source| Error::Io {
        action: "copy the list of erasures to",
        path: to.to_owned(),
        source,
    })
}

fn fill(copy: &Path, work: &Path, region: &str, roots: Arc<Roots>) -> Result<(), Error> {
    let io = |source| Error::Io { action: "copy to", path: work.to_owned(), source };
    std::fs::copy(copy, work).map_err(io)?;
    let keys = super::Keyring::new(roots);
    // Brings the schema up, and fails if a tenant's key does not open.
    let connection = open::writer(work, region, &keys)?;
    let fail = |error: rusqlite::Error| report("open the copy", work, error.into());
    super::keyring::open_all(&connection, &keys)
        .map_err(|fault| report("open the tenants' keys", work, fault))?;
    connection
        .execute("UPDATE cells SET epoch = epoch + ?1", [EPOCHS_SKIPPED.cast_signed()])
        .map_err(fail)?;
    // One file is moved: nothing may be left in a log beside it.
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(fail)?;
    connection.close().map_err(|(_, error)| fail(error))?;
    File::open(work).and_then(|file| file.sync_all()).map_err(io)
}

fn tempfile_beside(path: &Path) -> PathBuf {
    open::beside(path, ".restoring")
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove the unfinished", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn remove_all(work: &Path) -> Result<(), Error> {
    [work.to_owned(), open::beside(work, "-wal"), open::beside(work, "-shm")]
        .iter()
        .try_for_each(|path| remove(path))
}

fn describe(path: &Path, region: &str) -> Result<Copy, Error> {
    let read = || -> Result<Copy, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let found: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(Fault::Column(found));
        }
        let count = |sql: &str| connection.query_row(sql, [], |row| Ok(Columns(row).unsigned(0)));
        let mut statement =
            connection.prepare("SELECT DISTINCT root FROM tenant_keys ORDER BY 1")?;
        let roots = statement.query_map([], |row| row.get::<_, [u8; 8]>(0))?;
        let root_keys = roots.map(|root| root.map(|id| crate::seal::RootId(id).to_string()));
        Ok(Copy {
            region: region.to_owned(),
            file: format!("{region}.db"),
            bytes: 0,
            sha256: String::new(),
            schema: schema::version(&connection)?,
            tenants: count("SELECT count(*) FROM tenants")??,
            runs: count("SELECT count(*) FROM runs")??,
            live: count("SELECT count(*) FROM runs WHERE ended IS NULL")??,
            root_keys: root_keys.collect::<Result<_, _>>()?,
        })
    };
    let copy = read().map_err(|fault| report("check the copy", path, fault))?;
    let (bytes, sha256) = digest(path)?;
    Ok(Copy { bytes, sha256, ..copy })
}

fn digest(path: &Path) -> Result<(u64, String), Error> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut context = Context::new(&SHA256);
    let (mut block, mut bytes) = (vec![0; BLOCK_BYTES], 0);
    loop {
        let read = file.read(&mut block).map_err(io)?;
        if read == 0 {
            return Ok((bytes, fairlane_audit::hex(context.finish().as_ref())));
        }
        bytes += read as u64;
        context.update(&block[..read]);
    }
}
