//! A step that people do: what they are asked, who may decide, and what becomes of it when nobody does.

use std::collections::BTreeSet;

use fairlane_core::id::{
    CertificateName, NameError, OutcomeName, PersonId, ReviewerPoolName, SkillName,
};
use fairlane_core::plan::StepKind;
use fairlane_core::review::{
    CLASSES, DUE_MAX, EXCLUDED_MAX, Escalation, Kind, LADDER_MAX, NAMES_MAX, OUTCOMES_MAX, Outcome,
    Overdue, PERSONS_MAX, Terms,
};
use fairlane_core::time::Span;

use super::part;
use super::reader::Reader;
use crate::mistake::Code;
use crate::tree::{Node, Value, quote};

const FIELDS: &[&str] = &[
    "form",
    "due",
    "persons",
    "pool",
    "kind",
    "skills",
    "certifications",
    "exclude",
    "escalate",
    "outcomes",
    "on_overdue",
];

/// Whoever submitted the run: excluded always, and may be named.
const REQUESTER: &str = "requester";
/// What `on_overdue` says where the step is to fail.
const FAIL: &str = "fail";

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<StepKind> {
    let fields = reader.object(node, "a review", FIELDS, &[])?;
    let mut terms = Terms::default();
    if let Some(node) = fields.get("form") {
        terms.form = part::schema(reader, node);
    }
    if let Some(node) = fields.get("due") {
        terms.due = within(reader, node)?;
    }
    if let Some(node) = fields.get("persons") {
        let persons = reader.whole(node, 1, PERSONS_MAX.into())?;
        terms.persons = u32::try_from(persons).ok()?;
    }
    if let Some(node) = fields.get("pool") {
        terms.pool = Some(reader.name(node, "a reviewer pool", ReviewerPoolName::parse)?);
    }
    if let Some(node) = fields.get("kind") {
        terms.kind = kind(reader, node)?;
    }
    if let Some(node) = fields.get("skills") {
        terms.skills = names(reader, node, (NAMES_MAX, "a skill"), SkillName::parse)?;
    }
    if let Some(node) = fields.get("certifications") {
        let what = (NAMES_MAX, "a certificate");
        terms.certifications = names(reader, node, what, CertificateName::parse)?;
    }
    if let Some(node) = fields.get("exclude") {
        let mut exclude = names(reader, node, (EXCLUDED_MAX, "a person"), PersonId::parse)?;
        exclude.retain(|person| person.as_str() != REQUESTER);
        terms.exclude = exclude;
    }
    if let Some(node) = fields.get("escalate") {
        terms.escalate = ladder(reader, node)?;
    }
    if let Some(node) = fields.get("outcomes") {
        terms.outcomes = outcomes(reader, node)?;
    }
    if let Some(node) = fields.get("on_overdue") {
        terms.on_overdue = overdue(reader, node, &terms)?;
    }
    Some(StepKind::Review(terms.into()))
}

fn within(reader: &mut Reader<'_>, node: &Node) -> Option<Span> {
    let span = reader.span(node)?;
    if span > DUE_MAX {
        reader.at(node, Code::TooLarge, "the time is too long", "at most 366d");
        return None;
    }
    Some(span)
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<Kind> {
    let expected = "review, approval or escalation";
    match reader.text(node, expected)? {
        "review" => Some(Kind::Review),
        "approval" => Some(Kind::Approval),
        "escalation" => Some(Kind::Escalation),
        other => {
            let message = format!("{} is no kind of review", quote(other));
            reader.at(node, Code::BadName, message, expected);
            None
        }
    }
}

fn items<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    (max, what): (usize, &str),
) -> Option<&'n [Node]> {
    let Value::List(items) = &node.value else {
        reader.wrong_type(node, &format!("a list, each {what}"));
        return None;
    };
    if items.len() > max {
        let message = format!("the list has {} entries", items.len());
        reader.at(node, Code::OutOfRange, message, format!("at most {max}"));
        return None;
    }
    Some(items)
}

