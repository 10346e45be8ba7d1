//! Child processes of this binary, which end with their parent.
//!
//! A child gets its instructions as one line of JSON on its standard input, so that keys do not show in the
//! list of processes, and works until that input ends: when the parent closes it, or when the parent is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `fairlane COMMAND` with its instructions. What it prints for people goes to our standard error.
    pub(crate) fn start(command: &str, instructions: &impl Serialize) -> anyhow::Result<Self> {
        Self::spawn(command, instructions, Stdio::null())
    }

    /// The same for a child that answers with one line of JSON when it is ready.
    pub(crate) fn start_and_hear<T: DeserializeOwned>(
        command: &str,
        instructions: &impl Serialize,
    ) -> anyhow::Result<(Self, T)> {
        let mut process = Self::spawn(command, instructions, Stdio::piped())?;
        let stdout = process.child.stdout.take().context("the child has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("cannot hear from the child")?;
        if line.is_empty() {
            let status = process.child.wait()?;
            bail!("the child process `fairlane {command}` ended before it was ready: {status}");
        }
        let ready = serde_json::from_str(&line)
            .with_context(|| format!("`fairlane {command}` said {line:?}"))?;
        Ok((process, ready))
    }

    fn spawn(command: &str, instructions: &impl Serialize, stdout: Stdio) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find this program's own file")?;
        let mut start = Command::new(&binary);
        start.arg(command).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::inherit());
        // Ctrl-c is for the parent, which then stops its children in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut start, 0);
        let mut child =
            start.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let mut stdin = child.stdin.take().context("the child has no input")?;
        let mut line = serde_json::to_vec(instructions)?;
        line.push(b'\n');
        stdin.write_all(&line).context("the child does not listen")?;
        Ok(Self { child, stdin: Some(stdin) })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to end; [`Process::join`] waits for that.
    pub(crate) fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end; one that takes longer than `patience` is killed.
    pub(crate) async fn join(mut self, patience: Duration) {
        self.ask_to_end();
        let until = Instant::now() + patience;
        while !self.has_ended() {
            if Instant::now() >= until {
                return self.kill();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(mut self) {
        self.end_at_once();
    }

    fn end_at_once(&mut self) {
        // It fails only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end_at_once();
        }
    }
}

/// In the child: reads the instructions.
pub(crate) fn instructions<T: DeserializeOwned>() -> anyhow::Result<T> {
    // Byte by byte, so that nothing behind the line is taken from whoever waits for the end of the input.
    let mut line = Vec::new();
    let mut byte = [0];
    let mut stdin = std::io::stdin().lock();
    while stdin.read(&mut byte).context("cannot read the instructions")? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    serde_json::from_slice(&line).context(
        "this command is for Fairlane's own child processes and takes JSON on its standard input",
    )
}

/// In the child: tells the parent that it is ready.
pub(crate) fn answer(ready: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(ready)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).context("the parent does not listen")
}

/// In the child: ends when the parent wants the child to end, or is gone.
pub(crate) async fn parent_is_done() {
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Nothing is ever sent: the read ends with the pipe.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        drop(done);
    });
    // The sender is dropped, never used.
    let _ = wait.await;
}
