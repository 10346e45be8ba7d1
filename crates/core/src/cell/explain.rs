//! Answers about the live state, read from the same values that decide.

use std::collections::BTreeMap;

use crate::gate::Refusal;
use crate::plan::{StepIndex, StepKind, Wait};
use crate::reading::Window;
use crate::reading::diagnosis::Shared;
use crate::reject::Rejection;
use crate::row::{Halt, Part, RunStatus};
use crate::scheduler::TenantIx;
use crate::time::Span;

use super::Cell;
use super::Turn;
use super::effect::{MoneyView, PoolView, Response, RunView, StepView, TenantView, Waiting};
use super::input::{QUERY_ROWS_MAX, Query, ReplyId};
use super::live::{At, Node, Run, State};

/// Instances that one explanation shows at most; items of maps past it are left out.
const STEPS_SHOWN_MAX: usize = 2_000;
/// Tenants of one page at most.
const TENANTS_SHOWN_MAX: u32 = 10_000;

/// What all steps of a run in one pool have in common, so that a large run costs no more than its pools.
#[derive(Debug, Default)]
struct PoolWait {
    /// Tenants whose turn comes first, once it was counted.
    ahead: Option<u32>,
    /// Whether a worker asks who could take them, once it was looked up.
    asked: Option<bool>,
}

/// By place of the pool.
type PoolWaits = BTreeMap<usize, PoolWait>;

impl Cell {
    pub(crate) fn query(&mut self, reply: ReplyId, query: &Query, turn: &mut Turn) {
        let response = match query {
            Query::Explain(key) => match self.runs.find(key) {
                Some(run) => Response::Explained(Box::new(self.run_view(run))),
                None => Response::Rejected(Rejection::UnknownRun { run: key.run }),
            },
            Query::Tenant(id) => match self.directory.tenants.find(id) {
                Some(tenant) => {
                    let view = self.tenant_view(tenant, &self.shared());
                    let windows = self.window_views(tenant);
                    Response::Tenant(Box::new(TenantView { windows, ..view }))
                }
                None => Response::Rejected(Rejection::UnknownTenant { tenant: id.clone() }),
            },
            Query::Tenants { after, limit } => {
                let limit = (*limit).min(TENANTS_SHOWN_MAX) as usize;
                let places = self.directory.tenants.after(after.as_ref()).take(limit);
                let shared = self.shared();
                let views = places.map(|tenant| self.tenant_view(tenant, &shared));
                Response::Tenants(views.collect())
            }
            Query::Budgets { after, every, limit } => {
                let limit = (*limit).min(TENANTS_SHOWN_MAX) as usize;
                let places = self.directory.tenants.after(after.as_ref()).take(limit);
                Response::Budgets(places.map(|tenant| self.budget_view(tenant, *every)).collect())
            }
            Query::Platform => Response::Platform(Box::new(self.platform_view())),
            Query::Pools => {
                Response::Pools((0..self.pools.len()).map(|pool| self.pool_view(pool)).collect())
            }
            Query::Accounts(owner) => self.accounts(owner),
            Query::Quotas(tenant) => self.quotas(tenant),
            Query::Provider(tool) => self.provider(tool),
            Query::Review { review, person } => self.review_answer(*review, person.as_ref()),
            Query::Reviews { of, after, limit } => {
                let limit = (*limit).min(QUERY_ROWS_MAX) as usize;
                Response::Reviews(self.list_reviews(of, *after, limit))
            }
            Query::StoresAfter(configure) => match self.stores_after(configure) {
                Ok(()) => Response::Configured { changed: false },
                Err(rejection) => Response::Rejected(rejection),
            },
            Query::PolicyEffect(edit) => match self.policy_effect(edit) {
                Ok(effect) => Response::PolicyEffect(Box::new(effect)),
                Err(rejection) => Response::Rejected(rejection),
            },
            Query::Channels(tenant) => self.channels(tenant),
            Query::Notices(of) => self.list_notices(of),
            Query::Residency => Response::Residency(Box::new(self.residency_view())),
            Query::Valve => Response::Valve(self.queue.view(&self.directory.valve)),
        };
        turn.reply(reply, response);
    }

