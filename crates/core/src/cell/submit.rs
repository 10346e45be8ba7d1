//! Admission: a run comes in, with the context of its tenant minted and pinned.

use std::sync::Arc;

use crate::erasure::Subject;
use crate::id::{PersonId, RunId, StepName};
use crate::reject::Rejection;
use crate::row::{Actor, IdempotencyRow, Instance, Lane, Parent, Part, Payload, RunKey, RunStatus};
use crate::scheduler::TenantIx;
use crate::time::Time;
use crate::trace::Trace;

use super::change::Change;
use super::effect::Response;
use super::input::{Idempotency, Submit};
use super::live::{At, Node, Run, Shape};
use super::timer::Kind;
use super::traces::Followed;
use super::valve::Applicant;
use super::{Cell, Turn};

/// A run about to be created, checked.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) key: RunKey,
    pub(crate) tenant: TenantIx,
    pub(crate) shape: Arc<Shape>,
    pub(crate) lane: Lane,
    pub(crate) input: Payload,
    pub(crate) parent: Option<Parent>,
    pub(crate) schedule: Option<StepName>,
    /// The person who submitted it, or the run that called it.
    pub(crate) requester: Option<PersonId>,
    /// Whom or what it is about: what its caller is about, if it has one.
    pub(crate) subject: Option<Subject>,
    /// `None`: it is not followed.
    pub(crate) trace: Option<Trace>,
    /// Who submitted it, for the record.
    pub(crate) by: Option<Actor>,
}

/// A run that wants to come in, apart from whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entrant {
    /// 0 unless it is a child that is retried.
    pub(crate) level: usize,
    pub(crate) lane: Lane,
    pub(crate) bytes: u64,
}

impl Cell {
    pub(crate) fn submit(&mut self, submit: Submit, turn: &mut Turn) {
        let reply = submit.reply;
        if let Some(idempotency) = &submit.idempotency {
            match self.prior(&submit.key, idempotency) {
                Some(Ok(run)) => {
                    return turn.reply(reply, Response::Submitted { run, existing: true });
                }
                Some(Err(rejection)) => return turn.reject(reply, rejection),
                None => {}
            }
        }
        let found = self.admissible(&submit);
        match found.and_then(|(tenant, shape)| self.if_allowed(tenant, shape)) {
            Err(rejection) => {
                self.queue.count(&rejection);
                self.was_refused((&submit.key.tenant, submit.by), "run", &rejection);
                turn.reject(reply, rejection);
            }
            Ok((tenant, shape)) => {
                let run = submit.key.run;
                self.remember(&submit.key, submit.idempotency, turn);
                // The reply goes first: whoever watches the run must know its id before its first change.
                turn.reply(reply, Response::Submitted { run, existing: false });
                self.admit(
                    Admission {
                        key: submit.key,
                        tenant,
                        shape,
                        lane: submit.lane,
                        input: submit.input,
                        parent: None,
                        schedule: None,
                        requester: submit.requester,
                        subject: submit.subject,
                        trace: self.traces.of_new(run, submit.trace),
                        by: submit.by,
                    },
                    turn,
                );
            }
        }
    }

    /// The request is done: its idempotency key, if it has one, stands for it and the run from now on.
    pub(crate) fn remember(&mut self, run: &RunKey, given: Option<Idempotency>, turn: &mut Turn) {
        let (Some(Idempotency { key, digest, .. }), Some(tenant)) =
            (given, self.directory.tenants.find(&run.tenant))
        else {
            return;
        };
        self.recent.add(self.now, (tenant, key.clone()), run.run, digest);
        turn.write(Change::Idempotency(IdempotencyRow {
            tenant: run.tenant.clone(),
            key,
            digest,
            run: run.run,
            created: self.now,
        }));
    }

    /// What the idempotency key led to before: in memory if it was lately, else what the store knew.
    pub(crate) fn prior(
        &self,
        key: &RunKey,
        given: &Idempotency,
    ) -> Option<Result<RunId, Rejection>> {
        let tenant = self.directory.tenants.find(&key.tenant)?;
        let (run, digest) = self.recent.find(tenant, &given.key).or(given.prior)?;
        Some(if digest == given.digest {
            Ok(run)
        } else {
            Err(Rejection::IdempotencyConflict { run })
        })
    }

