//! Runs that schedules start, by cron.
//!
//! A schedule has at most one time ahead. It is found outside, as patterns are not read here: the cell asks for the
//! first time after a moment, and each question has a number, so that the answer to an older one is told from that which
//! is awaited. A time that starts no run leaves an entry in the decision log.
//!
//! INVARIANT: a stored `next` is a time of the pattern that is declared: a change of the pattern clears it in the turn that
//! declares the change.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::id::{RunId, StepName, WorkflowName, mix};
use crate::plan::{Overlap, Schedule, Workflow};
use crate::reject::Rejection;
use crate::row::{Lane, Payload, RunKey, ScheduleRow};
use crate::scheduler::TenantIx;
use crate::time::Time;

use super::audit::told_to_tenant;
use super::change::Change;
use super::effect::{Effect, NextTime};
use super::input::{ScheduleKey, Scheduled};
use super::live::{At, Run, Shape};
use super::submit::{Admission, Entrant};
use super::timer::Kind;
use super::{Cell, Turn};

/// Schedules by place; the place is what their timers name.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    pub(crate) list: Vec<Planned>,
    pub(crate) by_key: BTreeMap<ScheduleKey, u32>,
}

#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) key: ScheduleKey,
    /// `None` when the newest version of the workflow has it no more.
    pub(crate) declared: Option<Schedule>,
    pub(crate) next: Option<Time>,
    /// The question for the next time that is not answered yet.
    awaited: Option<u32>,
    pub(crate) last: Option<RunId>,
    pub(crate) queued: bool,
}

/// Facts of a time that starts no run.
#[derive(Debug, Serialize)]
struct Skipped<'a> {
    workflow: &'a WorkflowName,
    schedule: &'a StepName,
    due: Time,
    because: Because,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Because {
    /// The last run is live, and the schedule says `skip`.
    Overlap { last: RunId },
    /// The last run is live, and one waits for its end already.
    Queued { last: RunId },
    /// A submission would be refused as well.
    Refused(serde_json::Value),
}

impl Cell {
    /// The newest version of a workflow says which schedules there are.
    pub(crate) fn plan_schedules(&mut self, workflow: &Arc<Workflow>, turn: &mut Turn) {
        let key_of = |schedule: &Schedule| ScheduleKey {
            tenant: schedule.tenant.clone(),
            workflow: workflow.name.clone(),
            name: schedule.name.clone(),
        };
        let wanted: Vec<ScheduleKey> = workflow.schedules.iter().map(key_of).collect();
        for at in 0..self.schedules.list.len() {
            let planned = &self.schedules.list[at];
            if planned.key.workflow == workflow.name
                && planned.declared.is_some()
                && !wanted.contains(&planned.key)
            {
                self.drop_schedule(at, turn);
            }
        }
        for schedule in &workflow.schedules {
            let at = self.schedule_place(key_of(schedule));
            self.plan_schedule(at, schedule, turn);
        }
    }

    fn plan_schedule(&mut self, at: u32, schedule: &Schedule, turn: &mut Turn) {
        let planned = &mut self.schedules.list[at as usize];
        let before = planned.declared.replace(schedule.clone());
        planned.queued &= schedule.overlap == Overlap::Queue;
        let has_same_times = before.is_some_and(|before| {
            before.cron == schedule.cron && before.time_zone == schedule.time_zone
        });
        if !has_same_times {
            self.forget_next(at);
            self.ask_next(at, turn);
        }
        self.write_schedule(at, turn);
    }

    pub(crate) fn schedule_place(&mut self, key: ScheduleKey) -> u32 {
        if let Some(&at) = self.schedules.by_key.get(&key) {
            return at;
        }
        let at =
            u32::try_from(self.schedules.list.len()).expect("schedules are bounded by workflows");
        self.schedules.by_key.insert(key.clone(), at);
        self.schedules.list.push(Planned {
            key,
            declared: None,
            next: None,
            awaited: None,
            last: None,
            queued: false,
        });
        at
    }

    fn drop_schedule(&mut self, at: usize, turn: &mut Turn) {
        let planned = &mut self.schedules.list[at];
        planned.declared = None;
        planned.queued = false;
        let ScheduleKey { tenant, workflow, name } = planned.key.clone();
        self.forget_next(u32::try_from(at).expect("schedules are bounded by workflows"));
        turn.write(Change::DropSchedule(tenant, workflow, name));
    }

    /// The time that is ahead, or is being asked for, is none of the pattern that counts now.
    fn forget_next(&mut self, at: u32) {
        let planned = &mut self.schedules.list[at as usize];
        planned.awaited = None;
        if let Some(next) = planned.next.take() {
            self.timers.clear(next, Kind::Schedule, At { run: at, node: 0 });
        }
    }

    /// Asks for the first time after now. What was missed before, while the server was down, is not made up for time by
    /// time.
    pub(crate) fn ask_next(&mut self, at: u32, turn: &mut Turn) {
        let planned = &mut self.schedules.list[at as usize];
        let Some(declared) = &planned.declared else { return };
        self.evaluations = self.evaluations.wrapping_add(1);
        planned.awaited = Some(self.evaluations);
        turn.cause(Effect::NextTime(Box::new(NextTime {
            schedule: planned.key.clone(),
            round: self.evaluations,
            cron: declared.cron.clone(),
            time_zone: declared.time_zone.clone(),
            after: self.now,
        })));
    }

