//! The steps as a graph: order, cycles, and what each expression may read.
//!
//! INVARIANT: the steps come out in topological order, those that are ready at the same time in the order of
//! the file.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::id::StepName;
use fairlane_core::plan::{STEPS_MAX, Step, StepIndex};

use super::expression::{Place, Use};
use super::reader::Reader;
use super::step::Draft;
use crate::mistake::{Code, nearest};
use crate::tree::{Flaw, quote};

/// The steps, linked; `None` if a mistake leaves no graph.
pub(super) fn link(reader: &mut Reader<'_>, drafts: Vec<Draft<'_>>) -> Option<Vec<Step>> {
    let index: BTreeMap<StepName, usize> =
        drafts.iter().enumerate().map(|(at, draft)| (draft.name.clone(), at)).collect();
    let after = resolve(reader, &drafts, &index);
    let order = order(&after);
    if order.len() < drafts.len() {
        report_cycles(reader, &drafts, &after, &order);
    }
    let upstream = (order.len() == drafts.len()).then(|| upstream(&after, &order));
    for (at, draft) in drafts.iter().enumerate() {
        check_uses(reader, draft, &index, upstream.as_ref().map(|sets| &sets[at]));
    }
    upstream?;
    let mut position = vec![0; drafts.len()];
    for (at, draft) in order.iter().enumerate() {
        position[*draft] = at;
    }
    let mut linked: Vec<(usize, Step)> = Vec::with_capacity(drafts.len());
    let mut complete = true;
    for (at, draft) in drafts.into_iter().enumerate() {
        let mut before: Vec<usize> = after[at].iter().map(|step| position[*step]).collect();
        before.sort_unstable();
        match finish(draft, &before) {
            Some(step) => linked.push((position[at], step)),
            None => complete = false,
        }
    }
    linked.sort_by_key(|(at, _)| *at);
    complete.then(|| linked.into_iter().map(|(_, step)| step).collect())
}

fn finish(draft: Draft<'_>, before: &[usize]) -> Option<Step> {
    Some(Step {
        name: draft.name,
        kind: draft.kind?,
        after: before
            .iter()
            .map(|at| StepIndex(u16::try_from(*at).expect("there are at most STEPS_MAX steps")))
            .collect(),
        when: draft.when,
        with: draft.with,
        retry: draft.retry,
        timeout: draft.timeout,
        optional: draft.optional,
        map: draft.map,
        compensate: draft.compensate,
        tool: draft.tool,
        cost_nano: draft.cost_nano,
        expected: draft.expected,
        output_schema: draft.output_schema,
        judge: draft.judge,
    })
}

/// For each step the steps that it names in `after`; names that there are not are reported.
fn resolve(
    reader: &mut Reader<'_>,
    drafts: &[Draft<'_>],
    index: &BTreeMap<StepName, usize>,
) -> Vec<Vec<usize>> {
    let mut after = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut before = Vec::with_capacity(draft.after.len());
        for (node, name) in &draft.after {
            let found = StepName::parse(name).ok().and_then(|name| index.get(&name).copied());
            if let Some(found) = found {
                before.push(found);
            } else {
                let message = format!("there is no step {}", quote(name));
                reader.at(node, Code::UnknownStep, message, suggest(name, index));
            }
        }
        after.push(before);
    }
    after
}

fn suggest(name: &str, index: &BTreeMap<StepName, usize>) -> String {
    match nearest(name, index.keys().map(StepName::as_str)) {
        Some(meant) => format!("{meant} (did you mean that?)"),
        None => "the name of a step of this workflow".to_owned(),
    }
}

/// Topological order, as far as it goes: steps of a cycle and those after one are left out.
fn order(after: &[Vec<usize>]) -> Vec<usize> {
    let mut waits: Vec<usize> = after.iter().map(Vec::len).collect();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); after.len()];
    for (at, before) in after.iter().enumerate() {
        for step in before {
            next[*step].push(at);
        }
    }
    let mut ready: BTreeSet<usize> = (0..after.len()).filter(|at| waits[*at] == 0).collect();
    let mut order = Vec::with_capacity(after.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for step in &next[at] {
            waits[*step] -= 1;
            if waits[*step] == 0 {
                ready.insert(*step);
            }
        }
    }
    order
}

