//! Policies in the cell: their declaration, the gate that asks them, and what they let begin.
//!
//! A step that policy forbids waits under a key of its tenant, until policies, the catalog or the tenant's context are
//! others. A way of a model's call that is forbidden is passed over; the call waits if all are.
//!
//! Policies that were in force and are refused by a newer version of the program (a word of theirs is not in its schema)
//! shut everything that policies decide, by their name, until they are declared anew or removed.

mod effect;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::Candidate;
use crate::gate::{Refusal, Verdict, WakeKey};
use crate::id::{ModelName, PolicyName, RegionName, ToolName};
use crate::plan::{Step, StepKind};
use crate::policy::{
    Ask, BASE_NAME, Decisions, Deeds, Denied, Mistake, POLICIES_MAX, Person, Policies, Policy,
    Review, Source, Subject, TEXT_BYTES_MAX, USE_MODEL, compile,
};
use crate::reject::Rejection;
use crate::review::Member;
use crate::reviews::Matter;
use crate::router::{Because, Way};
use crate::row::Route;
use crate::scheduler::TenantIx;

use super::change::Change;
use super::configure::full;
use super::directory::Directory;
use super::effect::{Declared, Effect};
use super::gates::Gates;
use super::live::{At, Revoked, Run, Shape, State};
use super::{Cell, Turn};

/// Wake keys of tenants that wait for policy, by the tenant's number.
const WAIT: u64 = 1 << 60;

/// What is declared, what it answered, and who waits for another answer.
#[derive(Debug, Default)]
pub(crate) struct Policed {
    pub(crate) declared: BTreeMap<PolicyName, Policy>,
    decisions: Decisions,
    /// Filled by who looks, too.
    deeds: RefCell<Deeds>,
    /// Tenants with steps that policy holds.
    waiting: BTreeSet<u32>,
}

impl Policed {
    pub(crate) fn load(policies: Vec<Policy>) -> Self {
        let declared: BTreeMap<PolicyName, Policy> =
            policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
        let mut policed = Self { declared, ..Self::default() };
        policed.decisions.replace(in_force(&sources(&policed.declared)));
        policed
    }

    /// Whether the tenant may do it, as it is now.
    pub(crate) fn decide(
        &mut self,
        directory: &Directory,
        tenant: TenantIx,
        ask: &Ask,
    ) -> Result<(), Denied> {
        self.decisions.decide(tenant.0, &subject(directory, tenant), ask)
    }

    /// As `decide`, for who only looks.
    pub(crate) fn peek(
        &self,
        directory: &Directory,
        tenant: TenantIx,
        ask: &Ask,
    ) -> Result<(), Denied> {
        self.decisions.peek(tenant.0, &subject(directory, tenant), ask)
    }

    /// Whether the person may claim and decide what the tenant asks of that pool.
    pub(crate) fn may_review(
        &self,
        directory: &Directory,
        member: &Member,
        matter: Matter<'_>,
    ) -> Result<(), Denied> {
        let Matter { tenant, pool, kind } = matter;
        let owner = pool.tenant.as_ref().and_then(|owner| directory.tenants.find(owner));
        let person = Person {
            id: &member.person,
            tenant: owner.map(|owner| subject(directory, owner)),
            region: member.region.as_ref(),
        };
        let tenant_of = subject(directory, TenantIx(tenant));
        let review = Review { tenant: tenant_of, kind: kind.name(), pool: &pool.name };
        let policies = self.decisions.policies();
        self.deeds.borrow_mut().may_review(policies, tenant, (&person, &review))
    }

    /// The step waits until something that policies read is another.
    pub(crate) fn park(&mut self, tenant: TenantIx, denied: Denied) -> Verdict {
        self.waiting.insert(tenant.0);
        Verdict::Park { refusal: forbidden(denied), wake: key(tenant.0) }
    }
}

pub(crate) fn forbidden(denied: Denied) -> Refusal {
    let Denied { policy, because } = denied;
    Refusal::Policy { policy, because }
}

/// The refusal of a call that no step makes.
pub(crate) fn model_denied(model: &ModelName, denied: Denied) -> Rejection {
    Rejection::PolicyDenied {
        policy: denied.policy,
        because: denied.because,
        action: USE_MODEL,
        thing: model.as_str().into(),
        step: None,
    }
}

/// What a way of a model's call asks.
pub(crate) fn way_ask(model: &ModelName, way: &Way) -> Ask {
    Ask::UseModel {
        model: model.clone(),
        endpoint: way.endpoint.clone(),
        upstream: way.upstream.clone(),
        region: way.region.clone(),
    }
}

fn subject(directory: &Directory, tenant: TenantIx) -> Subject<'_> {
    let context = directory.tenants.get(tenant).context();
    Subject { context, region: directory.region.as_ref() }
}

const fn key(tenant: u32) -> WakeKey {
    WakeKey(WAIT | tenant as u64)
}

