//! The driver thread: it alone touches the cell.
//!
//! ```text
//! take what has come -> step each -> end the turn -> commit -> release its effects
//!                       step the next turn ----------^ meanwhile
//! ```
//!
//! If nothing waits to be stepped, the commit is made on this thread, which saves two changes of threads; if
//! something does, a second thread commits while this one steps the next turn.
//!
//! If a commit fails, nothing is released: the driver and everyone who waits are dropped, and the cell is
//! loaded again from the store, until that succeeds. An assertion that does not hold, of the cell while it is
//! loaded or stepped, or of the store on either thread, is treated in the same way: what was in memory is not to
//! be trusted, what is committed is. The server is ready only while a loaded cell is stepped.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::cell::effect::Effect;
use fairlane_core::cell::input::{ErasureDone, Input};
use fairlane_core::driver::Driver;
use fairlane_core::id::RegionName;
use fairlane_core::notice::Means;
use fairlane_core::quota::Share;
use fairlane_core::time::{Span, Time};
use fairlane_core::trace::Sampling;
use fairlane_store::{Epoch, Error as StoreError, Forgotten, SWEEP_MAX, Store};

use super::Message;
use super::desk::Desk;
use super::health::{Health, State};
use super::inbox::{Committed, Inbox};
use crate::cache::{Cache, Write, writes};
use crate::clock::Clock;
use crate::effects::Effects;
use crate::notify::Courier;
use crate::registry::Registry;
use crate::telemetry::Traces;

/// A commit faster than this is not worth telling the cell.
const COMMIT_SLOW: Duration = Duration::from_millis(10);
/// Waits between attempts to load the cell again.
pub(crate) const RELOAD_MIN: Duration = Duration::from_millis(100);
const RELOAD_MAX: Duration = Duration::from_secs(5);

/// Old idempotency keys are swept this often; again at once if there are more.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Between two steps of erasing.
const FORGET_PAUSE: Duration = Duration::from_millis(20);
/// Steps after which there is much to erase.
const FORGET_FAST: u32 = 10;
/// Between two of them then. A step and what it syncs take some milliseconds, which fewer than one commit in a hundred waits for.
const FORGET_LONG_PAUSE: Duration = Duration::from_millis(400);
/// Until it is looked again whether what is to be erased has ended.
const FORGET_WAIT: Duration = Duration::from_millis(500);

/// What the cell is told of itself, since no row says it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where its store is.
    pub(crate) region: RegionName,
    pub(crate) share: Share,
    /// How it can tell anybody anything.
    pub(crate) means: Means,
    /// Which runs are followed.
    pub(crate) sampling: Option<Sampling>,
}

/// The store, which one of two threads uses at a time.
pub(crate) type Journal = Arc<Mutex<Box<dyn Store>>>;

/// What the thread is given.
pub(crate) struct Owner {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) health: Arc<Health>,
    /// The epoch of the session: see [`super::Engine::session`].
    pub(crate) loaded: Arc<AtomicU64>,
    pub(crate) journal: Journal,
    pub(crate) registry: Arc<Registry>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) effects: Effects,
    pub(crate) courier: Courier,
    pub(crate) clock: Clock,
    pub(crate) traces: Traces,
    pub(crate) place: Place,
    /// How long the next attempt to load the cell again waits; grows until a commit succeeds.
    pub(crate) reload_wait: Duration,
}

/// The cell in memory, with everyone who waits for it. Dropped as a whole when the store fails.
struct Session<'a> {
    owner: &'a mut Owner,
    driver: Driver,
    desk: Desk,
    /// What the turn in flight writes to the cache.
    writes: Vec<Write>,
    epoch: Epoch,
    committer: &'a mpsc::SyncSender<(Epoch, Vec<Change>)>,
    swept: Instant,
    /// When something may have to be erased.
    forget_at: Instant,
    /// Steps of erasing since there was nothing to erase.
    forgetting: u32,
    stopping: bool,
}

/// Why a session is over.
enum Over {
    Stopped,
    Failed(State),
}

