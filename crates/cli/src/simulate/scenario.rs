//! A scenario: what is declared, what arrives, how long work takes, and what is compared with what.

mod happenings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use fairlane_api::{Json, Timestamp};
use fairlane_core::cell::change::Snapshot;
use fairlane_core::id::{OrgId, TenantId, ToolName};
use fairlane_core::plan::{StepKind, Wait, Workflow};
use fairlane_core::tenant::{Context, Org, Rules, Tenant, Tier};
use fairlane_core::time::Span;
use fairlane_workflow::{SPAN_EXAMPLE, parse_span, parse_span_range};
use serde::{Deserialize, Deserializer, de};

pub(super) use self::happenings::{Outage, Reviewers};
use super::variant::Variant;
use crate::apply::located;
use crate::apply::resource::{Origin, escape, read_as};
use crate::load::random::Random;
use crate::mistake::Mistake;
use crate::recorded::{self, Recorded};
use crate::replay::trace::Trace;

/// Runs of one scenario: a million of them take some 2 GiB.
const RUNS_MAX: u64 = 1_000_000;
/// Tenants of one group.
const TENANTS_MAX: u32 = 10_000;
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
    /// Tenants that are alike, by the name that theirs begin with.
    #[serde(default)]
    pub(super) groups: BTreeMap<String, Group>,
    /// By the name of a task, a tool or a model.
    #[serde(default)]
    pub(super) work: BTreeMap<String, Effort>,
    /// By the name of a reviewer pool: how its members decide.
    #[serde(default)]
    pub(super) reviewers: BTreeMap<String, Reviewers>,
    /// What is slower, fails or is not there for a time.
    #[serde(default)]
    pub(super) outages: Vec<Outage>,
    #[serde(default)]
    pub(super) arrivals: Vec<Arrivals>,
    /// Arrivals as `fairlane export-arrivals` writes them, relative to the scenario's own folder.
    #[serde(default)]
    pub(super) recorded: Option<PathBuf>,
    /// What is in it.
    #[serde(skip)]
    pub(super) records: Vec<Recorded>,
    /// What the same arrivals are played with. Nothing: as declared.
    #[serde(default)]
    pub(super) compare: Vec<Variant>,
}

/// Tenants of a tier: so many, each in an organisation of its own, or those of a trace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    #[serde(default)]
    pub(super) tenants: Option<u32>,
    /// A CSV file as `fairlane replay` takes it, relative to the scenario's own folder.
    #[serde(default)]
    pub(super) trace: Option<PathBuf>,
    pub(super) tier: String,
    /// What is in the trace.
    #[serde(skip)]
    pub(super) traced: Option<Traced>,
}

#[derive(Clone, Debug)]
pub(super) struct Traced {
    /// With their organisations, in the order of their names.
    tenants: Vec<(String, String)>,
    pub(super) arrivals: Vec<TracedArrival>,
}

/// One row: when, whose, and how long an attempt takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracedArrival {
    pub(super) at: Span,
    tenant: u32,
    pub(super) takes: Span,
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
    /// Whose they are: this, or `group`.
    #[serde(default)]
    pub(super) tenant: Option<String>,
    /// Each tenant of the group has its own.
    #[serde(default)]
    pub(super) group: Option<String>,
    pub(super) workflow: String,
    /// After the start.
    #[serde(default, deserialize_with = "span")]
    pub(super) at: Span,
    /// Runs at each time.
    #[serde(default = "one")]
    pub(super) count: u64,
    /// Nothing: once. Those of a group are spread evenly.
    #[serde(default, deserialize_with = "some_span")]
    pub(super) every: Option<Span>,
    /// By chance, one in so long on average (a Poisson process).
    #[serde(default, deserialize_with = "some_span")]
    pub(super) about_every: Option<Span>,
    /// No later than this after the start; nothing: until the scenario ends.
    #[serde(default, deserialize_with = "some_span")]
    pub(super) until: Option<Span>,
    #[serde(default)]
    pub(super) input: Option<Json>,
}

impl Traced {
    /// Whose arrival it is.
    pub(super) fn whose(&self, arrival: &TracedArrival) -> &str {
        self.tenants.get(arrival.tenant as usize).map_or("", |(id, _)| id)
    }