    fn run_view(&mut self, run: u32) -> RunView {
        let count = self.runs.get(run).nodes.len().min(STEPS_SHOWN_MAX);
        let mut waits = PoolWaits::new();
        let shown = u32::try_from(count).expect("a small constant");
        let live = self.runs.get(run);
        let nodes: Vec<u32> = (0..shown).filter(|node| !live.is_forgotten(*node)).collect();
        let mut steps: Vec<StepView> =
            nodes.into_iter().map(|node| self.step_view(At { run, node }, &mut waits)).collect();
        steps.sort_by_key(|step| step.instance);
        let live = self.runs.get(run);
        RunView {
            run: live.key.run,
            status: live.status,
            revision: live.revision,
            created: live.created,
            deadline: live.deadline,
            money: MoneyView {
                limit: live.money.limit,
                reserve: live.money.reserve,
                posted: live.money.posted,
                uncertain: live.money.uncertain,
                held: live.money.held,
            },
            steps,
        }
    }

    fn step_view(&mut self, at: At, waits: &mut PoolWaits) -> StepView {
        let waits = self.waiting(at, waits);
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        StepView {
            name: run.step(at.node).name.clone(),
            instance: node.instance,
            phase: node.phase(),
            attempt: node.attempt,
            since: node.since,
            waits,
            failure: match &node.state {
                State::Failed(failure) => Some((**failure).clone()),
                State::Backoff(wait) => Some(wait.1.clone()),
                State::Disputed(dispute) => Some(dispute.failure.clone()),
                _ => None,
            },
            trust: matches!(node.state, State::Done).then_some(node.trust),
            route: match &node.state {
                State::Leased(lease) => lease.passed.route.clone(),
                _ => None,
            },
        }
    }

    fn waiting(&mut self, at: At, waits: &mut PoolWaits) -> Option<Waiting> {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        Some(match &node.state {
            State::Pending => return pending(run, node),
            State::Evaluating(_) => Waiting::Evaluation,
            State::InLine(bytes) => return Some(self.in_line(at, *bytes)),
            State::Ready { queued: false } => match run.halt {
                Some(Halt { review: Some(review), .. }) => {
                    return self.waits_for_review(review);
                }
                Some(halt) => Waiting::Money(halt),
                None => Waiting::Resume,
            },
            State::Ready { queued: true } => {
                let is_undo = node.instance.part == Part::Compensation;
                let bound = if is_undo { None } else { run.step(at.node).timeout.queue };
                let until = bound.map(|bound| node.since + bound);
                Waiting::Gate { refusal: self.refusal(at, waits), until }
            }
            State::Leased(lease) => {
                Waiting::Worker { worker: lease.worker.clone(), until: lease.deadline }
            }
            State::Backoff(wait) => Waiting::Backoff { until: wait.0, failure: wait.1.clone() },
            State::Sleeping(until) => Waiting::Time { until: *until },
            State::Listening => {
                let step = run.step(at.node);
                let StepKind::Wait(Wait::Signal(name)) = &step.kind else { return None };
                let until = step.timeout.step.map(|bound| node.ready + bound);
                Waiting::Signal { name: name.clone(), until }
            }
            State::Calling(child) => Waiting::Child { run: **child },
            State::Reviewing(review) => return self.waits_for_review(**review),
            State::Disputed(dispute) => self.waits_for_planner(at, dispute),
            State::Proposed => self.waits_to_apply(at),
            State::Mapping(mapping) => Waiting::Items { done: mapping.done, of: mapping.items },
            State::Done | State::Skipped | State::Failed(_) | State::Cancelled => return None,
        })
    }

