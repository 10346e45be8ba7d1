//! Budgets: what tenants and organisations may spend in a day or a month, and a run in all.
//!
//! An *account* is a budget in one period. For each, in nano-units:
//!
//! ```text
//! has       = budget + topped_up + forgiven
//! debt      = max(0, posted + held - has)
//! available = max(0, has - posted - held)
//! ```
//!
//! `hold` sets an amount aside at every level at once, or nothing: it passes if at each level `posted + held + amount`
//! is at most `has` (of a run: `limit - reserve`). `settle` turns a hold into what was really spent, in the period of
//! the hold, whatever time it is by then: less, equal, or more. So holds never take `posted + held` above `has`. What
//! does is a settlement above its hold, or terms that are lowered below what is used already: that is debt, and blocks
//! further holds until it is topped up, forgiven, or the period turns.
//!
//! Accounts without a budget are counted and bound nothing, short of what 64 bits can count. What is held follows from
//! the leases of steps, and is counted again after a restart; what is posted is stored.
//!
//! # Waiting
//!
//! Who was refused waits under the wake key of the account that was short. It is woken when the account may have
//! enough: its period turns, it is topped up or let off, its terms change, or a hold in it is released or settled below
//! its amount. Keys are woken in the order in which they were freed, so that a tenant that waits again at once does
//! not keep others from their turn; at most `WAKES_MAX` in one call, and after so many the next come `PACE` later,
//! since a period turns for all tenants of a time zone at once.
//!
//! # Bounds and cost
//!
//! Each operation is O(log n) in the accounts, and asks the calendar only for a period that is not under way or new;
//! `wake` and `take_changes` are that for each key or account that they give. An account is forgotten once its period
//! is over, no hold is open in it, and its last change was taken. Each hold and each `wake` forgets up to
//! `FORGOTTEN_MAX`, and a hold makes three at most, so that those that are over do not pile up.

#![warn(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::calendar::{Calendar, TimeZone, Window};
use crate::gate::Account;
use crate::money::Nano;
use crate::time::{Span, Time};

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests;

/// Keys that may be woken in one moment, and how long the next ones wait for theirs.
const WAKES_MAX: usize = 64;
const PACE: Span = Span::from_millis(10);

/// Accounts that are over and forgotten in one operation: more than a hold can make.
const FORGOTTEN_MAX: usize = 8;

/// Wake keys of accounts: others have other upper bits.
const WAKE: u64 = 1 << 63;

/// The accounts of one cell. Tenants and organisations are known by their places.
#[derive(Debug, Default)]
pub struct Ledger {
    tenants: BTreeMap<u32, TenantTerms>,
    orgs: BTreeMap<u32, OrgTerms>,
    accounts: BTreeMap<Place, Entry>,
    changed: BTreeSet<Place>,
    /// Accounts by when their period ends, until it has.
    ends: BTreeSet<(Time, Place)>,
    /// The period that each account was last used in, so that the calendar is asked once a period.
    windows: BTreeMap<Key, Window>,
    /// Accounts that somebody waits for.
    waits: BTreeMap<Key, Wait>,
    /// Those of which nothing became free yet, by when their period turns.
    due: BTreeSet<(Time, Key)>,
    /// The others, in the order in which something did.
    freed: VecDeque<Key>,
    /// The latest moment that it was told.
    now: Time,
    /// Nobody is woken before that.
    paced: Time,
}

/// An account in one period, by when that begins.
type Place = (Key, Time);

/// What a tenant may spend. `None` bounds nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTerms {
    pub org: u32,
    pub day: Option<Nano>,
    pub month: Option<Nano>,
    pub zone: TimeZone,
}

/// What the tenants of an organisation may spend together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgTerms {
    pub month: Option<Nano>,
    pub zone: TimeZone,
}

/// The account of a run, which lives in the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunAccount {
    pub limit: Option<Nano>,
    /// Part of the limit that is kept back.
    pub reserve: Nano,
    pub posted: Nano,
    pub uncertain: Nano,
    pub held: Nano,
}

