//! Telling tenants of what happens: which events make notices, and what becomes of each attempt to deliver one.
//!
//! [`crate::notices`] knows whose turn it is. This composes it with the rest: [`Cell::notify`] is the one way in, and writes a
//! row for each channel that wants the event, in the turn of what it tells of; so a kill loses neither, and nobody is told of
//! what was never committed. Attempts are effects of the turn that begins them. None is written down before it has ended: what
//! a killed server had under way is tried again, under the same id.
//!
//! Where a receiver may be is asked when its channel is declared and again at each attempt, of the tenant's rules as they are
//! then: what was declared inside may be outside now.

mod commands;

use std::collections::BTreeMap;

use crate::id::{ChannelName, NoticeId, ReviewId, RunId, TenantId, mix};
use crate::notice::{
    ATTEMPTS_MAX, ChannelRow, EventKind, GivenUp, JITTER_PERMILLE, Means, Miss, NoticeRow,
    NoticeState, REST_MAX, Receiver, WAIT_MAX,
};
use crate::notices::{Flight, Key, Notices, Room};
use crate::plan::Retry;
use crate::residency::Outside;
use crate::row::{ReviewEvent, RunKey, RunStatus};
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};

use super::advance::backoff;
use super::change::Change;
use super::effect::{Delivery, Effect};
use super::input::{Delivered, Verdict};
use super::live::Run;
use super::{Cell, Turn};

/// Notices that one turn begins or gives up at most, so that a turn stays short when a whole backlog may not leave any more.
const TURN_MAX: usize = 1_000;
/// When the next turn goes on with what was left then.
const TURN_PAUSE: Span = Span::from_millis(1);

/// Channels, and what is to be told through them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// By the place of their tenant.
    channels: BTreeMap<u32, BTreeMap<ChannelName, ChannelRow>>,
    pub(crate) queue: Notices,
    means: Means,
    /// There was more than one turn could do.
    has_more: bool,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About {
    pub(crate) run: Option<RunId>,
    pub(crate) review: Option<ReviewId>,
}

impl Outbox {
    fn channel(&self, tenant: u32, name: &ChannelName) -> Option<&ChannelRow> {
        self.channels.get(&tenant)?.get(name)
    }

    /// Takes a channel in, new or as it was stored.
    fn put(&mut self, tenant: u32, row: ChannelRow) {
        let name = row.channel.name.clone();
        self.queue.put_line(tenant, &name, row.is_open());
        self.channels.entry(tenant).or_default().insert(name, row);
    }
}

impl Cell {
    pub(crate) fn load_notices(
        &mut self,
        means: Means,
        channels: Vec<ChannelRow>,
        notices: Vec<NoticeRow>,
    ) {
        self.outbox.means = means;
        for row in channels {
            if let Some(tenant) = self.directory.tenants.find(&row.channel.tenant) {
                self.outbox.put(tenant.0, row);
            }
        }
        for row in notices {
            if let Some(tenant) = self.directory.tenants.find(&row.tenant) {
                self.outbox.queue.put(tenant.0, row);
            }
        }
    }

    /// Something happened to a review that people are told of.
    pub(crate) fn notify_of_review(
        &mut self,
        key: &RunKey,
        review: ReviewId,
        event: &ReviewEvent,
        turn: &mut Turn,
    ) {
        let kind = match event {
            ReviewEvent::Opened { .. } => EventKind::ReviewOpened,
            ReviewEvent::Escalated { notify: true, .. } => EventKind::ReviewEscalated,
            ReviewEvent::Overdue => EventKind::ReviewOverdue,
            ReviewEvent::Voted { more: 0, .. } | ReviewEvent::BrokenGlass { .. } => {
                EventKind::ReviewDecided
            }
            ReviewEvent::Escalated { notify: false, .. }
            | ReviewEvent::Voted { .. }
            | ReviewEvent::Claimed { .. }
            | ReviewEvent::Released { .. }
            | ReviewEvent::Expired { .. }
            | ReviewEvent::Reassigned { .. }
            | ReviewEvent::Commented { .. }
            | ReviewEvent::Cancelled
            | ReviewEvent::Superseded => return,
        };
        let Some(tenant) = self.directory.tenants.find(&key.tenant) else { return };
        let about = About { run: Some(key.run), review: Some(review) };
        self.notify(tenant, kind, about, turn);
    }

    /// Somebody has to decide how a run goes on that its money does not suffice for.
    pub(crate) fn notify_of_halt(&mut self, run: u32, turn: &mut Turn) {
        let run = self.runs.get(run);
        let (tenant, about) = (run.tenant, About { run: Some(run.key.run), review: None });
        self.notify(tenant, EventKind::RunHalted, about, turn);
    }