    /// What comes until the scenario ends.
    fn read(file: &Path, lasts: Span) -> anyhow::Result<Self> {
        let trace = Trace::read(file, None)?;
        let tenants = trace.tenants.iter().map(|tenant| (tenant.id.clone(), tenant.org.clone()));
        let tenants = tenants.collect();
        let mut arrivals = Vec::new();
        for arrival in trace.replay(1.0)? {
            let arrival = arrival?;
            let at = Span(u64::try_from(arrival.due.as_micros()).unwrap_or(u64::MAX));
            if at <= lasts {
                let takes = Span(arrival.work_us);
                arrivals.push(TracedArrival { at, tenant: arrival.tenant, takes });
            }
        }
        Ok(Self { tenants, arrivals })
    }
}

/// Arrivals of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Of `Scenario::arrivals`.
    pub(super) arrival: usize,
    pub(super) tenant: String,
    /// Its place in its group, and how many there are.
    member: u64,
    of: u64,
}

impl Scenario {
    /// Whose arrivals there are.
    pub(super) fn sources(&self) -> Vec<Source> {
        let mut sources = Vec::new();
        for (arrival, arrivals) in self.arrivals.iter().enumerate() {
            if let Some(tenant) = arrivals.tenant.clone() {
                sources.push(Source { arrival, tenant, member: 0, of: 1 });
            }
            let group = arrivals.group.iter().filter(|_| self.traced(arrivals).is_none());
            let members: Vec<_> = group.flat_map(|name| self.members(name)).collect();
            let of = members.len() as u64;
            let source = |(member, (tenant, _))| Source { arrival, tenant, member, of };
            sources.extend((0..).zip(members).map(source));
        }
        sources
    }

    /// Whether its tenants are shown together.
    pub(super) fn has_groups(&self) -> bool {
        !self.groups.is_empty() || self.recorded.is_some()
    }

    /// Whether a tenant, or the group that it is in, is among these.
    pub(super) fn is_among(&self, tenant: &str, names: &[String]) -> bool {
        names.iter().any(|name| name == tenant || name == self.group_of(tenant))
    }

    /// What is in the trace of the group whose arrivals these are.
    pub(super) fn traced(&self, arrivals: &Arrivals) -> Option<&Traced> {
        self.groups.get(arrivals.group.as_ref()?)?.traced.as_ref()
    }

    /// The tenants of a group, with their organisations.
    pub(super) fn members(&self, name: &str) -> Vec<(String, String)> {
        let Some(group) = self.groups.get(name) else { return Vec::new() };
        if let Some(traced) = &group.traced {
            return traced.tenants.clone();
        }
        let count = group.tenants.unwrap_or(0);
        let digits = count.to_string().len();
        let member = |number| format!("{name}-{number:0digits$}");
        (1..=count).map(|number| (member(number), member(number))).collect()
    }

    /// The group that a tenant is in, or the tenant.
    pub(super) fn group_of<'a>(&'a self, tenant: &'a str) -> &'a str {
        let is_in = |(name, group): &(&String, &Group)| {
            if let Some(traced) = &group.traced {
                return traced.tenants.binary_search_by(|(id, _)| id.as_str().cmp(tenant)).is_ok();
            }
            let count = group.tenants.unwrap_or(0);
            let number = tenant.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-'));
            number.is_some_and(|number| {
                number.len() == count.to_string().len()
                    && number.parse().is_ok_and(|number| (1..=count).contains(&number))
            })
        };
        self.groups.iter().find(is_in).map_or(tenant, |(name, _)| name.as_str())
    }

    /// When runs of the source come, after the start. The same each time.
    pub(super) fn moments(&self, source: &Source) -> Vec<Span> {
        let arrivals = &self.arrivals[source.arrival];
        let until = arrivals.until.unwrap_or(self.lasts).min(self.lasts);
        let (mut at, mut moments) = (arrivals.at, Vec::new());
        let mut chance = Random::new(self.seed);
        for word in [source.arrival as u64, source.member] {
            chance = Random::new(chance.next() ^ word);
        }
        if let Some(every) = arrivals.every {
            at.0 += every.0 / source.of * source.member;
        } else if let Some(mean) = arrivals.about_every {
            at.0 += chance.gap(mean);
        }
        while at <= until {
            moments.push(at);
            match (arrivals.every, arrivals.about_every) {
                (Some(every), _) => at.0 += every.0.max(1),
                (None, Some(mean)) => at.0 += chance.gap(mean),
                (None, None) => break,
            }
        }
        moments
    }
}