impl Owner {
    /// Runs until it is stopped. `snapshot` is what the store has now.
    pub(crate) fn run(mut self, epoch: Epoch, snapshot: Snapshot) {
        let (committer, batches) = mpsc::sync_channel(1);
        let committing = {
            let (journal, inbox) = (self.journal.clone(), self.inbox.clone());
            std::thread::Builder::new()
                .name("fairlane-commit".to_owned())
                .spawn(move || commit_batches(&journal, &inbox, &batches))
        };
        match committing {
            Ok(committing) => {
                self.sessions(epoch, snapshot, &committer);
                drop(committer);
                if committing.join().is_err() {
                    tracing::error!(
                        event = "committer-panicked",
                        "the thread that commits ended with a panic"
                    );
                }
            }
            Err(error) => {
                tracing::error!(event = "committer-not-started", %error, "the thread that commits cannot be started");
                self.health.enter(State::Lost);
            }
        }
        self.inbox.close();
        self.close();
    }

    fn sessions(
        &mut self,
        epoch: Epoch,
        snapshot: Snapshot,
        committer: &mpsc::SyncSender<(Epoch, Vec<Change>)>,
    ) {
        let mut loaded = (epoch, snapshot);
        loop {
            let (epoch, snapshot) = loaded;
            self.loaded.store(epoch.0, Ordering::Release);
            // Nothing of the session is used after a panic; what it shared is reset from the store.
            let over = catch_unwind(AssertUnwindSafe(|| {
                Session::load(self, epoch, snapshot, committer).run()
            }));
            let over = over.unwrap_or_else(|_| {
                tracing::error!(
                    event = "cell-panicked",
                    "the cell broke an assertion: it is loaded again"
                );
                // Entered already if the session had begun, and those who waited are told.
                self.health.enter(State::Broken);
                Over::Failed(State::Broken)
            });
            match over {
                Over::Stopped => return,
                Over::Failed(state) => match self.recover(state) {
                    Some(again) => loaded = again,
                    None => return,
                },
            }
        }
    }

    fn close(self) {
        // The thread that commits has ended, so this is the only one that has the store.
        let store = Arc::try_unwrap(self.journal).ok();
        let store = store.map(|store| store.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let Some(Err(error)) = store.map(Store::close) {
            tracing::error!(event = "store-not-closed", %error, "the store was not closed properly; what was committed is safe");
        }
    }

    /// Loads the cell again, however often it takes; `None` if it is of no use any more.
    fn recover(&mut self, mut state: State) -> Option<(Epoch, Snapshot)> {
        loop {
            if state == State::Lost || self.wait(self.reload_wait) {
                return None;
            }
            self.reload_wait = (self.reload_wait * 2).min(RELOAD_MAX);
            match catch_unwind(AssertUnwindSafe(|| own(&self.journal, &self.place))) {
                Ok(Ok((epoch, snapshot))) => {
                    tracing::info!(event = "store-back", %epoch, "the store answers again: the cell is loaded");
                    self.registry.reset(&snapshot);
                    self.cache.clear();
                    return Some((epoch, snapshot));
                }
                Ok(Err(error)) => state = self.failed(&error),
                Err(_) => {
                    tracing::error!(
                        event = "store-panicked",
                        "the store broke an assertion: it is read again"
                    );
                    state = State::Broken;
                    self.health.enter(state);
                }
            }
        }
    }

    fn failed(&self, error: &StoreError) -> State {
        let state = match error {
            error if error.is_full() => State::StoreFull,
            error if error.is_stale() => State::Lost,
            _ => State::StoreFailed,
        };
        tracing::error!(event = "store-failed", %error, ?state, "the store failed: nothing is accepted until it is back");
        self.health.enter(state);
        state
    }

    /// Turns away what comes in meanwhile; true if the server is to stop.
    fn wait(&self, span: Duration) -> bool {
        let until = Instant::now() + span;
        let mut messages = Vec::new();
        while Instant::now() < until {
            let _ = self.inbox.take(&mut messages, Some(until));
            let stop = messages.iter().any(|message| matches!(message, Message::Stop));
            messages.clear();
            if stop {
                return true;
            }
        }
        false
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Before those who wait are let go, so that they can say why.
            self.owner.health.enter(State::Broken);
        }
    }
}

