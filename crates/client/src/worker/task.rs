//! Tasks: async functions with typed inputs and outputs, and how they fail.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use fairlane_api::Json;
use fairlane_api::worker::Failed;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;

/// Longest that a provider may ask to be left alone.
const DAY_MS: u64 = 86_400_000;

/// Classes of failures that the SDK itself reports.
pub mod class {
    /// The worker has no task of that name.
    pub const UNKNOWN_TASK: &str = "unknown-task";
    /// The input is not what the task takes.
    pub const INVALID_INPUT: &str = "invalid-input";
    /// The output cannot be written as JSON.
    pub const INVALID_OUTPUT: &str = "invalid-output";
    /// The server does not take the output: too large, or nested too deeply.
    pub const OUTPUT_NOT_TAKEN: &str = "output-not-taken";
    /// The task panicked.
    pub const PANIC: &str = "panic";
    /// The lease was revoked, and the task stopped.
    pub const CANCELLED: &str = "cancelled";
    /// An error that came through `?`.
    pub const ERROR: &str = "error";
}

/// A failed attempt: a stable class for programs, a message for people, and whether another attempt may succeed.
///
/// Every `std::error::Error` becomes a retryable one of class `error` through `?`, with its sources in the
/// message.
///
/// ```
/// use fairlane_client::worker::TaskError;
///
/// fn parse(text: &str) -> Result<u32, TaskError> {
///     Ok(text.parse::<u32>()?)
/// }
/// assert_eq!(parse("x").unwrap_err().class(), "error");
///
/// let error = TaskError::fatal("applicant-unknown", "no applicant has this number");
/// assert!(!error.is_retryable());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskError {
    class: String,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
    is_provider_down: bool,
    contradicts: Vec<String>,
}

impl TaskError {
    /// Another attempt may succeed: the step's retry policy decides.
    pub fn retryable(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(class.into(), message.into(), true)
    }

    /// No further attempt can succeed.
    pub fn fatal(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(class.into(), message.into(), false)
    }

    const fn new(class: String, message: String, retryable: bool) -> Self {
        Self {
            class,
            message,
            retryable,
            retry_after: None,
            is_provider_down: false,
            contradicts: Vec::new(),
        }
    }

    /// The provider of the step's tool asked to be left alone for so long (HTTP 429, `Retry-After`). The server keeps the
    /// calls of all tenants back until then; after that one call at a time tries it. At most a day.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use fairlane_client::worker::TaskError;
    ///
    /// let busy = TaskError::retryable("bureau-busy", "429").retry_after(Duration::from_secs(30));
    /// assert!(busy.is_retryable());
    /// ```
    #[must_use]
    pub fn retry_after(self, span: Duration) -> Self {
        Self { retry_after: Some(span), ..self }
    }

    /// The provider of the step's tool did not answer, or answered with an error of its own (HTTP 5xx). So many of these in
    /// a row open the tool's breaker.
    #[must_use]
    pub fn provider_down(self) -> Self {
        Self { is_provider_down: true, ..self }
    }

    /// What these steps before it handed on cannot be true. Their outputs are in doubt from now on, and no further attempt
    /// is made; a workflow that says so has its plan looked at again.
    ///
    /// ```
    /// use fairlane_client::worker::TaskError;
    ///
    /// let error = TaskError::contradiction(["credit"], "the income is below the debts that it pays");
    /// assert_eq!(error.class(), "contradiction");
    /// ```
    pub fn contradiction<S: Into<String>>(
        steps: impl IntoIterator<Item = S>,
        message: impl Into<String>,
    ) -> Self {
        let contradicts = steps.into_iter().map(Into::into).collect();
        Self { contradicts, ..Self::fatal("contradiction", message) }
    }

    pub fn class(&self) -> &str {
        &self.class
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }

    pub(super) fn into_report(self) -> Failed {
        let millis =
            |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX).clamp(1, DAY_MS);
        Failed {
            class: self.class,
            message: self.message,
            retryable: self.retryable,
            cost: None,
            retry_after_ms: self.retry_after.map(millis),
            provider_down: self.is_provider_down,
            contradicts: self.contradicts,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

// It is no `std::error::Error` itself, or this would overlap with the identity.
impl<E: std::error::Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::retryable(class::ERROR, message)
    }
}

pub(super) type Attempt = Pin<Box<dyn Future<Output = Result<Json, TaskError>> + Send>>;
type Handler = Box<dyn Fn(Context) -> Attempt + Send + Sync>;

/// The tasks that a worker knows.
#[derive(Default)]
pub(super) struct Tasks {
    named: BTreeMap<String, Handler>,
    fallback: Option<Handler>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.named.keys()).finish()
    }
}

impl Tasks {
    pub(super) fn insert(&mut self, name: String, handler: Handler) {
        self.named.insert(name, handler);
    }

    pub(super) fn set_fallback(&mut self, handler: Handler) {
        self.fallback = Some(handler);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.fallback.is_none()
    }

    /// The attempt of a lease, not begun.
    pub(super) fn attempt(&self, context: Context) -> Attempt {
        match self.named.get(context.task()).or(self.fallback.as_ref()) {
            Some(handler) => handler(context),
            None => Box::pin(async move {
                // Another worker of the pool may know it: a rolling upgrade.
                let message = format!("this worker has no task {:?}", context.task());
                Err(TaskError::retryable(class::UNKNOWN_TASK, message))
            }),
        }
    }
}

/// Forgets the types of a task.
pub(super) fn erase<Task, Running, In, Out>(task: Task) -> Handler
where
    Task: Fn(Context, In) -> Running + Send + Sync + 'static,
    Running: Future<Output = Result<Out, TaskError>> + Send + 'static,
    In: DeserializeOwned,
    Out: Serialize,
{
    Box::new(move |context| {
        let input = match serde_json::from_str(context.lease().input.get()) {
            Ok(input) => input,
            Err(error) => {
                let error = TaskError::fatal(class::INVALID_INPUT, error.to_string());
                return Box::pin(std::future::ready(Err(error)));
            }
        };
        let running = task(context, input);
        Box::pin(async move {
            serde_json::value::to_raw_value(&running.await?)
                .map_err(|error| TaskError::fatal(class::INVALID_OUTPUT, error.to_string()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_said_is_in_the_report_within_the_bounds_of_the_server() {
        let busy = || TaskError::retryable("busy", "429");
        let says = |error: TaskError| {
            let report = error.into_report();
            (report.retry_after_ms, report.provider_down)
        };
        assert_eq!(says(busy()), (None, false));
        assert_eq!(says(busy().provider_down()), (None, true));
        for (span, millis) in [
            (Duration::from_secs(30), 30_000),
            (Duration::from_micros(1), 1),
            (Duration::MAX, DAY_MS),
        ] {
            assert_eq!(says(busy().retry_after(span)), (Some(millis), false));
        }
    }
}
