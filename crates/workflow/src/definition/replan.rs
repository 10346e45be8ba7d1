//! `replan`: when the plan of a run is looked at again, by whom, and within which bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::id::{ModelName, StepName, ToolName, WorkflowName};
use fairlane_core::plan::{Expr, Judge, Retry, Step, StepKind, Timeouts};
use fairlane_core::replan::{Parts, REPLANS_DEFAULT, REPLANS_MAX, Replanning, Scope, Trigger};
use fairlane_core::review::{Kind as ReviewKind, Terms};

use super::expression::{self, Place, Use};
use super::graph::wrong_use;
use super::kind::{self, task_in_pool};
use super::part;
use super::reader::Reader;
use super::review;
use super::step::{EXPECTED_DEFAULT, MODEL_ATTEMPTS_DEFAULT};
use crate::mistake::Code;
use crate::revise::REVISION_SCHEMA;
use crate::tree::{Flaw, Node, Value, quote};

const FIELDS: &[&str] = &["on", "by", "scope", "max", "allow", "approval"];
const PLANNER_FIELDS: &[&str] = &[
    "task",
    "model",
    "review",
    "prompt",
    "system",
    "max_tokens",
    "min_tokens",
    "pool",
    "with",
    "retry",
    "timeout",
    "expect",
    "cost",
    "tool",
];
/// What a planner is given besides its `with`: what has happened, and the plan.
pub(super) const GIVEN: &str = "replan";
/// Steps that plan are called so, with their number behind it.
const PREFIX: &str = "replan_";
const TRIGGERS: &str = "failed, rejected, low_confidence, contradiction, budget";

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    steps: &[Step],
) -> Option<Arc<Replanning>> {
    let fields = reader.object(node, "a replan", FIELDS, &[])?;
    let expected = "a list of what makes the plan be looked at again, such as [failed]";
    let on = reader.required(&fields, node, "on", expected).and_then(|node| triggers(reader, node));
    let expected = "the task that plans, or a step that does: a task, a model or a review";
    let planner = reader
        .required(&fields, node, "by", expected)
        .and_then(|node| planner(reader, node, steps));
    let scope = match fields.get("scope") {
        Some(node) => scope(reader, node, steps),
        None => Some(Scope::default()),
    };
    let max = match fields.get("max") {
        Some(node) => {
            reader.whole(node, 1, REPLANS_MAX.into()).and_then(|max| u32::try_from(max).ok())
        }
        None => Some(REPLANS_DEFAULT),
    };
    let mut parts = Parts::default();
    for step in steps {
        parts.add(step);
    }
    if let Some(node) = fields.get("allow") {
        allow(reader, node, &mut parts);
    }
    let approval = fields.get("approval").and_then(|node| approval(reader, node));
    for step in steps.iter().filter(|step| is_reserved(&step.name)) {
        let message = format!("{} is what a step is called that plans", quote(step.name.as_str()));
        reader.at(node, Code::BadName, message, "another name for that step");
    }
    Some(Arc::new(Replanning {
        on: on?,
        planner: planner?,
        scope: scope?,
        max: max?,
        parts,
        approval,
    }))
}