impl<'a> Session<'a> {
    fn load(
        owner: &'a mut Owner,
        epoch: Epoch,
        snapshot: Snapshot,
        committer: &'a mpsc::SyncSender<(Epoch, Vec<Change>)>,
    ) -> Self {
        Self {
            driver: Driver::load(owner.clock.now(), epoch.0, snapshot),
            owner,
            desk: Desk::default(),
            writes: Vec::new(),
            epoch,
            committer,
            swept: Instant::now(),
            forget_at: Instant::now(),
            forgetting: 0,
            stopping: false,
        }
    }
}

impl Session<'_> {
    fn run(mut self) -> Over {
        match self.serve() {
            Ok(()) => Over::Stopped,
            // The state is set before those who wait are let go, so that they can say why.
            Err(error) => Over::Failed(self.owner.failed(&error)),
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        let mut messages = Vec::new();
        // What follows from the state that was loaded is due before anything new.
        self.turn()?;
        self.owner.health.enter(State::Ready);
        loop {
            let until = self.wake_at();
            let committed = self.owner.inbox.take(&mut messages, until);
            if let Some(Committed { result, took, .. }) =
                committed.filter(|committed| committed.epoch == self.epoch)
            {
                result.unwrap_or_else(|panic| resume_unwind(panic))?;
                self.settle(took);
            }
            let now = self.owner.clock.now();
            self.owner.traces.follow(now);
            for message in messages.drain(..) {
                self.take(now, message);
            }
            if self.driver.next_wake().is_some_and(|due| due <= now) {
                self.driver.step(now, Input::Tick);
            }
            self.turn()?;
            self.sweep()?;
            self.forget()?;
            if self.stopping && !self.driver.is_committing() && self.owner.inbox.is_empty() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, now: Time, message: Message) {
        match message {
            Message::Note(input) => self.driver.step(now, input),
            // What was read for it may be older than what this cell was loaded from: dropped, its requester is told to
            // try again.
            Message::AskIn(session, ..) | Message::Submit { session, .. }
                if session != self.epoch.0 => {}
            Message::Ask(id, input, answer) | Message::AskIn(_, id, input, answer) => {
                self.desk.ask(id, answer);
                self.driver.step(now, input);
            }
            Message::Submit { submit, until_end, answer, .. } => {
                self.desk.submission(submit.reply, submit.key.clone(), until_end, answer);
                self.driver.step(now, Input::Submit(submit));
            }
            Message::Nudge(id) => self.desk.nudge(id),
            Message::Exchange(exchange, answer) => {
                self.desk.exchange(exchange.ask, answer);
                self.driver.step(now, Input::Exchange(exchange));
            }
            Message::Watch(key, to) => self.desk.watch(key, to),
            Message::Unwatch(key) => self.desk.unwatch(&key),
            Message::Stop => self.stopping = true,
        }
    }

    /// Ends the open turn and commits it, unless one is being committed.
    fn turn(&mut self) -> Result<(), StoreError> {
        while let Some(changes) = self.driver.take() {
            self.writes = writes(&changes);
            if changes.iter().any(|change| matches!(change, Change::Erasure(_))) {
                self.forget_at = Instant::now();
            }
            if changes.is_empty() {
                self.settle(Duration::ZERO);
            } else if !self.owner.inbox.is_urgent() {
                let started = Instant::now();
                commit(&self.owner.journal, self.epoch, &changes)?;
                self.settle(started.elapsed());
            } else {
                // The channel has room: a turn is taken only when none is in flight.
                let sent = self.committer.send((self.epoch, changes));
                sent.expect("the thread that commits runs as long as this one");
            }
        }
        Ok(())
    }

    /// Forgets old idempotency keys, now and then, when the store has nothing else to do.
    fn sweep(&mut self) -> Result<(), StoreError> {
        if self.driver.is_committing() || self.swept.elapsed() < SWEEP_EVERY {
            return Ok(());
        }
        let mut store = self.owner.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if store.sweep(self.epoch, self.owner.clock.now())? < SWEEP_MAX {
            self.swept = Instant::now();
        }
        Ok(())
    }

    /// Deletes what is to be erased, some of it, when the store has nothing else to do.
    fn forget(&mut self) -> Result<(), StoreError> {
        if self.driver.is_committing() || Instant::now() < self.forget_at {
            return Ok(());
        }
        // The driver's own time stands still while nobody asks for anything.
        let now = self.owner.clock.now();
        let forgotten = {
            let journal = &self.owner.journal;
            let mut store = journal.lock().unwrap_or_else(PoisonError::into_inner);
            store.forget(self.epoch, now)?
        };
        let Forgotten { runs, expired, finished, rows: _, has_more, is_waiting } = forgotten;
        self.owner.cache.forget(&runs);
        self.forgetting = if has_more { self.forgetting + 1 } else { 0 };
        let pause = match (has_more, is_waiting) {
            (true, _) if self.forgetting > FORGET_FAST => FORGET_LONG_PAUSE,
            (true, _) => FORGET_PAUSE,
            (false, true) => FORGET_WAIT,
            (false, false) => SWEEP_EVERY,
        };
        self.forget_at = Instant::now() + pause;
        if !runs.is_empty() || !expired.is_empty() || !finished.is_empty() {
            self.driver.step(now, Input::Erased(ErasureDone { runs, expired, finished }));
            // Nobody else may come for a while.
            self.turn()?;
        }
        Ok(())
    }

    /// The turn in flight is durable.
    fn settle(&mut self, took: Duration) {
        self.owner.reload_wait = RELOAD_MIN;
        self.owner.cache.apply(std::mem::take(&mut self.writes));
        for effect in self.driver.committed() {
            self.release(effect);
        }
        if took > COMMIT_SLOW {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.owner.inbox.force(Message::Note(Input::CommitTook(Span(micros))));
        }
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(id, response) => self.desk.reply(id, response),
            Effect::Exchanged(id, exchanged) => {
                self.desk.exchanged(id, exchanged, &self.owner.inbox);
            }
            Effect::Evaluate(evaluation) => self.owner.effects.evaluate(evaluation),
            Effect::NextTime(asked) => self.owner.effects.next_time(asked),
            Effect::Progress(progress) => self.desk.progress(&progress),
            Effect::Segment(segment) => self.owner.traces.segment(segment),
            Effect::Declared(declared) => self.owner.registry.follow(declared),
            Effect::Deliver(delivery) => self.owner.courier.deliver(delivery),
        }
    }

    /// When the cell is to be stepped if nothing comes before.
    fn wake_at(&mut self) -> Option<Instant> {
        let now = self.owner.clock.now();
        let due = self.driver.next_wake();
        let due = due.map(|due| Instant::now() + Duration::from_micros(due.since(now).0));
        // While something is committed nothing is deleted, and its end wakes by itself.
        let forget = (!self.driver.is_committing()).then_some(self.forget_at);
        due.into_iter().chain(forget).min()
    }
}

