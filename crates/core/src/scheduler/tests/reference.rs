//! Who should get how much: weighted max-min fairness by water-filling, level by level, written from the
//! definition and without a look at the queue.
//!
//! Amounts are millionths of a slot.

pub(super) const SLOT: u128 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct OrgDemand {
    pub(super) weight: u32,
    pub(super) cap: Option<u32>,
    pub(super) tenants: Vec<TenantDemand>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TenantDemand {
    pub(super) weight: u32,
    /// The least of its cap and of the slots that it could use.
    pub(super) limit: u32,
}

/// What each tenant of each organisation should hold on average.
pub(super) fn fair_shares(slots: u32, orgs: &[OrgDemand]) -> Vec<Vec<u128>> {
    let limits = orgs.iter().map(|org| {
        let wanted: u128 = org.tenants.iter().map(|tenant| u128::from(tenant.limit) * SLOT).sum();
        (org.weight, org.cap.map_or(wanted, |cap| wanted.min(u128::from(cap) * SLOT)))
    });
    let shares = fill(u128::from(slots) * SLOT, &limits.collect::<Vec<_>>());
    let split = |(org, share): (&OrgDemand, u128)| {
        let limits =
            org.tenants.iter().map(|tenant| (tenant.weight, u128::from(tenant.limit) * SLOT));
        fill(share, &limits.collect::<Vec<_>>())
    };
    orgs.iter().zip(shares).map(split).collect()
}

/// Pours `amount` over vessels as wide as their weights until it is used up or all are full to their limits.
fn fill(amount: u128, vessels: &[(u32, u128)]) -> Vec<u128> {
    let mut filled = vec![None; vessels.len()];
    let mut left = amount;
    loop {
        let open = || (0..vessels.len()).filter(|at| filled[*at].is_none());
        let width: u128 = open().map(|at| u128::from(vessels[at].0)).sum();
        // Those that are full before the water stands level take what they can hold, and the rest is poured again.
        let full: Vec<usize> = open()
            .filter(|at| vessels[*at].1 * width <= left * u128::from(vessels[*at].0))
            .collect();
        if full.is_empty() {
            let level = |at: usize| left * u128::from(vessels[at].0) / width;
            return (0..vessels.len()).map(|at| filled[at].unwrap_or_else(|| level(at))).collect();
        }
        for at in full {
            filled[at] = Some(vessels[at].1);
            left -= vessels[at].1;
        }
    }
}

#[test]
fn water_stands_level_and_what_does_not_fit_flows_to_the_others() {
    assert_eq!(fill(12, &[(1, 100), (2, 100), (3, 100)]), [2, 4, 6]);
    assert_eq!(fill(12, &[(1, 1), (1, 3), (1, 100)]), [1, 3, 8]);
    assert_eq!(fill(12, &[(1, 2), (1, 3)]), [2, 3]);
    assert_eq!(fill(12, &[]), [0; 0]);
}

#[test]
fn a_cap_of_an_organisation_binds_its_tenants_together() {
    let tenant = |weight| TenantDemand { weight, limit: 100 };
    let orgs = [
        OrgDemand { weight: 1, cap: None, tenants: vec![tenant(1), tenant(3)] },
        OrgDemand { weight: 2, cap: Some(5), tenants: vec![tenant(1)] },
    ];
    assert_eq!(fair_shares(15, &orgs), [vec![2_500_000, 7_500_000], vec![5_000_000]]);
}