/// Whether steps that plan are called so.
pub(crate) fn is_reserved(name: &StepName) -> bool {
    let number = name.as_str().strip_prefix(PREFIX);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn triggers(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeSet<Trigger>> {
    let mut found = BTreeSet::new();
    for node in list(reader, node, "what makes the plan be looked at again")? {
        let text = reader.text(node, TRIGGERS)?;
        let Some(trigger) = Trigger::ALL.into_iter().find(|one| one.code() == text) else {
            let message = format!("{} makes no plan be looked at again", quote(text));
            reader.at(node, Code::BadName, message, format!("one of {TRIGGERS}"));
            return None;
        };
        found.insert(trigger);
    }
    if found.is_empty() {
        reader.at(node, Code::OutOfRange, "the list is empty", format!("some of {TRIGGERS}"));
        return None;
    }
    Some(found)
}

fn planner(reader: &mut Reader<'_>, node: &Node, steps: &[Step]) -> Option<Step> {
    if let Value::Text(_) = &node.value {
        let (task, pool) = task_in_pool(reader, node, None)?;
        return Some(planner_step(StepKind::Task { task, pool }));
    }
    let mut fields = reader.object(node, "a step that plans", PLANNER_FIELDS, &[])?;
    let mut uses = Vec::new();
    reader.also_given = Some(GIVEN);
    let (which, kind) = kind::read(reader, node, &fields, &mut uses);
    reader.also_given = None;
    kind::refuse_fields(reader, which, &mut fields);
    let mut step = planner_step(match kind? {
        StepKind::Review(terms) => {
            let form = Some(Arc::from(REVISION_SCHEMA));
            StepKind::Review(Arc::new(Terms { form, ..(*terms).clone() }))
        }
        kind => kind,
    });
    if let Some(node) = fields.get("with") {
        // What it reads need not have run: then it is null.
        let with = expression::read_with(reader, node, Place::Compensation, &mut uses);
        if with.iter().any(|(name, _)| name == GIVEN) {
            let message = format!("{GIVEN} is given to every step that plans");
            reader.at(node, Code::Duplicate, message, "another name");
        }
        step.with.extend(with);
    }
    if let Some(node) = fields.get("retry") {
        step.retry = part::retry(reader, node)?;
    } else if matches!(step.kind, StepKind::Model(_)) {
        step.retry.attempts = MODEL_ATTEMPTS_DEFAULT;
    }
    if let Some(node) = fields.get("timeout") {
        step.timeout = part::timeouts(reader, node, which);
    }
    if let Some(node) = fields.get("expect") {
        step.expected = reader.span(node)?;
    }
    if let Some(node) = fields.get("cost") {
        step.cost_nano = part::cost(reader, node)?;
    }
    if let Some(node) = fields.get("tool") {
        step.tool = reader.name(node, "a tool", ToolName::parse);
    }
    check(reader, &uses, steps);
    Some(step)
}

fn check(reader: &mut Reader<'_>, uses: &[Use], steps: &[Step]) {
    let index: BTreeMap<StepName, usize> =
        steps.iter().enumerate().map(|(at, step)| (step.name.clone(), at)).collect();
    let reads = name();
    for used in uses {
        if let Some((code, message, expected)) = wrong_use(used, &reads, &index, None) {
            reader.report(Flaw { at: used.at, path: used.path.clone(), code, message, expected });
        }
    }
}

fn name() -> StepName {
    StepName::parse(GIVEN).expect("the name is one")
}

fn planner_step(kind: StepKind) -> Step {
    let is_review = matches!(kind, StepKind::Review(_));
    Step {
        name: name(),
        kind,
        after: Vec::new(),
        when: None,
        with: vec![(GIVEN.to_owned(), Expr(Arc::from("null")))],
        retry: Retry::default(),
        timeout: Timeouts::default(),
        optional: false,
        map: None,
        compensate: None,
        tool: None,
        cost_nano: 0,
        expected: EXPECTED_DEFAULT,
        // What people fill in is checked as their form.
        output_schema: (!is_review).then(|| Arc::from(REVISION_SCHEMA)),
        judge: Judge::default(),
    }
}

fn scope(reader: &mut Reader<'_>, node: &Node, steps: &[Step]) -> Option<Scope> {
    let expected = "downstream, all, or a list of steps";
    if let Value::Text(text) = &node.value {
        return match text.as_str() {
            "downstream" => Some(Scope::Downstream),
            "all" => Some(Scope::All),
            other => {
                let message = format!("{} is no scope", quote(other));
                reader.at(node, Code::BadName, message, expected);
                None
            }
        };
    }
    let mut names = BTreeSet::new();
    for node in list(reader, node, "the name of a step")? {
        let name = reader.name(node, "a step", StepName::parse)?;
        if !steps.iter().any(|step| step.name == name) {
            let message = format!("there is no step {}", quote(name.as_str()));
            reader.at(node, Code::UnknownStep, message, "the name of a step of this workflow");
        }
        names.insert(name);
    }
    Some(Scope::Steps(names))
}

/// What is read of it before a mistake is no matter: the workflow is refused.
fn allow(reader: &mut Reader<'_>, node: &Node, parts: &mut Parts) -> Option<()> {
    let known = ["tasks", "tools", "models", "workflows"];
    let fields = reader.object(node, "what a revision may use besides", &known, &[])?;
    if let Some(node) = fields.get("tasks") {
        for node in list(reader, node, "a task, or { task, pool }")? {
            let found = if let Value::Object(_) = node.value {
                let fields = reader.object(node, "a task", &["task", "pool"], &[])?;
                let task = reader.required(&fields, node, "task", "the name of the task")?;
                task_in_pool(reader, task, fields.get("pool").copied())?
            } else {
                task_in_pool(reader, node, None)?
            };
            parts.tasks.insert((found.1, found.0));
        }
    }
    if let Some(node) = fields.get("tools") {
        for node in list(reader, node, "the name of a tool")? {
            parts.tools.insert(reader.name(node, "a tool", ToolName::parse)?);
        }
    }
    if let Some(node) = fields.get("models") {
        for node in list(reader, node, "the name of a model")? {
            parts.models.insert(reader.name(node, "a model", ModelName::parse)?);
        }
    }
    if let Some(node) = fields.get("workflows") {
        for node in list(reader, node, "the name of a workflow")? {
            parts.workflows.insert(reader.name(node, "a workflow", WorkflowName::parse)?);
        }
    }
    Some(())
}

/// `true`, or the terms of a review. `None` if nobody is asked, or the terms have a mistake.
fn approval(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<Terms>> {
    if let Value::Bool(is_asked) = node.value {
        let terms = Terms { kind: ReviewKind::Approval, ..Terms::default() };
        return is_asked.then(|| Arc::new(terms));
    }
    match review::read(reader, node)? {
        StepKind::Review(terms) => {
            let terms = Terms { kind: ReviewKind::Approval, ..(*terms).clone() };
            Some(Arc::new(terms))
        }
        _ => None,
    }
}

/// Most entries of a list here.
const LIST_MAX: usize = 500;

fn list<'n>(reader: &mut Reader<'_>, node: &'n Node, what: &str) -> Option<&'n [Node]> {
    let Value::List(items) = &node.value else {
        reader.wrong_type(node, &format!("a list, each {what}"));
        return None;
    };
    if items.len() > LIST_MAX {
        let message = format!("the list has {} entries", items.len());
        reader.at(node, Code::TooLarge, message, format!("at most {LIST_MAX}"));
        return None;
    }
    Some(items)
}
