//! A scenario: what is declared, what arrives, how long work takes, and what is compared with what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use fairlane_api::resource::Policy;
use fairlane_api::{Json, Timestamp};
use fairlane_core::cell::change::Snapshot;
use fairlane_core::id::ToolName;
use fairlane_core::plan::{StepKind, Wait, Workflow};
use fairlane_core::time::Span;
use fairlane_workflow::{SPAN_EXAMPLE, parse_span, parse_span_range};
use serde::{Deserialize, Deserializer, de};

use crate::apply::located;
use crate::apply::resource::{Origin, escape, read_as};
use crate::mistake::Mistake;

/// Runs of one scenario: a million of them take some 2 GiB.
const RUNS_MAX: u64 = 1_000_000;
/// 2026-01-05 09:00 in New York, a Monday.
const START: Timestamp = Timestamp(1_767_621_600_000_000);

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// Files and folders as `fairlane apply` takes them, relative to the scenario's own folder.
    pub(super) declare: Vec<PathBuf>,
    #[serde(default = "monday")]
    pub(super) start: Timestamp,
    #[serde(deserialize_with = "span")]
    pub(super) lasts: Span,
    /// Another one gives other service times and failures.
    #[serde(default = "one")]
    pub(super) seed: u64,
    /// By the name of a task, a tool or a model.
    #[serde(default)]
    pub(super) work: BTreeMap<String, Effort>,
    pub(super) arrivals: Vec<Arrivals>,
    /// What the same arrivals are played with. Nothing: as declared.
    #[serde(default)]
    pub(super) compare: Vec<Variant>,
}

/// How long an attempt takes, and what comes of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Effort {
    /// Each length between the two is as likely.
    pub(super) takes: Range,
    /// Attempts of each step that fail before one succeeds.
    #[serde(default)]
    pub(super) fails_first: u32,
    /// Of the others, how many fail in a hundred.
    #[serde(default, deserialize_with = "percent")]
    pub(super) fails_percent: u32,
    /// What a task or a tool gives; of a model, its answer.
    #[serde(default)]
    pub(super) output: Option<Json>,
    /// Of a model: how long its prompts are.
    #[serde(default = "input_tokens")]
    pub(super) input_tokens: u32,
    /// Of a model: how much it writes, if it may.
    #[serde(default = "output_tokens")]
    pub(super) output_tokens: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Span,
    pub(super) to: Span,
}

/// Runs that come at one time, or again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arrivals {
    pub(super) tenant: String,
    pub(super) workflow: String,
    /// After the start.
    #[serde(default, deserialize_with = "span")]
    pub(super) at: Span,
    /// Runs at each time.
    #[serde(default = "one")]
    pub(super) count: u64,
    /// Nothing: once.
    #[serde(default, deserialize_with = "some_span")]
    pub(super) every: Option<Span>,
    /// No later than this after the start; nothing: until the scenario ends.
    #[serde(default, deserialize_with = "some_span")]
    pub(super) until: Option<Span>,
    #[serde(default)]
    pub(super) input: Option<Json>,
}

/// One play of the scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variant {
    pub(super) name: String,
    /// How all pools share their slots; nothing: as declared.
    #[serde(default)]
    pub(super) policy: Option<Policy>,
    /// Tenants whose runs are left out.
    #[serde(default)]
    pub(super) without: Vec<String>,
}

impl Arrivals {
    /// How often they come.
    pub(super) fn times(&self, lasts: Span) -> u64 {
        let until = self.until.unwrap_or(lasts).min(lasts);
        let Some(left) = until.0.checked_sub(self.at.0) else { return 0 };
        self.every.map_or(1, |every| left / every.0.max(1) + 1)
    }

    /// When they come, after the start.
    pub(super) fn moments(&self, lasts: Span) -> impl Iterator<Item = Span> {
        let every = self.every.unwrap_or_default().0;
        (0..self.times(lasts)).map(move |time| Span(self.at.0 + time * every))
    }
}

impl Default for Effort {
    fn default() -> Self {
        let takes = Range { from: Span::ZERO, to: Span::ZERO };
        let (input_tokens, output_tokens) = (input_tokens(), output_tokens());
        Self { takes, fails_first: 0, fails_percent: 0, output: None, input_tokens, output_tokens }
    }
}

/// A scenario, and where its parts stand.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) scenario: Scenario,
    origin: Origin,
}

