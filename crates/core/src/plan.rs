//! A workflow version as the cell runs it: compiled, checked, immutable.
//!
//! The file format lives in `fairlane-workflow`, which turns text into these types and reports the mistakes
//! in it. Expressions stay opaque here: the cell asks its surroundings to evaluate them (see
//! the effect `Evaluate`) and gets a value back as an input, so that no payload has to be in memory
//! and no expression engine in the core.
//!
//! INVARIANT: `steps` of a workflow that was declared is in topological order of `after`. In the plan of a run that was
//! revised, steps keep their places and new ones follow, so that one can come after a step behind it.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::id::{ModelName, PoolName, SignalName, StepName, TaskName, ToolName, WorkflowName};
use crate::replan::{Replanning, Revised};
use crate::review::Terms;
use crate::time::Span;

/// Most steps in one workflow.
pub const STEPS_MAX: usize = 500;
/// Most items that one `map` may fan out to.
pub const MAP_ITEMS_MAX: u32 = 10_000;
/// Most versions of one workflow that are kept.
pub const VERSIONS_MAX: u32 = 1_000_000;

/// Index of a step in [`Workflow::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepIndex(pub u16);

/// One version of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    pub name: WorkflowName,
    pub version: u32,
    /// The definition as the author wrote it (YAML or JSON text), kept so that it can be shown.
    pub source: Arc<str>,
    /// JSON Schema of the input, as JSON text.
    pub input_schema: Option<Arc<str>>,
    /// Where in the input it says whom or what the run is about: names of members with dots between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Arc<str>>,
    pub steps: Vec<Step>,
    /// Bound on the whole run, from admission to its end.
    pub timeout: Option<Span>,
    pub schedules: Vec<Schedule>,
    /// Its runs may change their plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replan: Option<Arc<Replanning>>,
    /// How it came to be another one than was declared.
    #[serde(default, skip_serializing_if = "Revised::is_plain")]
    pub revised: Revised,
}

/// A node of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: StepName,
    pub kind: StepKind,
    pub after: Vec<StepIndex>,
    /// The step is skipped if this does not evaluate to `true`.
    pub when: Option<Expr>,
    /// Named inputs. What is not named here is not given to the worker.
    pub with: Vec<(String, Expr)>,
    pub retry: Retry,
    pub timeout: Timeouts,
    /// A failure of the step does not fail the run.
    pub optional: bool,
    pub map: Option<Map>,
    pub compensate: Option<Compensation>,
    /// The tool that the step calls: steps of one tool share a gate class.
    pub tool: Option<ToolName>,
    /// Estimated cost in nano-units of the platform's currency.
    pub cost_nano: u64,
    /// Expected duration of one attempt; decides the slot class (short or long).
    pub expected: Span,
    /// JSON Schema of the output, as JSON text. An output that breaks it is a failed attempt.
    pub output_schema: Option<Arc<str>>,
    /// What else is asked of an output.
    #[serde(default, skip_serializing_if = "Judge::asks_nothing")]
    pub judge: Judge,
}

/// Expressions on a step's own output, which they read as any other: `steps.NAME.output`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// An output for which it is not `true` is a failed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Expr>,
    /// How sure the step is, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Expr>,
    /// How sure it must be; `None`: the tenant's attribute `confidence_threshold`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<Expr>,
}

impl Judge {
    pub fn asks_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Executed by a worker of the pool.
    Task { task: TaskName, pool: PoolName },
    /// Waits; holds nothing.
    Wait(Wait),
    /// The server calls a model.
    Model(Box<ModelCall>),
    /// The server calls the step's tool.
    Tool,
    /// Runs a child workflow for the same tenant. No version: the newest one at that moment.
    Call { workflow: WorkflowName, version: Option<u32> },
    /// People decide; holds nothing.
    Review(Arc<Terms>),
}

