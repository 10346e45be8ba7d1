//! Quotas of tools: what a tenant may call, and what all tenants together may call of a provider.
//!
//! One take is all or nothing over all rules of both levels. A rule is a *window* of the calendar, a *bucket* or a number
//! of calls under way. A bucket is the generic cell rate algorithm (ITU-T I.371, ATM Forum TM 4.0): it remembers one time,
//! at which it is full again. That time is kept in microseconds times the rule's units, so that no rate drifts.
//!
//! Who is blocked waits under a wake key, one for each tenant and tool, and holds nothing. The key is woken when trying
//! again may help: a window turned, a bucket dripped, a call ended, or a rule was changed.
//!
//! # The provider's limit is a fair queue
//!
//! First come, first served on a shared limit would be the noisy neighbour by another door. So tenants that wait for one
//! stand in a queue of their own (module `queue`), and are *called* in its order when units are free. A called tenant has
//! its units kept for a moment; a take by anybody else gets what is not kept, and queues up if others wait. A call that is
//! not used is taken back.
//!
//! # Bounds and cost
//!
//! No rule is ever exceeded: what is kept for those who were called counts as used. A tenant that was called and cannot come
//! (it has no slot) holds the queue up for [`CALL_TTL`] at most. Operations are O(rules + log n) in the tenants that wait.
//! Counts of tenants are forgotten when their windows are over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::gate::LimitHolder;
use crate::quota::Rule;
use crate::row::Used;
use crate::time::{Span, Time};

mod count;
mod queue;

#[cfg(test)]
mod tests;

use count::Count;
use queue::Queue;

/// How long units are kept for a tenant that was called.
pub const CALL_TTL: Span = Span::from_millis(100);

/// Keys that may be woken in one moment, and how long the next ones wait for theirs.
const WAKES_MAX: usize = 64;
const PACE: Span = Span::from_millis(10);

/// Wake keys of limits: others have other upper bits.
const WAKE: u64 = 1 << 62;

/// The limits of one cell. Tenants, organisations and tools are known by their places.
#[derive(Debug, Default)]
pub struct Limiter {
    providers: BTreeMap<u32, Provider>,
    weights: BTreeMap<u32, (u32, u32)>,
    orgs: BTreeMap<u32, u32>,
    /// By tenant and tool.
    quotas: BTreeMap<(u32, u32), Vec<Count>>,
    /// When a tenant's counts may be forgotten.
    over: BTreeSet<(Time, (u32, u32))>,
    /// Tenants that their own quota blocks, by wake key: until when.
    blocked: BTreeMap<u64, Time>,
    due: BTreeSet<(Time, u64)>,
    freed: BTreeSet<u64>,
    /// Providers whose queue is to be looked at: now, and then.
    stirred: BTreeSet<u32>,
    stirs: BTreeSet<(Time, u32)>,
    changed: BTreeSet<(u32, Option<u32>, Arc<str>)>,
    paced: Time,
}

#[derive(Debug, Default)]
struct Provider {
    rules: Vec<Rule>,
    counts: Vec<Count>,
    queue: Queue,
}

/// Who calls which tool, and the tenant's own quota for it.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub tenant: u32,
    pub tool: u32,
    pub quota: &'a [Rule],
}

/// What one take has taken, so that it can be given back to the same windows.
#[derive(Clone, Debug)]
pub struct Taken {
    tenant: u32,
    tool: u32,
    units: u64,
    /// Whose rule it was, and the beginning of its window.
    marks: Vec<(LimitHolder, Rule, Time)>,
}

/// Why a take was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub holder: LimitHolder,
    /// [`Rule::label`].
    pub rule: Arc<str>,
    pub used: u64,
    pub of: u64,
    /// When there is room again, if that is known.
    pub opens: Option<Time>,
    pub wake: u64,
}

/// How much of a rule is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub holder: LimitHolder,
    pub rule: Arc<str>,
    pub used: u64,
    pub of: u64,
    /// When it is new again, or has room for one more.
    pub opens: Option<Time>,
}

impl Limiter {
    /// Sets the provider's rules. Counts of rules that only change their number stay; who waits may try again.
    pub fn set_tool(&mut self, _now: Time, tool: u32, rules: &[Rule]) {
        let provider = self.providers.entry(tool).or_default();
        provider.rules = rules.to_vec();
        let labels: BTreeSet<String> = rules.iter().map(Rule::label).collect();
        provider.counts.retain(|count| labels.contains(&*count.label));
        self.stirred.insert(tool);
    }

    pub fn set_org(&mut self, org: u32, weight: u32) {
        self.orgs.insert(org, weight);
    }

    pub fn set_tenant(&mut self, tenant: u32, org: u32, weight: u32) {
        self.weights.insert(tenant, (org, weight));
    }