fn names<T: Ord>(
    reader: &mut Reader<'_>,
    node: &Node,
    (max, what): (usize, &str),
    parse: fn(&str) -> Result<T, NameError>,
) -> Option<BTreeSet<T>> {
    let mut names = BTreeSet::new();
    let mut is_right = true;
    for node in items(reader, node, (max, what))? {
        let name = reader.name(node, what, parse);
        let is_new = name.map(|name| names.insert(name));
        if is_new == Some(false) {
            reader.at(node, Code::Duplicate, "it is named twice", "each name once");
        }
        is_right &= is_new == Some(true);
    }
    is_right.then_some(names)
}

fn ladder(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Escalation>> {
    let rungs = items(reader, node, (LADDER_MAX, "a rung such as { pool: seniors, within: 2h }"))?;
    let read: Vec<Option<Escalation>> = rungs.iter().map(|node| rung(reader, node)).collect();
    read.into_iter().collect()
}

fn rung(reader: &mut Reader<'_>, node: &Node) -> Option<Escalation> {
    let fields = reader.object(node, "a rung", &["pool", "class", "notify", "within"], &[])?;
    let within = reader
        .required(&fields, node, "within", "the time until the next rung, such as 2h")
        .and_then(|node| within(reader, node));
    let pool = match fields.get("pool") {
        Some(node) => Some(reader.name(node, "a reviewer pool", ReviewerPoolName::parse)?),
        None => None,
    };
    let class = match fields.get("class") {
        Some(node) => {
            Some(reader.whole(node, 0, u64::from(CLASSES) - 1).and_then(|n| u8::try_from(n).ok())?)
        }
        None => None,
    };
    let notify = match fields.get("notify") {
        Some(node) => reader.flag(node)?,
        None => false,
    };
    Some(Escalation { pool, class, notify, within: within? })
}

fn outcomes(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Outcome>> {
    let what = "an outcome such as { name: approved, approves: true }";
    let items = items(reader, node, (OUTCOMES_MAX, what))?;
    if items.is_empty() {
        reader.at(node, Code::OutOfRange, "the review has no outcomes", "at least one");
        return None;
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    for node in items {
        let fields = reader.object(node, "an outcome", &["name", "approves"], &[])?;
        let name = reader
            .required(&fields, node, "name", "the name of the outcome")
            .and_then(|node| reader.name(node, "an outcome", OutcomeName::parse));
        let approves = reader
            .required(&fields, node, "approves", "whether it lets through what was asked for")
            .and_then(|node| reader.flag(node));
        let (name, approving) = (name?, approves?);
        if outcomes.iter().any(|known| known.name == name) || name.as_str() == FAIL {
            let message = format!("there cannot be an outcome {name} here");
            reader.at(node, Code::WrongOutcome, message, "each name once, and none called fail");
            return None;
        }
        outcomes.push(Outcome { name, approving });
    }
    Some(outcomes)
}

/// Nothing is ever approved because nobody looked.
fn overdue(reader: &mut Reader<'_>, node: &Node, terms: &Terms) -> Option<Overdue> {
    let name = reader.name(node, "an outcome", OutcomeName::parse)?;
    if name.as_str() == FAIL {
        return Some(Overdue::Fail);
    }
    let refusals: Vec<&str> = terms
        .outcomes
        .iter()
        .filter(|outcome| !outcome.approving)
        .map(|outcome| outcome.name.as_str())
        .chain([FAIL])
        .collect();
    let problem = match terms.outcome(&name) {
        Some(outcome) if !outcome.approving => return Some(Overdue::Outcome(name)),
        Some(_) => format!("{name} approves, and nothing is approved because nobody decided"),
        None => format!("the review has no outcome {name}"),
    };
    let expected = format!("one of {}", refusals.join(", "));
    reader.at(node, Code::WrongOutcome, problem, expected);
    None
}
