//! Fair shares to compare what was received with: weighted max-min allocation, and Jain's index.
//!
//! This is the reference that the scheduler is measured against, so it shares no code with it.

/// What one claimant wants, and its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) weight: f64,
    /// It takes no more than this.
    pub(crate) limit: f64,
}

/// Divides `capacity` by weight, nobody above its limit, what one leaves going to the others ("water filling").
pub(crate) fn water_fill(capacity: f64, claims: &[Claim]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..claims.len())
        .filter(|at| claims[*at].weight > 0.0 && claims[*at].limit > 0.0)
        .collect();
    // Those that are satisfied at the lowest level come first.
    let level = |at: usize| claims[at].limit / claims[at].weight;
    order.sort_by(|a, b| level(*a).total_cmp(&level(*b)));
    let mut shares = vec![0.0; claims.len()];
    let mut left = capacity;
    let mut weights: f64 = order.iter().map(|at| claims[*at].weight).sum();
    for at in order {
        let fair = left * claims[at].weight / weights;
        shares[at] = claims[at].limit.min(fair);
        left -= shares[at];
        weights -= claims[at].weight;
    }
    shares
}

/// A tenant's claim, and the organisation that it shares a weight with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) org: usize,
    pub(crate) claim: Claim,
}

/// The same over two levels: first between organisations, then inside each.
pub(crate) fn water_fill_tree(capacity: f64, org_weights: &[f64], members: &[Member]) -> Vec<f64> {
    let mut wanted = vec![0.0; org_weights.len()];
    let mut inside = vec![Vec::new(); org_weights.len()];
    for (at, member) in members.iter().enumerate() {
        wanted[member.org] += member.claim.limit;
        inside[member.org].push(at);
    }
    let orgs: Vec<Claim> = org_weights
        .iter()
        .zip(&wanted)
        .map(|(weight, limit)| Claim { weight: *weight, limit: *limit })
        .collect();
    let mut shares = vec![0.0; members.len()];
    for (capacity, inside) in water_fill(capacity, &orgs).into_iter().zip(inside) {
        let claims: Vec<Claim> = inside.iter().map(|at| members[*at].claim).collect();
        for (at, share) in inside.into_iter().zip(water_fill(capacity, &claims)) {
            shares[at] = share;
        }
    }
    shares
}

/// Jain's index of fairness: 1 if all are equal, 1/n if one has everything. `None` of nothing.
pub(crate) fn jain(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of tenants")]
    let count = values.len() as f64;
    (squares > 0.0).then(|| sum * sum / (count * squares))
}

/// The index over what each received of what it was entitled to, of those that were entitled to something.
pub(crate) fn jain_of_shares(
    capacity: f64,
    org_weights: &[f64],
    members: &[Member],
    received: impl IntoIterator<Item = f64>,
) -> Option<f64> {
    let entitled = water_fill_tree(capacity, org_weights, members);
    let parts = received.into_iter().zip(entitled).filter(|(_, entitled)| *entitled > 0.0);
    jain(&parts.map(|(received, entitled)| received / entitled).collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(weight: f64, limit: f64) -> Claim {
        Claim { weight, limit }
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }

    #[test]
    fn what_one_leaves_goes_to_the_others_by_weight() {
        let claims = [claim(1.0, 10.0), claim(1.0, 100.0), claim(2.0, 100.0)];
        assert_close(&water_fill(100.0, &claims), &[10.0, 30.0, 60.0]);
    }

    #[test]
    fn a_demand_below_the_capacity_is_served_whole() {
        assert_close(&water_fill(100.0, &[claim(1.0, 20.0), claim(5.0, 0.0)]), &[20.0, 0.0]);
    }

    #[test]
    fn weights_one_and_two_with_a_cap_of_five_in_the_second() {
        let members = [
            Member { org: 0, claim: claim(1.0, 100.0) },
            Member { org: 1, claim: claim(1.0, 5.0) },
            Member { org: 1, claim: claim(1.0, 100.0) },
        ];
        assert_close(&water_fill_tree(30.0, &[1.0, 2.0], &members), &[10.0, 5.0, 15.0]);
    }

    #[test]
    fn jain_is_one_for_equals_and_one_part_for_a_monopoly() {
        assert_eq!(jain(&[2.0, 2.0, 2.0]), Some(1.0));
        assert_eq!(jain(&[5.0, 0.0, 0.0, 0.0, 0.0]), Some(0.2));
        assert_eq!(jain(&[]), None);
    }
}