impl Read {
    /// Reads a file. The inner error is everything that is wrong with it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn file(path: &Path) -> anyhow::Result<Result<Self, Vec<Mistake>>> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut read = Self::text(&path.display().to_string(), &text);
        if let Ok(Self { scenario, .. }) = &mut read {
            let folder = path.parent().unwrap_or(Path::new("."));
            scenario.declare.iter_mut().for_each(|file| *file = folder.join(&file));
        }
        Ok(read)
    }

    fn text(file: &str, text: &str) -> Result<Self, Vec<Mistake>> {
        let (root, mut mistakes) = located::read(file, text);
        let Some(root) = root else { return Err(mistakes) };
        let value = root.to_json();
        let origin = Origin { file: file.into(), root: Arc::new(root), pointer: String::new() };
        let (scenario, wrong) = read_as::<Scenario>(value, &origin);
        mistakes.extend(wrong);
        let Some(scenario) = scenario.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
        let read = Self { scenario, origin };
        let mistakes = read.bounds();
        if mistakes.is_empty() { Ok(read) } else { Err(mistakes) }
    }

    fn bounds(&self) -> Vec<Mistake> {
        let Scenario { lasts, arrivals, compare, .. } = &self.scenario;
        let mut mistakes = Vec::new();
        if lasts.0 == 0 {
            mistakes.push(self.wrong("/lasts", "this is no time".to_owned(), SPAN_EXAMPLE));
        }
        for (at, arrivals) in arrivals.iter().enumerate() {
            if arrivals.every == Some(Span::ZERO) {
                let message = "they come without end".to_owned();
                mistakes.push(self.wrong(&format!("/arrivals/{at}/every"), message, SPAN_EXAMPLE));
            }
            if arrivals.at > *lasts {
                let message = "this is after the end".to_owned();
                let expected = "a time before `lasts`";
                mistakes.push(self.wrong(&format!("/arrivals/{at}/at"), message, expected));
            }
        }
        let runs = arrivals
            .iter()
            .filter(|arrivals| arrivals.every != Some(Span::ZERO))
            .map(|arrivals| arrivals.times(*lasts).saturating_mul(arrivals.count))
            .fold(0, u64::saturating_add);
        if runs > RUNS_MAX {
            let message = format!("{runs} runs come");
            mistakes.push(self.wrong("/arrivals", message, "1,000,000 runs at most"));
        }
        let mut names = BTreeSet::new();
        for (at, variant) in compare.iter().enumerate() {
            if !names.insert(variant.name.as_str()) {
                let message = format!("{:?} is there twice", variant.name);
                let pointer = format!("/compare/{at}/name");
                mistakes.push(self.wrong(&pointer, message, "a name for each"));
            }
        }
        mistakes
    }

    /// What the scenario names and the declarations do not have, and what cannot be played.
    pub(super) fn check(&self, declared: &Snapshot) -> Vec<Mistake> {
        let tenants: BTreeSet<&str> =
            declared.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
        let mut mistakes = Vec::new();
        let mut known = |pointer: String, tenant: &str| {
            if !tenants.contains(tenant) {
                let message = format!("no tenant {tenant} is declared");
                mistakes.push(self.wrong(&pointer, message, "a tenant of `declare`"));
            }
        };
        for (at, arrivals) in self.scenario.arrivals.iter().enumerate() {
            known(format!("/arrivals/{at}/tenant"), &arrivals.tenant);
        }
        for (at, variant) in self.scenario.compare.iter().enumerate() {
            for (of, tenant) in variant.without.iter().enumerate() {
                known(format!("/compare/{at}/without/{of}"), tenant);
            }
        }
        for (at, arrivals) in self.scenario.arrivals.iter().enumerate() {
            let of = |workflow: &&Arc<Workflow>| workflow.name.as_str() == arrivals.workflow;
            let newest = declared.workflows.iter().filter(of).max_by_key(|found| found.version);
            let pointer = format!("/arrivals/{at}/workflow");
            let Some(workflow) = newest else {
                let message = format!("no workflow {} is declared", arrivals.workflow);
                mistakes.push(self.wrong(&pointer, message, "a workflow of `declare`"));
                continue;
            };
            for step in &workflow.steps {
                let why = match (&step.kind, &step.map) {
                    (_, Some(_)) => "is mapped over a list",
                    (StepKind::Call { .. }, _) => "calls another workflow",
                    (StepKind::Review(_), _) => "waits for a person",
                    (StepKind::Wait(Wait::Signal(_)), _) => "waits for a signal",
                    _ => continue,
                };
                let message = format!("the step {} of {} {why}", step.name, workflow.name);
                let expected = "steps that simulate can play: tasks, tools, models, waits for time";
                mistakes.push(self.wrong(&pointer, message, expected));
            }
        }
        let works = works(declared);
        for name in self.scenario.work.keys().filter(|name| !works.contains(name.as_str())) {
            let message = format!("no workflow has a task, a tool or a model {name}");
            let at = self.origin.key_place(&format!("/work/{}", escape(name)));
            let expected = Some("the name of one".to_owned());
            mistakes.push(self.origin.mistake(at, "unknown-work", message, expected));
        }
        mistakes
    }

    fn wrong(&self, pointer: &str, message: String, expected: &str) -> Mistake {
        let at = self.origin.place(pointer);
        self.origin.mistake(at, "invalid-value", message, Some(expected.to_owned()))
    }
}

