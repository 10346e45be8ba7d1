//! Quotas of tools: what a tenant may call, what all tenants together may call, and who is next where that is too
//! little.
//!
//! One take is all or nothing over all rules of both levels, and over the number of units. It is made when a step is
//! about to be dispatched, and it never waits: a refusal names the rule, when it opens, and the key under which the
//! caller is woken. Who waits holds nothing (P6). The limiter knows tenants, organisations and tools as numbers, and no
//! steps; time comes in with each call and never falls.
//!
//! # The rules
//!
//! - **Window**: so many units in each window of the calendar ([`Window`](crate::calendar::Window)). One count, that of
//!   the window under way, is kept. A take is counted in the window in which it is made; units that come back go to
//!   that window only.
//! - **Bucket**: the generic cell rate algorithm, in its virtual scheduling form (ITU-T I.371; ATM Forum TM 4.0, 4.4.2), in
//!   exact integers: at most `burst + L / T` units in any interval of length `L`, with `T` the time of one unit.
//! - **Concurrent**: so many calls under way at once, of whatever size. Calls are counted whether a rule bounds them or
//!   not, so that a new rule finds those under way.
//!
//! Rules with the same [`Rule::label`] share a count, in one list of rules (the smaller numbers hold) and through changes
//! of it.
//!
//! # Who is next at the provider's limit
//!
//! While nobody waits for a tool's provider, whoever asks is served. Where it has no room, tenants stand in a *line*: a
//! start-time fair queue (Goyal, Vin, Cheng 1996) of organisations and, in each, of its tenants. A tenant's start
//! tag `S` is its units over its weight; the smallest is next; virtual time `V` is the tag last served; who comes, or comes
//! back, starts at `max(S, V)`: having been away has earned nothing (P3). It is the rule by which slots are given, without
//! what slots need (caps, bursts, service that goes on), so it has a small tree of its own.
//!
//! Units that become free are *called* out to the tenant that is next: what its refused take asked for is kept for it,
//! it is charged, and its key is woken. Its next take uses the call. If that does not come within a second (it found no
//! slot, or nothing is left to do) the call goes to the next, and is not charged. A take of somebody who was not called
//! passes at once if it is next and there is room beside what is kept for others; otherwise it waits in the line.
//!
//! A window gives many units at once, so that who is served soonest could take them all before others are back. Therefore
//! nobody passes a tenant that was called and has not answered for 10 ms, or that was served 1 ms ago and is ahead of it in
//! the line: as a rule the next step of that tenant is tried in the same turn. Free units wait no longer than that.
//!
//! *Bound.* For tenants that wait throughout (each take that passes is followed within 1 ms by one that is refused or passes),
//! as for any start-time fair queue, `|U_i/w_i - U_j/w_j| <= u_i/w_i + u_j/w_j` with `U` the units that they got, `w` their
//! weights and `u` the largest take; and the same between organisations. A tenant that comes less often gets what it asks
//! for when its turn is, and nothing for the time in which it did not ask.
//!
//! Where a rule of the provider's counts tokens, service is measured in tokens, and else in calls. What a call really used
//! is charged when it is over; until then what it took counts, so that in the bound above `u` is the most that a tenant has
//! taken for calls that are not over.
//!
//! # A provider that is left alone
//!
//! A tool is shut, for everybody, until the time that its provider asked for (HTTP 429, `Retry-After`), or for a while
//! after so many failures in a row (a circuit breaker: Nygard, *Release It!*, 2007). After that one call at a time tries it,
//! until one is served. A shut tool is full for the line, so that tenants are called in its order. That it is shut is not
//! stored: after a restart a provider that still wants to be left alone says so to the first call.
//!
//! # Waking
//!
//! At most 64 keys at once. When windows turn the next batch is due 10 ms later; what a call that is over or a changed rule
//! lets through does not wait for that.
//!
//! # Cost
//!
//! `r <= 8` rules, `n` tenants that wait for the tool or have counts: every operation is O(r^2 + log n), amortised over
//! what is forgotten; a changed weight or quota looks at each tool that has a line. Memory is O(1) for each count of a window
//! under way (or of a bucket that is not full), each call under way and each waiting tenant; of a registered tenant only
//! its weight and its organisation are known.

