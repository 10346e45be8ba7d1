//! Runs that other runs and schedules start: children of `call`, and cron.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{RunId, mix};
use crate::plan::{Overlap, Schedule, StepKind, Workflow};
use crate::row::{Parent, Payload, RunKey, RunStatus, ScheduleRow};
use crate::time::Time;

use super::advance::{class, fail};
use super::change::Change;
use super::effect::Effect;
use super::input::ScheduleKey;
use super::live::{At, Run, State};
use super::submit::Admission;
use super::timer::Kind;
use super::{Cell, Turn};

/// How deep calls may nest.
pub(crate) const CALL_DEPTH_MAX: u32 = 8;

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
    pub(crate) last: Option<RunId>,
    pub(crate) queued: bool,
}

impl Cell {
    /// The input of a `call` is there: the child comes in.
    pub(crate) fn call(&mut self, at: At, input: Payload, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let depth = run.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        let StepKind::Call { workflow, version } = &run.step(at.node).kind else {
            unreachable!("only a call has a child");
        };
        let salt =
            (u64::from(node.instance.step.0) << 48) ^ node.instance.part.code().cast_unsigned();
        let salt = mix(salt) ^ u64::from(node.attempt) ^ self.fence.rotate_left(20);
        let child = run.key.run.derive(self.now, salt);
        let found = self.directory.shape(workflow, *version).cloned();
        let refusal = match &found {
            None => Some(format!("the workflow {workflow} is not declared")),
            Some(_) if depth > CALL_DEPTH_MAX => {
                Some(format!("calls nest deeper than {CALL_DEPTH_MAX}"))
            }
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            let failure = fail(class::CHILD_REFUSED, &refusal);
            return self.end(at, State::Failed(Box::new(failure)), None, turn);
        }
        let admission = Admission {
            key: RunKey { tenant: run.key.tenant.clone(), run: child },
            tenant: run.tenant,
            shape: found.expect("a refusal would have been given"),
            lane: run.lane,
            input,
            parent: Some(Parent { run: run.key.run, instance: node.instance, depth }),
            schedule: None,
        };
        self.fence += 1;
        self.move_to(at, State::Calling(Box::new(child)), None, turn);
        self.admit(admission, turn);
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

    fn child_ended(&mut self, caller: &RunKey, parent: &Parent, ended: &Run, turn: &mut Turn) {
        let Some(run) = self.runs.find(caller) else { return };
        let live = self.runs.get(run);
        let Some(node) = live.find(parent.instance) else { return };
        let at = At { run, node };
        if !matches!(&live.node(node).state, State::Calling(child) if **child == ended.key.run) {
            return;
        }
        let is_abandoned = live.outcome.is_some();
        let state = match ended.status {
            RunStatus::Completed => State::Done,
            _ if is_abandoned => State::Cancelled,
            status => {
                let because = ended.failure.as_deref().map_or("", |failure| &failure.message);
                let message =
                    format!("the child run {} ended as {status:?}: {because}", ended.key.run);
                State::Failed(Box::new(fail(class::CHILD_FAILED, &message)))
            }
        };
        self.end(at, state, None, turn);
    }

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
            let planned = &mut self.schedules.list[at as usize];
            if planned.declared.as_ref() == Some(schedule) {
                continue;
            }
            planned.declared = Some(schedule.clone());
            self.ask_next(at, self.now, turn);
        }
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
            last: None,
            queued: false,
        });
        at
    }

    fn drop_schedule(&mut self, at: usize, turn: &mut Turn) {
        let planned = &mut self.schedules.list[at];
        planned.declared = None;
        planned.queued = false;
        let place = u32::try_from(at).expect("schedules are bounded by workflows");
        if let Some(next) = planned.next.take() {
            self.timers.clear(next, Kind::Schedule, At { run: place, node: 0 });
        }
        let ScheduleKey { tenant, workflow, name } = planned.key.clone();
        turn.write(Change::DropSchedule(tenant, workflow, name));
    }

    pub(crate) fn ask_next(&self, at: u32, after: Time, turn: &mut Turn) {
        let planned = &self.schedules.list[at as usize];
        let Some(declared) = &planned.declared else { return };
        turn.cause(Effect::NextTime {
            schedule: planned.key.clone(),
            cron: declared.cron.clone(),
            time_zone: declared.time_zone.clone(),
            after,
        });
    }

    pub(crate) fn scheduled(&mut self, key: &ScheduleKey, next: Option<Time>, turn: &mut Turn) {
        let Some(&at) = self.schedules.by_key.get(key) else { return };
        let planned = &mut self.schedules.list[at as usize];
        let place = At { run: at, node: 0 };
        if let Some(old) = std::mem::replace(&mut planned.next, next) {
            self.timers.clear(old, Kind::Schedule, place);
        }
        if let Some(next) = next {
            self.timers.set(next, Kind::Schedule, place);
        }
        self.write_schedule(at, turn);
    }

    pub(crate) fn schedule_due(&mut self, at: u32, due: Time, turn: &mut Turn) {
        let planned = &mut self.schedules.list[at as usize];
        planned.next = None;
        let Some(declared) = planned.declared.clone() else { return };
        let tenant = planned.key.tenant.clone();
        let last = planned.last.map(|run| RunKey { tenant, run });
        let is_live = last.is_some_and(|key| self.runs.find(&key).is_some());
        match declared.overlap {
            Overlap::Skip if is_live => {}
            Overlap::Queue if is_live => self.schedules.list[at as usize].queued = true,
            Overlap::Skip | Overlap::Queue | Overlap::Allow => {
                self.start_scheduled(at, &declared, due, turn);
            }
        }
        self.write_schedule(at, turn);
        // What was missed while the server was down is not made up for time by time: the next one is after now.
        self.ask_next(at, self.now, turn);
    }

    fn start_scheduled(&mut self, at: u32, declared: &Schedule, due: Time, turn: &mut Turn) {
        let key = self.schedules.list[at as usize].key.clone();
        let Some(tenant) = self.directory.tenants.find(&key.tenant) else { return };
        if self.directory.tenants.get(tenant).context().suspended {
            return;
        }
        let Some(shape) = self.directory.shape(&key.workflow, None).cloned() else { return };
        // The id names the schedule and the time.
        let seed = key
            .name
            .as_str()
            .bytes()
            .chain(key.tenant.as_str().bytes())
            .fold(due.0, |seed, byte| mix(seed ^ u64::from(byte)));
        let run = RunId(u128::from(seed)).derive(due, mix(due.0));
        if self.runs.is_taken(run) {
            return;
        }
        self.schedules.list[at as usize].last = Some(run);
        let admission = Admission {
            key: RunKey { tenant: key.tenant, run },
            tenant,
            shape,
            lane: crate::row::Lane::Normal,
            input: Payload::from(declared.input.as_bytes()),
            parent: None,
            schedule: Some(key.name),
        };
        self.admit(admission, turn);
    }

    fn scheduled_run_ended(&mut self, key: &ScheduleKey, turn: &mut Turn) {
        let Some(&at) = self.schedules.by_key.get(key) else { return };
        let planned = &mut self.schedules.list[at as usize];
        if !std::mem::take(&mut planned.queued) {
            return;
        }
        if let Some(declared) = planned.declared.clone() {
            self.start_scheduled(at, &declared, self.now, turn);
        }
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