    /// The tenant's own quotas have changed: what they block may try again.
    pub fn retry_all(&mut self, tenant: u32) {
        let keys =
            self.blocked.keys().filter(|key| **key & u64::from(u32::MAX) == u64::from(tenant));
        self.freed.extend(keys.copied());
    }

    /// Takes the units of all rules, or of none.
    pub fn take(&mut self, now: Time, caller: &Caller<'_>, units: u64) -> Result<Taken, Blocked> {
        if let Some(blocked) = self.own_block(now, caller, units) {
            let until = blocked.opens.unwrap_or(Time::MAX);
            self.block(blocked.wake, until);
            return Err(blocked);
        }
        if let Some(blocked) = self.provider_block(now, caller, units) {
            let flow = self.flow(caller.tenant);
            let provider = self.providers.entry(caller.tool).or_default();
            provider.queue.join(flow, units);
            self.stirred.insert(caller.tool);
            return Err(blocked);
        }
        let flow = self.flow(caller.tenant);
        if let Some(provider) = self.providers.get_mut(&caller.tool) {
            let was_called = provider.queue.is_called(flow.tenant);
            provider.queue.served(flow, units);
            if was_called {
                self.stirred.insert(caller.tool);
            }
        }
        Ok(self.add(now, caller, units))
    }

    /// What would refuse a take now, if anything.
    pub fn would_block(&self, now: Time, caller: &Caller<'_>, units: u64) -> Option<Blocked> {
        self.own_block(now, caller, units).or_else(|| self.provider_block(now, caller, units))
    }

    /// The call never left: its units return to the windows that they were taken from, if those are not over.
    pub fn give_back(&mut self, taken: &Taken) {
        let flow = self.flow(taken.tenant);
        if let Some(provider) = self.providers.get_mut(&taken.tool) {
            provider.queue.refund(flow, taken.units);
        }
        for (holder, rule, start) in &taken.marks {
            let Some(count) = self.count_mut(taken, *holder, rule) else { continue };
            count.give_back(rule, taken.units, *start);
            let label = count.label.clone();
            self.note_change(taken.tool, taken.tenant, *holder, label);
        }
        self.stir(taken);
    }

    /// The call is over: it is under way no more.
    pub fn finish(&mut self, taken: &Taken) {
        let mut is_freed = false;
        for (holder, rule, _) in &taken.marks {
            if let Some(count) = self.count_mut(taken, *holder, rule) {
                is_freed |= count.finish();
            }
        }
        if is_freed {
            self.stir(taken);
        }
    }

    /// A call that is under way since before a restart. Windows and buckets have counted it already.
    pub fn resume(&mut self, _now: Time, caller: &Caller<'_>) -> Taken {
        let mut taken =
            Taken { tenant: caller.tenant, tool: caller.tool, units: 1, marks: Vec::new() };
        let provider = self.providers.get(&caller.tool).map(|provider| provider.rules.clone());
        let own = caller.quota.iter().map(|rule| (LimitHolder::Tenant, rule));
        let shared = provider.iter().flatten().map(|rule| (LimitHolder::Provider, rule));
        for (holder, rule) in own.chain(shared).filter(|(_, rule)| is_concurrent(rule)) {
            let count = find(self.counts_mut(caller.tenant, caller.tool, holder), rule);
            count.begin();
            taken.marks.push((holder, rule.clone(), Time::default()));
        }
        taken
    }

    /// A stored count.
    pub fn restore(&mut self, tool: u32, tenant: Option<u32>, label: &str, used: Used) {
        let counts = match tenant {
            Some(tenant) => self.counts_mut(tenant, tool, LimitHolder::Tenant),
            None => self.counts_mut(0, tool, LimitHolder::Provider),
        };
        counts.retain(|count| &*count.label != label);
        counts.push(Count::restored(label, used));
    }

