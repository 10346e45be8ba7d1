//! Whose turn it is with one of a few things that all tenants use, such as readers of the store: tenants take turns, so that
//! one that wants many waits for itself, and others wait for the next that comes back at most, and for one use by each tenant
//! that waits too.
//!
//! INVARIANT: while one is free nobody waits.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, PoisonError};

use fairlane_core::id::TenantId;
use tokio::sync::oneshot;

/// Who wants one. `None`: the platform, or many.
pub(crate) type Of = Option<TenantId>;

/// Things of a kind that are lent.
#[derive(Debug)]
pub(crate) struct Turns<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    free: Vec<T>,
    /// Those who wait, in the order in which they came.
    waiting: BTreeMap<Of, VecDeque<oneshot::Sender<Lent<T>>>>,
    /// Who was given one last of those who waited.
    last: Of,
}

/// Goes back when it is dropped, also if its thread panics, or whoever waited for it has gone.
pub(crate) struct Lent<T> {
    turns: Arc<Turns<T>>,
    one: Option<T>,
}

/// What somebody has who wants one.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    Now(Lent<T>),
    Later(oneshot::Receiver<Lent<T>>),
}

/// What is lent comes back whatever becomes of who has it.
const NONE_LOST: &str = "what comes back is given to those who wait for it";

impl<T> Turn<T> {
    /// Waits for it.
    pub(crate) async fn ready(self) -> Lent<T> {
        match self {
            Self::Now(lent) => lent,
            Self::Later(turn) => turn.await.expect(NONE_LOST),
        }
    }

    /// Waits for it on this thread, which must not be one that serves connections.
    pub(crate) fn ready_here(self) -> Lent<T> {
        match self {
            Self::Now(lent) => lent,
            Self::Later(turn) => turn.blocking_recv().expect(NONE_LOST),
        }
    }
}

impl<T> Turns<T> {
    pub(crate) fn new(all: Vec<T>) -> Arc<Self> {
        let waiting = BTreeMap::new();
        Arc::new(Self(Mutex::new(State { free: all, waiting, last: None })))
    }

    /// O(log n) in the tenants that wait.
    pub(crate) fn take(self: &Arc<Self>, of: Of) -> Turn<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = state.free.pop() {
            return Turn::Now(Lent { turns: self.clone(), one: Some(one) });
        }
        let (to, turn) = oneshot::channel();
        state.waiting.entry(of).or_default().push_back(to);
        Turn::Later(turn)
    }

    fn give_back(self: &Arc<Self>, one: T) {
        let mut one = one;
        loop {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(next) = state.next() else {
                state.free.push(one);
                return;
            };
            drop(state);
            // Outside of the lock: what nobody takes comes back at once.
            let lent = Lent { turns: self.clone(), one: Some(one) };
            match next.send(lent).map_err(|mut lent| lent.one.take()) {
                Ok(()) | Err(None) => return,
                // Whoever waited has gone.
                Err(Some(back)) => one = back,
            }
        }
    }
}

impl<T> State<T> {
    /// The one who has waited longest of the tenant whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Lent<T>>> {
        let after = self.waiting.range((Excluded(&self.last), Unbounded)).next();
        let of = after.or_else(|| self.waiting.first_key_value()).map(|(of, _)| of.clone())?;
        let line = self.waiting.get_mut(&of)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&of);
        }
        self.last = of;
        next
    }
}

impl<T> Lent<T> {
    pub(crate) fn get(&mut self) -> &mut T {
        self.one.as_mut().expect("it is there until it goes back")
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        if let Some(one) = self.one.take() {
            self.turns.give_back(one);
        }
    }
}

impl<T> fmt::Debug for Lent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenant: &str) -> TenantId {
        tenant.parse().unwrap()
    }

    fn later(turn: Turn<u8>) -> oneshot::Receiver<Lent<u8>> {
        match turn {
            Turn::Later(turn) => turn,
            Turn::Now(_) => panic!("one was free"),
        }
    }

    #[test]
    fn who_has_many_reads_waits_for_itself() {
        let turns = Turns::new(vec![1]);
        let Turn::Now(first) = turns.take(Some(of("b"))) else { panic!("none was free") };
        let mut line: Vec<_> = (0..100).map(|_| ("b", later(turns.take(Some(of("b")))))).collect();
        line.push(("c", later(turns.take(Some(of("c"))))));
        line.push(("a", later(turns.take(Some(of("a"))))));
        line.push(("platform", later(turns.take(None))));
        let mut order = Vec::new();
        let mut held = Some(first);
        while !line.is_empty() {
            drop(held.take());
            let (at, lent) = (0..line.len())
                .find_map(|at| Some((at, line[at].1.try_recv().ok()?)))
                .expect("what comes back goes to the next");
            held = Some(lent);
            order.push(line.remove(at).0);
        }
        assert_eq!(order[..6], ["a", "b", "c", "platform", "b", "b"]);
        drop(held);
        assert!(matches!(turns.take(None), Turn::Now(_)), "it came back");
    }

    #[test]
    fn who_has_gone_is_passed_over_and_takes_nothing_along() {
        let turns = Turns::new(vec![1]);
        let Turn::Now(first) = turns.take(None) else { panic!("none was free") };
        let (gone, mut stays) =
            (later(turns.take(Some(of("a")))), later(turns.take(Some(of("a")))));
        drop(gone);
        drop(first);
        let mut lent = stays.try_recv().unwrap();
        assert_eq!(*lent.get(), 1);
        // It was given to somebody who goes before taking it.
        let unlucky = later(turns.take(Some(of("b"))));
        drop(lent);
        drop(unlucky);
        assert!(matches!(turns.take(Some(of("c"))), Turn::Now(_)));
        assert!(turns.0.lock().unwrap().waiting.is_empty());
    }
}
