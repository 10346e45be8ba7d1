//! What holds between any two calls, whatever was called.

use crate::scheduler::flow::{ANY, Clock, ROOT, SHORT};
use crate::scheduler::slab::NONE;
use crate::scheduler::*;

impl Scheduler {
    /// Checks the whole state. Gives the clocks of all levels, which never fall: the root's, then the organisations'.
    pub(super) fn check(&self) -> Vec<Clock> {
        let mut waiting = 0;
        let mut children = std::collections::BTreeMap::<u32, Vec<u32>>::new();
        for node in self.tenants.iter().filter(|node| node.active != NONE) {
            let (config, active) = (node.config(), &self.active[node.active]);
            let flow = &self.tree.flows[active.flow];
            children.entry(flow.parent).or_default().push(active.flow);
            waiting += u64::from(active.waiting);
            assert_eq!(flow.cap, self.cap_of(&config, active.burst));
            assert!(flow.credit == Span::ZERO || active.burst == BurstState::Bursting);
            let open = active.open();
            let may = !config.paused && self.tree.has_room(active.flow);
            assert_eq!(flow.stands[ANY], may && open[ANY], "tenant {}", flow.owner);
            let is_short = self.config.bounds_long() && may && open[SHORT];
            assert_eq!(flow.stands[SHORT], is_short, "tenant {}", flow.owner);
        }
        assert_eq!(waiting, self.waiting, "ready steps");
        for node in self.orgs.iter().filter(|node| node.flow != NONE) {
            let flow = &self.tree.flows[node.flow];
            if flow.parent == ROOT {
                children.entry(ROOT).or_default().push(node.flow);
            }
            let orders = &self.tree.levels[flow.level].orders;
            let may = self.tree.has_room(node.flow);
            for order in [ANY, SHORT] {
                assert_eq!(flow.stands[order], may && !orders[order].is_empty());
            }
        }
        for (parent, below) in &children {
            self.check_level(*parent, below);
        }
        assert!(children.contains_key(&ROOT) || self.in_flight() == 0);
        assert!(self.burst_in_use <= self.config.burst_max, "credits are bounded together");
        let kept = |node: &OrgNode| match node.flow {
            NONE => node.clock,
            flow => self.tree.levels[self.tree.flows[flow].level].clock,
        };
        let root = self.tree.levels[self.tree.flows[ROOT].level].clock;
        std::iter::once(root).chain(self.orgs.iter().map(kept)).collect()
    }

    /// What runs is charged for the time that it has used, and no further ahead than a step of the pool is.
    pub(super) fn check_charges(&mut self, now: Time) {
        let ahead = self.tree.ahead;
        for running in self.running.each() {
            let used = now.since(running.since);
            let charged = used < running.charged && running.charged <= Span(used.0 + ahead.0);
            assert!(charged, "{running:?} at {now}, charged at most {ahead} ahead");
        }
    }

    fn check_level(&self, parent: u32, below: &[u32]) {
        let flows = || below.iter().map(|at| &self.tree.flows[*at]);
        let above = &self.tree.flows[parent];
        let level = &self.tree.levels[above.level];
        let held: u32 = flows().map(|flow| flow.in_flight).sum();
        assert_eq!(above.in_flight, held, "slots of a flow are the sum of its children's");
        let credit: u64 = flows().map(|flow| flow.credit.0).sum();
        assert!(parent == ROOT || above.credit.0 == credit, "so are burst credits");
        assert_eq!(level.flows as usize, below.len());
        assert_eq!(level.weights, flows().map(|flow| u64::from(flow.weight)).sum::<u64>());
        assert_eq!(level.full as usize, flows().filter(|flow| flow.is_full).count());
        assert!(level.early.iter().all(|at| below.contains(at)), "who went early is below it");
        for order in [ANY, SHORT] {
            let keys = level.orders[order].keys();
            let standing = flows().filter(|flow| flow.stands[order]).count();
            assert_eq!(keys.len(), standing, "who stands in an order is in it, once");
            for (at, key) in keys.iter().enumerate() {
                assert_eq!(*key, self.tree.key_of(key.flow), "a key is that of its flow");
                assert!(at == 0 || keys[(at - 1) / 4] <= *key, "no key is above a smaller one");
            }
        }
        for flow in flows().filter(|_| !self.config.policy.is_by_age()) {
            assert!(flow.start <= level.clock.start_max, "the highest tag is the highest");
        }
    }
}
