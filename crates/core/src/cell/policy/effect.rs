//! What a change of policies would do to the work that is there: asked before it is made.

use std::collections::BTreeMap;

use crate::policy::{Ask, Denied, Policies};
use crate::quota::Tool;
use crate::reject::Rejection;
use crate::router;
use crate::row::Part;
use crate::scheduler::TenantIx;

use super::super::Cell;
use super::super::effect::{Affected, AffectedGroup, PolicyEffect};
use super::super::input::PolicyEdit;
use super::super::live::{Run, State};
use super::super::model::Wanted;
use super::{subject, way_ask};

/// Groups that are shown.
const GROUPS_MAX: usize = 20;
/// Questions that are put to the policies as they would be. The cell does nothing else meanwhile.
const QUESTIONS_MAX: usize = 50_000;

/// What a step would be told now, and after the change: no, if all its ways are forbidden.
#[derive(Clone)]
struct Told {
    before: Result<(), Denied>,
    after: Result<(), Denied>,
}

impl Cell {
    /// Which steps that wait or run would be forbidden by the change, and which would not be any more.
    pub(crate) fn policy_effect(&self, edit: &PolicyEdit) -> Result<PolicyEffect, Rejection> {
        let policies = match edit {
            PolicyEdit::Declare(source) => self.with(source)?,
            PolicyEdit::Remove(name) => self.without(name)?,
        };
        let mut asked = Asked { cell: self, policies, known: BTreeMap::new(), is_complete: true };
        let mut groups: BTreeMap<(bool, TenantIx, Ask), (Denied, Affected)> = BTreeMap::new();
        for place in self.runs.places() {
            let run = self.runs.get(place);
            for (node, at) in run.nodes.iter().zip(0..) {
                let is_leased = matches!(node.state, State::Leased(_));
                // Between two attempts it waits for the next, which passes the gate again.
                let waits = matches!(node.state, State::Ready { .. } | State::Backoff(_));
                let is_there = is_leased || waits;
                if !is_there || node.instance.part == Part::Compensation {
                    continue;
                }
                let asks = self.asks_of(run, at);
                let Some((ask, told)) = asked.told(run.tenant, &asks) else { continue };
                let (is_forbidden, denied) = match (told.before, told.after) {
                    (Ok(()), Err(denied)) => (true, denied),
                    (Err(denied), Ok(())) => (false, denied),
                    _ => continue,
                };
                let key = (is_forbidden, run.tenant, ask);
                let (_, count) = groups.entry(key).or_insert((denied, Affected::default()));
                if is_leased { count.leased += 1 } else { count.waiting += 1 }
            }
        }
        Ok(self.summed_up(groups, asked.is_complete))
    }

    /// What the step asks of policies as things are: of a model's call only ways that it has but for policies.
    fn asks_of(&self, run: &Run, at: u32) -> Vec<Ask> {
        let node = run.node(at);
        let step = run.shape.workflow.step(node.instance.step);
        let Some(call) = run.model_call(at) else { return self.directory.asks(step) };
        if let State::Leased(lease) = &node.state
            && let Some(route) = &lease.passed.route
        {
            return vec![self.directory.route_ask(&call.model, route)];
        }
        let Wanted { model, demand, .. } = Wanted::of(run, at, call);
        let binding = self.directory.binding(run);
        let may =
            |tool: &Tool| self.directory.may_use(binding, (&tool.name, &tool.location), self.now);
        let asked = (&model, binding.newest.model_tier());
        let found = router::ways(&self.directory, self.now, asked, demand, &may);
        let ways = found.map_or_else(|_| Vec::new(), |found| found.ways);
        ways.iter().map(|way| way_ask(&model, way)).collect()
    }

    fn summed_up(
        &self,
        groups: BTreeMap<(bool, TenantIx, Ask), (Denied, Affected)>,
        is_complete: bool,
    ) -> PolicyEffect {
        let mut effect = PolicyEffect { is_complete, ..PolicyEffect::default() };
        effect.groups_in_all = groups.len() as u64;
        let mut list = Vec::with_capacity(groups.len());
        for ((is_forbidden, tenant, ask), (denied, steps)) in groups {
            let all = if is_forbidden { &mut effect.forbidden } else { &mut effect.allowed };
            all.waiting += steps.waiting;
            all.leased += steps.leased;
            list.push(AffectedGroup {
                tenant: self.directory.tenants.get(tenant).declared.id.clone(),
                action: ask.action(),
                thing: ask.thing().into(),
                is_forbidden,
                policy: denied.policy,
                steps,
            });
        }
        // What is stopped first, and of it what concerns most.
        list.sort_by(|one, other| {
            let size = |group: &AffectedGroup| group.steps.waiting + group.steps.leased;
            let by_size = size(other).cmp(&size(one));
            other.is_forbidden.cmp(&one.is_forbidden).then(by_size).then_with(|| {
                (&one.tenant, one.action, &one.thing).cmp(&(
                    &other.tenant,
                    other.action,
                    &other.thing,
                ))
            })
        });
        list.truncate(GROUPS_MAX);
        effect.groups = list;
        effect
    }
}

/// Answers so far, since many steps ask the same.
struct Asked<'a> {
    cell: &'a Cell,
    policies: Policies,
    known: BTreeMap<(TenantIx, Ask), Told>,
    is_complete: bool,
}

impl Asked<'_> {
    /// What the step is told as a whole, and the question that stands for it.
    fn told(&mut self, tenant: TenantIx, asks: &[Ask]) -> Option<(Ask, Told)> {
        let mut all: Option<(Ask, Told)> = None;
        for ask in asks {
            let told = self.ask(tenant, ask)?;
            all = Some(match all {
                None => (ask.clone(), told),
                Some((first, so_far)) => (
                    first,
                    Told {
                        before: so_far.before.or(told.before),
                        after: so_far.after.or(told.after),
                    },
                ),
            });
        }
        all
    }

    fn ask(&mut self, tenant: TenantIx, ask: &Ask) -> Option<Told> {
        let key = (tenant, ask.clone());
        if let Some(told) = self.known.get(&key) {
            return Some(told.clone());
        }
        if self.known.len() >= QUESTIONS_MAX {
            self.is_complete = false;
            return None;
        }
        let directory = &self.cell.directory;
        let told = Told {
            before: self.cell.policed.peek(directory, tenant, ask),
            after: self.policies.decide(&subject(directory, tenant), ask),
        };
        self.known.insert(key, told.clone());
        Some(told)
    }
}