/// A call of a model, made by the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    pub model: ModelName,
    /// Templates, filled from the step's `with`.
    pub system: Option<Arc<str>>,
    pub prompt: Arc<str>,
    /// Most tokens that may come out.
    pub max_tokens: u32,
    /// The least that is worth a call, where money or the model's context is short.
    pub min_tokens: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    For(Span),
    /// An RFC 3339 time, given by an expression.
    Until(Expr),
    /// The next unconsumed signal of that name; its payload becomes the output. The bound is `timeout.step`.
    Signal(SignalName),
}

/// A CEL expression that has been parsed, checked and found within the caps; the text is the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expr(pub Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// All tries together, the first included; at least 1.
    pub attempts: u32,
    /// Wait before the second attempt; doubled for each further one.
    pub backoff_min: Span,
    pub backoff_max: Span,
    /// Part of the wait that is drawn at random, in thousandths (500: between half and all of it).
    pub jitter_permille: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 1,
            backoff_min: Span::from_secs(1),
            backoff_max: Span::from_secs(30),
            jitter_permille: 500,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Bound on one wait for a slot. Past it the step fails without an attempt.
    pub queue: Option<Span>,
    /// Bound on one attempt: timeouts are what make fairness a bound, so every step has one.
    pub attempt: Span,
    /// Bound on the step, from ready to done, over all attempts.
    pub step: Option<Span>,
}

impl Timeouts {
    pub const ATTEMPT_DEFAULT: Span = Span::from_secs(300);
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { queue: None, attempt: Self::ATTEMPT_DEFAULT, step: None }
    }
}

/// Fan-out: the step once for each item of a list. Its output is the list of the items' outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// Evaluates to a list. Inside `with` the item is `item` and its position is `index`.
    pub over: Expr,
    /// Items that may be ready or running at once; at least 1.
    pub parallel: u32,
    /// A longer list fails the step; at most [`MAP_ITEMS_MAX`].
    pub items_max: u32,
}

/// What undoes a completed step after the run has failed or was cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compensation {
    pub task: TaskName,
    pub pool: PoolName,
    pub with: Vec<(String, Expr)>,
    pub retry: Retry,
    pub attempt_timeout: Span,
}

/// A cron schedule that starts runs of the workflow for one tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub name: StepName,
    pub tenant: crate::id::TenantId,
    /// Five or six fields, as the cron library reads them.
    pub cron: Arc<str>,
    /// IANA name, such as `Europe/Berlin`.
    pub time_zone: Arc<str>,
    pub overlap: Overlap,
    /// Input of the runs, as JSON text.
    pub input: Arc<str>,
}

/// What a schedule does when its last run has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Leave this time out.
    #[default]
    Skip,
    /// Start one run when the last has ended; further times meanwhile are left out.
    Queue,
    /// Start it beside the last.
    Allow,
}

/// The pool of the steps that the server does itself, with the slots for its calls.
pub static SERVER_POOL: LazyLock<PoolName> =
    LazyLock::new(|| PoolName::parse("server").expect("the name is one"));

impl StepKind {
    /// Where its work is done, if it takes a slot.
    pub fn pool(&self) -> Option<&PoolName> {
        match self {
            Self::Task { pool, .. } => Some(pool),
            Self::Model(_) | Self::Tool => Some(&SERVER_POOL),
            Self::Wait(_) | Self::Call { .. } | Self::Review(_) => None,
        }
    }
}

impl Workflow {
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.steps[usize::from(index.0)]
    }

    /// Whether the step is one of the plan, and none that plans.
    pub fn has(&self, index: StepIndex) -> bool {
        !self.revised.dropped.contains(&index) && !self.revised.planners.contains(&index)
    }

    /// Index and step, in the order of their places.
    pub fn indexed(&self) -> impl Iterator<Item = (StepIndex, &Step)> {
        self.steps.iter().enumerate().map(|(at, step)| {
            (StepIndex(u16::try_from(at).expect("a workflow has at most STEPS_MAX steps")), step)
        })
    }
}
