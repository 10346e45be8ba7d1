//! The search: makes inputs, checks them, keeps those that meet something new.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher as _, RandomState};
use std::io::{Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use crate::find::Find;
use crate::mutate::mutate;
use crate::random::Random;
use crate::{Extent, Target};

/// Inputs that are kept to be changed further. Past it the search would be spread too thin.
const POOL_MAX: usize = 5_000;
/// The seed of ordinary runs.
const SEED: u64 = 1;

/// Checks an input, and gives a number for what it met.
pub(crate) type Check<'c> = dyn Fn(&[u8]) -> u64 + 'c;

pub(crate) struct Search<'c> {
    target: Target,
    check: &'c Check<'c>,
    extent: Extent,
    seed: u64,
    met: BTreeSet<u64>,
    pool: Vec<Vec<u8>>,
    tried: u64,
    trace: Trace,
}

impl<'c> Search<'c> {
    pub(crate) fn new(target: Target, extent: &Extent, check: &'c Check<'c>) -> Self {
        let seed = match extent {
            Extent::Time(_) => RandomState::new().hash_one(target.name),
            _ => SEED,
        };
        let trace = Trace::new(target.name);
        let (met, pool) = (BTreeSet::new(), Vec::new());
        Self { target, check, extent: extent.clone(), seed, met, pool, tried: 0, trace }
    }

    /// The number of inputs that were tried, or the one that fails.
    pub(crate) fn go(mut self) -> Result<u64, Box<Find>> {
        for input in std::mem::take(&mut self.target.seeds) {
            self.attempt(&input)?;
            self.pool.push(input);
        }
        let mut random = Random::new(self.seed);
        let started = Instant::now();
        while match self.extent {
            Extent::Time(time) => started.elapsed() < time,
            Extent::Inputs(inputs) => self.tried < inputs,
            Extent::One(_) => false,
        } {
            let input = mutate(&mut random, &self.pool, &self.target.words);
            if self.attempt(&input)? {
                self.keep(&mut random, input);
            }
        }
        if matches!(self.extent, Extent::Time(_)) {
            self.tell();
        }
        Ok(self.tried)
    }

    /// Whether it meets something new.
    fn attempt(&mut self, input: &[u8]) -> Result<bool, Box<Find>> {
        self.tried += 1;
        self.trace.write(input);
        match outcome(self.check, input) {
            Ok(met) => Ok(self.met.insert(met)),
            Err(message) => {
                let name = self.target.name;
                Err(Box::new(Find::new((name, self.seed), self.check, input, message)))
            }
        }
    }

    fn keep(&mut self, random: &mut Random, input: Vec<u8>) {
        if self.pool.len() < POOL_MAX {
            self.pool.push(input);
        } else {
            let at = random.below(POOL_MAX);
            self.pool[at] = input;
        }
    }

    #[expect(clippy::print_stderr, reason = "who waits long wants to know what for")]
    fn tell(&self) {
        let Self { target: Target { name, .. }, tried, met, .. } = self;
        eprintln!("{name}: {tried} inputs met {} different things, and none failed", met.len());
    }
}

/// What the check says of an input, or its panic's message.
pub(crate) fn outcome(check: &Check<'_>, input: &[u8]) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| check(input))).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// One number for what an input met.
pub(crate) fn digest(met: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    met.hash(&mut hasher);
    hasher.finish()
}

/// The input under way, in a file: what overflows the stack or never ends leaves nothing else behind.
struct Trace {
    path: PathBuf,
    file: Option<File>,
}

impl Trace {
    fn new(name: &str) -> Self {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("fairlane-fuzz-{name}-{process}"));
        // It is a convenience: where there is no such folder, the search goes without.
        Self { file: File::create(&path).ok(), path }
    }

    fn write(&mut self, input: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let written = file
            .rewind()
            .and_then(|()| file.write_all(input))
            .and_then(|()| file.set_len(input.len() as u64));
        if written.is_err() {
            self.file = None;
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // What is not there any more needs no removal.
        let _ = std::fs::remove_file(&self.path);
    }
}
