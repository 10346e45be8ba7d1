//! The list of what was erased, in a file of its own beside the region's: a line of JSON for each erasure, with ids and digests
//! only. It is appended to and synced, and never shortened.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fairlane_core::erasure::ErasureRow;
use rusqlite::Connection;

use super::row;
use crate::sqlite::codec::{Columns, Fault, from_json, to_json};

/// Where the list of a region's file is.
pub(in crate::sqlite) fn list_beside(database: &Path) -> PathBuf {
    database.with_extension("erased")
}

#[derive(Clone, Debug)]
pub(in crate::sqlite) struct List {
    path: PathBuf,
}

impl List {
    pub(in crate::sqlite) fn beside(database: &Path) -> Self {
        Self { path: list_beside(database) }
    }

    /// Lists what is not, durably, and notes that it is.
    pub(super) fn add_unlisted(&self, connection: &Connection) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(
            "SELECT body, runs FROM erasures WHERE done IS NULL AND listed = 0 ORDER BY asked",
        )?;
        let mut rows = statement.query([])?;
        let mut lines = String::new();
        while let Some(next) = rows.next()?.map(Columns) {
            lines += &to_json(&row(next)?);
            lines.push('\n');
        }
        drop(rows);
        if lines.is_empty() {
            return Ok(());
        }
        self.append(&lines).map_err(|error| self.fault(error))?;
        let sql = "UPDATE erasures SET listed = 1 WHERE done IS NULL AND listed = 0";
        connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn append(&self, lines: &str) -> std::io::Result<()> {
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.path)?;
        // A line that a crash cut off stands for nothing, and is written again.
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        match self.path.parent() {
            Some(folder) if is_new => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// A line that was cut off by a crash was not listed yet: nothing was deleted for it.
    pub(super) fn read(&self) -> Result<Vec<ErasureRow>, Fault> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.fault(error)),
        };
        let mut found = Vec::new();
        let mut lines = BufReader::new(file).lines().peekable();
        while let Some(line) = lines.next() {
            let line = line.map_err(|error| self.fault(error))?;
            match from_json(&line) {
                Ok(row) => found.push(row),
                Err(_) if lines.peek().is_none() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn fault(&self, error: std::io::Error) -> Fault {
        Fault::List(self.path.clone(), error)
    }
}
