//! Burst with payback: a tenant that wants more than its cap may hold extra slots, and is preferred by its credit,
//! until it has used that credit ahead of its share; then the normal cap holds until it owes nothing.
//!
//! What it uses is charged as always, so `S - V` is the debt, and waiting is how it is paid. While slots would
//! stay idle `V` moves with the tenant and nothing is owed. The credits in use in one pool are bounded together.

use crate::time::Span;

use super::Scheduler;
use super::config::TenantIx;
use super::lanes::BurstState;
use super::log::Event;

impl Scheduler {
    /// Lets the tenant enter, leave or pay back a burst, as its numbers are now.
    pub(crate) fn turn_burst(&mut self, tenant: TenantIx) {
        let config = self.tenant(tenant).config();
        let Some(active) = self.tenant(tenant).active.as_deref() else { return };
        let debt = self.debt(tenant);
        let slack = u128::from(self.config.quantum.0) * (u128::from(active.share.in_flight) + 1);
        let Some(burst) = config.burst.filter(|_| self.config.policy.has_caps()) else {
            if active.burst != BurstState::Ready {
                self.set_burst(
                    tenant,
                    BurstState::Ready,
                    Event::BurstPaidBack { debt_us: short(debt) },
                );
            }
            return;
        };
        let wants_more =
            active.open[0] > 0 && !config.paused && active.share.in_flight >= config.cap;
        match active.burst {
            BurstState::Ready if wants_more && debt <= slack && self.has_credit(burst.credit) => {
                let event = Event::BurstGranted {
                    extra_slots: burst.extra_slots,
                    credit_us: burst.credit.0,
                };
                self.set_burst(tenant, BurstState::Bursting, event);
            }
            BurstState::Bursting if debt >= u128::from(burst.credit.0) => {
                self.set_burst(
                    tenant,
                    BurstState::PayingBack,
                    Event::BurstSpent { debt_us: short(debt) },
                );
            }
            BurstState::Bursting if active.ready == 0 && active.share.in_flight <= config.cap => {
                let event = Event::BurstPaidBack { debt_us: short(debt) };
                let next = if debt <= slack { BurstState::Ready } else { BurstState::PayingBack };
                self.set_burst(tenant, next, event);
            }
            BurstState::PayingBack if debt <= slack => {
                self.set_burst(
                    tenant,
                    BurstState::Ready,
                    Event::BurstPaidBack { debt_us: short(debt) },
                );
            }
            BurstState::Ready | BurstState::Bursting | BurstState::PayingBack => {}
        }
    }

    fn set_burst(&mut self, tenant: TenantIx, next: BurstState, event: Event) {
        let config = self.tenant(tenant).config();
        let org = self.org_place(&config);
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a bursting tenant is active");
        let before = active.burst;
        active.burst = next;
        if before == BurstState::Bursting {
            let credit = std::mem::take(&mut active.share.credit);
            self.orgs[org].share.credit.0 -= credit.0;
            self.burst_in_use.0 -= credit.0;
        }
        if next == BurstState::Bursting {
            let credit = config.burst.map_or(Span::ZERO, |burst| burst.credit);
            active.share.credit = credit;
            self.orgs[org].share.credit.0 += credit.0;
            self.burst_in_use.0 += credit.0;
        }
        if next == BurstState::Ready {
            self.bursting.remove(&tenant);
        } else {
            self.bursting.insert(tenant);
        }
        self.write_log(tenant, event);
    }

    /// Ends the burst at once, with nothing said: the tenant's place in the tree is about to change.
    pub(crate) fn drop_burst(&mut self, tenant: TenantIx) {
        let config = self.tenant(tenant).config();
        let org = self.org_place(&config);
        let Some(active) = self.tenants[tenant.0 as usize].active.as_deref_mut() else { return };
        let credit = std::mem::take(&mut active.share.credit);
        active.burst = BurstState::Ready;
        self.orgs[org].share.credit.0 -= credit.0;
        self.burst_in_use.0 -= credit.0;
        self.bursting.remove(&tenant);
    }

    fn has_credit(&self, credit: Span) -> bool {
        self.burst_in_use.0.saturating_add(credit.0) <= self.config.burst_max.0
    }

    /// Slot time that the tenant, or its organisation, has had ahead of the others: the larger of the two.
    pub(crate) fn debt(&self, tenant: TenantIx) -> u128 {
        let node = self.tenant(tenant);
        let org = self.org_of(&node.config());
        let own = node.active.as_deref().map_or(0, |active| org.level.debt(&active.share));
        own.max(self.root.debt(&org.share))
    }
}

fn short(micros: u128) -> u64 {
    u64::try_from(micros).unwrap_or(u64::MAX)
}