#![warn(clippy::float_arithmetic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::gate::LimitHolder;
use crate::quota::{Breaker, Rule, Unit};
use crate::row::Used;
use crate::time::Time;

mod bucket;
mod circuit;
mod count;
mod level;
mod line;
mod rule;
mod tool;
mod waits;

#[cfg(test)]
mod tests;

pub use circuit::{Answer, CIRCUIT_OPEN, Circuit, RETRY_AFTER, Why};
use count::{Kept, Mark, Short, Stand, Use};
use line::Member;
use rule::distinct;
use tool::{Tool, Turn};
use waits::{WAKES_MAX, Waits, spot_of, wake_key};

/// A tenant or an organisation that was never declared has this weight.
const WEIGHT_UNKNOWN: u32 = 1;
/// Counts that may be over are looked at two for each that may be new, so that those that are over do not gather.
const SWEPT_BY_TAKE: usize = 2;

/// The limits of all tools.
#[derive(Debug, Default)]
pub struct Limiter {
    /// The latest moment that came in.
    now: Time,
    takes: u64,
    tools: BTreeMap<u32, Tool>,
    orgs: BTreeMap<u32, u32>,
    tenants: BTreeMap<u32, (u32, u32)>,
    waits: Waits,
    /// Tools with a line, by when it is to be looked at.
    agenda: BTreeSet<(Time, u32)>,
    /// Tools with a line.
    lines: BTreeSet<u32>,
    changed: BTreeSet<(u32, Option<u32>, Arc<str>)>,
    /// Tenants' counts by tool and tenant, and when they may be over.
    over: BTreeSet<(Time, u32, u32)>,
}

/// Who calls what.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub tenant: u32,
    pub tool: u32,
    /// The tenant's own rules for the tool. They come with each call, so that nothing is kept for each tenant.
    pub quota: &'a [Rule],
}

/// What one call takes: itself, and so many tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    pub calls: u64,
    pub tokens: u64,
}

/// What a call took. It ends with exactly one [`Limiter::finish`] or [`Limiter::give_back`].
#[derive(Clone, Debug)]
pub struct Taken {
    tenant: u32,
    tool: u32,
    /// Tells it from all others.
    id: u64,
    units: Units,
    /// Counts of the tenant, then of the provider.
    own: Vec<Mark>,
    all: Vec<Mark>,
}

/// Why a call may not be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub holder: LimitHolder,
    /// [`Rule::label`] of the rule that is in the way longest.
    pub rule: Arc<str>,
    pub used: u64,
    /// Of a circuit that failures opened: how many open it.
    pub of: u64,
    /// `None`: nobody knows, or others come first.
    pub opens: Option<Time>,
    /// More is asked for than the rule ever allows at once.
    pub is_never: bool,
    pub wake: u64,
}

/// A count that is to be stored: tool, tenant (`None`: the provider's), label.
pub type Changed = (u32, Option<u32>, Arc<str>, Used);

/// How one rule stands for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub holder: LimitHolder,
    pub rule: Arc<str>,
    pub used: u64,
    pub of: u64,
    /// When the window ends or the bucket is full.
    pub resets: Option<Time>,
}

impl Units {
    /// A call without tokens.
    pub const CALL: Self = Self { calls: 1, tokens: 0 };

    pub const fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Calls => self.calls,
            Unit::Tokens => self.tokens,
        }
    }

    const fn more(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    const fn less(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }

    fn checked_less(self, other: Self) -> Option<Self> {
        let calls = self.calls.checked_sub(other.calls)?;
        Some(Self { calls, tokens: self.tokens.checked_sub(other.tokens)? })
    }

    /// The more of each.
    fn most(self, other: Self) -> Self {
        Self { calls: self.calls.max(other.calls), tokens: self.tokens.max(other.tokens) }
    }
}

impl Caller<'_> {
    /// The key under which it is woken.
    pub fn wake(&self) -> u64 {
        wake_key((self.tenant, self.tool))
    }
}

impl Taken {
    pub const fn tool(&self) -> u32 {
        self.tool
    }

    /// The key under which others of the same caller may wait.
    pub fn wake(&self) -> u64 {
        wake_key((self.tenant, self.tool))
    }
}