fn sources(declared: &BTreeMap<PolicyName, Policy>) -> Vec<Source> {
    declared.values().map(Policy::source).collect()
}

/// Ready to be asked; shut if one of them is not right.
fn in_force(sources: &[Source]) -> Policies {
    compile(sources).unwrap_or_else(|mistakes| {
        let first = mistakes.first().map_or(BASE_NAME, |mistake| mistake.policy.as_str());
        Policies::shut(first)
    })
}

impl Gates<'_> {
    /// The gate of steps that call a tool.
    pub(crate) fn pass_policy(&mut self, at: At) -> Result<(), Verdict> {
        let run = self.runs.get(at.run);
        let Some(ask) = self.directory.node_ask(run, at.node) else { return Ok(()) };
        let decided = self.policed.decide(self.directory, run.tenant, &ask);
        decided.map_err(|denied| self.policed.park(run.tenant, denied))
    }
}

impl Cell {
    pub(crate) fn declare_policy(
        &mut self,
        source: Source,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        if source.text.len() > TEXT_BYTES_MAX {
            let (bytes, max) = (source.text.len() as u64, TEXT_BYTES_MAX as u64);
            return Err(Rejection::TooLong { field: "/text", bytes, max });
        }
        let known = self.policed.declared.get(&source.name);
        if known.is_some_and(|known| known.newest().text == source.text) {
            return Ok(false);
        }
        full("policies", known.is_none(), self.policed.declared.len(), POLICIES_MAX)?;
        let policies = self.with(&source)?;
        let name = source.name.clone();
        let policy = match known {
            Some(known) => known.next(source.text, self.now),
            None => Policy::first(source, self.now),
        };
        turn.write(Change::Policy(policy.clone()));
        turn.cause(Effect::Declared(Declared::Policy(Box::new(policy.clone()))));
        self.policed.declared.insert(name, policy);
        self.put_policies(policies, turn);
        Ok(true)
    }

    pub(crate) fn drop_policy(
        &mut self,
        name: &PolicyName,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        let policies = self.without(name)?;
        self.policed.declared.remove(name);
        turn.write(Change::DropPolicy(name.clone()));
        self.put_policies(policies, turn);
        Ok(true)
    }

    /// What would be in force with that policy. Where others are wrong already it is refused for its own mistakes only, or
    /// nobody could mend one after the other.
    fn with(&self, source: &Source) -> Result<Policies, Rejection> {
        let mut sources = sources(&self.policed.declared);
        match sources.iter_mut().find(|known| known.name == source.name) {
            Some(known) => known.text = source.text.clone(),
            None => sources.push(source.clone()),
        }
        self.checked(&sources, |mistake| mistake.policy == source.name)
    }

    fn without(&self, name: &PolicyName) -> Result<Policies, Rejection> {
        if !self.policed.declared.contains_key(name) {
            return Err(Rejection::UnknownPolicy { policy: name.clone() });
        }
        let mut sources = sources(&self.policed.declared);
        sources.retain(|known| known.name != *name);
        self.checked(&sources, |_| false)
    }

    fn checked(
        &self,
        sources: &[Source],
        is_own: impl Fn(&Mistake) -> bool,
    ) -> Result<Policies, Rejection> {
        let mistakes = match compile(sources) {
            Ok(policies) => return Ok(policies),
            Err(mistakes) => mistakes,
        };
        if self.policed.decisions.policies().is_shut() && !mistakes.iter().any(is_own) {
            return Ok(in_force(sources));
        }
        Err(Rejection::BadPolicy { mistakes })
    }

    fn put_policies(&mut self, policies: Policies, turn: &mut Turn) {
        self.policed.decisions.replace(policies);
        self.policed.deeds.get_mut().clear();
        // A call that waits for the money or the room of its dear ways may have a cheap one now.
        self.models_changed();
        self.policed_changed(None, turn);
    }

    /// Policies, or what they read of one tenant, are others: who waits for them tries again, and what is forbidden now is
    /// withdrawn from where it is.
    pub(crate) fn policed_changed(&mut self, tenant: Option<TenantIx>, turn: &mut Turn) {
        self.wake_policed(tenant);
        self.withdraw_leases(tenant, turn);
    }

    pub(crate) fn wake_policed(&mut self, tenant: Option<TenantIx>) {
        let woken = match tenant {
            None => std::mem::take(&mut self.policed.waiting),
            Some(tenant) => self.policed.waiting.take(&tenant.0).into_iter().collect(),
        };
        for tenant in woken {
            self.wake_parked(key(tenant).0);
        }
    }

