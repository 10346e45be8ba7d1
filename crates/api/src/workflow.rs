//! Workflow versions as they are listed and read. A definition itself travels as YAML or JSON text.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer to `PUT /v1/workflows/{workflow}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedWorkflow {
    pub workflow: String,
    pub version: u32,
    /// False if this version already stood with the same content.
    pub changed: bool,
    /// Nothing was written: the request said `dry_run=true`. `changed` is then always false.
    #[serde(default)]
    pub dry_run: bool,
}

/// An entry of the list of workflows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowSummary {
    pub name: String,
    /// The newest version.
    pub version: u32,
    /// How many steps the newest version has.
    pub steps: u32,
}

/// One version of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Workflow {
    pub name: String,
    pub version: u32,
    /// All versions, newest first, at most 100.
    pub versions: Vec<u32>,
    /// In an order in which each step comes after those that it waits for.
    pub steps: Vec<WorkflowStep>,
    /// The definition as its author wrote it. For a tenant's key: as JSON, without schedules and comments.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowStep {
    pub name: String,
    pub kind: StepKind,
    pub after: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The workflow that a `call` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<String>,
    pub optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Task,
    /// The server calls a model.
    Model,
    /// The server calls the tool.
    Tool,
    Map,
    Wait,
    Call,
    /// People decide.
    Review,
}