/// An amount that is set aside, and the beginnings of the periods that it is set aside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub amount: Nano,
    pub tenant_day: Option<Time>,
    pub tenant_month: Option<Time>,
    /// With the organisation, which may be another one than the tenant's by now.
    pub org_month: Option<(u32, Time)>,
}

/// Names an account, apart from the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    TenantDay(u32),
    TenantMonth(u32),
    OrgMonth(u32),
}

/// Why an amount cannot be held: the first account that is short, the narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    pub account: Account,
    pub need: Nano,
    pub left: Nano,
    /// When the account's next period begins.
    pub opens: Option<Time>,
    /// What is woken when trying again may help; 0 for a run.
    pub wake: u64,
}

/// What an attempt cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    Known(Nano),
    /// Nobody has confirmed it.
    Uncertain(Nano),
}

/// What is stored of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    pub posted: Nano,
    /// Part of `posted`.
    pub uncertain: Nano,
    pub topped_up: Nano,
    pub forgiven: Nano,
}

/// An account as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub window: Window,
    pub budget: Option<Nano>,
    pub state: AccountState,
    pub held: Nano,
    pub debt: Nano,
    /// `None`: it is not bounded.
    pub available: Option<Nano>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    state: AccountState,
    /// Sum of the open holds, and their number: one of nothing can cost something too.
    held: Nano,
    open: u32,
    /// End of the period.
    end: Time,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// When the period turns.
    until: Time,
    is_freed: bool,
}

impl RunAccount {
    /// What may still be held; `None`: no bound.
    pub fn left(&self) -> Option<Nano> {
        let limit = self.limit?.minus(self.reserve);
        Some(limit.minus(self.posted).minus(self.held))
    }

    /// Whether there is a bound, and that much within it once all that is held is free again.
    pub fn has_after_holds(&self, need: Nano) -> bool {
        let spent = self.posted.plus(self.reserve).plus(need);
        self.limit.is_some_and(|limit| spent <= limit)
    }
}

impl Key {
    const fn every(self) -> Calendar {
        match self {
            Self::TenantDay(_) => Calendar::Day,
            Self::TenantMonth(_) | Self::OrgMonth(_) => Calendar::Month,
        }
    }

    pub const fn account(self) -> Account {
        match self {
            Self::TenantDay(_) => Account::TenantDay,
            Self::TenantMonth(_) => Account::TenantMonth,
            Self::OrgMonth(_) => Account::OrgMonth,
        }
    }

    const fn wake(self) -> u64 {
        match self {
            Self::TenantDay(at) => WAKE | at as u64,
            Self::TenantMonth(at) => WAKE | 1 << 32 | at as u64,
            Self::OrgMonth(at) => WAKE | 2 << 32 | at as u64,
        }
    }
}

impl Ledger {
    /// Declares a tenant's terms, or changes them: what waits for it may try again.
    pub fn set_tenant(&mut self, tenant: u32, terms: TenantTerms) {
        let before = self.org_of(tenant);
        let org = terms.org;
        if self.tenants.get(&tenant) == Some(&terms) {
            return;
        }
        self.tenants.insert(tenant, terms);
        for key in [Key::TenantDay(tenant), Key::TenantMonth(tenant)] {
            self.windows.remove(&key);
            self.free(key);
        }
        if let Some(before) = before.filter(|before| *before != org) {
            // It may wait for its old organisation, whose account no longer bounds it.
            self.free(Key::OrgMonth(before));
        }
    }

    pub fn set_org(&mut self, org: u32, terms: OrgTerms) {
        if self.orgs.get(&org) == Some(&terms) {
            return;
        }
        self.orgs.insert(org, terms);
        self.windows.remove(&Key::OrgMonth(org));
        self.free(Key::OrgMonth(org));
    }