impl Limiter {
    /// The provider's rules, new or changed. Counts of the same label stay; those in the line are called as far as the
    /// new rules let them. A circuit that its failures opened is closed if there is no breaker any more.
    pub fn set_tool(&mut self, now: Time, tool: u32, rules: &[Rule], breaker: Option<Breaker>) {
        self.see(now);
        let state = self.tools.entry(tool).or_default();
        state.set_rules(distinct(rules).collect());
        state.switch.set_breaker(breaker);
        for tenant in std::mem::take(&mut state.stuck) {
            self.waits.rouse((tenant, tool));
        }
        self.plan(tool);
    }

    pub fn set_org(&mut self, org: u32, weight: u32) {
        if self.orgs.insert(org, weight) == Some(weight) {
            return;
        }
        for tool in &self.lines {
            self.tools.get_mut(tool).expect("a tool with a line").line.set_org(org, weight);
        }
    }

    pub fn set_tenant(&mut self, tenant: u32, org: u32, weight: u32) {
        if self.tenants.insert(tenant, (org, weight)) == Some((org, weight)) {
            return;
        }
        let member = self.member(tenant);
        for tool in self.lines.clone() {
            self.tool_mut(tool).line.set_member(tenant, member);
            self.plan(tool);
        }
    }

    /// Takes so many units of all rules of both levels, or of none.
    pub fn take(&mut self, now: Time, caller: &Caller<'_>, units: Units) -> Result<Taken, Blocked> {
        self.see(now);
        self.sweep(SWEPT_BY_TAKE);
        self.tools.entry(caller.tool).or_default();
        if let Some(short) = self.own_short(self.now, caller, units) {
            self.wait_for_own(caller, &short);
            return Err(blocked(LimitHolder::Tenant, caller, short));
        }
        let passed = self.pass_provider(caller, units);
        self.plan(caller.tool);
        match passed {
            Ok(()) => Ok(self.count(caller, units)),
            Err(short) => Err(blocked(LimitHolder::Provider, caller, short)),
        }
    }

    /// What would refuse a take now, if anything. Takes nothing, and waits for nothing.
    pub fn would_block(&self, now: Time, caller: &Caller<'_>, units: Units) -> Option<Blocked> {
        let now = self.now.max(now);
        if let Some(short) = self.own_short(now, caller, units) {
            return Some(blocked(LimitHolder::Tenant, caller, short));
        }
        let state = self.tools.get(&caller.tool)?;
        let others = || state.has_others_first(caller.tenant).then(|| state.others_first(now));
        let short = state.short(now, caller.tenant, units).or_else(others)?;
        Some(blocked(LimitHolder::Provider, caller, short))
    }

    /// The call never left: its units return to the window that they were taken from, if it still is under way.
    pub fn give_back(&mut self, taken: &Taken) {
        self.end_call(taken);
        let Taken { tenant, tool, units, .. } = *taken;
        let state = self.tools.get_mut(&tool).expect("a tool that was taken is known");
        for (holder, marks) in [(Some(tenant), &taken.own), (None, &taken.all)] {
            let counts = match holder {
                Some(tenant) => state.uses.get_mut(&tenant),
                None => Some(&mut state.all),
            };
            let Some(counts) = counts else { continue };
            for mark in marks.iter().filter(|mark| counts.give_back(mark, units)) {
                self.changed.insert((tool, holder, mark.label.clone()));
            }
        }
        state.line.correct(tenant, units, Units::default());
        state.switch.end(self.now, taken.id, Answer::Unknown);
        self.waits.rouse((tenant, tool));
        self.close_call(taken);
    }

    /// The call is over. `tokens`: how many it really used. What that is less or more than was taken goes back to the
    /// windows that it was taken from, or is counted in them, above their limits if need be.
    pub fn finish(&mut self, now: Time, taken: &Taken, answer: Answer, tokens: Option<u64>) {
        self.see(now);
        self.end_call(taken);
        if let Some(tokens) = tokens {
            self.correct(taken, tokens);
        }
        let now = self.now;
        self.tool_mut(taken.tool).switch.end(now, taken.id, answer);
        self.close_call(taken);
    }

    /// Since when the tool's provider is left alone because its calls fail.
    pub fn down_since(&self, tool: u32) -> Option<Time> {
        self.tools.get(&tool)?.switch.down_since()
    }

    /// Whether the tool's provider is called.
    pub fn circuit(&self, now: Time, tool: u32) -> Circuit {
        self.tools.get(&tool).map_or(Circuit::Closed, |tool| tool.switch.state(self.now.max(now)))
    }