    /// Why a call's child has no place now; if it had one, the call waits for those of older runs.
    fn in_line(&self, at: At, bytes: u64) -> Waiting {
        Waiting::Place(self.child_place(at, bytes).err())
    }

    /// Why a queued step has no slot now.
    fn refusal(&mut self, at: At, waits: &mut PoolWaits) -> Refusal {
        if let Some(refusal) = self.gate_refusal(at) {
            return refusal;
        }
        let entry = self.entry(at);
        let pool = self.pool_of(at);
        let state = &self.pools[pool];
        let common = waits.entry(pool).or_default();
        let wait = state.scheduler.explain_after(&entry, &mut common.ahead);
        let is_asked = || state.is_asked_for(entry.tenant);
        if wait.is_turn() && !*common.asked.get_or_insert_with(is_asked) {
            return Refusal::NoWorker { pool: self.directory.pools.names[pool].clone() };
        }
        Refusal::Slot(wait)
    }

    fn tenant_view(&self, tenant: TenantIx, shared: &Shared) -> TenantView {
        let entry = self.directory.tenants.get(tenant);
        let context = entry.context();
        let mut view = TenantView {
            tenant: context.tenant.clone(),
            org: context.org.clone(),
            tier: context.tier.clone(),
            weight: context.weight,
            cap: context.cap,
            suspended: context.suspended,
            slots: 0,
            burst_slots: 0,
            waiting: 0,
            live_runs: self.queue.runs_of(tenant),
            completed: entry.reading.completed,
            failed: entry.reading.failed,
            service: Span::ZERO,
            debt: Span::ZERO,
            latency: entry.reading.latency(self.now),
            queue_wait: entry.reading.queue_wait(self.now),
            share_permille: self.share_over(tenant, Window::Minute).permille(),
            budget_used_permille: self.ledger.used_permille(self.now, tenant.0),
            sla: context.sla,
            sla_violations: entry.reading.sla_violations,
            diagnosis: self.diagnosis_view(&self.diagnose(tenant, shared)),
            windows: Vec::new(),
        };
        for pool in &self.pools {
            let flow = pool.scheduler.flow(self.now, tenant);
            view.slots += flow.in_flight;
            view.burst_slots += flow.burst_slots;
            view.waiting += flow.waiting;
            view.service = Span(
                view.service.0.saturating_add(u64::try_from(flow.service).unwrap_or(u64::MAX)),
            );
            view.debt =
                Span(view.debt.0.saturating_add(u64::try_from(flow.debt).unwrap_or(u64::MAX)));
        }
        view
    }

    pub(crate) fn pool_view(&self, at: usize) -> PoolView {
        let (declared, state) = (&self.directory.pools.list[at], &self.pools[at]);
        let reading = state.scheduler.reading();
        // One that has been silent for a lease is forgotten later.
        let workers = state.there(self.now, declared.lease).count();
        PoolView {
            pool: declared.name.clone(),
            policy: declared.policy,
            slots: declared.slots,
            dispatchable: reading.dispatchable,
            in_flight: reading.in_flight,
            waiting: reading.waiting,
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            offered: state.offered(self.now, declared.lease),
        }
    }
}

fn pending(run: &Run, node: &Node) -> Option<Waiting> {
    if let Part::Item(_) = node.instance.part {
        // So many items are under way that this one's turn has not come.
        let State::Mapping(mapping) = &run.whole_node(node.instance.step).state else {
            return None;
        };
        return Some(Waiting::Items { done: mapping.done, of: mapping.items });
    }
    if node.instance.part != Part::Whole {
        return None;
    }
    if run.status == RunStatus::Stopping {
        return None;
    }
    let step = run.shape.workflow.step(node.instance.step);
    let is_open =
        |before: &&StepIndex| !run.whole_node(**before).is_final() || run.is_stopped(**before);
    let open = step.after.iter().filter(is_open);
    Some(Waiting::Steps(open.map(|before| run.shape.workflow.step(*before).name.clone()).collect()))
}
