//! What a tenant does to a live run: cancel, pause, resume, signal. `hand` has what people decide of one without money.

use crate::id::SignalName;
use crate::reject::Rejection;
use crate::row::{Actor, Payload, ReviewEvent, RunKey, RunStatus, SignalRow};

use super::audit::commanded;
use super::change::Change;
use super::effect::Response;
use super::input::{Command, ReplyId};
use super::live::{At, State};
use super::{Cell, Turn};
use crate::plan::{StepKind, Wait};

/// Signals in one run's inbox that no step has taken yet.
pub(crate) const INBOX_MAX: usize = 1_000;

impl Cell {
    pub(crate) fn command(
        &mut self,
        (reply, by): (ReplyId, Option<Actor>),
        key: &RunKey,
        command: Command,
        turn: &mut Turn,
    ) {
        let said = commanded(&command);
        let Some(run) = self.runs.find(key) else {
            return turn.reject(reply, Rejection::UnknownRun { run: key.run });
        };
        let done = match command {
            Command::Cancel => Ok(self.cancel(run, turn)),
            Command::Pause => self.pause(run, turn),
            Command::Resume => self.resume(run, turn),
            Command::Budget { limit } => self.set_run_budget(run, limit, turn),
            Command::Resolve(given) => self.resolve(run, *given, turn),
            Command::AllowCheaper => self.allow_cheaper(run, turn),
            Command::Signal { name, payload, idempotency } => {
                match idempotency.as_ref().and_then(|given| self.prior(key, given)) {
                    Some(prior) => prior.map(|_| self.runs.get(run).status),
                    None => self
                        .signal(run, name, payload, turn)
                        .inspect(|_| self.remember(key, idempotency, turn)),
                }
            }
        };
        match done {
            Ok(status) => {
                self.log_command(key, by, said, turn);
                turn.reply(reply, Response::Commanded { status });
            }
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    fn cancel(&mut self, run: u32, turn: &mut Turn) -> RunStatus {
        let live = self.runs.get(run);
        if live.outcome.is_some() {
            // Already on its way to an end: cancelling again changes nothing.
            return live.status;
        }
        let age = live.age;
        self.abandon(run, RunStatus::Cancelled, None, turn);
        self.runs.aged(run, age).map_or(RunStatus::Cancelled, |live| live.status)
    }

    fn pause(&mut self, run: u32, turn: &mut Turn) -> Result<RunStatus, Rejection> {
        let live = self.runs.get_mut(run);
        match live.status {
            RunStatus::Paused => {
                // More money alone does not resume what its tenant has paused.
                let halt = live.halt.take();
                if halt.is_some() {
                    self.write_run(run, turn);
                    self.end_halt_review(halt, ReviewEvent::Superseded, turn);
                }
                return Ok(RunStatus::Paused);
            }
            RunStatus::Running => {}
            status => {
                return Err(Rejection::WrongStatus { run: live.key.run, status, needs: "running" });
            }
        }
        self.pause_now(run, turn);
        Ok(RunStatus::Paused)
    }

    pub(crate) fn pause_now(&mut self, run: u32, turn: &mut Turn) {
        let now = self.now;
        let live = self.runs.get_mut(run);
        live.status = RunStatus::Paused;
        if let Some(followed) = &mut live.followed {
            followed.paused(now, live.halt);
        }
        for at in self.ready_nodes(run, true) {
            self.withdraw(at);
        }
        self.write_run(run, turn);
    }

    pub(crate) fn resume(&mut self, run: u32, turn: &mut Turn) -> Result<RunStatus, Rejection> {
        let now = self.now;
        let live = self.runs.get_mut(run);
        match live.status {
            RunStatus::Running => return Ok(RunStatus::Running),
            RunStatus::Paused => {}
            status => {
                return Err(Rejection::WrongStatus { run: live.key.run, status, needs: "paused" });
            }
        }
        live.status = RunStatus::Running;
        if let Some(followed) = &mut live.followed {
            followed.resumed(now);
        }
        let halt = live.halt.take();
        self.end_halt_review(halt, ReviewEvent::Superseded, turn);
        self.write_run(run, turn);
        for at in self.ready_nodes(run, false) {
            self.make_ready(at, turn);
        }
        Ok(RunStatus::Running)
    }

    fn ready_nodes(&self, run: u32, wanted: bool) -> Vec<At> {
        let nodes = &self.runs.get(run).nodes;
        let is_wanted =
            |state: &State| matches!(state, State::Ready { queued } if *queued == wanted);
        (0..)
            .zip(nodes)
            .filter(|(_, node)| is_wanted(&node.state))
            .map(|(node, _)| At { run, node })
            .collect()
    }

    /// Delivers a signal to the step that listens for it, or leaves it in the run's inbox.
    fn signal(
        &mut self,
        run: u32,
        name: SignalName,
        payload: Payload,
        turn: &mut Turn,
    ) -> Result<RunStatus, Rejection> {
        let live = self.runs.get(run);
        let status = live.status;
        if live.outcome.is_some() {
            return Err(Rejection::WrongStatus {
                run: live.key.run,
                status,
                needs: "running or paused",
            });
        }
        let listens = |node: u32| {
            matches!(live.node(node).state, State::Listening)
                && matches!(&live.step(node).kind, StepKind::Wait(Wait::Signal(awaited)) if *awaited == name)
        };
        let nodes = u32::try_from(live.nodes.len()).expect("maps and steps are bounded");
        if let Some(node) = (0..nodes).find(|node| listens(*node)) {
            self.end(At { run, node }, State::Done, Some(payload), turn);
            return Ok(status);
        }
        let live = self.runs.get_mut(run);
        if live.inbox.len() >= INBOX_MAX {
            let max = u32::try_from(INBOX_MAX).expect("a small constant");
            return Err(Rejection::InboxFull { pending: max, max });
        }
        live.signals += 1;
        live.inbox.push_back((live.signals, name.clone()));
        turn.write(Change::Signal(SignalRow {
            key: live.key.clone(),
            sequence: live.signals,
            name,
            at: self.now,
            payload,
        }));
        Ok(status)
    }

    /// The caller of a child run does not want it any more.
    pub(crate) fn cancel_called(&mut self, key: &RunKey, turn: &mut Turn) {
        if let Some(run) = self.runs.find(key)
            && self.runs.get(run).outcome.is_none()
        {
            self.abandon(run, RunStatus::Cancelled, None, turn);
        }
    }
}
