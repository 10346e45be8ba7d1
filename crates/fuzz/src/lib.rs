//! Hostile inputs for tests.
//!
//! A [`Target`] is a test that takes bytes. It begins with inputs that are valid, changes them in ways that keep much of
//! their form, and calls the test with each. The test panics if something is wrong, and otherwise says what it met: an
//! input that meets something new is changed further, so that the search goes where the code under test has not been.
//! What fails is made small and shown.
//!
//! An ordinary run tries a fixed number of inputs from a fixed seed, so that it has the same result each time.
//! [`SECONDS`] makes it a long search from a fresh seed, [`INPUT`] takes one input from a file: so a find is tried again,
//! and so engines that measure coverage hand in theirs.
//!
//! This crate knows nothing of the product, of which it is no part: only tests depend on it.

mod find;
mod mutate;
mod random;
mod search;

use std::fs;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::time::Duration;

use find::Find;
use search::Search;

/// The environment variable with the seconds that each target searches.
pub const SECONDS: &str = "FAIRLANE_FUZZ_SECONDS";
/// The environment variable with the path of a file: the only input of the target.
pub const INPUT: &str = "FAIRLANE_FUZZ_INPUT";

/// No input is made longer than this.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// A test that takes bytes, with what it begins with.
#[derive(Clone, Debug)]
pub struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    inputs: u64,
}

/// How long a target is searched.
#[derive(Clone, Debug)]
enum Extent {
    /// So many inputs, the same each time.
    Inputs(u64),
    /// So long, from a fresh seed.
    Time(Duration),
    /// The one in this file.
    One(PathBuf),
}

impl Target {
    /// With the number of inputs that an ordinary run tries.
    pub const fn new(name: &'static str, inputs: u64) -> Self {
        Self { name, seeds: Vec::new(), words: Vec::new(), inputs }
    }

    /// Begins with this input, too.
    #[must_use]
    pub fn seed(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.seeds.push(input.into());
        self
    }

    #[must_use]
    pub fn seeds<I: Into<Vec<u8>>>(mut self, inputs: impl IntoIterator<Item = I>) -> Self {
        self.seeds.extend(inputs.into_iter().map(Into::into));
        self
    }

    /// Begins with the files of a folder, too, those whose names end with one of the `endings`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn folder(self, folder: impl AsRef<Path>, endings: &[&str]) -> Self {
        let files = files(folder.as_ref(), endings);
        assert!(!files.is_empty(), "{} has no files to begin with", folder.as_ref().display());
        self.seeds(files)
    }

    /// Words of the language that the inputs are in.
    #[must_use]
    pub fn words<'w>(mut self, words: impl IntoIterator<Item = &'w str>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_bytes().to_vec()));
        self
    }

    /// Searches. The check panics if something is wrong with what an input does, and otherwise says what it met.
    ///
    /// # Panics
    /// If an input is found that the check panics for.
    pub fn run<M: Hash>(self, check: impl Fn(&[u8]) -> M) {
        let extent = extent(self.inputs);
        if let Err(find) = self.search(&extent, &check) {
            panic!("{find}");
        }
    }

    fn search<M: Hash>(
        self,
        extent: &Extent,
        check: &dyn Fn(&[u8]) -> M,
    ) -> Result<u64, Box<Find>> {
        let check = |input: &[u8]| search::digest(&check(input));
        if let Extent::One(path) = extent {
            let input = fs::read(path);
            check(&input.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            return Ok(1);
        }
        Search::new(self, extent, &check).go()
    }
}

/// As the environment has it; what it does not say is so many inputs.
fn extent(inputs: u64) -> Extent {
    if let Some(path) = std::env::var_os(INPUT) {
        return Extent::One(path.into());
    }
    match std::env::var(SECONDS) {
        Ok(text) => {
            let seconds = text.parse().unwrap_or_else(|_| panic!("{SECONDS} is no whole number"));
            Extent::Time(Duration::from_secs(seconds))
        }
        Err(_) => Extent::Inputs(inputs),
    }
}

/// What stands in the files of a folder, in the order of their names.
fn files(folder: &Path, endings: &[&str]) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.is_file() && endings.iter().any(|ending| path.to_string_lossy().ends_with(ending))
    });
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

#[cfg(test)]
mod tests;
