//! Which notice is delivered next.
//!
//! Each channel is a line: its notices begin in the order in which they came up, a few at once, and one that waits for its
//! next attempt lets those behind it pass. So a slow receiver holds up its own line and no other. Over all lines the number of
//! attempts under way is bounded too; when that bound is reached, the tenant with fewest under way is next, and of equals the one
//! that was served longest ago, so that a tenant with many slow receivers leaves room for the others.
//!
//! Pure, on times that are handed in. What an attempt is, how long the next one waits and what may be sent where is decided
//! elsewhere.
//!
//! INVARIANT: a notice stands in exactly one place: ready in its line, waiting for a time, under way, or given up.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ChannelName, NoticeId, RunId};
use crate::notice::{GivenUp, Miss, NoticeRow, NoticeState};
use crate::time::Time;

/// Attempts of one channel that are under way at once: enough to keep a healthy receiver busy, few enough to be kind to it.
pub const LINE_FLIGHT_MAX: u32 = 2;
/// Attempts under way in all: each is a connection.
pub const FLIGHT_MAX: u32 = 256;
/// Notices of one tenant that wait. Past it nothing new is noted, and how much was not is counted.
pub const PENDING_MAX: u32 = 10_000;
/// Notices of all tenants that wait, in memory at about 300 bytes each.
pub const PENDING_ALL_MAX: u32 = 1_000_000;
/// Notices of one tenant that were given up and are kept: the newest.
pub const FAILED_MAX: usize = 1_000;

/// All notices that are not delivered, by tenant and channel.
#[derive(Debug, Default)]
pub struct Notices {
    all: BTreeMap<Key, Entry>,
    tenants: BTreeMap<u32, Tenant>,
    /// Notices that wait for a time, and lines that rest.
    due: BTreeSet<(Time, Due)>,
    /// Tenants of whom something can begin: how many are under way, when it was last their turn.
    ready: BTreeSet<(u32, u64, u32)>,
    /// Numbers turns.
    turns: u64,
    flight: u32,
    pending: u32,
}

/// The tenant, by its place, and the notice: another tenant's is not found.
pub type Key = (u32, NoticeId);

#[derive(Debug)]
struct Entry {
    row: NoticeRow,
    flight: Option<Flight>,
}

/// An attempt that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Names it: an answer with another one is late.
    pub fence: u64,
    /// Of the channel.
    pub revision: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Notice(Key),
    Line(u32, ChannelName),
}

#[derive(Debug, Default)]
struct Tenant {
    lines: BTreeMap<ChannelName, Line>,
    flight: u32,
    /// Ready, waiting or under way.
    pending: u32,
    /// In the order in which they came up.
    failed: BTreeMap<u64, NoticeId>,
    served: u64,
    /// How it stands in `ready`.
    key: Option<(u32, u64, u32)>,
}

#[derive(Debug, Default)]
struct Line {
    open: bool,
    rests: Option<Time>,
    ready: BTreeMap<u64, NoticeId>,
    flight: u32,
    served: u64,
    pending: u32,
    failed: u32,
    /// Notices that were not noted for want of room, since the cell was loaded.
    lost: u64,
    /// The last that came up was one of them.
    is_full: bool,
}

/// Whether there is room for one more notice of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Free,
    /// `is_first`: there was some for the one before.
    Full {
        is_first: bool,
    },
}

/// How many notices of a channel there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready, waiting or under way.
    pub pending: u32,
    /// Given up.
    pub failed: u32,
    /// Not noted for want of room, since the cell was loaded.
    pub lost: u64,
}

impl Notices {
    /// A channel is there, and open or not.
    pub fn put_line(&mut self, tenant: u32, channel: &ChannelName, open: bool) {
        let lines = &mut self.tenants.entry(tenant).or_default().lines;
        lines.entry(channel.clone()).or_default().open = open;
        self.refresh(tenant);
    }

    /// The channel is no more, and nothing is to be told through it: gives its notices, which are forgotten.
    pub fn drop_line(&mut self, tenant: u32, channel: &ChannelName) -> Vec<NoticeId> {
        let of_line = |(row, _): &(&NoticeRow, bool)| row.channel == *channel;
        let dropped: Vec<NoticeId> =
            self.list(tenant, None).filter(of_line).map(|(row, _)| row.id).collect();
        for id in &dropped {
            self.forget((tenant, *id));
        }
        let known = self.tenants.get_mut(&tenant);
        let line = known.and_then(|known| known.lines.remove(channel));
        if let Some(until) = line.and_then(|line| line.rests) {
            self.due.remove(&(until, Due::Line(tenant, channel.clone())));
        }
        self.refresh(tenant);
        dropped
    }

    /// Whether one more of a channel may wait; if not, it is counted.
    pub fn room(&mut self, tenant: u32, channel: &ChannelName) -> Room {
        let own = self.tenants.entry(tenant).or_default();
        let is_full = self.pending >= PENDING_ALL_MAX || own.pending >= PENDING_MAX;
        let line = own.lines.entry(channel.clone()).or_default();
        let was_full = std::mem::replace(&mut line.is_full, is_full);
        if !is_full {
            return Room::Free;
        }
        line.lost += 1;
        Room::Full { is_first: !was_full }
    }

