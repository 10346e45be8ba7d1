//! Who follows a run: one queue for each, which goes when its reader does, whatever the run is.
//!
//! INVARIANT: the desk keeps a queue only as long as its [`Watch`] lives, and a tenant has no more of them than
//! [`WATCHES_MAX`]: so what can be held by naming runs, existing ones or not, is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairlane_api::Code;
use fairlane_core::cell::effect::Progress;
use fairlane_core::id::TenantId;
use fairlane_core::row::RunKey;
use fairlane_core::time::Span;
use tokio::sync::mpsc;

use super::inbox::Inbox;
use super::{Engine, Message};
use crate::problem::Refused;

/// Watches of one tenant at a time. With full queues, each of some kilobytes, they take what a few large payloads
/// do.
pub(crate) const WATCHES_MAX: u32 = 1_000;

/// How many watches each tenant has.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<HashMap<TenantId, u32>>);

/// The changes of a run from the moment it was watched. Dropped, it is watched no more.
#[derive(Debug)]
pub(crate) struct Watch {
    key: RunKey,
    changes: mpsc::Receiver<Progress>,
    inbox: Arc<Inbox>,
    _place: Place,
}

/// One of the tenant's watches.
#[derive(Debug)]
struct Place {
    tenant: TenantId,
    watches: Arc<Watches>,
}

impl Engine {
    /// Follows a run, which may not exist. At most `queue_max` changes wait; a reader that is slower is let go.
    pub(crate) fn watch(&self, key: RunKey, queue_max: usize) -> Result<Watch, Refused> {
        let place = Place::take(&self.watches, &key.tenant)?;
        let (to, changes) = mpsc::channel(queue_max);
        self.send(Message::Watch(key.clone(), to))?;
        Ok(Watch { key, changes, inbox: self.inbox.clone(), _place: place })
    }
}

impl Watch {
    /// The next change; `None` if some were missed, or the server cannot say any more.
    pub(crate) async fn next(&mut self) -> Option<Progress> {
        self.changes.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Closed first: the desk looks for those that are.
        self.changes.close();
        self.inbox.force(Message::Unwatch(self.key.clone()));
    }
}

impl Place {
    fn take(watches: &Arc<Watches>, tenant: &TenantId) -> Result<Self, Refused> {
        let mut taken = watches.lock();
        let count = taken.entry(tenant.clone()).or_default();
        if *count >= WATCHES_MAX {
            return Err(Refused::new(Code::Overloaded)
                .detail(format!("{WATCHES_MAX} runs of the tenant are followed already"))
                .retry_after(Span::from_secs(1)));
        }
        *count += 1;
        Ok(Self { tenant: tenant.clone(), watches: watches.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.watches.lock();
        if let Some(count) = taken.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::desk::Desk;
    use crate::engine::health::{Health, State};
    use fairlane_core::id::RunId;

    fn engine() -> Engine {
        let health = Health::default();
        health.enter(State::Ready);
        Engine::new(Arc::new(health))
    }

    fn key(tenant: &str, run: u128) -> RunKey {
        RunKey { tenant: tenant.parse().unwrap(), run: RunId(run) }
    }

    /// Gives the desk what has come for it.
    fn deliver(engine: &Engine, desk: &mut Desk) {
        let mut messages = Vec::new();
        engine.inbox.force(Message::Stop);
        let _ = engine.inbox.take(&mut messages, None);
        for message in messages {
            match message {
                Message::Watch(key, to) => desk.watch(key, to),
                Message::Unwatch(key) => desk.unwatch(&key),
                _ => {}
            }
        }
    }

    #[test]
    fn a_watch_of_a_run_that_is_never_heard_of_goes_with_its_reader() {
        let (engine, mut desk) = (engine(), Desk::default());
        let other = engine.watch(key("a", 1), 4).unwrap();
        let watch = engine.watch(key("a", 1), 4).unwrap();
        deliver(&engine, &mut desk);
        assert_eq!(desk.watched(), 2);
        drop(watch);
        deliver(&engine, &mut desk);
        assert_eq!(desk.watched(), 1);
        drop(other);
        deliver(&engine, &mut desk);
        assert_eq!(desk.watched(), 0);
    }

    #[test]
    fn one_tenant_has_a_bounded_number_of_watches() {
        let engine = engine();
        let watch = |run: u32| engine.watch(key("a", u128::from(run)), 4);
        let mut held: Vec<Watch> = (0..WATCHES_MAX).map(|run| watch(run).unwrap()).collect();
        assert_eq!(watch(0).unwrap_err().0.code(), Some(Code::Overloaded));
        assert!(engine.watch(key("b", 0), 4).is_ok(), "another tenant is not refused");
        held.pop();
        assert!(watch(0).is_ok());
    }
}