    pub(crate) fn scheduled(&mut self, answer: &Scheduled, turn: &mut Turn) {
        let Some(&at) = self.schedules.by_key.get(&answer.schedule) else { return };
        let planned = &mut self.schedules.list[at as usize];
        if planned.awaited != Some(answer.round) {
            return;
        }
        planned.awaited = None;
        planned.next = answer.next;
        if let Some(next) = answer.next {
            self.timers.set(next, Kind::Schedule, At { run: at, node: 0 });
        }
        self.write_schedule(at, turn);
    }

    pub(crate) fn schedule_due(&mut self, at: u32, due: Time, turn: &mut Turn) {
        let planned = &mut self.schedules.list[at as usize];
        planned.next = None;
        let Some(overlap) = planned.declared.as_ref().map(|declared| declared.overlap) else {
            return;
        };
        let was_queued = planned.queued;
        match (overlap, self.live_last(at)) {
            (Overlap::Skip, Some(last)) => self.skip(at, due, Because::Overlap { last }, turn),
            (Overlap::Queue, Some(last)) if was_queued => {
                self.skip(at, due, Because::Queued { last }, turn);
            }
            (Overlap::Queue, Some(_)) => self.schedules.list[at as usize].queued = true,
            (Overlap::Skip | Overlap::Queue, None) | (Overlap::Allow, _) => {
                self.start_scheduled(at, due, turn);
            }
        }
        self.ask_next(at, turn);
        self.write_schedule(at, turn);
    }

    /// The schedule's last run, while it is live.
    fn live_last(&self, at: u32) -> Option<RunId> {
        let planned = &self.schedules.list[at as usize];
        let run = planned.last?;
        self.runs.find(&RunKey { tenant: planned.key.tenant.clone(), run }).map(|_| run)
    }

    fn start_scheduled(&mut self, at: u32, due: Time, turn: &mut Turn) {
        let planned = &self.schedules.list[at as usize];
        let Some(declared) = &planned.declared else { return };
        let (key, input) = (planned.key.clone(), Payload::from(declared.input.as_bytes()));
        let startable = self.startable(&key, input.len() as u64);
        let allowed = startable.and_then(|(tenant, shape)| self.if_allowed(tenant, shape));
        let (tenant, shape) = match allowed {
            Ok(found) => found,
            Err(rejection) => {
                self.queue.count(&rejection);
                return self.skip(at, due, Because::Refused(told_to_tenant(&rejection)), turn);
            }
        };
        let run = self.new_id(RunId(u128::from(seed(&key))), due.0);
        self.schedules.list[at as usize].last = Some(run);
        let admission = Admission {
            key: RunKey { tenant: key.tenant, run },
            tenant,
            shape,
            lane: Lane::Normal,
            input,
            parent: None,
            schedule: Some(key.name),
            requester: None,
            subject: None,
            trace: self.traces.of_new(run, None),
            by: None,
        };
        self.admit(admission, turn);
    }

    fn startable(
        &self,
        key: &ScheduleKey,
        bytes: u64,
    ) -> Result<(TenantIx, Arc<Shape>), Rejection> {
        let unknown = || Rejection::UnknownTenant { tenant: key.tenant.clone() };
        let tenant = self.directory.tenants.find(&key.tenant).ok_or_else(unknown)?;
        let shape = self.directory.shape(&key.workflow, None).ok_or_else(|| {
            Rejection::UnknownWorkflow { workflow: key.workflow.clone(), version: None }
        })?;
        self.let_in(tenant, &Entrant { level: 0, lane: Lane::Normal, bytes })?;
        self.can_begin(tenant, shape)?;
        Ok((tenant, shape.clone()))
    }

    /// Says that a time starts no run, and why.
    fn skip(&mut self, at: u32, due: Time, because: Because, turn: &mut Turn) {
        let ScheduleKey { tenant, workflow, name } = &self.schedules.list[at as usize].key;
        let facts = Skipped { workflow, schedule: name, due, because };
        let facts = serde_json::to_string(&facts).unwrap_or_default();
        self.decide(Some(tenant.clone()), "schedule-skipped", facts, turn);
    }

    /// A run that a step or a schedule started is over: they go on.
    pub(crate) fn called_run_ended(&mut self, ended: &Run, turn: &mut Turn) {
        if let Some(parent) = &ended.parent {
            let key = RunKey { tenant: ended.key.tenant.clone(), run: parent.run };
            self.child_ended(&key, parent, ended, turn);
        }
        if let Some(name) = &ended.schedule {
            let key = ScheduleKey {
                tenant: ended.key.tenant.clone(),
                workflow: ended.shape.workflow.name.clone(),
                name: name.clone(),
            };
            self.scheduled_run_ended(&key, turn);
        }
    }

    fn scheduled_run_ended(&mut self, key: &ScheduleKey, turn: &mut Turn) {
        let Some(&at) = self.schedules.by_key.get(key) else { return };
        if !self.schedules.list[at as usize].queued || self.live_last(at).is_some() {
            return;
        }
        self.schedules.list[at as usize].queued = false;
        self.start_scheduled(at, self.now, turn);
        self.write_schedule(at, turn);
    }

    fn write_schedule(&self, at: u32, turn: &mut Turn) {
        let planned = &self.schedules.list[at as usize];
        turn.write(Change::Schedule(ScheduleRow {
            tenant: planned.key.tenant.clone(),
            workflow: planned.key.workflow.clone(),
            name: planned.key.name.clone(),
            next: planned.next,
            last: planned.last,
            queued: planned.queued,
        }));
    }
}

/// A number that stands for the schedule. The names are kept apart by a byte that none of them has.
fn seed(key: &ScheduleKey) -> u64 {
    let names = [key.tenant.as_str(), key.workflow.as_str(), key.name.as_str()];
    names.join("\n").bytes().fold(0, |seed, byte| mix(seed ^ u64::from(byte)))
}