    /// Whether a hold of that amount would pass now.
    pub fn check(
        &self,
        now: Time,
        tenant: u32,
        run: &RunAccount,
        amount: Nano,
    ) -> Result<(), Short> {
        if amount == Nano::ZERO {
            // It fits wherever it is asked, and most steps cost nothing.
            return Ok(());
        }
        let left = run.left().unwrap_or(countable(run.held));
        if left < amount {
            let account = Account::Run;
            return Err(Short { account, need: amount, left, opens: None, wake: 0 });
        }
        for key in self.keys(tenant) {
            let reading = self.reading(now, key);
            let left = reading.available.unwrap_or(countable(reading.held));
            if left < amount {
                return Err(Short {
                    account: key.account(),
                    need: amount,
                    left,
                    opens: Some(reading.window.end),
                    wake: key.wake(),
                });
            }
        }
        Ok(())
    }

    /// Somebody waits under the wake key of an account that was short.
    pub fn wait(&mut self, now: Time, wake: u64) {
        let Some(key) = key_of(wake) else { return };
        if self.waits.contains_key(&key) {
            return;
        }
        let until = self.window(now, key).end;
        self.waits.insert(key, Wait { until, is_freed: false });
        self.due.insert((until, key));
    }

    /// What is asked for has changed: whoever waits may try again.
    pub fn retry_everyone(&mut self) {
        let waited: Vec<Key> = self.waits.keys().copied().collect();
        for key in waited {
            self.free(key);
        }
    }

    /// Sets the amount aside at every level at once, or says which account is short.
    pub fn hold(
        &mut self,
        now: Time,
        tenant: u32,
        run: &mut RunAccount,
        amount: Nano,
    ) -> Result<Held, Short> {
        self.pass_to(now);
        self.check(now, tenant, run, amount)?;
        let org = self.org_of(tenant);
        let day = self.turn(now, Key::TenantDay(tenant)).start;
        let month = self.turn(now, Key::TenantMonth(tenant)).start;
        let org_month = org.map(|org| (org, self.turn(now, Key::OrgMonth(org)).start));
        let held = Held { amount, tenant_day: Some(day), tenant_month: Some(month), org_month };
        self.resume(tenant, run, &held);
        Ok(held)
    }

    /// A hold that stands already, from before a restart: it is counted in its periods, without a check.
    pub fn resume(&mut self, tenant: u32, run: &mut RunAccount, held: &Held) {
        run.held = more(run.held, held.amount);
        for place in places(tenant, held) {
            let entry = self.entry(place);
            entry.held = more(entry.held, held.amount);
            entry.open = entry.open.checked_add(1).expect("fewer holds than leases");
        }
    }

    /// The attempt is over and cost that much.
    pub fn settle(&mut self, tenant: u32, run: &mut RunAccount, held: &Held, cost: Cost) {
        let (spent, uncertain) = match cost {
            Cost::Known(spent) => (spent, Nano::ZERO),
            Cost::Uncertain(spent) => (spent, spent),
        };
        run.posted = run.posted.plus(spent);
        run.uncertain = run.uncertain.plus(uncertain);
        if spent > Nano::ZERO {
            for place in places(tenant, held) {
                let state = &mut self.entry(place).state;
                state.posted = state.posted.plus(spent);
                state.uncertain = state.uncertain.plus(uncertain);
                self.changed.insert(place);
            }
        }
        self.close(tenant, run, held);
        if spent < held.amount {
            places(tenant, held).for_each(|place| self.free(place.0));
        }
    }

    /// The attempt never began.
    pub fn release(&mut self, tenant: u32, run: &mut RunAccount, held: &Held) {
        self.close(tenant, run, held);
        if held.amount > Nano::ZERO {
            places(tenant, held).for_each(|place| self.free(place.0));
        }
    }

    /// A stored account.
    pub fn restore(&mut self, key: Key, start: Time, state: AccountState) {
        self.entry((key, start)).state = state;
    }

    /// Sets what the account has on top of its budget in the period under way, and what of its debt is let off. Gives
    /// whether that changed anything; `None`: the account is not bounded.
    pub fn adjust(&mut self, now: Time, key: Key, topped_up: Nano, forgiven: Nano) -> Option<bool> {
        let before = self.reading(now, key);
        before.budget?;
        if (before.state.topped_up, before.state.forgiven) == (topped_up, forgiven) {
            return Some(false);
        }
        let place = (key, before.window.start);
        self.entry(place).state = AccountState { topped_up, forgiven, ..before.state };
        self.changed.insert(place);
        self.free(key);
        Some(true)
    }

