//! How a provider's limit that is too small is shared.

use proptest::prelude::*;

use super::*;

/// Tenants by organisation (its weight) and their weights.
const ORGS: [(u32, &[u32]); 2] = [(2, &[1, 2, 5]), (3, &[1, 5])];

/// Tenants whose steps never end. All of a tenant's wait as one class, and it tries one after the other.
struct World {
    limiter: Limiter,
    units: Vec<u64>,
    /// The size of each tenant's takes.
    sizes: Vec<u64>,
    order: Vec<u32>,
    /// How many steps a tenant tries before the next one's turn comes.
    in_a_row: u32,
    quotas: Vec<Vec<Rule>>,
}

impl World {
    fn new(rules: &[Rule], order: Vec<u32>, in_a_row: u32) -> Self {
        let mut limiter = provider(rules);
        let mut tenant = 0;
        for (org, (weight, tenants)) in (0..).zip(ORGS) {
            limiter.set_org(org, weight);
            for weight in tenants {
                limiter.set_tenant(tenant, org, *weight);
                tenant += 1;
            }
        }
        Self {
            limiter,
            units: vec![0; 5],
            sizes: vec![1; 5],
            order,
            in_a_row,
            quotas: vec![Vec::new(); 5],
        }
    }

    /// All those that are awake try until they are refused, in their order.
    fn turn(&mut self, now: Time, mut awake: Vec<u32>) {
        awake.sort_by_key(|tenant| self.order.iter().position(|other| other == tenant));
        while !awake.is_empty() {
            awake.retain(|tenant| (0..self.in_a_row).all(|_| self.step(now, *tenant)));
        }
    }

    fn step(&mut self, now: Time, tenant: u32) -> bool {
        let at = tenant as usize;
        let quota = self.quotas[at].clone();
        let taken = self.limiter.take(now, &caller(tenant, &quota), calls(self.sizes[at]));
        if let Ok(taken) = &taken {
            over(&mut self.limiter, taken);
            self.units[at] += self.sizes[at];
        }
        taken.is_ok()
    }

    fn run(&mut self, end: Time) {
        self.turn(Time(0), self.order.clone());
        self.units.fill(0);
        while let Some(at) = self.limiter.next_wake().filter(|at| *at < end) {
            let woken = self.limiter.wake(at);
            let tenants = woken.iter().map(|key| crate::limiter::spot_of(*key).unwrap().0);
            self.turn(at, tenants.collect());
        }
    }

    /// Each tenant's share in a thousand of what all got.
    fn shares(&self) -> Vec<u64> {
        let all: u64 = self.units.iter().sum();
        self.units.iter().map(|units| units * 1_000 / all).collect()
    }

    fn assert_due(&self) {
        let mut due = Vec::new();
        for (weight, tenants) in ORGS {
            let sum: u32 = tenants.iter().sum();
            due.extend(tenants.iter().map(|own| u64::from(weight * own * 1_000 / (5 * sum))));
        }
        let shares = self.shares();
        for (share, due) in shares.iter().zip(&due) {
            let may_differ = due * 2 / 100 + 1;
            assert!(share.abs_diff(*due) <= may_differ, "{shares:?} of {due} per mille");
        }
    }
}

fn orders() -> impl Strategy<Value = Vec<u32>> {
    Just((0..5).collect::<Vec<u32>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_window_is_shared_by_weight(
        order in orders(),
        in_a_row in prop_oneof![Just(1), Just(3), Just(1_000)],
        units in 20_u64..300,
    ) {
        let mut world = World::new(&[per_hour(units)], order, in_a_row);
        world.run(Time((12_000 / units + 1) * HOUR));
        world.assert_due();
    }

    #[test]
    fn a_bucket_is_shared_by_weight(
        order in orders(),
        in_a_row in prop_oneof![Just(1), Just(1_000)],
        burst in 1_u64..20,
    ) {
        let mut world = World::new(&[bucket(10, Span::from_secs(1), burst)], order, in_a_row);
        world.run(Time(1_000 * SECOND));
        world.assert_due();
        let all: u64 = world.units.iter().sum();
        assert!(all >= 9_990, "nothing is left to flow over: {all} of 10,000");
    }

    #[test]
    fn takes_of_different_sizes_are_shared_by_units(order in orders(), size in 2_u64..9) {
        let rules = [per_hour(100), bucket(1_000, Span::from_secs(1), 50)];
        let mut world = World::new(&rules, order, 1);
        world.sizes = vec![1, size, 1, size + 1, 2];
        world.run(Time(400 * HOUR));
        world.assert_due();
    }
}

#[test]
fn what_a_tenant_may_not_take_by_its_own_quota_goes_to_the_others() {
    let mut world = World::new(&[per_hour(100)], vec![4, 0, 1, 2, 3], 1_000);
    world.quotas[4] = vec![per_hour(6)];
    world.run(Time(101 * HOUR));
    assert_eq!(world.units.iter().sum::<u64>(), 10_000);
    assert_eq!(world.units[4], 600);
    // What the others of its organisation do not ask for goes to them too.
    assert!(world.units[3] > 5_300, "{:?}", world.units);
}

#[test]
fn a_tenant_that_was_away_has_saved_nothing() {
    let mut limiter = provider(&[bucket(10, Span::from_secs(1), 1)]);
    for tenant in [0, 1, 2] {
        limiter.set_tenant(tenant, tenant, 1);
    }
    let mut units = [0; 3];
    let mut awake = vec![0, 1];
    let mut now = Time(0);
    while now < Time(200 * SECOND) {
        if now >= Time(100 * SECOND) && units[2] == 0 {
            units = [0, 0, 1];
            awake.push(2);
        }
        for tenant in std::mem::take(&mut awake) {
            units[tenant as usize] += take_all(&mut limiter, now, &caller(tenant, &[]));
        }
        now = limiter.next_wake().unwrap();
        let woken = limiter.wake(now);
        awake.extend(woken.iter().map(|key| crate::limiter::spot_of(*key).unwrap().0));
    }
    assert!(units.iter().all(|units| (325..=340).contains(units)), "a third of 1,000: {units:?}");
}

#[test]
fn another_weight_or_organisation_counts_at_once() {
    let mut world = World::new(&[per_hour(60)], (0..5).collect(), 1);
    world.run(Time(20 * HOUR));
    for tenant in 0..5 {
        world.limiter.set_tenant(tenant, 0, 1 + tenant % 2);
    }
    world.units.fill(0);
    while let Some(at) = world.limiter.next_wake().filter(|at| *at < Time(120 * HOUR)) {
        let woken = world.limiter.wake(at);
        let tenants = woken.iter().map(|key| crate::limiter::spot_of(*key).unwrap().0);
        world.turn(at, tenants.collect());
    }
    for (share, due) in world.shares().iter().zip([143, 286, 143, 286, 143]) {
        assert!(share.abs_diff(due) <= 4, "{:?} of {due}", world.shares());
    }
}