impl Arrivals {
    /// How many come at most, or of those that come by chance about.
    fn count_of(&self, lasts: Span, members: u64) -> u64 {
        let until = self.until.unwrap_or(lasts).min(lasts);
        let Some(left) = until.0.checked_sub(self.at.0) else { return 0 };
        let every = self.every.or(self.about_every);
        let times = every.map_or(1, |every| left / every.0.max(1) + 1);
        times.saturating_mul(self.count).saturating_mul(members)
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
    pub(super) origin: Origin,
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
            for group in scenario.groups.values_mut() {
                if let Some(file) = &group.trace {
                    group.traced = Some(Traced::read(&folder.join(file), scenario.lasts)?);
                }
            }
            if let Some(file) = &scenario.recorded {
                scenario.records = recorded::read(&folder.join(file))?;
            }
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
            mistakes.extend(self.whose_and_when(at, arrivals));
            if arrivals.at > *lasts {
                let message = "this is after the end".to_owned();
                let expected = "a time before `lasts`";
                mistakes.push(self.wrong(&format!("/arrivals/{at}/at"), message, expected));
            }
        }
        let runs = arrivals
            .iter()
            .filter(|arrivals| arrivals.every.or(arrivals.about_every) != Some(Span::ZERO))
            .map(|arrivals| {
                let group = arrivals.group.as_ref().and_then(|name| self.scenario.groups.get(name));
                let tenants = group.map(|group| group.tenants.unwrap_or(0));
                arrivals.count_of(*lasts, tenants.unwrap_or(1).into())
            })
            .fold(0, u64::saturating_add);
        if runs > RUNS_MAX {
            let message = format!("{runs} runs come");
            mistakes.push(self.wrong("/arrivals", message, "1,000,000 runs at most"));
        }
        for (name, group) in &self.scenario.groups {
            let pointer = format!("/groups/{}", escape(name));
            let tenants = match (group.tenants, &group.trace) {
                (Some(tenants), None) => tenants,
                (None, Some(_)) => continue,
                _ => {
                    let message = "it is not said who is in it".to_owned();
                    mistakes.push(self.wrong(&pointer, message, "`tenants` or `trace`"));
                    continue;
                }
            };
            if !(1..=TENANTS_MAX).contains(&tenants) {
                let message = format!("these are {tenants} tenants");
                let pointer = format!("{pointer}/tenants");
                mistakes.push(self.wrong(&pointer, message, "1 to 10,000 tenants"));
            } else if let Some(Err(error)) =
                self.scenario.members(name).first().map(|(member, _)| TenantId::parse(member))
            {
                let message = format!("its tenants would have no good names: {error}");
                mistakes.push(self.wrong(&pointer, message, "1 to 58 of a-z, 0-9, - and _"));
            }
        }
        if arrivals.is_empty() && self.scenario.recorded.is_none() {
            let message = "nothing arrives".to_owned();
            mistakes.push(self.wrong("", message, "`arrivals` or `recorded`"));
        }
        mistakes.extend(self.happenings_bounds());
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