    /// A call that was under way before a restart. Its units are among the stored counts.
    pub fn resume(&mut self, now: Time, caller: &Caller<'_>) -> Taken {
        self.see(now);
        self.takes = self.takes.saturating_add(1);
        let Caller { tenant, tool, .. } = *caller;
        self.begin_call(tool, tenant);
        self.plan(tool);
        let (id, units) = (self.takes, Units::default());
        Taken { tenant, tool, id, units, own: Vec::new(), all: Vec::new() }
    }

    /// A stored count, of the provider's rule or the tenant's. One whose label no rule can have is left out.
    pub fn restore(&mut self, tool: u32, tenant: Option<u32>, label: &str, used: Used) {
        self.takes = self.takes.saturating_add(1);
        let state = self.tools.entry(tool).or_default();
        let counts = match tenant {
            Some(tenant) => state.uses.entry(tenant).or_default(),
            None => &mut state.all,
        };
        let known = counts.restore(label, used, self.takes);
        if let Some(tenant) = tenant {
            if known.is_some() {
                self.list(tool, tenant);
            }
            self.forget_use(tool, tenant);
        }
        self.plan(tool);
    }

    /// Counts that changed since the last call, each with its last value, by tool, tenant and label.
    pub fn take_changes(&mut self) -> Vec<Changed> {
        let changed = std::mem::take(&mut self.changed);
        let used = |(tool, tenant, label): (u32, Option<u32>, Arc<str>)| {
            let state = self.tools.get(&tool)?;
            let counts = match tenant {
                Some(tenant) => state.uses.get(&tenant)?,
                None => &state.all,
            };
            let used = counts.used(&label)?;
            Some((tool, tenant, label, used))
        };
        changed.into_iter().filter_map(used).collect()
    }

    /// The tenant's quota has changed: whatever of it is blocked may try again.
    pub fn retry_all(&mut self, tenant: u32) {
        self.waits.rouse_tenant(tenant);
        for tool in &self.lines {
            if self.tools[tool].line.asked_units(tenant).is_some() {
                self.waits.push_ready((tenant, *tool));
            }
        }
    }

    /// What lets calls through has changed otherwise: whoever waits may try again.
    pub fn retry_everyone(&mut self) {
        self.waits.rouse_all();
        for tool in &self.lines {
            for tenant in self.tools[tool].line.asking() {
                self.waits.push_ready((tenant, *tool));
            }
        }
    }

    /// The keys of those that may try again now, at most 64.
    pub fn wake(&mut self, now: Time) -> Vec<u64> {
        self.see(now);
        self.sweep(WAKES_MAX);
        let mut woken = Vec::new();
        self.waits.wake(now, &mut woken);
        while woken.len() < WAKES_MAX
            && let Some((_, tool)) = self.agenda.first().copied().filter(|(at, _)| *at <= now)
        {
            self.call_out(tool, &mut woken);
        }
        woken
    }

    /// When `wake` has something to say at the latest.
    pub fn next_wake(&self) -> Option<Time> {
        let lines = self.agenda.first().map(|(at, _)| *at);
        self.waits.next(self.now).into_iter().chain(lines).min()
    }

    /// Nobody waits under the key any more.
    pub fn gone(&mut self, wake: u64) {
        let Some((tenant, tool)) = spot_of(wake) else { return };
        self.waits.forget((tenant, tool));
        if let Some(state) = self.tools.get_mut(&tool) {
            state.stuck.remove(&tenant);
            state.line.leave(tenant);
            self.plan(tool);
        }
    }

    /// How each rule stands: the tenant's, then the provider's.
    pub fn reading(&self, now: Time, caller: &Caller<'_>) -> Vec<Reading> {
        let none = Use::default();
        let state = self.tools.get(&caller.tool);
        let own = state.and_then(|tool| tool.uses.get(&caller.tenant)).unwrap_or(&none);
        let all = state.map_or(&none, |tool| &tool.all);
        let shared = state.map_or(&[][..], |tool| &tool.rules);
        let own = distinct(caller.quota).map(|rule| (LimitHolder::Tenant, own, rule));
        let all = shared.iter().map(|rule| (LimitHolder::Provider, all, rule.clone()));
        own.chain(all)
            .map(|(holder, counts, rule)| {
                let Stand { used, of, resets } = counts.stand(now, &rule);
                Reading { holder, rule: rule.label().into(), used, of, resets }
            })
            .collect()
    }

