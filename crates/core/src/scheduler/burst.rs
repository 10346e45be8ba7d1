//! Burst with payback: a tenant that wants more than its cap may hold extra slots, and is preferred by its credit,
//! until it has used that credit ahead of its share; then the normal cap holds until it owes nothing.
//!
//! What it uses is charged as always, so its tag's lead over the others is the debt, and waiting is how it is paid:
//! once the credit is spent it stands in the order where its tag says. While others leave slots idle nobody is there
//! to be ahead of, and nothing is owed. Debt is looked for at each level, since a tenant that is alone in its
//! organisation can be ahead only of other organisations; so an organisation whose tenant bursts waits as a whole
//! afterwards, which is what sharing a weight means.
//!
//! INVARIANT: the credits of those who burst add up to no more than the pool allows, and every grant is logged.

use crate::time::Span;

use super::config::TenantIx;
use super::flow::{ANY, ROOT};
use super::lanes::BurstState;
use super::log::{Event, LOG_MAX};
use super::slab::NONE;
use super::{Logged, Scheduler};

impl Scheduler {
    /// Lets the tenant enter, leave or pay back a burst, as its numbers are now.
    pub(super) fn turn_burst(&mut self, tenant: TenantIx) {
        let config = self.tenant(tenant).config();
        let active = self.active_of(tenant);
        let may_burst = config.burst.is_some() && self.config.policy.has_caps();
        if active.burst == BurstState::Ready && !may_burst {
            return;
        }
        let held = self.tree.flows[active.flow].in_flight;
        match (active.burst, config.burst) {
            (BurstState::Ready, Some(burst)) => {
                let wants_more = held >= config.cap && active.open()[ANY] && !config.paused;
                if wants_more && self.has_credit(burst.credit) && self.owes_nothing(tenant) {
                    let event = Event::BurstGranted {
                        extra_slots: burst.extra_slots,
                        credit_us: burst.credit.0,
                    };
                    self.set_burst(tenant, BurstState::Bursting, event);
                }
            }
            (BurstState::Bursting, burst) => {
                let debt = self.tree.lead(active.flow);
                let is_spent = burst.is_none_or(|burst| debt >= u128::from(burst.credit.0));
                if is_spent || (active.waiting == 0 && held <= config.cap) {
                    let event = Event::BurstSpent { debt_us: micros(debt) };
                    self.set_burst(tenant, BurstState::PayingBack, event);
                    self.turn_burst(tenant);
                }
            }
            (BurstState::PayingBack, _) => {
                if held <= config.cap && self.owes_nothing(tenant) {
                    let debt = self.tree.lead(active.flow);
                    let event = Event::BurstPaidBack { debt_us: micros(debt) };
                    self.set_burst(tenant, BurstState::Ready, event);
                }
            }
            (BurstState::Ready, None) => {}
        }
    }

    /// Ends a burst that is under way: the tenant's permission or its place in the tree is about to change. What it
    /// owes it still pays.
    pub(super) fn end_burst(&mut self, tenant: TenantIx) {
        let place = self.tenant(tenant).active;
        if place == NONE || self.active[place].burst != BurstState::Bursting {
            return;
        }
        let debt_us = micros(self.tree.lead(self.active[place].flow));
        self.set_burst(tenant, BurstState::PayingBack, Event::BurstSpent { debt_us });
    }

    /// Adds to the log, if there is room.
    pub(super) fn write_log(&mut self, tenant: TenantIx, event: Event) -> bool {
        // How a burst ends is noted in any case: there are no more of these than grants, which found room.
        let must = matches!(event, Event::BurstSpent { .. } | Event::BurstPaidBack { .. });
        let is_written = must || self.log.len() < LOG_MAX;
        if is_written {
            self.log.push(Logged { tenant, event });
        }
        is_written
    }

    fn set_burst(&mut self, tenant: TenantIx, next: BurstState, event: Event) {
        if !self.write_log(tenant, event) {
            return;
        }
        let granted = self.tenant(tenant).config().burst.map_or(Span::ZERO, |burst| burst.credit);
        let place = self.tenant(tenant).active;
        let active = &mut self.active[place];
        active.burst = next;
        let flow = active.flow;
        let before = self.tree.flows[flow].credit;
        let credit = if next == BurstState::Bursting { granted } else { Span::ZERO };
        let change = |sum: &mut Span| sum.0 = sum.0 - before.0 + credit.0;
        change(&mut self.burst_in_use);
        let mut at = flow;
        while at != ROOT {
            change(&mut self.tree.flows[at].credit);
            at = self.tree.flows[at].parent;
        }
        if next == BurstState::Ready {
            self.bursting.remove(&tenant);
        } else {
            self.bursting.insert(tenant);
        }
    }

    /// Its lead is no more than what its running steps are charged ahead, and one quantum.
    fn owes_nothing(&self, tenant: TenantIx) -> bool {
        let flow = self.active_of(tenant).flow;
        let steps = u128::from(self.tree.flows[flow].in_flight) + 1;
        self.tree.lead(flow) <= u128::from(self.tree.ahead.0) * steps
    }

    const fn has_credit(&self, credit: Span) -> bool {
        self.burst_in_use.0.saturating_add(credit.0) <= self.config.burst_max.0
    }
}

fn micros(debt: u128) -> u64 {
    u64::try_from(debt).unwrap_or(u64::MAX)
}