    /// What is wrong with whose arrivals these are, and how often they come.
    fn whose_and_when(&self, at: usize, arrivals: &Arrivals) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (field, every) in [("every", arrivals.every), ("about_every", arrivals.about_every)] {
            if every == Some(Span::ZERO) {
                let message = "they come without end".to_owned();
                let pointer = format!("/arrivals/{at}/{field}");
                mistakes.push(self.wrong(&pointer, message, SPAN_EXAMPLE));
            }
        }
        if arrivals.every.is_some() && arrivals.about_every.is_some() {
            let message = "they come regularly and by chance".to_owned();
            let pointer = format!("/arrivals/{at}/about_every");
            mistakes.push(self.wrong(&pointer, message, "`every` or `about_every`"));
        }
        let is_timed = arrivals.every.or(arrivals.about_every).is_some() || arrivals.count != 1;
        let is_traced = arrivals.group.as_ref().is_some_and(|name| {
            self.scenario.groups.get(name).is_some_and(|group| group.trace.is_some())
        });
        if is_traced && (is_timed || arrivals.at > Span::ZERO) {
            let message = "the trace says what comes and when".to_owned();
            let expected = "neither `at` nor `count`, `every` or `about_every`";
            mistakes.push(self.wrong(&format!("/arrivals/{at}"), message, expected));
        }
        match (&arrivals.tenant, &arrivals.group) {
            (Some(_), None) => {}
            (None, Some(group)) if self.scenario.groups.contains_key(group) => {}
            (None, Some(group)) => {
                let message = format!("there is no group {group}");
                let pointer = format!("/arrivals/{at}/group");
                mistakes.push(self.wrong(&pointer, message, "a group of `groups`"));
            }
            _ => {
                let message = "it is not said whose they are".to_owned();
                let expected = "`tenant` or `group`, one of both";
                mistakes.push(self.wrong(&format!("/arrivals/{at}"), message, expected));
            }
        }
        mistakes
    }

    /// Adds the tenants of the groups to what is declared.
    /// Those that a play declares in another way are there, and it knows them.
    pub(super) fn add_groups(
        &self,
        declared: &mut Snapshot,
        changed: &BTreeSet<String>,
    ) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut known: BTreeSet<TenantId> =
            declared.tenants.iter().map(|tenant| tenant.id.clone()).collect();
        let mut orgs: BTreeSet<OrgId> = declared.orgs.iter().map(|org| org.id.clone()).collect();
        for (name, group) in &self.scenario.groups {
            let Some(tier) =
                declared.tiers.iter().find(|tier| tier.name.as_str() == group.tier).cloned()
            else {
                let message = format!("no tier {} is declared", group.tier);
                let pointer = format!("/groups/{}/tier", escape(name));
                mistakes.push(self.wrong(&pointer, message, "a tier of `declare`"));
                continue;
            };
            for (member, org) in self.scenario.members(name) {
                let (Ok(id), Ok(org)) = (TenantId::parse(&member), OrgId::parse(&org)) else {
                    continue;
                };
                if changed.contains(id.as_str()) {
                    continue;
                }
                if !known.insert(id.clone()) {
                    let message = format!("the tenant {id} is declared too");
                    let pointer = format!("/groups/{}", escape(name));
                    mistakes.push(self.wrong(&pointer, message, "another name for the group"));
                    break;
                }
                let tenant = alike(id, org.clone(), &tier);
                if orgs.insert(org.clone()) {
                    declared.orgs.push(Org { id: org, weight: 1, cap: None, budget: None });
                }
                declared.contexts.push(Arc::new(Context::resolve(&tenant, &tier, 1)));
                declared.tenants.push(tenant);
            }
        }
        mistakes
    }

    /// What the scenario names and the declarations do not have, and what cannot be played.
    pub(super) fn check(&self, declared: &Snapshot) -> Vec<Mistake> {
        let tenants: BTreeSet<&str> =
            declared.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
        let mut mistakes = Vec::new();
        let mut known = |(origin, pointer): (&Origin, String), tenant: &str| {
            if !tenants.contains(tenant) && !self.scenario.groups.contains_key(tenant) {
                let message = format!("no tenant {tenant} is declared");
                let expected = Some("a tenant of `declare`".to_owned());
                let at = origin.place(&pointer);
                mistakes.push(origin.mistake(at, "invalid-value", message, expected));
            }
        };
        for (at, arrivals) in self.scenario.arrivals.iter().enumerate() {
            if let Some(tenant) = &arrivals.tenant {
                known((&self.origin, format!("/arrivals/{at}/tenant")), tenant);
            }
        }
        for (at, variant) in self.scenario.compare.iter().enumerate() {
            let origin = variant.origin.as_ref().unwrap_or(&self.origin);
            for (of, tenant) in variant.without.iter().enumerate() {
                known((origin, format!("/compare/{at}/without/{of}")), tenant);
            }
            for tenant in variant.times.keys() {
                known((origin, format!("/compare/{at}/times/{}", escape(tenant))), tenant);
            }
        }
        mistakes.extend(self.check_recorded(declared, &tenants));
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
                    (StepKind::Review(_), _) if self.scenario.reviewers.is_empty() => {
                        "waits for a person, and no `reviewers` decide"
                    }
                    (StepKind::Wait(Wait::Signal(_)), _) => "waits for a signal",
                    _ => continue,
                };
                let message = format!("the step {} of {} {why}", step.name, workflow.name);
                let expected =
                    "steps that simulate can play: tasks, tools, models, reviews, waits for time";
                mistakes.push(self.wrong(&pointer, message, expected));
            }
        }
        let works = works(declared);
        mistakes.extend(self.check_happenings(declared, &works));
        for name in self.scenario.work.keys().filter(|name| !works.contains(name.as_str())) {
            let message = format!("no workflow has a task, a tool or a model {name}");
            let at = self.origin.key_place(&format!("/work/{}", escape(name)));
            let expected = Some("the name of one".to_owned());
            mistakes.push(self.origin.mistake(at, "unknown-work", message, expected));
        }
        mistakes
    }

    /// What a recorded run has that is not declared. Once for each.
    fn check_recorded(&self, declared: &Snapshot, tenants: &BTreeSet<&str>) -> Vec<Mistake> {
        let workflows: BTreeSet<(&str, u32)> =
            declared.workflows.iter().map(|of| (of.name.as_str(), of.version)).collect();
        let mut missing = BTreeSet::new();
        for run in &self.scenario.records {
            if !tenants.contains(run.tenant.as_str()) {
                missing.insert(format!(
                    "no tenant {} is declared, and a run of it is recorded",
                    run.tenant
                ));
            }
            if !workflows.contains(&(run.workflow.as_str(), run.version)) {
                let (name, version) = (&run.workflow, run.version);
                missing.insert(format!("no workflow {name} of version {version} is declared, and a run of it is recorded"));
            }
        }
        let wrong = |message| self.wrong("/recorded", message, "what `declare` has");
        missing.into_iter().map(wrong).collect()
    }

    pub(super) fn wrong(&self, pointer: &str, message: String, expected: &str) -> Mistake {
        let at = self.origin.place(pointer);
        self.origin.mistake(at, "invalid-value", message, Some(expected.to_owned()))
    }
}