    /// A run has ended. Of one that another run has called, the caller's end tells.
    pub(crate) fn notify_of_end(&mut self, run: &Run, turn: &mut Turn) {
        let kind = match run.status {
            RunStatus::Completed => EventKind::RunCompleted,
            RunStatus::Failed => EventKind::RunFailed,
            RunStatus::Cancelled => EventKind::RunCancelled,
            RunStatus::Running
            | RunStatus::Paused
            | RunStatus::Stopping
            | RunStatus::Compensating => return,
        };
        if run.parent.is_none() {
            let about = About { run: Some(run.key.run), review: None };
            self.notify(run.tenant, kind, about, turn);
        }
    }

    /// Notes an event for every channel that wants it and is open.
    pub(crate) fn notify(
        &mut self,
        tenant: TenantIx,
        kind: EventKind,
        about: About,
        turn: &mut Turn,
    ) {
        let Some(channels) = self.outbox.channels.get(&tenant.0) else { return };
        let wants = |row: &&ChannelRow| row.is_open() && row.channel.events.contains(&kind);
        let wanting: Vec<ChannelName> =
            channels.values().filter(wants).map(|row| row.channel.name.clone()).collect();
        for channel in wanting {
            match self.outbox.queue.room(tenant.0, &channel) {
                Room::Free => {
                    self.take_notice(tenant, (channel, kind), about, turn);
                }
                Room::Full { is_first: true } => self.log_lost(tenant, &channel, turn),
                Room::Full { is_first: false } => {}
            }
        }
    }

    /// A notice comes up.
    fn take_notice(
        &mut self,
        tenant: TenantIx,
        (channel, event): (ChannelName, EventKind),
        About { run, review }: About,
        turn: &mut Turn,
    ) -> NoticeId {
        self.fence += 1;
        let sequence = self.fence;
        let of = self.directory.tenants.get(tenant).declared.id.clone();
        let origin = run.unwrap_or_else(|| RunId(u128::from(spread(of.as_str()))));
        let id = NoticeId(origin.derive(self.now, mix(sequence)));
        let (at, state) = (self.now, NoticeState::Pending { due: self.now });
        let row = NoticeRow {
            tenant: of,
            id,
            sequence,
            channel,
            event,
            at,
            run,
            review,
            state,
            attempts: 0,
            last: None,
        };
        turn.write(Change::Notice(Box::new(row.clone())));
        self.outbox.queue.put(tenant.0, row);
        id
    }

    /// Begins the attempts that can begin. Called once for a turn, so that all that came up in it are there.
    pub(crate) fn send_notices(&mut self, turn: &mut Turn) {
        self.pass_notices();
        for _ in 0..TURN_MAX {
            let Some((tenant, row)) = self.outbox.queue.next() else {
                self.outbox.has_more = false;
                return;
            };
            let row = row.clone();
            self.send(TenantIx(tenant), row, turn);
        }
        self.outbox.has_more = true;
    }

    /// What has waited long enough may begin when the turn is closed.
    pub(crate) fn pass_notices(&mut self) {
        self.outbox.queue.pass(self.now);
    }

    fn send(&mut self, tenant: TenantIx, row: NoticeRow, turn: &mut Turn) {
        let key = (tenant.0, row.id);
        let channel = self.outbox.channel(tenant.0, &row.channel);
        let channel = channel.expect("a channel that is dropped takes its notices along").clone();
        if let Err(because) = self.may_send(tenant, &channel) {
            self.give_up(key, None, because, turn);
            return;
        }
        self.fence += 1;
        let fence = self.fence;
        let flight = Flight { fence, revision: channel.revision };
        self.outbox.queue.begin(key, flight);
        let secrets = channel.signing(self.now);
        turn.cause(Effect::Deliver(Box::new(Delivery {
            fence,
            to: channel.channel.to,
            secrets,
            row,
        })));
    }

    /// Whether a notice may leave for where the receiver is.
    fn may_send(&self, tenant: TenantIx, row: &ChannelRow) -> Result<(), GivenUp> {
        match (&row.channel.to, &self.outbox.means.relay) {
            (Receiver::Email { .. }, None) => return Err(GivenUp::NoRelay),
            (Receiver::Email { .. }, Some(_)) | (Receiver::Webhook { .. }, _) => {}
        }
        let outside = |outside| GivenUp::Outside { outside: Box::new(outside) };
        self.places_of(tenant, row).map_err(|(_, found)| outside(found))
    }

    /// Whether every place that a notice goes through is where the tenant's data may be; if not, which part of the channel
    /// it is about.
    fn places_of(&self, tenant: TenantIx, row: &ChannelRow) -> Result<(), (&'static str, Outside)> {
        let rules = &self.directory.tenants.get(tenant).context().rules;
        let residency = rules.data_residency.as_ref();
        let atlas = &self.directory.atlas;
        let region = row.channel.region.as_ref();
        let at = |region| atlas.admits_region(residency, region, self.now).map(drop);
        if let (Receiver::Email { .. }, Some(relay)) = (&row.channel.to, &self.outbox.means.relay) {
            at(relay.region.as_ref()).map_err(|outside| ("/email", outside))?;
        }
        at(region).map_err(|outside| ("/region", outside))
    }

