//! Why a call did not give its answer.

use std::time::Duration;

use fairlane_api::{Code, Problem};

/// Why a call failed.
///
/// [`Error::Problem`] is the server's own answer. With every other one the server said nothing that this client
/// understood; after [`Error::Broken`] and [`Error::Timeout`] it may have done what it was asked all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{url:?} is not the address of a server: {expected}")]
    Url { url: String, expected: &'static str },
    #[error("the API key cannot be sent: it has a character that is not printable ASCII")]
    Key,
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    /// The server showed no certificate that is trusted, or none for this name, or does not speak TLS.
    #[error("no secure connection to {address}: {detail}")]
    Tls { address: String, detail: String },
    #[error("the connection to {address} broke before the answer was complete: {detail}")]
    Broken { address: String, detail: String },
    #[error("{address} did not answer within {after:?}")]
    Timeout { address: String, after: Duration },
    #[error("the authorities to trust cannot be read: {detail}")]
    Trust { detail: String },
    /// Nobody has signed in.
    #[error("signing in failed: {why}")]
    SignIn { why: String },
    /// The server refused, and says why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// An answer that does not follow the API: another kind of server, or a proxy between.
    #[error("the answer to {call} (status {status}) cannot be read: {detail}")]
    Answer { call: String, status: u16, detail: String },
    #[error("the value cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Error {
    /// The stable code of the server's refusal, if it is one that this version knows.
    ///
    /// ```
    /// use fairlane_client::{Error, api::{Code, Problem}};
    ///
    /// let error = Error::Problem(Box::new(Problem::new(Code::UnknownRun)));
    /// assert_eq!(error.code(), Some(Code::UnknownRun));
    /// assert_eq!(error.status(), Some(404));
    /// ```
    pub fn code(&self) -> Option<Code> {
        self.problem().and_then(Problem::code)
    }

    /// The server's refusal, if it is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The HTTP status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The server cannot be reached, or says that it can not serve now: another try may succeed.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Timeout { .. } => true,
            Self::Problem(problem) => problem.status == 503,
            Self::Answer { status, .. } => matches!(status, 502..=504),
            Self::Url { .. }
            | Self::Key
            | Self::Tls { .. }
            | Self::Trust { .. }
            | Self::SignIn { .. }
            | Self::Encode(_) => false,
        }
    }

    /// When the server would like to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem()?.retry_after_ms.map(Duration::from_millis)
    }

    /// Nothing of the request took effect, so that it can be sent again whatever it asks for.
    pub(crate) fn had_no_effect(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            // A commit that the store did not answer may have been made.
            Self::Problem(problem) => {
                problem.status == 503 && problem.code() != Some(Code::StoreUnavailable)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_may_have_taken_the_request() {
        let problem = |code| Error::Problem(Box::new(Problem::new(code)));
        assert!(problem(Code::StoreFull).had_no_effect());
        assert!(problem(Code::Overloaded).had_no_effect());
        assert!(!problem(Code::StoreUnavailable).had_no_effect());
        assert!(problem(Code::StoreUnavailable).is_unavailable());
    }
}
