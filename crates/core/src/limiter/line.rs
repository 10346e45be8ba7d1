//! The line of tenants that wait for one tool's provider: who is called for the next units.
//!
//! A tree of two levels, organisation and tenant, each a start-time fair queue ([`super::level`]). A tenant stands in
//! the order while it waits, for [`ANSWER`] after it was called, and for [`RETURN`] after it was served; the others are
//! not passed over it meanwhile, or whoever asks first would be served first.
//!
//! Service is measured in one unit, that of the provider's rules. A call that has none of it counts as one, or it would
//! always be next.
//!
//! INVARIANT: an organisation stands in the order exactly if one of its tenants does; `kept` is the sum of the calls
//! that are open; when nobody stands in the order and no call is open, nothing is remembered.

use std::collections::{BTreeMap, BTreeSet};

use crate::quota::Unit;
use crate::time::{Span, Time};

use super::Units;
use super::count::Kept;
use super::level::{Level, Seat};

/// Units that a tenant was called for are kept for it so long.
pub(super) const CALL_TTL: Span = Span::from_secs(1);
/// Those behind a tenant that was called wait so long for it to come. It keeps its units for longer.
pub(super) const ANSWER: Span = Span::from_millis(10);
/// A tenant that was just served is expected back so long: its next step is tried in the same turn.
pub(super) const RETURN: Span = Span::from_millis(1);

#[derive(Debug, Default)]
pub(super) struct Line {
    root: Level,
    orgs: BTreeMap<u32, Org>,
    flows: BTreeMap<u32, Flow>,
    /// When a tenant's place changes because time passes.
    due: BTreeSet<(Time, u32)>,
    kept: Kept,
    arrivals: u64,
    /// What service is measured in.
    unit: Unit,
}

/// Who a tenant is to the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) org: u32,
    pub(super) org_weight: u32,
    pub(super) weight: u32,
}

#[derive(Debug)]
struct Org {
    seat: Seat,
    level: Level,
    flows: u32,
}

#[derive(Debug)]
struct Flow {
    org: u32,
    seat: Seat,
    place: Place,
    due: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Away,
    Waiting {
        units: Units,
    },
    /// `again`: another step waits that the call is too small for.
    Called {
        units: Units,
        until: Time,
        again: Option<Units>,
    },
    Served,
}

impl Line {
    /// Nobody waits and nobody is called.
    pub(super) fn is_quiet(&self) -> bool {
        self.root.is_empty() && self.kept.takes == 0
    }

    /// When time alone changes something.
    pub(super) fn due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is kept for others than the tenant.
    pub(super) fn kept_from(&self, tenant: Option<u32>) -> Kept {
        let own = tenant.and_then(|tenant| self.called_units(tenant));
        Kept {
            units: self.kept.units.less(own.unwrap_or_default()),
            takes: self.kept.takes.saturating_sub(own.is_some().into()),
        }
    }

    /// What the tenant was called for.
    pub(super) fn called_units(&self, tenant: u32) -> Option<Units> {
        match self.flows.get(&tenant)?.place {
            Place::Called { units, .. } => Some(units),
            Place::Away | Place::Waiting { .. } | Place::Served => None,
        }
    }

    /// What the tenant waits for, or was called for.
    pub(super) fn asked_units(&self, tenant: u32) -> Option<Units> {
        match self.flows.get(&tenant)?.place {
            Place::Called { units, .. } | Place::Waiting { units } => Some(units),
            Place::Away | Place::Served => None,
        }
    }

    /// Who waits, or was called.
    pub(super) fn asking(&self) -> impl Iterator<Item = u32> {
        self.flows.keys().copied().filter(|tenant| self.asked_units(*tenant).is_some())
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.orgs[&self.root.first()?].level.first()
    }

    /// Who is next and how much it waits for, unless somebody before it is expected.
    pub(super) fn next(&self) -> Option<(u32, Units)> {
        let first = self.first()?;
        match self.flows[&first].place {
            Place::Waiting { units } => Some((first, units)),
            Place::Away | Place::Called { .. } | Place::Served => None,
        }
    }

