//! Clients of the API that are packages for Python.
//!
//! Each is installed by pip, once, into a virtual environment under `target`: for that the tests that use them need
//! `python3` and, the first time, its package index.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The interpreter of an environment that has these packages, one a line, which is made if it is missing. The first is
/// what the others are for.
pub(crate) fn with(packages: &str) -> PathBuf {
    let packages: Vec<&str> = packages.lines().collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(packages[0].replace("==", "-"));
    let (python, installed) = (folder.join("bin/python"), folder.join("is-installed"));
    // Tests are processes that run at the same time, and may want the same packages.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
    std::fs::write(installed, wanted).unwrap();
    python
}

/// The program of `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// What it printed, if it went well.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| {
        panic!(
            "{command:?} does not start ({error}): this test needs python3 with venv and pip; \
             `apt-get install python3-venv` or `brew install python` installs them"
        )
    });
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        status.success(),
        "{command:?} failed; it needs python3 with venv and pip (`apt-get install python3-venv`, `brew install \
         python`), and the first time a package index to install from\n{stdout}\n{stderr}"
    );
    stdout
}
