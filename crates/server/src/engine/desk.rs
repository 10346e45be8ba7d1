//! Who waits for what: replies, exchanges and the ends of runs. Owned by the driver thread, so there are no
//! locks; an answer to a requester that has gone is dropped, and leases in it go back to the cell.

use std::collections::HashMap;
use std::sync::Arc;

use fairlane_core::cell::effect::{Exchanged, Progress, Response};
use fairlane_core::cell::input::{AskId, Input, ReplyId};
use fairlane_core::id::RunId;
use fairlane_core::reject::Rejection;
use fairlane_core::row::{LeaseId, RunKey};
use tokio::sync::{mpsc, oneshot};

use super::Message;
use super::inbox::Inbox;

/// What became of a submission.
#[derive(Debug)]
pub(crate) enum Outcome {
    Accepted { run: RunId, existing: bool },
    Ended(Box<Progress>),
    Rejected(Rejection),
}

/// The answer to an exchange. Its leases go back to the cell unless they are [taken](Courier::delivered).
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) exchanged: Exchanged,
    pub(crate) courier: Courier,
}

/// Carries leases to a worker. Dropped on the way, it gives them back.
#[derive(Debug)]
pub(crate) struct Courier {
    leases: Vec<LeaseId>,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
pub(crate) struct Desk {
    replies: HashMap<ReplyId, Waiter>,
    asks: HashMap<AskId, oneshot::Sender<Handover>>,
    watchers: HashMap<RunKey, Vec<Watcher>>,
}

#[derive(Debug)]
enum Waiter {
    Ask(oneshot::Sender<Response>),
    Submit { key: RunKey, until_end: bool, committed: bool, answer: oneshot::Sender<Outcome> },
}

#[derive(Debug)]
enum Watcher {
    /// A submission that waits for the end.
    End(ReplyId),
    Events(mpsc::Sender<Progress>),
}

impl Courier {
    /// The leases are on the wire; what is lost from here on comes back when they run out.
    pub(crate) fn delivered(mut self) {
        self.leases.clear();
    }

    /// This lease is settled otherwise.
    pub(crate) fn forget(&mut self, lease: &LeaseId) {
        self.leases.retain(|carried| carried != lease);
    }

    /// This lease is not delivered; the others may be.
    pub(crate) fn give_back(&mut self, lease: &LeaseId) {
        self.forget(lease);
        self.inbox.force(Message::Note(Input::Undelivered(vec![lease.clone()])));
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if !self.leases.is_empty() {
            let leases = std::mem::take(&mut self.leases);
            self.inbox.force(Message::Note(Input::Undelivered(leases)));
        }
    }
}

impl Desk {
    pub(crate) fn ask(&mut self, id: ReplyId, answer: oneshot::Sender<Response>) {
        self.replies.insert(id, Waiter::Ask(answer));
    }

    pub(crate) fn submission(
        &mut self,
        id: ReplyId,
        key: RunKey,
        until_end: bool,
        answer: oneshot::Sender<Outcome>,
    ) {
        self.replies.insert(id, Waiter::Submit { key, until_end, committed: false, answer });
    }

    pub(crate) fn exchange(&mut self, id: AskId, answer: oneshot::Sender<Handover>) {
        self.asks.insert(id, answer);
    }

    pub(crate) fn watch(&mut self, key: RunKey, to: mpsc::Sender<Progress>) {
        self.watchers.entry(key).or_default().push(Watcher::Events(to));
    }

    /// Somebody who followed the run does not any more.
    pub(crate) fn unwatch(&mut self, key: &RunKey) {
        self.retain(key, |watcher| !matches!(watcher, Watcher::Events(to) if to.is_closed()));
    }

    /// A submission that waits for the end of its run has waited long enough.
    pub(crate) fn nudge(&mut self, id: ReplyId) {
        match self.replies.get_mut(&id) {
            Some(Waiter::Submit { until_end, committed: false, .. }) => *until_end = false,
            Some(Waiter::Submit { committed: true, .. }) => {
                if let Some(Waiter::Submit { key, answer, .. }) = self.replies.remove(&id) {
                    self.forget_end(&key, id);
                    // An error means that the requester has gone, which is no loss here and below.
                    let _ = answer.send(Outcome::Accepted { run: key.run, existing: false });
                }
            }
            Some(Waiter::Ask(_)) | None => {}
        }
    }

    pub(crate) fn reply(&mut self, id: ReplyId, response: Response) {
        match self.replies.remove(&id) {
            Some(Waiter::Ask(answer)) => drop(answer.send(response)),
            Some(Waiter::Submit { key, until_end, answer, .. }) => match response {
                Response::Submitted { existing: false, .. } if until_end => {
                    self.watchers.entry(key.clone()).or_default().push(Watcher::End(id));
                    let waiter = Waiter::Submit { key, until_end, committed: true, answer };
                    self.replies.insert(id, waiter);
                }
                Response::Submitted { run, existing } => {
                    let _ = answer.send(Outcome::Accepted { run, existing });
                }
                Response::Rejected(rejection) => drop(answer.send(Outcome::Rejected(rejection))),
                other => tracing::error!(
                    event = "reply-mixed-up",
                    ?other,
                    "a submission got another request's reply"
                ),
            },
            None => {}
        }
    }

    pub(crate) fn exchanged(&mut self, id: AskId, exchanged: Exchanged, inbox: &Arc<Inbox>) {
        let leases = exchanged.grants.iter().map(|grant| grant.lease.clone()).collect();
        let courier = Courier { leases, inbox: inbox.clone() };
        match self.asks.remove(&id) {
            Some(answer) => drop(answer.send(Handover { exchanged, courier })),
            None => drop(courier),
        }
    }

    pub(crate) fn progress(&mut self, progress: &Progress) {
        if self.watchers.is_empty() {
            return;
        }
        if progress.status.is_ended() {
            for watcher in self.watchers.remove(&progress.key).into_iter().flatten() {
                self.end(watcher, progress);
            }
        } else {
            // One whose queue is full is let go: its stream begins again with a snapshot.
            self.retain(&progress.key, |watcher| match watcher {
                Watcher::End(_) => true,
                Watcher::Events(to) => to.try_send(progress.clone()).is_ok(),
            });
        }
    }

    fn end(&mut self, watcher: Watcher, progress: &Progress) {
        match watcher {
            Watcher::Events(to) => drop(to.try_send(progress.clone())),
            Watcher::End(id) => {
                if let Some(Waiter::Submit { answer, .. }) = self.replies.remove(&id) {
                    let _ = answer.send(Outcome::Ended(Box::new(progress.clone())));
                }
            }
        }
    }

    fn forget_end(&mut self, key: &RunKey, id: ReplyId) {
        self.retain(key, |watcher| !matches!(watcher, Watcher::End(waiting) if *waiting == id));
    }

    fn retain(&mut self, key: &RunKey, stays: impl FnMut(&Watcher) -> bool) {
        if let Some(watchers) = self.watchers.get_mut(key) {
            watchers.retain(stays);
            if watchers.is_empty() {
                self.watchers.remove(key);
            }
        }
    }

    /// Watchers of all runs together.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.watchers.values().map(Vec::len).sum()
    }
}
