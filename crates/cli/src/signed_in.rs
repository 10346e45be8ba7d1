//! What is kept of who has signed in, for each server: a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use fairlane_client::sign_in::SignedIn;

/// What is kept, by the address of the server.
#[derive(Debug)]
pub(crate) struct Kept {
    file: PathBuf,
    of: BTreeMap<String, SignedIn>,
    /// Held for as long as what was read is about to be changed.
    _lock: Option<File>,
}

impl Kept {
    /// Reads the file; one that is not there has nothing.
    pub(crate) fn open() -> anyhow::Result<Self> {
        Self::read(file()?, None)
    }

    /// The same, to change it: one program at a time.
    pub(crate) fn lock() -> anyhow::Result<Self> {
        let file = file()?;
        let beside = file.with_extension("lock");
        let cannot = || format!("cannot lock {}", beside.display());
        fs::create_dir_all(file.parent().with_context(cannot)?).with_context(cannot)?;
        let lock = File::options().create(true).append(true).open(&beside).with_context(cannot)?;
        lock.lock().with_context(cannot)?;
        Self::read(file, Some(lock))
    }

    fn read(file: PathBuf, lock: Option<File>) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        // One that is damaged is written anew: it holds nothing that signing in again does not bring.
        Ok(Self { of: serde_json::from_str(&text).unwrap_or_default(), file, _lock: lock })
    }

    pub(crate) fn get(&self, url: &str) -> Option<&SignedIn> {
        self.of.get(url)
    }

    pub(crate) fn put(mut self, url: &str, signed_in: SignedIn) -> anyhow::Result<()> {
        self.of.insert(url.to_owned(), signed_in);
        self.write()
    }

    /// Whether there was something.
    pub(crate) fn drop(mut self, url: &str) -> anyhow::Result<bool> {
        let was_there = self.of.remove(url).is_some();
        if was_there {
            self.write()?;
        }
        Ok(was_there)
    }

    /// In place of the file, so that nobody reads half of it.
    fn write(&self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.file.display());
        let folder = self.file.parent().with_context(cannot)?;
        fs::create_dir_all(folder).with_context(cannot)?;
        // A new temporary file is its owner's alone.
        let mut new = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
        serde_json::to_writer_pretty(&mut new, &self.of).with_context(cannot)?;
        new.flush().with_context(cannot)?;
        new.persist(&self.file).with_context(cannot)?;
        Ok(())
    }
}

/// Where people keep what programs know of them (the XDG base directories).
fn file() -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = from("FAIRLANE_CONFIG_DIR").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(from("XDG_CONFIG_HOME")?).join("fairlane")));
    let folder = folder.or_else(|| Some(PathBuf::from(from("HOME")?).join(".config/fairlane")));
    let folder = folder.context("there is no place to keep it: set FAIRLANE_CONFIG_DIR or HOME")?;
    Ok(folder.join("signed-in.json"))
}