    /// Accounts to store: each one that has changed since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<(Key, Time, AccountState)> {
        let changed = std::mem::take(&mut self.changed);
        let state = |place: &Place| (place.0, place.1, self.accounts[place].state);
        let changes = changed.iter().map(state).collect();
        for place in changed {
            self.forget_if_done(place);
        }
        changes
    }

    /// Wake keys of accounts that may have enough now.
    pub fn wake(&mut self, now: Time) -> Vec<u64> {
        self.pass_to(now);
        if now < self.paced {
            return Vec::new();
        }
        // No more than are woken, so that what becomes free meanwhile does not wait for all whose period has turned.
        for _ in 0..WAKES_MAX {
            let Some(&(_, key)) = self.due.first().filter(|(due, _)| *due <= now) else { break };
            self.free(key);
        }
        let batch = self.freed.len().min(WAKES_MAX);
        if batch == WAKES_MAX {
            self.paced = Time(now.0.saturating_add(PACE.0));
        }
        let woken: Vec<Key> = self.freed.drain(..batch).collect();
        for key in &woken {
            self.waits.remove(key);
        }
        woken.into_iter().map(Key::wake).collect()
    }

    /// When `wake` has something to say at the latest.
    pub fn next_wake(&self) -> Option<Time> {
        if !self.freed.is_empty() {
            return Some(self.paced);
        }
        self.due.first().map(|(due, _)| (*due).max(self.paced))
    }

    pub fn reading(&self, now: Time, key: Key) -> Reading {
        let window = self.window(now, key);
        let entry = self.accounts.get(&(key, window.start)).copied().unwrap_or_default();
        let budget = self.budget(key);
        let has =
            budget.map(|budget| budget.plus(entry.state.topped_up).plus(entry.state.forgiven));
        let used = entry.state.posted.plus(entry.held);
        Reading {
            window,
            budget,
            state: entry.state,
            held: entry.held,
            debt: has.map_or(Nano::ZERO, |has| used.minus(has)),
            available: has.map(|has| has.minus(used)),
        }
    }

    /// Of a tenant's own accounts, the part of the one that is used up most, in thousandths: above 1000 in debt. `None` if no
    /// period of it is bounded. O(log accounts).
    pub fn used_permille(&self, now: Time, tenant: u32) -> Option<u64> {
        let used = |key| {
            let Reading { budget, state, held, .. } = self.reading(now, key);
            let has = budget?.plus(state.topped_up).plus(state.forgiven);
            let used = u128::from(state.posted.plus(held).0);
            let permille = (used * 1_000).checked_div(u128::from(has.0));
            // Of nothing, nothing is left.
            Some(permille.map_or(1_000, |part| u64::try_from(part).unwrap_or(u64::MAX)))
        };
        [Key::TenantDay(tenant), Key::TenantMonth(tenant)].into_iter().filter_map(used).max()
    }

    /// Accounts of a tenant, the narrowest first.
    pub fn keys(&self, tenant: u32) -> impl Iterator<Item = Key> {
        let org = self.org_of(tenant).map(Key::OrgMonth);
        [Key::TenantDay(tenant), Key::TenantMonth(tenant)].into_iter().chain(org)
    }

    /// Something became free there, which wakes who waits for it.
    fn free(&mut self, key: Key) {
        let Some(wait) = self.waits.get_mut(&key).filter(|wait| !wait.is_freed) else { return };
        wait.is_freed = true;
        self.due.remove(&(wait.until, key));
        self.freed.push_back(key);
    }

    /// Takes the hold out of its accounts.
    fn close(&mut self, tenant: u32, run: &mut RunAccount, held: &Held) {
        run.held = less(run.held, held.amount);
        for place in places(tenant, held) {
            let entry = self.entry(place);
            entry.held = less(entry.held, held.amount);
            entry.open = entry.open.checked_sub(1).expect("the hold is open");
            self.forget_if_done(place);
        }
    }

    fn entry(&mut self, place: Place) -> &mut Entry {
        if !self.accounts.contains_key(&place) {
            let end = self.window(place.1, place.0).end;
            self.accounts.insert(place, Entry { end, ..Entry::default() });
            self.ends.insert((end, place));
        }
        self.accounts.get_mut(&place).expect("it is there")
    }

    /// It is that late now: some of the accounts that are over by then are forgotten.
    fn pass_to(&mut self, now: Time) {
        self.now = self.now.max(now);
        for _ in 0..FORGOTTEN_MAX {
            let Some(&(end, place)) = self.ends.first().filter(|(end, _)| *end <= self.now) else {
                return;
            };
            self.ends.remove(&(end, place));
            let window = self.window(self.now, place.0);
            if window.start == place.1 {
                // It ends later in the time zone that its owner has by now.
                self.entry(place).end = window.end;
                self.ends.insert((window.end, place));
            } else {
                self.forget_if_done(place);
            }
        }
    }

    /// Drops an account of which nothing is to be known any more.
    fn forget_if_done(&mut self, place: Place) {
        let Some(entry) = self.accounts.get(&place) else { return };
        let Entry { state, open, end, .. } = *entry;
        if open > 0 || self.changed.contains(&place) {
            return;
        }
        let is_over = || end <= self.now && self.window(self.now, place.0).start != place.1;
        if state == AccountState::default() || is_over() {
            self.accounts.remove(&place);
            self.ends.remove(&(end, place));
        }
    }

    fn budget(&self, key: Key) -> Option<Nano> {
        match key {
            Key::TenantDay(at) => self.tenants.get(&at)?.day,
            Key::TenantMonth(at) => self.tenants.get(&at)?.month,
            Key::OrgMonth(at) => self.orgs.get(&at)?.month,
        }
    }

    /// The account's period, which is remembered.
    fn turn(&mut self, now: Time, key: Key) -> Window {
        let window = self.window(now, key);
        self.windows.insert(key, window);
        window
    }

    fn window(&self, now: Time, key: Key) -> Window {
        if let Some(window) = self.windows.get(&key).filter(|window| window.has(now)) {
            return *window;
        }
        let zone = match key {
            Key::TenantDay(at) | Key::TenantMonth(at) => {
                self.tenants.get(&at).map(|terms| &terms.zone)
            }
            Key::OrgMonth(at) => self.orgs.get(&at).map(|terms| &terms.zone),
        };
        Window::at(now, key.every(), zone.unwrap_or(&TimeZone::UTC))
    }

    fn org_of(&self, tenant: u32) -> Option<u32> {
        self.tenants.get(&tenant).map(|terms| terms.org)
    }
}

