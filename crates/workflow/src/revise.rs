//! A revision of a plan: from what a planner answers to the plan as it would be.
//!
//! The answer names changes; they are made on the definition that the plan follows, and that is read like any other, so
//! that a revision meets every check that a workflow meets: cycles, expressions, schemas, bounds. Steps keep their places,
//! new ones follow, since rows name steps by place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::id::StepName;
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::replan::Revision;
use fairlane_core::review::Digest;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::definition::{Known, Source, is_reserved, no_files, parse};
use crate::mistake::Mistake;
use crate::tree::{self, Format, quote};

/// JSON Schema of a revision, as planners are asked for it.
pub const REVISION_SCHEMA: &str = r#"{"type":"object","required":["reason"],"additionalProperties":false,"properties":{"reason":{"type":"string","minLength":1,"maxLength":4096},"steps":{"type":"object"},"drop":{"type":"array","items":{"type":"string"},"uniqueItems":true},"redo":{"type":"array","items":{"type":"string"},"uniqueItems":true},"distrust":{"type":"array","items":{"type":"string"},"uniqueItems":true}}}"#;

/// Mistakes that a message names.
const SHOWN_MAX: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    reason: String,
    /// New steps, and other definitions of steps that are there.
    #[serde(default)]
    steps: Map<String, Json>,
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    redo: Vec<String>,
    #[serde(default)]
    distrust: Vec<String>,
}

/// The plan as the answer would have it, or a sentence that says what is wrong with the answer.
///
/// `answer` is JSON; `digest` is its digest. Takes time in the length of the definition.
pub fn revise(plan: &Workflow, answer: &[u8], digest: Digest) -> Result<Revision, String> {
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer is no revision: {error}"))?;
    let mut definition = definition(plan)?;
    let steps = definition
        .get_mut("steps")
        .and_then(Json::as_object_mut)
        .ok_or("the definition of the plan cannot be read")?;
    let places = Places::of(plan);
    let dropped = places.all(&answer.drop, "drop")?;
    let redo = places.all(&answer.redo, "redo")?;
    let distrust = places.all(&answer.distrust, "distrust")?;
    let mut changed = BTreeSet::new();
    for (name, step) in answer.steps {
        if answer.drop.contains(&name) {
            return Err(format!("{} is both dropped and given in `steps`", quote(&name)));
        }
        match places.by_name.get(name.as_str()) {
            Some(place) if places.is_there(*place) => {
                changed.extend((steps.get(&name) != Some(&step)).then_some(*place));
            }
            Some(_) => {
                return Err(format!("{} was the name of a step that is no more", quote(&name)));
            }
            None if StepName::parse(&name).is_ok_and(|name| is_reserved(&name)) => {
                return Err(format!("{} is what a step is called that plans", quote(&name)));
            }
            None => {}
        }
        steps.insert(name, step);
    }
    for name in &answer.drop {
        steps.remove(name);
    }
    if steps.is_empty() {
        return Err("the plan would have no steps".to_owned());
    }
    let text = serde_json::to_string(&definition).map_err(|error| error.to_string())?;
    let source = Source { text: &text, format: Format::Json, file: "revision" };
    let read = parse(&source, &Known::default(), &no_files).map_err(|all| in_words(&all))?;
    let (plan, added) = places.put(plan, read, &dropped);
    Ok(Revision {
        plan: Arc::new(plan),
        reason: answer.reason.into(),
        added,
        changed,
        dropped,
        redo,
        distrust,
        digest,
    })
}

/// What the plan follows, as JSON. Steps that plan are not in it.
fn definition(plan: &Workflow) -> Result<Map<String, Json>, String> {
    let (root, _) = tree::read(&plan.source, Format::Auto, "");
    match root.map(|root| root.to_json()) {
        Some(Json::Object(definition)) => Ok(definition),
        _ => Err("the definition of the plan cannot be read".to_owned()),
    }
}

/// Where the steps of a plan are.
struct Places<'p> {
    plan: &'p Workflow,
    by_name: BTreeMap<&'p str, StepIndex>,
}

impl<'p> Places<'p> {
    fn of(plan: &'p Workflow) -> Self {
        let by_name = plan.indexed().map(|(index, step)| (step.name.as_str(), index)).collect();
        Self { plan, by_name }
    }

    fn is_there(&self, step: StepIndex) -> bool {
        self.plan.has(step)
    }

    fn all(&self, names: &[String], field: &str) -> Result<BTreeSet<StepIndex>, String> {
        let find = |name: &String| {
            let found = self.by_name.get(name.as_str()).copied();
            found.filter(|step| self.is_there(*step)).ok_or_else(|| {
                format!("`{field}` names {}, which is no step of the plan", quote(name))
            })
        };
        names.iter().map(find).collect()
    }

    /// The plan with the steps that were read at their places, and which of them are new.
    fn put(
        &self,
        plan: &Workflow,
        read: Workflow,
        dropped: &BTreeSet<StepIndex>,
    ) -> (Workflow, BTreeSet<StepIndex>) {
        let mut next = plan.steps.len();
        let mut places = Vec::with_capacity(read.steps.len());
        let mut added = BTreeSet::new();
        for step in &read.steps {
            let known = self.by_name.get(step.name.as_str()).copied();
            places.push(known.unwrap_or_else(|| {
                let place = StepIndex(u16::try_from(next).unwrap_or(u16::MAX));
                next += 1;
                added.insert(place);
                place
            }));
        }
        let mut revised = plan.clone();
        for (at, mut step) in read.steps.into_iter().enumerate() {
            for before in &mut step.after {
                *before = places[usize::from(before.0)];
            }
            let place = usize::from(places[at].0);
            if place < revised.steps.len() {
                revised.steps[place] = step;
            } else {
                revised.steps.push(step);
            }
        }
        revised.source = read.source;
        revised.revised.dropped.extend(dropped);
        (revised, added)
    }
}

fn in_words(mistakes: &[Mistake]) -> String {
    let shown: Vec<String> = mistakes
        .iter()
        .take(SHOWN_MAX)
        .map(|one| format!("{}: {}; expected {}", one.path, one.message, one.expected))
        .collect();
    let more = match mistakes.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("the plan that it makes is none: {}{more}", shown.join("; "))
}

#[cfg(test)]
mod tests;
