//! The workflow file format: parsing with all mistakes at once, expressions, schedules, schemas.
//!
//! [`parse`] turns a YAML or JSON text into the [`Workflow`](fairlane_core::plan::Workflow) that the cell runs.
//! [`Evaluator`] computes the expressions in it on the payloads of a run. [`next_fire`] says when a schedule is
//! due, [`revise`] makes the plan that a planner proposes, [`Template`] makes what models and tools are sent. All are pure: no clock, no files (a caller hands them in), no network; and all are bounded, because the
//! texts come from tenants.
//!
//! Knows nothing of stores, servers or scheduling.

mod definition;
mod evaluate;
pub mod expr;
mod mistake;
mod revise;
mod schedule;
mod schema;
mod scope;
mod span;
mod template;
pub mod tree;

pub use definition::{
    Files, Known, Source, definition_of, inline, no_files, parse, without_schedules,
};
pub use evaluate::{EvalError, Evaluator};
pub use expr::{Fault, Refs};
pub use mistake::{Code, MISTAKES_MAX, Mistake, Position};
pub use revise::{REVISION_SCHEMA, revise};
pub use schedule::next_fire;
pub use schema::{SCHEMA_BYTES_MAX, VIOLATIONS_MAX, Violation};
pub use scope::{Item, STATUSES, Scope, StepResult, tenant_json};
pub use span::{
    EXAMPLE as SPAN_EXAMPLE, SPAN_MAX, parse as parse_span, parse_range as parse_span_range,
    show as show_span,
};
pub use template::{Mode, Template, TemplateError, TemplateMistake};
pub use tree::{DEPTH_MAX, Format, SOURCE_BYTES_MAX};

/// The JSON Schema of the format (draft 2020-12), as it is published in `docs/reference/workflow.schema.json`.
pub const SCHEMA: &str = include_str!("../../../docs/reference/workflow.schema.json");

#[cfg(test)]
mod tests;