    /// Takes a notice in, new or as it was stored.
    pub fn put(&mut self, tenant: u32, row: NoticeRow) {
        let (key, sequence) = ((tenant, row.id), row.sequence);
        let own = self.tenants.entry(tenant).or_default();
        let line = own.lines.entry(row.channel.clone()).or_default();
        match &row.state {
            NoticeState::Pending { due } => {
                own.pending += 1;
                line.pending += 1;
                self.pending += 1;
                self.due.insert((*due, Due::Notice(key)));
            }
            NoticeState::Failed { .. } => {
                line.failed += 1;
                own.failed.insert(sequence, key.1);
            }
        }
        let clash = self.all.insert(key, Entry { row, flight: None });
        assert!(clash.is_none(), "notice {} is there already", key.1);
    }

    /// When the next notice, or the next line, has waited long enough.
    pub fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    fn can_begin(&self) -> bool {
        self.flight < FLIGHT_MAX && !self.ready.is_empty()
    }

    /// What waited for a time that has come is ready.
    pub fn pass(&mut self, now: Time) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, due)) = self.due.pop_first() else { return };
            let tenant = match due {
                Due::Notice(key) => {
                    let row = &self.all[&key].row;
                    let (sequence, channel) = (row.sequence, row.channel.clone());
                    self.line(key.0, &channel).ready.insert(sequence, key.1);
                    key.0
                }
                Due::Line(tenant, channel) => {
                    self.line(tenant, &channel).rests = None;
                    tenant
                }
            };
            self.refresh(tenant);
        }
    }

    /// The notice whose turn it is, if one can begin. It is not under way before [`Notices::begin`].
    pub fn next(&self) -> Option<(u32, &NoticeRow)> {
        if !self.can_begin() {
            return None;
        }
        let &(.., tenant) = self.ready.first()?;
        let (_, line) = self.tenants[&tenant].startable().min_by_key(|(_, line)| line.served)?;
        let (_, id) = line.ready.first_key_value()?;
        Some((tenant, &self.all[&(tenant, *id)].row))
    }

    /// An attempt at the notice whose turn it is begins.
    pub fn begin(&mut self, key: Key, flight: Flight) {
        self.turns += 1;
        let turn = self.turns;
        let entry = self.all.get_mut(&key).expect("a notice that is next is there");
        entry.flight = Some(flight);
        let (sequence, channel) = (entry.row.sequence, entry.row.channel.clone());
        let own = self.own(key.0);
        own.flight += 1;
        own.served = turn;
        let line = self.line(key.0, &channel);
        let taken = line.ready.remove(&sequence);
        assert!(taken == Some(key.1), "notice {} is not ready", key.1);
        line.flight += 1;
        line.served = turn;
        self.flight += 1;
        assert!(self.flight <= FLIGHT_MAX, "{} attempts are under way", self.flight);
        self.refresh(key.0);
    }

    /// The notice that this attempt is at, if it is still under way.
    pub fn under_way(&self, key: Key, fence: u64) -> Option<(&NoticeRow, Flight)> {
        let entry = self.all.get(&key)?;
        let flight = entry.flight.filter(|flight| flight.fence == fence)?;
        Some((&entry.row, flight))
    }

    /// The notice is told, or not wanted any more.
    pub fn forget(&mut self, key: Key) {
        self.lift(key);
        let Some(Entry { row, .. }) = self.all.remove(&key) else { return };
        if let NoticeState::Failed { .. } = row.state {
            self.own(key.0).failed.remove(&row.sequence);
            self.line(key.0, &row.channel).failed -= 1;
        }
        self.refresh(key.0);
    }

    /// An attempt has missed, and the next one is not before that time. Gives the row as it is now.
    pub fn missed(&mut self, key: Key, miss: Miss, due: Time) -> NoticeRow {
        self.lift(key);
        let entry = self.all.get_mut(&key).expect("a notice that is under way is there");
        entry.row.attempts += 1;
        entry.row.last = Some(miss);
        self.wait(key, due)
    }

    /// The notice is given up, after an attempt or before one. Gives the row as it is now, and the oldest of those that were
    /// given up if there are too many of them: it is forgotten.
    pub fn fail(
        &mut self,
        key: Key,
        miss: Option<Miss>,
        (at, because): (Time, GivenUp),
    ) -> (NoticeRow, Option<NoticeId>) {
        self.lift(key);
        let entry = self.all.get_mut(&key).expect("a notice that is given up was there");
        entry.row.attempts += u32::from(miss.is_some());
        entry.row.last = miss.or(entry.row.last.take());
        entry.row.state = NoticeState::Failed { at, because };
        let (tenant, row) = (key.0, entry.row.clone());
        self.line(tenant, &row.channel).failed += 1;
        let own = self.own(tenant);
        own.failed.insert(row.sequence, key.1);
        let oldest = own.failed.first_key_value().map(|(_, id)| *id);
        let evicted = oldest.filter(|_| own.failed.len() > FAILED_MAX);
        if let Some(evicted) = evicted {
            self.forget((tenant, evicted));
        }
        self.refresh(tenant);
        (row, evicted)
    }

    /// Has a notice that was given up delivered after all, or one that waits at once. `None`: there is none of the tenant. An
    /// attempt that is under way goes on.
    pub fn again(&mut self, key: Key, now: Time) -> Option<NoticeRow> {
        let entry = self.all.get_mut(&key)?;
        if entry.flight.is_some() {
            return Some(entry.row.clone());
        }
        if let NoticeState::Failed { .. } = entry.row.state {
            entry.row.attempts = 0;
            let (sequence, channel) = (entry.row.sequence, entry.row.channel.clone());
            self.own(key.0).failed.remove(&sequence);
            self.line(key.0, &channel).failed -= 1;
        } else {
            self.lift(key);
        }
        Some(self.wait(key, now))
    }

    /// The channel of a notice that is not delivered.
    pub fn channel_of(&self, key: Key) -> Option<ChannelName> {
        self.all.get(&key).map(|entry| entry.row.channel.clone())
    }

    /// The receiver wants to be left alone until then.
    pub fn rest(&mut self, tenant: u32, channel: &ChannelName, until: Time) {
        let line = self.line(tenant, channel);
        let before = line.rests.replace(until);
        if let Some(before) = before {
            self.due.remove(&(before, Due::Line(tenant, channel.clone())));
        }
        self.due.insert((until, Due::Line(tenant, channel.clone())));
        self.refresh(tenant);
    }

    pub fn counts(&self, tenant: u32, channel: &ChannelName) -> Counts {
        let line = self.tenants.get(&tenant).and_then(|own| own.lines.get(channel));
        line.map_or_else(Counts::default, |line| Counts {
            pending: line.pending,
            failed: line.failed,
            lost: line.lost,
        })
    }

    /// Until when a channel rests.
    pub fn rests(&self, tenant: u32, channel: &ChannelName) -> Option<Time> {
        self.tenants.get(&tenant)?.lines.get(channel)?.rests
    }

    /// A tenant's notices after the given one, by id, and whether each is under way.
    pub fn list(
        &self,
        tenant: u32,
        after: Option<NoticeId>,
    ) -> impl Iterator<Item = (&NoticeRow, bool)> {
        use std::ops::Bound;
        let first = (tenant, NoticeId(RunId(0)));
        let from = after.map_or(Bound::Included(first), |id| Bound::Excluded((tenant, id)));
        let last = Bound::Included((tenant, NoticeId(RunId(u128::MAX))));
        let own = self.all.range((from, last)).map(|(_, entry)| entry);
        own.map(|entry| (&entry.row, entry.flight.is_some()))
    }

    /// The notice waits until then, in no other place.
    fn wait(&mut self, key: Key, due: Time) -> NoticeRow {
        let entry = self.all.get_mut(&key).expect("a notice that is to wait is there");
        entry.row.state = NoticeState::Pending { due };
        let (tenant, row) = (key.0, entry.row.clone());
        self.own(tenant).pending += 1;
        self.line(tenant, &row.channel).pending += 1;
        self.pending += 1;
        self.due.insert((due, Due::Notice(key)));
        self.refresh(tenant);
        row
    }

    /// Takes a notice that is pending out of the place where it stands: its line, a time, or under way.
    fn lift(&mut self, key: Key) {
        let Some(entry) = self.all.get_mut(&key) else { return };
        let NoticeState::Pending { due } = entry.row.state else { return };
        let (tenant, sequence) = (key.0, entry.row.sequence);
        let was_under_way = entry.flight.take().is_some();
        let channel = entry.row.channel.clone();
        self.due.remove(&(due, Due::Notice(key)));
        let line = self.line(tenant, &channel);
        line.ready.remove(&sequence);
        line.pending -= 1;
        line.flight -= u32::from(was_under_way);
        let own = self.own(tenant);
        own.pending -= 1;
        own.flight -= u32::from(was_under_way);
        self.pending -= 1;
        self.flight -= u32::from(was_under_way);
    }

    fn own(&mut self, tenant: u32) -> &mut Tenant {
        self.tenants.entry(tenant).or_default()
    }

    fn line(&mut self, tenant: u32, channel: &ChannelName) -> &mut Line {
        self.own(tenant).lines.entry(channel.clone()).or_default()
    }

    /// The tenant stands among those that are ready as it is now.
    fn refresh(&mut self, tenant: u32) {
        let Some(own) = self.tenants.get_mut(&tenant) else { return };
        let key = own.startable().next().is_some().then_some((own.flight, own.served, tenant));
        if own.key == key {
            return;
        }
        if let Some(before) = std::mem::replace(&mut own.key, key) {
            self.ready.remove(&before);
        }
        self.ready.extend(key);
    }
}

impl Tenant {
    /// Lines of which a notice can begin. They are few.
    fn startable(&self) -> impl Iterator<Item = (&ChannelName, &Line)> {
        self.lines.iter().filter(|(_, line)| {
            line.open
                && line.rests.is_none()
                && line.flight < LINE_FLIGHT_MAX
                && !line.ready.is_empty()
        })
    }
}