    /// The tool of a leased node that policy forbids.
    pub(crate) fn forbidden_lease(&mut self, at: At) -> Option<(ToolName, Because)> {
        let run = self.runs.get(at.run);
        let State::Leased(lease) = &run.node(at.node).state else { return None };
        if lease.revoked != Revoked::No {
            return None;
        }
        let ask = match (&lease.passed.route, run.model_call(at.node)) {
            (Some(route), Some(call)) => self.directory.route_ask(&call.model, route),
            _ => self.directory.node_ask(run, at.node)?,
        };
        let denied = self.policed.decide(&self.directory, run.tenant, &ask).err()?;
        let tool = match ask {
            Ask::CallTool { tool, .. } | Ask::UseModel { endpoint: tool, .. } => tool,
            Ask::StartRun { .. } => unreachable!("a lease starts no run"),
        };
        Some((tool, Because::Policy { policy: denied.policy }))
    }

    /// How often policies were evaluated, rather than an answer looked up.
    pub const fn policy_evaluations(&self) -> u64 {
        self.policed.decisions.evaluations()
    }

    /// As `policy_evaluations`, of what people ask.
    pub fn review_evaluations(&self) -> u64 {
        self.policed.deeds.borrow().evaluations()
    }

    /// The refusal of policy that a step which calls a tool would meet now.
    pub(crate) fn policy_refusal(&self, at: At) -> Option<Refusal> {
        let run = self.runs.get(at.run);
        let ask = self.directory.node_ask(run, at.node)?;
        self.policed.peek(&self.directory, run.tenant, &ask).err().map(forbidden)
    }

    /// The same workflow for the same tenant, if it may start it.
    pub(crate) fn if_allowed(
        &mut self,
        tenant: TenantIx,
        shape: Arc<Shape>,
    ) -> Result<(TenantIx, Arc<Shape>), Rejection> {
        self.may_start(tenant, &shape)?;
        Ok((tenant, shape))
    }

    /// Whether the tenant may start the workflow, and a run of it could do anything.
    pub(crate) fn may_start(&mut self, tenant: TenantIx, shape: &Shape) -> Result<(), Rejection> {
        let Self { directory, policed, .. } = self;
        let (workflow, version) = (shape.workflow.name.clone(), shape.workflow.version);
        let ask = Ask::StartRun { workflow, version };
        let denied = |ask: &Ask, step: Option<&Step>, denied: Denied| Rejection::PolicyDenied {
            policy: denied.policy,
            because: denied.because,
            action: ask.action(),
            thing: ask.thing().into(),
            step: step.map(|step| step.name.clone()),
        };
        let decided = policed.decide(directory, tenant, &ask);
        decided.map_err(|found| denied(&ask, None, found))?;
        let mut first = None;
        for step in shape.bound_steps() {
            let asks = directory.asks(step);
            let mut answers = asks.iter().map(|ask| policed.decide(directory, tenant, ask));
            let Some(Err(found)) = answers.next() else { return Ok(()) };
            // Another way may be open.
            if answers.any(|answer| answer.is_ok()) {
                return Ok(());
            }
            first = first.or_else(|| Some(denied(&asks[0], Some(step), found)));
        }
        first.map_or(Ok(()), Err)
    }
}

impl Cell {
    /// What policy does not let the tenant use for a step, whichever way it goes.
    pub(crate) fn policy_denies(&mut self, tenant: TenantIx, step: &Step) -> Option<Arc<str>> {
        let Self { directory, policed, .. } = self;
        let asks = directory.asks(step);
        let is_denied = |ask: &Ask| policed.decide(directory, tenant, ask).is_err();
        let first = asks.first()?.thing().into();
        asks.iter().all(is_denied).then_some(first)
    }
}

/// What steps ask of policies.
impl Directory {
    /// What the step may ask, best first; one yes is enough for it to go on. Empty: it asks nothing.
    fn asks(&self, step: &Step) -> Vec<Ask> {
        let StepKind::Model(call) = &step.kind else {
            return step.tool.iter().map(|tool| self.tool_ask(tool)).collect();
        };
        let model = self.models.get(&call.model);
        let candidates = model.map_or(&[][..], |model| &model.candidates);
        let ask = |candidate: &Candidate| Ask::UseModel {
            model: call.model.clone(),
            endpoint: candidate.endpoint.clone(),
            upstream: candidate.model.clone(),
            region: self.region_of(&candidate.endpoint),
        };
        candidates.iter().map(ask).collect()
    }

    fn node_ask(&self, run: &Run, node: u32) -> Option<Ask> {
        run.tool(node).map(|tool| self.tool_ask(tool))
    }

    fn tool_ask(&self, tool: &ToolName) -> Ask {
        Ask::CallTool { tool: tool.clone(), region: self.region_of(tool) }
    }

    fn route_ask(&self, model: &ModelName, route: &Route) -> Ask {
        Ask::UseModel {
            model: model.clone(),
            endpoint: route.endpoint.clone(),
            upstream: route.upstream.clone(),
            region: self.region_of(&route.endpoint),
        }
    }

    fn region_of(&self, tool: &ToolName) -> Option<RegionName> {
        self.location(tool).region.clone()
    }
}