    /// An attempt has ended.
    pub(crate) fn delivered(&mut self, delivered: Delivered, turn: &mut Turn) {
        let Delivered { tenant, notice, fence, verdict } = delivered;
        let Some(tenant) = self.directory.tenants.find(&tenant) else { return };
        let key = (tenant.0, notice);
        let Some((row, flight)) = self.outbox.queue.under_way(key, fence) else { return };
        let row = row.clone();
        match verdict {
            Verdict::Accepted => {
                turn.write(Change::DropNotice(row.tenant, row.id));
                self.outbox.queue.forget(key);
            }
            Verdict::Missed { class, status, rest } => {
                let miss = Miss { at: self.now, class, status };
                if row.attempts + 1 >= ATTEMPTS_MAX {
                    self.give_up(key, Some(miss), GivenUp::Attempts, turn);
                } else {
                    let own =
                        backoff(&self.attempts(), row.attempts + 1, mix(row.sequence) ^ fence);
                    let rest = rest.map(|rest| rest.min(REST_MAX));
                    let due = self.now + rest.map_or(own, |rest| own.max(rest));
                    let missed = self.outbox.queue.missed(key, miss, due);
                    turn.write(Change::Notice(Box::new(missed)));
                }
                if let Some(rest) = rest {
                    let until = self.now + rest.min(REST_MAX);
                    self.outbox.queue.rest(tenant.0, &row.channel, until);
                }
            }
            Verdict::Refused { class, status } => {
                let miss = Miss { at: self.now, class, status };
                self.give_up(key, Some(miss), GivenUp::Refused, turn);
            }
            Verdict::Gone { class, status } => {
                let miss = Miss { at: self.now, class, status };
                self.receiver_gone((tenant, &row.channel), flight, turn);
                self.give_up(key, Some(miss), GivenUp::Gone, turn);
            }
        }
    }

    fn attempts(&self) -> Retry {
        Retry {
            attempts: ATTEMPTS_MAX,
            backoff_min: self.outbox.means.first_wait,
            backoff_max: WAIT_MAX,
            jitter_permille: JITTER_PERMILLE,
        }
    }

    /// Nothing is sent to a receiver that is no more, unless its channel has been declared anew meanwhile.
    fn receiver_gone(
        &mut self,
        (tenant, channel): (TenantIx, &ChannelName),
        flight: Flight,
        turn: &mut Turn,
    ) {
        let known = self.outbox.channel(tenant.0, channel);
        let same = known.filter(|row| row.revision == flight.revision && row.gone.is_none());
        let Some(mut row) = same.cloned() else { return };
        row.gone = Some(self.now);
        turn.write(Change::Channel(Box::new(row.clone())));
        self.outbox.put(tenant.0, row);
        let facts = serde_json::json!({ "channel": channel });
        self.log_notices(tenant, "channel-gone", &facts, turn);
    }

    fn give_up(&mut self, key: Key, miss: Option<Miss>, because: GivenUp, turn: &mut Turn) {
        let (row, evicted) = self.outbox.queue.fail(key, miss, (self.now, because));
        let facts = serde_json::json!({
            "notice": row.id,
            "channel": row.channel,
            "event": row.event,
            "attempts": row.attempts,
            "state": row.state,
            "last": row.last,
        });
        let tenant = row.tenant.clone();
        turn.write(Change::Notice(Box::new(row)));
        if let Some(evicted) = evicted {
            turn.write(Change::DropNotice(tenant, evicted));
        }
        self.log_notices(TenantIx(key.0), "notice-failed", &facts, turn);
    }

    fn log_lost(&mut self, tenant: TenantIx, channel: &ChannelName, turn: &mut Turn) {
        let lost = self.outbox.queue.counts(tenant.0, channel).lost;
        let facts = serde_json::json!({ "channel": channel, "lost": lost });
        self.log_notices(tenant, "notices-lost", &facts, turn);
    }

    fn log_notices(
        &mut self,
        tenant: TenantIx,
        code: &'static str,
        facts: &serde_json::Value,
        turn: &mut Turn,
    ) {
        let of: TenantId = self.directory.tenants.get(tenant).declared.id.clone();
        self.decide(Some(of), code, facts.to_string(), turn);
    }

    /// When something is to be done about notices.
    pub(crate) fn next_notice(&self) -> Option<Time> {
        let more = self.outbox.has_more.then(|| self.now + TURN_PAUSE);
        self.outbox.queue.next_due().into_iter().chain(more).min()
    }
}

/// A number that is another one for another text.
fn spread(text: &str) -> u64 {
    text.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)))
}
