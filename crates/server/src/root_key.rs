//! The root key: where it comes from, and the file that has it.
//!
//! By default a file `root.key` in the data folder, made at the first start and readable by its owner only; a line for each key,
//! the newest first. Older ones are there while a rotation is under way, and go when nothing is left that they have wrapped.
//! With the variable `FAIRLANE_ROOT_KEY` the keys come from there instead and no file is written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairlane_store::seal::{Key, LocalRoot, Root, Roots};

use crate::config::Config;
use crate::hex;

/// In the data folder, unless the configuration names another file.
const ROOT_KEY_FILE: &str = "root.key";
const COMMENT: &str = "# The root key of this server's stores: without it nothing in them can be read.\n\
                       # Keep a copy of it apart from backups of the stores.\n";

/// What a root key is written as: 64 hexadecimal digits. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKeyText(String);

impl RootKeyText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for RootKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKeyText(..)")
    }
}

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the root key in {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(
        "line {line} of {} is no root key: expected 64 hexadecimal digits, as `openssl rand -hex 32` makes them",
        path.display()
    )]
    Line { path: PathBuf, line: usize },
    #[error("{} has no root key in it: put the one back with which its stores were sealed", path.display())]
    Empty { path: PathBuf },
    #[error(
        "the root key comes from the variable FAIRLANE_ROOT_KEY: set it to a new key, a comma and the old one, \
         and start the server again"
    )]
    OfVariable,
    #[error(
        "the variable FAIRLANE_ROOT_KEY has no root key: expected 64 hexadecimal digits, \
         or several such keys with commas between them, the newest first"
    )]
    Variable,
}

/// The root keys that a server starts with.
#[derive(Debug)]
pub(crate) struct RootKeys {
    pub(crate) roots: Arc<Roots>,
    source: Source,
    /// Held over a whole rotation: one at a time.
    pub(crate) rotating: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Source {
    Variable,
    /// `unwritten`: the key is new, and the file is not there yet. `lines`: how many it has.
    File {
        path: PathBuf,
        unwritten: Option<Arc<LocalRoot>>,
        lines: usize,
    },
}

impl RootKeys {
    /// Reads them, or makes the first one. A new one is not written before [`RootKeys::keep`]: stores that are there already were
    /// sealed with another one.
    pub(crate) fn read(config: &Config) -> Result<Self, Error> {
        if let Some(RootKeyText(text)) = &config.root_key {
            let all: Option<Vec<_>> = text.split(',').map(|key| parse(key.trim())).collect();
            let (source, all) = (Source::Variable, all.ok_or(Error::Variable)?);
            return Ok(Self::new(of(all).ok_or(Error::Variable)?, source));
        }
        let default = || config.data_dir.join(ROOT_KEY_FILE);
        let path = config.root_key_file.clone().unwrap_or_else(default);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = Arc::new(LocalRoot::random());
                let roots = Arc::new(Roots::new(new.clone(), Vec::new()));
                let source = Source::File { path, unwritten: Some(new), lines: 1 };
                return Ok(Self::new(roots, source));
            }
            Err(source) => return Err(Error::File { path, source }),
            Ok(text) => text,
        };
        warn_if_open(&path);
        let all = parse_file(&path, &text)?;
        let lines = all.len();
        let roots = of(all).ok_or_else(|| Error::Empty { path: path.clone() })?;
        Ok(Self::new(roots, Source::File { path, unwritten: None, lines }))
    }

    fn new(roots: Arc<Roots>, source: Source) -> Self {
        Self { roots, source, rotating: tokio::sync::Mutex::default() }
    }

    pub(crate) const fn is_file(&self) -> bool {
        matches!(self.source, Source::File { .. })
    }

    /// Makes a new key, which wraps from now on; the file has those before it too, until [`RootKeys::end_rotation`].
    pub(crate) fn begin_rotation(&self) -> Result<(), Error> {
        let Source::File { path, .. } = &self.source else { return Err(Error::OfVariable) };
        let new = Arc::new(LocalRoot::random());
        let before = read_file(path)?;
        let keys: Vec<&Key> = std::iter::once(new.reveal()).chain(&before).collect();
        write(path, &keys)?;
        self.roots.renew(new);
        Ok(())
    }

    /// Everything is wrapped with the newest key: those before it go.
    pub(crate) fn end_rotation(&self) -> Result<(), Error> {
        if let Source::File { path, .. } = &self.source {
            let all = read_file(path)?;
            let newest = all.first().ok_or_else(|| Error::Empty { path: path.clone() })?;
            write(path, &[newest])?;
        }
        self.roots.forget_earlier();
        Ok(())
    }

    /// All stores are open, and what they have is wrapped by the newest key: the file says so too.
    pub(crate) fn keep(&self) -> Result<(), Error> {
        match &self.source {
            Source::File { path, unwritten: Some(new), .. } => write(path, &[new.reveal()]),
            Source::File { lines: 1, .. } => Ok(()),
            Source::File { .. } | Source::Variable => self.end_rotation(),
        }
    }
}