fn key_of(wake: u64) -> Option<Key> {
    let at = u32::try_from(wake & u64::from(u32::MAX)).ok()?;
    match (wake ^ WAKE) >> 32 {
        0 => Some(Key::TenantDay(at)),
        1 => Some(Key::TenantMonth(at)),
        2 => Some(Key::OrgMonth(at)),
        _ => None,
    }
}

/// The accounts that a hold is in.
fn places(tenant: u32, held: &Held) -> impl Iterator<Item = Place> + use<> {
    let day = held.tenant_day.map(|start| (Key::TenantDay(tenant), start));
    let month = held.tenant_month.map(|start| (Key::TenantMonth(tenant), start));
    let org = held.org_month.map(|(org, start)| (Key::OrgMonth(org), start));
    [day, month, org].into_iter().flatten()
}

/// What may still be held where nothing is bounded.
fn countable(held: Nano) -> Nano {
    Nano(u64::MAX).minus(held)
}

fn more(held: Nano, amount: Nano) -> Nano {
    let sum = held.0.checked_add(amount.0);
    Nano(sum.unwrap_or_else(|| panic!("{amount} is added to {held} that is held")))
}

fn less(held: Nano, amount: Nano) -> Nano {
    let rest = held.0.checked_sub(amount.0);
    Nano(rest.unwrap_or_else(|| panic!("{amount} is taken from {held} that is held")))
}