    /// Counts to store: each one that has changed since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<(u32, Option<u32>, Arc<str>, Used)> {
        let changed = std::mem::take(&mut self.changed);
        let mut changes = Vec::with_capacity(changed.len());
        for (tool, tenant, label) in changed {
            let counts = match tenant {
                Some(tenant) => self.quotas.get(&(tenant, tool)),
                None => self.providers.get(&tool).map(|provider| &provider.counts),
            };
            let count = counts.and_then(|counts| counts.iter().find(|count| count.label == label));
            if let Some(used) = count.and_then(Count::stored) {
                changes.push((tool, tenant, label, used));
            }
        }
        changes
    }

    /// Wake keys whose waiters may try again.
    pub fn wake(&mut self, now: Time) -> Vec<u64> {
        self.forget(now);
        let mut woken = Vec::new();
        if now < self.paced {
            return woken;
        }
        while let Some(&(_, tool)) = self.stirs.first().filter(|(due, _)| *due <= now) {
            self.stirs.pop_first();
            self.stirred.insert(tool);
        }
        while woken.len() < WAKES_MAX
            && let Some(tool) = self.stirred.pop_first()
        {
            self.call(now, tool, &mut woken);
        }
        while woken.len() < WAKES_MAX
            && let Some(key) = self.freed.pop_first()
        {
            self.unblock(key);
            woken.push(key);
        }
        while woken.len() < WAKES_MAX
            && let Some(&(_, key)) = self.due.first().filter(|(due, _)| *due <= now)
        {
            self.unblock(key);
            woken.push(key);
        }
        if woken.len() >= WAKES_MAX {
            self.paced = now + PACE;
        }
        woken
    }

    /// When `wake` has something to say at the latest.
    pub fn next_wake(&self) -> Option<Time> {
        if !self.freed.is_empty() || !self.stirred.is_empty() {
            return Some(self.paced);
        }
        let own = self.due.first().map(|(due, _)| *due);
        let shared = self.stirs.first().map(|(due, _)| *due);
        own.into_iter().chain(shared).min().map(|due| due.max(self.paced))
    }

    /// Every rule that the caller meets, the tenant's own first.
    pub fn reading(&self, now: Time, caller: &Caller<'_>) -> Vec<Reading> {
        let mut readings = Vec::new();
        for (holder, rule) in self.rules(caller) {
            let count = self.count(caller, holder, rule);
            let (used, of, opens) = count.map_or_else(
                || Count::unused(rule).reading(rule, now),
                |count| count.reading(rule, now),
            );
            readings.push(Reading { holder, rule: rule.label().into(), used, of, opens });
        }
        readings
    }

    /// Calls tenants in the provider's queue as long as there is room.
    fn call(&mut self, now: Time, tool: u32, woken: &mut Vec<u64>) {
        let Some(provider) = self.providers.get_mut(&tool) else { return };
        let Provider { rules, counts, queue } = provider;
        queue.expire(now);
        let mut next_stir = queue.next_expiry();
        while let Some(units) = queue.next_units() {
            if woken.len() >= WAKES_MAX {
                self.stirred.insert(tool);
                break;
            }
            let wanted = units + queue.kept();
            match first_full(rules, counts, now, wanted) {
                Some((_, opens)) => {
                    next_stir = next_stir.into_iter().chain(opens).min();
                    break;
                }
                None => woken.push(wake_key(tool, queue.call(now + CALL_TTL))),
            }
        }
        let next_stir = queue.next_expiry().into_iter().chain(next_stir).min();
        if let Some(due) = next_stir {
            self.stirs.insert((due.max(Time(now.0 + 1)), tool));
        }
    }

    fn own_block(&self, now: Time, caller: &Caller<'_>, units: u64) -> Option<Blocked> {
        let none = Vec::new();
        let counts = self.quotas.get(&(caller.tenant, caller.tool)).unwrap_or(&none);
        let (rule, opens) = first_full(caller.quota, counts, now, units)?;
        Some(blocked(LimitHolder::Tenant, caller, (rule, opens), counts, now))
    }

    fn provider_block(&self, now: Time, caller: &Caller<'_>, units: u64) -> Option<Blocked> {
        let provider = self.providers.get(&caller.tool)?;
        let first = provider.rules.first()?;
        let queue = &provider.queue;
        let wanted = units + queue.kept_for_others(caller.tenant);
        let full = first_full(&provider.rules, &provider.counts, now, wanted);
        let comes_later = !queue.is_called(caller.tenant) && queue.has_others(caller.tenant);
        let full = full.or_else(|| comes_later.then_some((first, None)))?;
        Some(blocked(LimitHolder::Provider, caller, full, &provider.counts, now))
    }

    fn add(&mut self, now: Time, caller: &Caller<'_>, units: u64) -> Taken {
        let (tenant, tool) = (caller.tenant, caller.tool);
        let mut taken = Taken { tenant, tool, units, marks: Vec::new() };
        let shared = self.providers.get(&tool).map_or_else(Vec::new, |all| all.rules.clone());
        let own = caller.quota.iter().map(|rule| (LimitHolder::Tenant, rule));
        let shared = shared.iter().map(|rule| (LimitHolder::Provider, rule));
        for (holder, rule) in own.chain(shared) {
            let count = find(self.counts_mut(tenant, tool, holder), rule);
            let (start, end) = count.add(rule, now, units);
            let label = count.label.clone();
            if let (LimitHolder::Tenant, Some(end)) = (holder, end) {
                self.over.insert((end, (tenant, tool)));
            }
            self.note_change(tool, tenant, holder, label);
            taken.marks.push((holder, rule.clone(), start));
        }
        taken
    }

    fn note_change(&mut self, tool: u32, tenant: u32, holder: LimitHolder, label: Arc<str>) {
        let tenant = (holder == LimitHolder::Tenant).then_some(tenant);
        self.changed.insert((tool, tenant, label));
    }

    /// Something of the caller's rules became free.
    fn stir(&mut self, taken: &Taken) {
        self.stirred.insert(taken.tool);
        let key = wake_key(taken.tool, taken.tenant);
        if self.blocked.contains_key(&key) {
            self.freed.insert(key);
        }
    }

    fn block(&mut self, key: u64, until: Time) {
        self.unblock(key);
        self.blocked.insert(key, until);
        self.due.insert((until, key));
    }

    fn unblock(&mut self, key: u64) {
        self.freed.remove(&key);
        if let Some(until) = self.blocked.remove(&key) {
            self.due.remove(&(until, key));
        }
    }

    /// Drops counts of tenants whose windows are over.
    fn forget(&mut self, now: Time) {
        while let Some(&(end, key)) = self.over.first().filter(|(end, _)| *end <= now) {
            self.over.pop_first();
            let Some(counts) = self.quotas.get_mut(&key) else { continue };
            counts.retain(|count| !count.is_over(end));
            if counts.is_empty() {
                self.quotas.remove(&key);
            }
        }
    }

    fn flow(&self, tenant: u32) -> queue::Flow {
        let (org, weight) = self.weights.get(&tenant).copied().unwrap_or((0, 1));
        let org_weight = self.orgs.get(&org).copied().unwrap_or(1);
        queue::Flow { org, org_weight, tenant, weight }
    }

    fn rules<'a>(
        &'a self,
        caller: &Caller<'a>,
    ) -> impl Iterator<Item = (LimitHolder, &'a Rule)> + use<'a> {
        let own = caller.quota.iter().map(|rule| (LimitHolder::Tenant, rule));
        let provider = self.providers.get(&caller.tool);
        let shared = provider.into_iter().flat_map(|provider| &provider.rules);
        own.chain(shared.map(|rule| (LimitHolder::Provider, rule)))
    }

    fn count(&self, caller: &Caller<'_>, holder: LimitHolder, rule: &Rule) -> Option<&Count> {
        let counts = match holder {
            LimitHolder::Tenant => self.quotas.get(&(caller.tenant, caller.tool))?,
            LimitHolder::Provider => &self.providers.get(&caller.tool)?.counts,
        };
        let label = rule.label();
        counts.iter().find(|count| *count.label == *label)
    }

    fn counts_mut(&mut self, tenant: u32, tool: u32, holder: LimitHolder) -> &mut Vec<Count> {
        match holder {
            LimitHolder::Tenant => self.quotas.entry((tenant, tool)).or_default(),
            LimitHolder::Provider => &mut self.providers.entry(tool).or_default().counts,
        }
    }

    fn count_mut(&mut self, taken: &Taken, holder: LimitHolder, rule: &Rule) -> Option<&mut Count> {
        let counts = match holder {
            LimitHolder::Tenant => self.quotas.get_mut(&(taken.tenant, taken.tool))?,
            LimitHolder::Provider => &mut self.providers.get_mut(&taken.tool)?.counts,
        };
        let label = rule.label();
        counts.iter_mut().find(|count| *count.label == *label)
    }
}