/// The root keys of a server that has been started before, to open its stores without it.
///
/// # Errors
/// If there are none.
pub fn read(config: &Config) -> Result<Arc<Roots>, Error> {
    RootKeys::read(config).map(|read| read.roots)
}

fn of(keys: Vec<Key>) -> Option<Arc<Roots>> {
    let mut all = keys.into_iter().map(|key| Arc::new(LocalRoot::new(key)) as Arc<dyn Root>);
    Some(Arc::new(Roots::new(all.next()?, all.collect())))
}

fn read_file(path: &Path) -> Result<Vec<Key>, Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    parse_file(path, &std::fs::read_to_string(path).map_err(file)?)
}

fn parse_file(path: &Path, text: &str) -> Result<Vec<Key>, Error> {
    let lines = text.lines().map(str::trim).zip(1..);
    let keys = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let wrong = |line| Error::Line { path: path.to_owned(), line };
    keys.map(|(text, line)| parse(text).ok_or_else(|| wrong(line))).collect()
}

fn parse(text: &str) -> Option<Key> {
    hex::decode(text).map(Key::new)
}

fn write(path: &Path, keys: &[&Key]) -> Result<(), Error> {
    let lines: Vec<String> = keys.iter().map(|key| hex::encode(key.reveal())).collect();
    let written = crate::key_file::write(path, &format!("{COMMENT}{}", lines.join("\n")));
    written.map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(unix)]
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(event = "root-key-readable", path = %path.display(), "others than its owner can read the root key: chmod 600");
    }
}

#[cfg(not(unix))]
fn warn_if_open(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const TWO: &str = "02020202020202020202020202020202020202020202020202020202020202aB";

    fn config(folder: &Path) -> Config {
        Config::new(folder, ([127, 0, 0, 1], 0).into())
    }

    fn file(folder: &Path) -> PathBuf {
        folder.join(ROOT_KEY_FILE)
    }

    #[test]
    fn the_first_key_is_written_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = RootKeys::read(&config(folder.path())).unwrap();
        assert!(!file(folder.path()).exists(), "not before the stores are open");
        first.keep().unwrap();
        let id = first.roots.newest().id();
        let again = RootKeys::read(&config(folder.path())).unwrap();
        again.keep().unwrap();
        assert_eq!(again.roots.newest().id(), id);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(file(folder.path())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn of_several_keys_the_first_is_the_newest_and_the_others_go_once_they_are_not_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file(folder.path()), format!("# words\n\n{ONE}\n{TWO}\n")).unwrap();
        let read = RootKeys::read(&config(folder.path())).unwrap();
        let [one, two] = [ONE, TWO].map(|key| LocalRoot::new(parse(key).unwrap()).id());
        assert_eq!(read.roots.newest().id(), one);
        assert!(read.roots.find(two).is_some());
        read.keep().unwrap();
        assert!(read.roots.find(two).is_none());
        let text = std::fs::read_to_string(file(folder.path())).unwrap();
        assert!(text.contains(ONE) && !text.to_lowercase().contains(&TWO.to_lowercase()), "{text}");
    }

    #[test]
    fn a_rotation_has_both_keys_in_the_file_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let keys = RootKeys::read(&config(folder.path())).unwrap();
        keys.keep().unwrap();
        let before = keys.roots.newest().id();
        keys.begin_rotation().unwrap();
        let after = keys.roots.newest().id();
        assert_ne!(after, before);
        // As a server that is started after a crash has them.
        let crashed = RootKeys::read(&config(folder.path())).unwrap();
        assert_eq!(crashed.roots.newest().id(), after);
        assert!(crashed.roots.find(before).is_some());
        keys.end_rotation().unwrap();
        assert!(keys.roots.find(before).is_none());
        let ended = RootKeys::read(&config(folder.path())).unwrap();
        assert_eq!(ended.roots.newest().id(), after);
        assert!(ended.roots.find(before).is_none());
    }

    #[test]
    fn the_variable_wins_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{ONE}, {TWO}");
        let config = Config { root_key: Some(RootKeyText::new(text)), ..config(folder.path()) };
        let read = RootKeys::read(&config).unwrap();
        assert_eq!(read.roots.newest().id(), LocalRoot::new(parse(ONE).unwrap()).id());
        read.keep().unwrap();
        assert!(read.begin_rotation().unwrap_err().to_string().contains("start the server again"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!format!("{config:?}{read:?}").contains("0101"));
    }

    #[test]
    fn mistakes_are_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("", "has no root key in it"),
            ("# only words\n", "has no root key in it"),
            ("secret\n", "line 1 of"),
            (&format!("{ONE}\n\n{ONE}0\n"), "line 3 of"),
            (&format!("{}g\n", &ONE[1..]), "line 1 of"),
        ] {
            std::fs::write(file(folder.path()), text).unwrap();
            let error = RootKeys::read(&config(folder.path())).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains(ONE), "{error}");
        }
        let wrong = Config { root_key: Some(RootKeyText::new("hunter2")), ..config(folder.path()) };
        let error = RootKeys::read(&wrong).unwrap_err().to_string();
        assert!(error.contains("FAIRLANE_ROOT_KEY") && !error.contains("hunter2"), "{error}");
    }
}