    /// Moves on those whose time is over.
    pub(super) fn turn(&mut self, now: Time) {
        while let Some((at, tenant)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, tenant));
            let flow = self.flows.get_mut(&tenant).expect("what is due stands in the line");
            flow.due = None;
            match flow.place {
                Place::Called { until, .. } if now < until => {
                    let org = flow.org;
                    self.set_due(tenant, Some(until));
                    self.step_out(tenant);
                    self.forget(org);
                }
                Place::Called { again: Some(units), .. } => {
                    self.drop_call(tenant);
                    self.set_place(tenant, Place::Waiting { units });
                    self.stand(tenant);
                }
                _ => self.leave(tenant),
            }
        }
    }

    /// The tenant waits for so many units, at the place that it has or at a new one.
    pub(super) fn wait(&mut self, tenant: u32, member: Member, units: Units) {
        if !self.flows.contains_key(&tenant) {
            self.join_org(&member);
            let seat = Seat::new(member.weight);
            let flow = Flow { org: member.org, seat, place: Place::Away, due: None };
            self.flows.insert(tenant, flow);
        }
        let flow = self.flows.get_mut(&tenant).expect("it was just put there");
        match &mut flow.place {
            Place::Waiting { units: most } => *most = units.most(*most),
            Place::Called { again, .. } => *again = Some(units.most(again.unwrap_or_default())),
            Place::Away | Place::Served => {
                self.set_due(tenant, None);
                self.set_place(tenant, Place::Waiting { units });
                self.stand(tenant);
            }
        }
    }

    /// Who is next gets what it asks for at once.
    pub(super) fn serve(&mut self, now: Time, tenant: u32, units: Units) {
        self.charge(tenant, units, Level::serve);
        self.set_place(tenant, Place::Served);
        self.set_due(tenant, Some(now + RETURN));
        self.forget(self.flows[&tenant].org);
    }

    /// Who is next may come for what it waits for, which is kept for it.
    pub(super) fn call(&mut self, now: Time, tenant: u32) {
        let units = self.asked_units(tenant).expect("only who waits is called");
        self.charge(tenant, units, Level::serve);
        self.kept.units = self.kept.units.more(units);
        self.kept.takes = self.kept.takes.saturating_add(1);
        self.set_place(tenant, Place::Called { units, until: now + CALL_TTL, again: None });
        self.set_due(tenant, Some(now + ANSWER));
        self.forget(self.flows[&tenant].org);
    }

    /// Who was called has come for its units, perhaps for more or less of them.
    pub(super) fn answer(&mut self, now: Time, tenant: u32, units: Units) {
        let Place::Called { units: called, again, .. } = self.flows[&tenant].place else {
            panic!("{tenant} was not called");
        };
        self.free_call(called);
        self.recharge(tenant, called, units);
        let is_back = again.map(|units| Place::Waiting { units });
        self.set_place(tenant, is_back.unwrap_or(Place::Served));
        self.set_due(tenant, is_back.is_none().then(|| now + RETURN));
        self.stand(tenant);
    }

    /// What was kept for the tenant is not there any more: others have used more than they took, or the rules are others.
    /// It keeps its place.
    pub(super) fn take_call_back(&mut self, tenant: u32, units: Units) {
        if self.called_units(tenant).is_some_and(|called| called == called.most(units)) {
            self.drop_call(tenant);
            self.set_due(tenant, None);
            self.set_place(tenant, Place::Away);
        }
    }

    /// The tenant does not want anything now; what it was called for is not charged.
    pub(super) fn leave(&mut self, tenant: u32) {
        if !self.flows.contains_key(&tenant) {
            return;
        }
        self.drop_call(tenant);
        self.set_due(tenant, None);
        self.set_place(tenant, Place::Away);
        self.step_out(tenant);
        let flow = self.flows.get_mut(&tenant).expect("it was just there");
        let org = self.orgs.get_mut(&flow.org).expect("a tenant has an organisation");
        org.level.retire(&mut flow.seat, tenant);
        let org = flow.org;
        self.forget(org);
    }

    /// What the tenant took for so many units came to so many.
    pub(super) fn correct(&mut self, tenant: u32, from: Units, to: Units) {
        if let Some(flow) = self.flows.get(&tenant) {
            let org = flow.org;
            self.recharge(tenant, from, to);
            self.forget(org);
        }
    }

    /// Service is measured in another unit: what was had of the one before says nothing in it.
    pub(super) fn set_unit(&mut self, unit: Unit) {
        if std::mem::replace(&mut self.unit, unit) == unit {
            return;
        }
        for (tenant, flow) in &mut self.flows {
            let org = self.orgs.get_mut(&flow.org).expect("a tenant has an organisation");
            org.level.level(&mut flow.seat, *tenant);
        }
        for (id, org) in &mut self.orgs {
            self.root.level(&mut org.seat, *id);
        }
        for org in self.orgs.keys().copied().collect::<Vec<_>>() {
            if self.orgs.contains_key(&org) {
                self.forget(org);
            }
        }
    }

    /// The tenant's weight or organisation is another one.
    pub(super) fn set_member(&mut self, tenant: u32, member: Member) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        let org = self.orgs.get_mut(&flow.org).expect("a tenant has an organisation");
        org.level.reweigh(&mut flow.seat, tenant, member.weight);
        if flow.org == member.org {
            return;
        }
        let (before, ahead, stood) = (flow.org, org.level.ahead(&flow.seat), flow.seat.stands());
        self.step_out(tenant);
        let mut flow = self.flows.remove(&tenant).expect("it stands in the line");
        let org = self.orgs.get_mut(&before).expect("a tenant has an organisation");
        org.flows = org.flows.saturating_sub(1);
        self.forget(before);
        flow.org = member.org;
        self.join_org(&member).level.adopt(&mut flow.seat, ahead);
        let is_away = matches!(flow.place, Place::Away);
        self.flows.insert(tenant, flow);
        if stood {
            self.stand(tenant);
        } else if is_away {
            self.leave(tenant);
        }
    }

    pub(super) fn set_org(&mut self, id: u32, weight: u32) {
        if let Some(org) = self.orgs.get_mut(&id) {
            self.root.reweigh(&mut org.seat, id, weight);
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.flows.len().saturating_add(self.orgs.len())
    }

    fn set_place(&mut self, tenant: u32, place: Place) {
        self.flows.get_mut(&tenant).expect("it stands in the line").place = place;
    }

    fn set_due(&mut self, tenant: u32, due: Option<Time>) {
        let flow = self.flows.get_mut(&tenant).expect("it stands in the line");
        if let Some(before) = std::mem::replace(&mut flow.due, due) {
            self.due.remove(&(before, tenant));
        }
        self.due.extend(due.map(|at| (at, tenant)));
    }

    fn drop_call(&mut self, tenant: u32) {
        if let Some(units) = self.called_units(tenant) {
            self.free_call(units);
            self.charge(tenant, units, Level::refund);
        }
    }

    fn free_call(&mut self, units: Units) {
        let Kept { units: kept, takes } = &mut self.kept;
        *kept = kept.checked_less(units).expect("a call's units are kept");
        *takes = takes.checked_sub(1).expect("a call is open");
    }

    /// What was charged for so many units is charged for so many.
    fn recharge(&mut self, tenant: u32, from: Units, to: Units) {
        let (from, to) = (self.service(from), self.service(to));
        if to > from {
            self.charge_service(tenant, to.saturating_sub(from), Level::charge);
        } else {
            self.charge_service(tenant, from.saturating_sub(to), Level::refund);
        }
    }

    fn service(&self, units: Units) -> u64 {
        if units == Units::default() { 0 } else { units.of(self.unit).max(1) }
    }

    fn charge(
        &mut self,
        tenant: u32,
        units: Units,
        change: impl Fn(&mut Level, &mut Seat, u32, u64),
    ) {
        self.charge_service(tenant, self.service(units), change);
    }

    fn charge_service(
        &mut self,
        tenant: u32,
        units: u64,
        change: impl Fn(&mut Level, &mut Seat, u32, u64),
    ) {
        let flow = self.flows.get_mut(&tenant).expect("it stands in the line");
        let org = self.orgs.get_mut(&flow.org).expect("a tenant has an organisation");
        change(&mut org.level, &mut flow.seat, tenant, units);
        change(&mut self.root, &mut org.seat, flow.org, units);
    }

    /// Comes to the order, and its organisation with it.
    fn stand(&mut self, tenant: u32) {
        self.arrivals = self.arrivals.saturating_add(1);
        let flow = self.flows.get_mut(&tenant).expect("it stands in the line");
        let org = self.orgs.get_mut(&flow.org).expect("a tenant has an organisation");
        org.level.enter(&mut flow.seat, tenant, self.arrivals);
        self.root.enter(&mut org.seat, flow.org, self.arrivals);
        let org = flow.org;
        self.forget(org);
    }

    /// Leaves the order, and its organisation too if it was the last of it.
    fn step_out(&mut self, tenant: u32) {
        let flow = self.flows.get_mut(&tenant).expect("it stands in the line");
        let org = self.orgs.get_mut(&flow.org).expect("a tenant has an organisation");
        org.level.step_out(&mut flow.seat, tenant);
        if org.level.is_empty() {
            self.root.step_out(&mut org.seat, flow.org);
        }
    }

    fn join_org(&mut self, member: &Member) -> &mut Org {
        let org = self.orgs.entry(member.org).or_insert_with(|| Org {
            seat: Seat::new(member.org_weight),
            level: Level::default(),
            flows: 0,
        });
        if org.seat.is_away() {
            self.root.step_out(&mut org.seat, member.org);
        }
        org.flows = org.flows.saturating_add(1);
        org
    }

    /// Forgets those of an organisation, and those organisations, whose tags say nothing any more.
    fn forget(&mut self, id: u32) {
        let org = self.orgs.get_mut(&id).expect("a tenant has an organisation");
        while let Some(tenant) = org.level.pop_forgotten() {
            self.flows.remove(&tenant);
            org.flows = org.flows.saturating_sub(1);
        }
        if org.flows == 0 && !org.seat.is_away() {
            self.root.retire(&mut org.seat, id);
        }
        while let Some(org) = self.root.pop_forgotten() {
            self.orgs.remove(&org);
        }
    }
}