    fn admissible(&self, submit: &Submit) -> Result<(TenantIx, Arc<Shape>), Rejection> {
        let unknown = || Rejection::UnknownTenant { tenant: submit.key.tenant.clone() };
        let tenant = self.directory.tenants.find(&submit.key.tenant).ok_or_else(unknown)?;
        let shape = self.directory.shape(&submit.workflow, submit.version).ok_or_else(|| {
            Rejection::UnknownWorkflow {
                workflow: submit.workflow.clone(),
                version: submit.version,
            }
        })?;
        if self.runs.is_taken(submit.key.run) {
            return Err(Rejection::WrongStatus {
                run: submit.key.run,
                status: RunStatus::Running,
                needs: "an id that is not in use",
            });
        }
        let bytes = submit.input.len() as u64;
        self.let_in(tenant, &Entrant { level: 0, lane: submit.lane, bytes })?;
        self.can_begin(tenant, shape)?;
        Ok((tenant, shape.clone()))
    }

    /// Whether a run may come in now that is submitted, is retried, or whose time has come.
    pub(crate) fn let_in(&self, tenant: TenantIx, run: &Entrant) -> Result<(), Rejection> {
        let context = self.directory.tenants.get(tenant).context();
        if context.suspended {
            return Err(Rejection::Suspended { tenant: context.tenant.clone() });
        }
        let applicant = Applicant {
            tenant,
            weight: context.weight,
            runs_max: context.runs_max,
            level: run.level,
            lane: run.lane,
            bytes: run.bytes,
        };
        self.queue.admit(&self.directory.valve, &applicant)
    }

    /// Creates the run and begins the steps that wait for nothing.
    pub(crate) fn admit(&mut self, admission: Admission, turn: &mut Turn) {
        let now = self.now;
        let Admission { key, tenant, shape, lane, input, parent, .. } = admission;
        let Admission { schedule, requester, subject, trace, by, .. } = admission;
        let context = self.directory.tenants.get_mut(tenant).pin(None);
        let input_bytes = u32::try_from(input.len()).unwrap_or(u32::MAX);
        let level = super::live::level(parent.as_ref());
        self.queue.enter(tenant, context.weight, level, u64::from(input_bytes));
        let money = self.directory.run_account(self.directory.tenants.get(tenant).context());
        self.ages += 1;
        let deadline = shape.workflow.timeout.map(|bound| now + bound);
        let nodes = fresh_nodes(&shape, now);
        let open = u32::try_from(nodes.len()).expect("steps are bounded");
        let run = Run {
            key,
            tenant,
            age: self.ages,
            context,
            lane,
            status: RunStatus::Running,
            outcome: None,
            created: now,
            has_begun: false,
            deadline,
            failure: None,
            parent: parent.map(Box::new),
            schedule,
            requester,
            subject,
            followed: trace.map(|trace| Box::new(Followed::new(trace))),
            revision: 1,
            input_bytes,
            money,
            halt: None,
            allows_cheaper: false,
            late: Vec::new(),
            replans: 0,
            replan: None,
            nodes,
            open,
            held: 0,
            maps: Vec::new(),
            inbox: std::collections::VecDeque::new(),
            signals: 0,
            shape,
        };
        turn.write(Change::Run(Box::new(run.row(None, Some(input)))));
        self.log_admitted(&run, by, turn);
        let place = self.runs.insert(run);
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Kind::Run, At { run: place, node: 0 });
        }
        self.begin_unblocked(place, turn);
    }

    /// Begins the pending steps that wait for nothing.
    pub(crate) fn begin_unblocked(&mut self, run: u32, turn: &mut Turn) {
        let live = self.runs.get(run);
        let age = live.age;
        for node in live.wholes().map(|(node, _)| node).collect::<Vec<u32>>() {
            let Some(live) = self.runs.aged(run, age) else { return };
            let pending = live.node(node);
            if live.outcome.is_none()
                && pending.blocked == 0
                && matches!(pending.state, super::live::State::Pending)
            {
                self.begin(At { run, node }, turn);
            }
        }
    }
}

/// The plan's steps, none begun.
pub(crate) fn fresh_nodes(shape: &Shape, now: Time) -> Vec<Node> {
    let whole = |(index, step): (_, &crate::plan::Step)| {
        let blocked = u16::try_from(step.after.len()).expect("steps are bounded");
        Node::new(Instance { step: index, part: Part::Whole }, blocked, now)
    };
    shape.workflow.indexed().map(whole).collect()
}