/// Takes the store under a new epoch, so that leases of what memory was lost are told apart, and reads it.
pub(crate) fn own(journal: &Journal, place: &Place) -> Result<(Epoch, Snapshot), StoreError> {
    let mut store = journal.lock().unwrap_or_else(PoisonError::into_inner);
    let epoch = store.claim()?;
    let mut snapshot = store.load()?;
    snapshot.region = Some(place.region.clone());
    snapshot.share = place.share;
    snapshot.means = place.means.clone();
    snapshot.sampling = place.sampling;
    Ok((epoch, snapshot))
}

fn commit_batches(
    journal: &Journal,
    inbox: &Inbox,
    batches: &mpsc::Receiver<(Epoch, Vec<Change>)>,
) {
    while let Ok((epoch, changes)) = batches.recv() {
        let started = Instant::now();
        // A panic goes on in the thread that waits for the commit, which knows what to do about it.
        let result = catch_unwind(AssertUnwindSafe(|| commit(journal, epoch, &changes)));
        inbox.committed(Committed { epoch, result, took: started.elapsed() });
    }
}

fn commit(journal: &Journal, epoch: Epoch, changes: &[Change]) -> Result<(), StoreError> {
    journal.lock().unwrap_or_else(PoisonError::into_inner).commit(epoch, changes)
}