/// The count of a rule, made if there is none.
fn find<'a>(counts: &'a mut Vec<Count>, rule: &Rule) -> &'a mut Count {
    let label = rule.label();
    let at = counts.iter().position(|count| *count.label == *label).unwrap_or_else(|| {
        counts.push(Count::unused(rule));
        counts.len() - 1
    });
    &mut counts[at]
}

/// The first rule that has no room for so many units, and when it has.
fn first_full<'a>(
    rules: &'a [Rule],
    counts: &[Count],
    now: Time,
    units: u64,
) -> Option<(&'a Rule, Option<Time>)> {
    rules.iter().find_map(|rule| {
        let label = rule.label();
        let count = counts.iter().find(|count| *count.label == *label);
        let full = match count {
            Some(count) => count.is_full(rule, now, units),
            None => Count::unused(rule).is_full(rule, now, units),
        };
        full.map(|full| (rule, full.opens))
    })
}

fn blocked(
    holder: LimitHolder,
    caller: &Caller<'_>,
    (rule, opens): (&Rule, Option<Time>),
    counts: &[Count],
    now: Time,
) -> Blocked {
    let label = rule.label();
    let count = counts.iter().find(|count| *count.label == *label);
    let (used, of, _) = count
        .map_or_else(|| Count::unused(rule).reading(rule, now), |count| count.reading(rule, now));
    let wake = wake_key(caller.tool, caller.tenant);
    Blocked { holder, rule: label.into(), used, of, opens, wake }
}

const fn is_concurrent(rule: &Rule) -> bool {
    matches!(rule, Rule::Concurrent { .. })
}

const fn wake_key(tool: u32, tenant: u32) -> u64 {
    WAKE | (tool as u64) << 32 | tenant as u64
}