/// One mistake for each cycle that is reached first; every step that cannot be ordered is in one or behind one.
fn report_cycles(
    reader: &mut Reader<'_>,
    drafts: &[Draft<'_>],
    after: &[Vec<usize>],
    order: &[usize],
) {
    let mut done: BTreeSet<usize> = order.iter().copied().collect();
    for start in 0..drafts.len() {
        // Each step that is left has a step before it that is left: walking back must come round, or end at
        // a cycle that has been reported.
        let mut walk: Vec<usize> = Vec::new();
        let mut at = start;
        while !done.contains(&at) && !walk.contains(&at) {
            walk.push(at);
            match after[at].iter().find(|step| !order.contains(step)) {
                Some(step) => at = *step,
                None => break,
            }
        }
        if let Some(from) = walk.iter().position(|step| *step == at).filter(|_| !done.contains(&at))
        {
            let cycle = &walk[from..];
            let first = cycle.iter().copied().min().unwrap_or(at);
            let turn = cycle.iter().position(|step| *step == first).unwrap_or(0);
            let names: Vec<&str> = cycle[turn..]
                .iter()
                .chain(&cycle[..turn])
                .chain([&first])
                .map(|step| drafts[*step].name.as_str())
                .collect();
            let draft = &drafts[first];
            let message = format!("these steps wait for each other: {}", names.join(" after "));
            reader.report(Flaw {
                at: draft.at,
                path: draft.path.to_owned(),
                code: Code::Cycle,
                message,
                expected: "steps that can run one after another".to_owned(),
            });
        }
        done.extend(walk);
    }
}

/// A set of steps.
type Steps = [u64; STEPS_MAX.div_ceil(64)];

/// For each step all that has ended before it begins.
fn upstream(after: &[Vec<usize>], order: &[usize]) -> Vec<Steps> {
    let mut sets: Vec<Steps> = vec![Steps::default(); after.len()];
    for at in order {
        let mut set = Steps::default();
        for before in &after[*at] {
            for (word, earlier) in set.iter_mut().zip(sets[*before]) {
                *word |= earlier;
            }
            set[before / 64] |= 1 << (before % 64);
        }
        sets[*at] = set;
    }
    sets
}

fn check_uses(
    reader: &mut Reader<'_>,
    draft: &Draft<'_>,
    index: &BTreeMap<StepName, usize>,
    upstream: Option<&Steps>,
) {
    for used in &draft.uses {
        if let Some((code, message, expected)) = wrong_use(used, &draft.name, index, upstream) {
            reader.report(Flaw { at: used.at, path: used.path.clone(), code, message, expected });
        }
    }
}

/// What is wrong with it: the code, what it is, and what would be right.
pub(super) fn wrong_use(
    used: &Use,
    reads: &StepName,
    index: &BTreeMap<StepName, usize>,
    upstream: Option<&Steps>,
) -> Option<(Code, String, String)> {
    let Some(step) = &used.step else {
        let expected = "item and index only in the with of a step that has a map".to_owned();
        return (used.place != Place::Item)
            .then(|| (Code::UnknownVariable, "there is no item here".to_owned(), expected));
    };
    let Some(at) = index.get(step) else {
        let message = format!("there is no step {}", quote(step.as_str()));
        return Some((Code::UnknownStep, message, suggest(step.as_str(), index)));
    };
    let is_upstream = upstream.is_none_or(|set| set[at / 64] & (1 << (at % 64)) != 0);
    let is_own = used.place == Place::Own && step == reads;
    if used.place == Place::Compensation || is_upstream || is_own {
        return None;
    }
    Some(if step == reads {
        let message = format!("{reads} cannot read its own result");
        (Code::NotUpstream, message, "a step before it".to_owned())
    } else {
        let message = format!("{step} need not have run when {reads} begins");
        let expected = format!("{step} in the after of {reads}, or of a step before it");
        (Code::NotUpstream, message, expected)
    })
}
