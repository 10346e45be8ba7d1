//! Calls that wait until their endpoint has room, or their tenant's own quota has. They hold nothing meanwhile, and live in
//! memory only: with the connection of whoever made them.
//!
//! A tenant's calls for an endpoint are tried in the order in which they came, and one that does not pass stops those behind
//! it; between tenants the limiter's line decides. Of what wakes a key all are tried until one does not pass, since one that
//! was woken may have no money any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::cell::input::{OpenCall, ReplyId};
use crate::reject::Rejection;
use crate::time::Time;

#[derive(Debug, Default)]
pub(super) struct WaitingCalls {
    /// In the order in which they came.
    calls: BTreeMap<u64, WaitingCall>,
    /// By the keys that wake them.
    keyed: BTreeSet<(u64, u64)>,
    ends: BTreeSet<(Time, u64)>,
    replies: BTreeMap<ReplyId, u64>,
    /// Keys that were woken and have not been tried since.
    woken: BTreeSet<u64>,
    came: u64,
}

#[derive(Debug)]
pub(super) struct WaitingCall {
    pub(super) reply: ReplyId,
    pub(super) call: Box<OpenCall>,
    /// Why it waits, and what it is told if it waits in vain.
    pub(super) refusal: Rejection,
    /// Of the lines that it stands in; it is tried when any of them is woken.
    pub(super) keys: Vec<u64>,
    pub(super) until: Time,
}

impl WaitingCalls {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn wait(&mut self, waiting: WaitingCall) {
        self.came += 1;
        self.keyed.extend(waiting.keys.iter().map(|key| (*key, self.came)));
        self.ends.insert((waiting.until, self.came));
        self.replies.insert(waiting.reply, self.came);
        self.calls.insert(self.came, waiting);
    }

    /// The first that waits under the key.
    pub(super) fn first(&self, key: u64) -> Option<(u64, &WaitingCall)> {
        let (_, number) = self.keyed.range((key, 0)..=(key, u64::MAX)).next()?;
        Some((*number, self.calls.get(number)?))
    }

    /// One that waits under the key and came before that number; `None`: any.
    pub(super) fn before(&self, key: u64, number: Option<u64>) -> Option<&WaitingCall> {
        let (first, waiting) = self.first(key)?;
        number.is_none_or(|number| first < number).then_some(waiting)
    }

    /// It waits on, perhaps under other keys.
    pub(super) fn wait_on(&mut self, number: u64, keys: Vec<u64>, refusal: Rejection) {
        let Some(waiting) = self.calls.get_mut(&number) else { return };
        for key in waiting.keys.iter().filter(|key| !keys.contains(key)) {
            self.keyed.remove(&(*key, number));
            // Who is behind it there may be next.
            self.woken.insert(*key);
        }
        self.keyed.extend(keys.iter().map(|key| (*key, number)));
        (waiting.keys, waiting.refusal) = (keys, refusal);
    }

    pub(super) fn take(&mut self, number: u64) -> Option<WaitingCall> {
        let waiting = self.calls.remove(&number)?;
        for key in &waiting.keys {
            self.keyed.remove(&(*key, number));
        }
        self.ends.remove(&(waiting.until, number));
        self.replies.remove(&waiting.reply);
        Some(waiting)
    }

    pub(super) fn take_of(&mut self, reply: ReplyId) -> Option<WaitingCall> {
        let number = *self.replies.get(&reply)?;
        self.take(number)
    }

    /// One that has waited long enough.
    pub(super) fn take_overdue(&mut self, now: Time) -> Option<WaitingCall> {
        let (_, number) = self.ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.take(number)
    }

    pub(super) fn next_end(&self) -> Option<Time> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Those under the key are to be tried.
    pub(super) fn wake(&mut self, key: u64) {
        if self.first(key).is_some() {
            self.woken.insert(key);
        }
    }

    pub(super) fn next_woken(&mut self) -> Option<u64> {
        self.woken.pop_first()
    }

    pub(super) fn is_any_woken(&self) -> bool {
        !self.woken.is_empty()
    }
}