/// A tenant that is what its tier says.
fn alike(id: TenantId, org: OrgId, tier: &Tier) -> Tenant {
    Tenant {
        id,
        org,
        tier: tier.name.clone(),
        weight: None,
        cap: None,
        burst: None,
        sla: None,
        budget_class: None,
        reviewer_pool: None,
        suspended: false,
        rules: Rules::default(),
        attributes: "{}".into(),
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
        let sources = scenario.sources();
        let times: Vec<_> = sources.iter().map(|of| scenario.moments(of)).collect();
        assert_eq!([1, 5, 3], [times[0].len(), times[1].len(), times[2].len()]);
        assert_eq!(times[2], [60, 180, 300].map(Span::from_secs));
    }

    #[test]
    fn tenants_of_a_group_come_evenly_or_each_by_its_own_chance() {
        let text = "declare: [a]\nlasts: 10h\ngroups: { bank: { tenants: 10, tier: t } }\narrivals:\n\
            - { group: bank, workflow: w, every: 10m }\n\
            - { group: bank, workflow: w, about_every: 1m, until: 5h }\n\
            - { tenant: a, workflow: w }\n";
        let scenario = Read::text("s.yaml", text).unwrap().scenario;
        let sources = scenario.sources();
        assert_eq!(sources.len(), 21);
        let firsts: Vec<u64> =
            sources[..10].iter().map(|of| scenario.moments(of)[0].0 / 60_000_000).collect();
        assert_eq!(firsts, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((&*sources[0].tenant, &*sources[9].tenant), ("bank-01", "bank-10"));
        let chance: Vec<_> = sources[10..20].iter().map(|of| scenario.moments(of)).collect();
        let all: usize = chance.iter().map(Vec::len).sum();
        assert!((2_800..3_200).contains(&all), "{all}");
        assert_ne!(chance[0], chance[1]);
        assert_eq!(scenario.group_of("bank-07"), "bank");
        assert_eq!(scenario.group_of("bank-7"), "bank-7");
        let left_out = ["bank".to_owned(), "a".to_owned()];
        assert!(scenario.is_among("bank-01", &left_out) && scenario.is_among("a", &left_out));
        assert!(!scenario.is_among("bank-11", &left_out));
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