/// Everything that takes time in the declared workflows.
fn works(declared: &Snapshot) -> BTreeSet<&str> {
    let steps = declared.workflows.iter().flat_map(|workflow| &workflow.steps);
    let names = steps.flat_map(|step| {
        let work = match &step.kind {
            StepKind::Task { task, .. } => Some(task.as_str()),
            StepKind::Model(call) => Some(call.model.as_str()),
            StepKind::Tool => step.tool.as_ref().map(ToolName::as_str),
            StepKind::Wait(_) | StepKind::Call { .. } | StepKind::Review(_) => None,
        };
        work.into_iter().chain(step.compensate.as_ref().map(|undo| undo.task.as_str()))
    });
    names.collect()
}

const fn monday() -> Timestamp {
    START
}

const fn one() -> u64 {
    1
}

const fn input_tokens() -> u32 {
    500
}

const fn output_tokens() -> u32 {
    200
}

fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let percent = u32::deserialize(from)?;
    if percent > 100 {
        let found = de::Unexpected::Unsigned(percent.into());
        return Err(de::Error::invalid_value(found, &"0 to 100"));
    }
    Ok(percent)
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    let text = String::deserialize(from)?;
    parse_span(&text)
        .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &SPAN_EXAMPLE))
}

fn some_span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Span>, D::Error> {
    span(from).map(Some)
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match parse_span_range(&text) {
            Some((from, to)) if from <= to => Ok(Self { from, to }),
            _ => {
                let expected = "a duration such as 45s, or the shortest and the longest: 30s..1m";
                Err(de::Error::invalid_value(de::Unexpected::Str(&text), &expected))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mut mistakes = Read::text("s.yaml", text).unwrap_err();
        mistakes.sort();
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrivals_come_once_or_until_the_end() {
        let text = "declare: [a]\nlasts: 10m\narrivals:\n\
            - { tenant: a, workflow: w, count: 3 }\n\
            - { tenant: a, workflow: w, at: 7s, every: 2m }\n\
            - { tenant: a, workflow: w, at: 1m, every: 2m, until: 5m }\n";
        let scenario = Read::text("s.yaml", text).unwrap().scenario;
        let times: Vec<u64> =
            scenario.arrivals.iter().map(|arrivals| arrivals.times(scenario.lasts)).collect();
        assert_eq!(times, [1, 5, 3]);
        let moments: Vec<Span> = scenario.arrivals[2].moments(scenario.lasts).collect();
        assert_eq!(moments, [60, 180, 300].map(Span::from_secs));
    }

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let text = "declare: [a]\nlasts: soon\nwork:\n  verify: { takes: 9s..1s, fails_percent: 101 }\n\
            arrivals:\n- { tenant: a, workflow: w, evry: 1m }\n";
        let told = mistakes(text);
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(told[0].starts_with("s.yaml:2:8: "), "{told:#?}");
        assert!(told[1].starts_with("s.yaml:4:20: ") && told[1].contains("9s..1s"), "{told:#?}");
        assert!(told[2].starts_with("s.yaml:4:43: ") && told[2].contains("0 to 100"), "{told:#?}");
        assert!(told[3].starts_with("s.yaml:6:29: ") && told[3].contains("evry"), "{told:#?}");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let of = |arrivals: &str| {
            mistakes(&format!(
                "declare: [a]\nlasts: 1h\narrivals: [{{ tenant: a, workflow: w, {arrivals} }}]\n"
            ))
        };
        assert!(of("every: 0s")[0].contains("without end"));
        assert!(of("every: 1us")[0].contains("1,000,000"));
        assert!(of("at: 2h")[0].contains("after the end"));
    }
}