    fn own_short(&self, now: Time, caller: &Caller<'_>, units: Units) -> Option<Short> {
        let none = Use::default();
        let own = self.tools.get(&caller.tool).and_then(|tool| tool.uses.get(&caller.tenant));
        let rules = distinct(caller.quota);
        own.unwrap_or(&none).short(now, rules, units, Kept::default())
    }

    /// Waits for its own quota, and in the provider's line only if what it waits for there could be taken.
    fn wait_for_own(&mut self, caller: &Caller<'_>, short: &Short) {
        let Caller { tenant, tool, .. } = *caller;
        self.waits.wait((tenant, tool), short.opens);
        let asked = self.tools[&tool].line.asked_units(tenant);
        if asked.is_some_and(|units| self.own_short(self.now, caller, units).is_some()) {
            self.tool_mut(tool).line.leave(tenant);
            self.plan(tool);
        }
    }

    fn pass_provider(&mut self, caller: &Caller<'_>, units: Units) -> Result<(), Short> {
        let (now, tenant, member) = (self.now, caller.tenant, self.member(caller.tenant));
        let state = self.tools.get_mut(&caller.tool).expect("a tool that is taken is known");
        state.line.turn(now);
        let short = state.short(now, tenant, units);
        if let Some(short) = short.as_ref().filter(|short| short.is_never) {
            state.stuck.insert(tenant);
            self.waits.wait((tenant, caller.tool), None);
            return Err(short.clone());
        }
        let is_free = state.is_free();
        let line = &mut state.line;
        let is_called = line.called_units(tenant).is_some();
        match short {
            None if is_free => line.leave(tenant),
            None if line.is_quiet() => {}
            None if is_called => line.answer(now, tenant, units),
            short => {
                if short.is_some() {
                    line.take_call_back(tenant, units);
                }
                line.wait(tenant, member, units);
                if short.is_some() || line.first() != Some(tenant) {
                    return Err(short.unwrap_or_else(|| state.others_first(now)));
                }
                line.serve(now, tenant, units);
            }
        }
        Ok(())
    }

    fn count(&mut self, caller: &Caller<'_>, units: Units) -> Taken {
        let Caller { tenant, tool, quota } = *caller;
        self.takes = self.takes.saturating_add(1);
        self.begin_call(tool, tenant);
        let (now, born) = (self.now, self.takes);
        let state = self.tools.get_mut(&tool).expect("a tool that is taken is known");
        state.switch.begin(born);
        let counts = state.uses.get_mut(&tenant).expect("a call is under way");
        let own: Vec<Mark> =
            distinct(quota).filter_map(|rule| counts.add(now, &rule, units, born)).collect();
        let all: Vec<Mark> =
            state.rules.iter().filter_map(|rule| state.all.add(now, rule, units, born)).collect();
        for (holder, marks) in [(Some(tenant), &own), (None, &all)] {
            self.changed.extend(marks.iter().map(|mark| (tool, holder, mark.label.clone())));
        }
        if !own.is_empty() {
            self.list(tool, tenant);
        }
        Taken { tenant, tool, id: born, units, own, all }
    }

    /// The call used so many tokens, and not those that it took.
    fn correct(&mut self, taken: &Taken, tokens: u64) {
        let Taken { tenant, tool, units, .. } = *taken;
        // What was taken before a restart is counted, and nobody knows where.
        if units == Units::default() || tokens == units.tokens {
            return;
        }
        let state = self.tools.get_mut(&tool).expect("a tool that was taken is known");
        let own = state.uses.get_mut(&tenant).expect("a call was under way");
        for (holder, counts, marks) in
            [(Some(tenant), own, &taken.own), (None, &mut state.all, &taken.all)]
        {
            for mark in marks.iter().filter(|mark| counts.correct(mark, units.tokens, tokens)) {
                self.changed.insert((tool, holder, mark.label.clone()));
            }
        }
        state.line.correct(tenant, units, Units { tokens, ..units });
        if tokens < units.tokens {
            self.waits.rouse((tenant, tool));
        }
    }

