//! Runs the binary, and shows its exit code and both of its outputs.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{Harness, TENANT};

/// Runs of the binary in one folder, against one server or none.
pub(crate) struct Binary {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What a run of the binary said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Binary {
    /// Without a server or a key.
    pub(crate) fn alone() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// With a server, its operator's key, and the tenant `acme`.
    pub(crate) fn of(harness: &Harness) -> Self {
        Self::at(&harness.url(), &harness.key)
    }

    pub(crate) fn at(url: &str, key: &str) -> Self {
        let environment = vec![
            ("FAIRLANE_URL", url.to_owned()),
            ("FAIRLANE_KEY", key.to_owned()),
            ("FAIRLANE_TENANT", TENANT.to_owned()),
        ];
        Self { environment, ..Self::alone() }
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlane"));
        command.args(arguments).current_dir(self.folder.path()).kill_on_drop(true);
        for name in ["URL", "KEY", "TENANT", "LOG", "CONFIG", "DATA_DIR", "LISTEN", "CA_FILE"] {
            command.env_remove(format!("FAIRLANE_{name}"));
        }
        command.env("FAIRLANE_CONFIG_DIR", self.folder.path());
        command.env_remove("RUST_BACKTRACE");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().await.unwrap();
        Said {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it to its end, which must be a good one, and gives its standard output.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments).await;
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.stderr);
        said.stdout
    }

    /// The same, read as JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.ok(&arguments).await).unwrap()
    }

    /// The same, with its log in a file of the folder.
    pub(crate) fn start_logging(&self, arguments: &[&str], file: &str) -> Started {
        let log = std::fs::File::create(self.path(file)).unwrap();
        let mut child = self
            .command(arguments)
            .env("FAIRLANE_LOG", "trace")
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Started { child, stdout }
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&self, arguments: &[&str]) -> Started {
        let mut child = self.command(arguments).stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Started { child, stdout }
    }
}

impl Said {
    /// All of it, with what differs from run to run replaced.
    pub(crate) fn show(&self, replaced: &[(&str, &str)]) -> String {
        let Self { code, stdout, stderr } = self;
        let mut text = format!("exit code {code}\n");
        for (name, output) in [("stdout", stdout), ("stderr", stderr)] {
            if !output.is_empty() {
                text.push_str(&format!("--- {name}\n{output}"));
            }
        }
        for (from, to) in replaced {
            text = text.replace(from, to);
        }
        text
    }
}

/// A binary that is running.
pub(crate) struct Started {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Started {
    pub(crate) async fn line(&mut self) -> String {
        self.stdout.next_line().await.unwrap().expect("it goes on speaking")
    }

    /// The value of a line `export NAME=VALUE`.
    pub(crate) async fn export(&mut self, name: &str) -> String {
        let line = self.line().await;
        let prefix = format!("export {name}=");
        line.strip_prefix(&prefix)
            .unwrap_or_else(|| panic!("{line:?} is not {prefix}.."))
            .to_owned()
    }

    /// SIGTERM, then its end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().expect("it has not ended").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(sent.success());
        self.child.wait().await.unwrap()
    }

    /// SIGKILL, then its end.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
