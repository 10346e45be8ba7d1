//! Exit codes: what each means, and which one an error leads to.

use std::fmt;
use std::process::ExitCode;

/// How the process ends. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Ok = 0,
    /// The command did its work, and the answer is no: the run failed, the file has mistakes.
    Negative = 1,
    /// The command line cannot be understood, or names something that is not there.
    Usage = 2,
    /// The server refused (4xx).
    Refused = 3,
    /// The server cannot be reached, or cannot serve now (5xx).
    Unavailable = 4,
    /// Something on this machine: a file, a port, a store.
    Local = 5,
    /// Interrupted before the work was finished.
    Interrupted = 130,
}

/// Shown at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    done, and the answer is no: the run failed, the file has mistakes
  2    the command line is wrong
  3    the server refused (4xx)
  4    the server cannot be reached, or cannot serve now (5xx)
  5    something on this machine is in the way: a file, a port, a store
  130  interrupted before the work was finished";

/// The answer is no. The message may be empty if all was said.
#[derive(Debug)]
pub(crate) struct Negative(pub(crate) String);

/// The command line is wrong in a way that its grammar does not say.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// Interrupted.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Negative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted before the work was finished")
    }
}

impl std::error::Error for Negative {}
impl std::error::Error for Usage {}
impl std::error::Error for Interrupted {}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// The code for an error, by the first of its causes that says so.
pub(crate) fn code(error: &anyhow::Error) -> Code {
    error.chain().find_map(known).unwrap_or(Code::Local)
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Code> {
    use fairlane_client::worker;
    if cause.is::<Negative>() {
        return Some(Code::Negative);
    }
    if cause.is::<Usage>() {
        return Some(Code::Usage);
    }
    if cause.is::<Interrupted>() {
        return Some(Code::Interrupted);
    }
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        // Whoever read the output has what it wanted.
        return (error.kind() == std::io::ErrorKind::BrokenPipe).then_some(Code::Ok);
    }
    match cause.downcast_ref::<worker::Error>() {
        Some(worker::Error::Interrupted) => return Some(Code::Interrupted),
        Some(worker::Error::Refused(error)) => return Some(of_call(error)),
        _ => {}
    }
    cause.downcast_ref::<fairlane_client::Error>().map(of_call)
}

fn of_call(error: &fairlane_client::Error) -> Code {
    use fairlane_client::Error;
    match error {
        Error::Url { .. } | Error::Key | Error::Encode(_) => Code::Usage,
        error => match error.status() {
            Some(400..500) => Code::Refused,
            _ => Code::Unavailable,
        },
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use fairlane_api::{Code as Problems, Problem};

    use super::*;

    fn problem(code: Problems) -> anyhow::Error {
        fairlane_client::Error::Problem(Box::new(Problem::new(code))).into()
    }

    #[test]
    fn an_error_s_cause_decides_however_deep_it_is() {
        let rows = [
            (problem(Problems::UnknownRun), Code::Refused),
            (problem(Problems::ValveClosed), Code::Unavailable),
            (problem(Problems::Internal), Code::Unavailable),
            (
                Err::<(), _>(problem(Problems::Forbidden)).context("while").unwrap_err(),
                Code::Refused,
            ),
            (Usage(String::new()).into(), Code::Usage),
            (Negative(String::new()).into(), Code::Negative),
            (std::io::Error::from(std::io::ErrorKind::NotFound).into(), Code::Local),
            (std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(), Code::Ok),
            (anyhow::anyhow!("something"), Code::Local),
        ];
        for (error, expected) in rows {
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }
}