    fn begin_call(&mut self, tool: u32, tenant: u32) {
        let state = self.tools.entry(tool).or_default();
        let own = state.uses.entry(tenant).or_default();
        for counts in [own, &mut state.all] {
            counts.under_way = counts.under_way.checked_add(1).expect("calls fit 32 bits");
        }
    }

    fn end_call(&mut self, taken: &Taken) {
        let state = self.tools.get_mut(&taken.tool).expect("a tool that was taken is known");
        let own = state.uses.get_mut(&taken.tenant).expect("a call was under way");
        for counts in [own, &mut state.all] {
            counts.under_way = counts.under_way.checked_sub(1).expect("a call ends once");
        }
    }

    /// Lets those try again that waited for a call to end.
    fn close_call(&mut self, taken: &Taken) {
        let Taken { tenant, tool, .. } = *taken;
        self.waits.rouse_for_call((tenant, tool));
        self.list(tool, tenant);
        self.forget_use(tool, tenant);
        self.plan(tool);
    }

    /// Calls those that are next in a tool's line, as far as there is room.
    fn call_out(&mut self, tool: u32, woken: &mut Vec<u64>) {
        let now = self.now;
        let state = self.tools.get_mut(&tool).expect("a tool with a line");
        state.line.turn(now);
        while woken.len() < WAKES_MAX {
            match state.turn(now) {
                Turn::Call(tenant) => {
                    state.line.call(now, tenant);
                    state.note_call(now);
                    woken.push(wake_key((tenant, tool)));
                }
                Turn::Refuse(tenant) => {
                    state.line.leave(tenant);
                    woken.push(wake_key((tenant, tool)));
                }
                Turn::Wait(_) => break,
            }
        }
        self.plan(tool);
    }

    /// Notes when a tool's line is to be looked at; call it after every change of it.
    fn plan(&mut self, tool: u32) {
        let now = self.now;
        let state = self.tools.get_mut(&tool).expect("a tool with a line");
        let next = state.next_turn(now);
        let is_quiet = state.line.is_quiet();
        let before = std::mem::replace(&mut state.next, next);
        if before != next {
            if let Some(before) = before {
                self.agenda.remove(&(before, tool));
            }
            self.agenda.extend(next.map(|next| (next, tool)));
        }
        if is_quiet {
            self.lines.remove(&tool);
        } else {
            self.lines.insert(tool);
        }
    }

    /// Has the tenant's counts looked at when they may be over.
    fn list(&mut self, tool: u32, tenant: u32) {
        let now = self.now;
        let counts = self.tool_mut(tool).uses.get_mut(&tenant).expect("there are counts to list");
        if counts.is_listed {
            return;
        }
        if let Some(end) = counts.sweep(now) {
            counts.is_listed = true;
            self.over.insert((end, tool, tenant));
        }
    }

    fn sweep(&mut self, most: usize) {
        for _ in 0..most {
            let Some(first) = self.over.first().copied().filter(|(at, ..)| *at <= self.now) else {
                return;
            };
            self.over.remove(&first);
            let (_, tool, tenant) = first;
            if let Some(counts) = self.tool_mut(tool).uses.get_mut(&tenant) {
                counts.is_listed = false;
                self.list(tool, tenant);
                self.forget_use(tool, tenant);
            }
        }
    }

    fn forget_use(&mut self, tool: u32, tenant: u32) {
        let state = self.tool_mut(tool);
        if state.uses.get(&tenant).is_some_and(Use::is_empty) {
            state.uses.remove(&tenant);
        }
    }

    fn member(&self, tenant: u32) -> Member {
        let (org, weight) =
            self.tenants.get(&tenant).copied().unwrap_or((u32::MAX, WEIGHT_UNKNOWN));
        let org_weight = self.orgs.get(&org).copied().unwrap_or(WEIGHT_UNKNOWN);
        Member { org, org_weight, weight }
    }

    fn tool_mut(&mut self, tool: u32) -> &mut Tool {
        self.tools.get_mut(&tool).expect("a tool that is known")
    }

    fn see(&mut self, now: Time) {
        self.now = self.now.max(now);
    }
}

fn blocked(holder: LimitHolder, caller: &Caller<'_>, short: Short) -> Blocked {
    let Short { rule, used, of, opens, is_never } = short;
    Blocked { holder, rule, used, of, opens, is_never, wake: caller.wake() }
}
