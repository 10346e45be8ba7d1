//! What a tenant is entitled to of a pool, and whether all got their part.
//!
//! *Entitlement* is the weighted max-min share: slots are filled like water, so that whoever wants less than its part
//! leaves the rest to the others by their weights (D. Bertsekas, R. Gallager, "Data Networks", 6.5.2). It is never more
//! than what is wanted, so it is `min(demand, entitlement)` of the index at once. In a pool with organisations the slots
//! are shared among these first, and what each gets among its tenants.
//!
//! *Jain's index* over `x = service / min(demand, entitlement)` of those that contend is `(sum x)^2 / (n sum x^2)`: 1 if
//! all got the same part of what they were entitled to, 1/n if one got everything (R. Jain, D. Chiu, W. Hawe, "A
//! quantitative measure of fairness and discrimination", DEC-TR-301, 1984).

use std::collections::BTreeMap;

/// A thousandth of a slot: entitlements are no whole slots.
const SCALE: u64 = 1_000;
/// Of parts of entitlements: one is all of it.
const WHOLE: u64 = 1_000_000;

/// Who wants slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub weight: u32,
    /// Slots that it holds and would take, never more than its cap.
    pub wants: u32,
}

/// A claim within a group that has a weight and a cap of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub group: u32,
    pub claim: Claim,
}

/// What one of those that contend got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Slot time held.
    pub service: u64,
    /// Slot time that it was entitled to and wanted.
    pub due: u64,
}

impl Served {
    /// What it got of what it was entitled to; `None` if that was nothing.
    pub fn permille(self) -> Option<u64> {
        let part = u128::from(self.service) * 1_000 / u128::from(self.due).max(1);
        (self.due > 0).then(|| u64::try_from(part).unwrap_or(u64::MAX))
    }
}

/// The entitlement of each claim in thousandths of a slot: weighted max-min shares of so many thousandths. O(n log n).
pub fn max_min(slots_milli: u64, claims: &[Claim]) -> Vec<u64> {
    let mut shares = vec![0; claims.len()];
    let mut order: Vec<usize> =
        (0..claims.len()).filter(|at| claims[*at].wants > 0 && claims[*at].weight > 0).collect();
    // By how high the water stands when a claim is filled.
    order.sort_by(|one, other| {
        let (one, other) = (claims[*one], claims[*other]);
        let left = u64::from(one.wants) * u64::from(other.weight);
        left.cmp(&(u64::from(other.wants) * u64::from(one.weight)))
    });
    let mut left = slots_milli;
    let mut weights: u64 = order.iter().map(|at| u64::from(claims[*at].weight)).sum();
    for at in order {
        let claim = claims[at];
        let part = u128::from(left) * u128::from(claim.weight) / u128::from(weights);
        let part = u64::try_from(part).unwrap_or(u64::MAX);
        shares[at] = part.min(u64::from(claim.wants) * SCALE);
        left -= shares[at];
        weights -= u64::from(claim.weight);
    }
    shares
}

/// The same over two levels: among groups by their weights first, then inside each. `groups` are the claims of groups as
/// they would be without their members: a weight, and a cap in `wants`.
pub fn max_min_tree(
    slots_milli: u64,
    groups: &BTreeMap<u32, Claim>,
    members: &[Member],
) -> Vec<u64> {
    let mut inside: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        inside.entry(member.group).or_default().push(at);
    }
    let alone = Claim { weight: 1, wants: u32::MAX };
    let claims: Vec<Claim> = inside
        .iter()
        .map(|(group, inside)| {
            let Claim { weight, wants: cap } = *groups.get(group).unwrap_or(&alone);
            let wants = inside.iter().map(|at| u64::from(members[*at].claim.wants)).sum::<u64>();
            Claim { weight, wants: u32::try_from(wants).unwrap_or(u32::MAX).min(cap) }
        })
        .collect();
    let mut shares = vec![0; members.len()];
    for (part, inside) in max_min(slots_milli, &claims).into_iter().zip(inside.values()) {
        let claims: Vec<Claim> = inside.iter().map(|at| members[*at].claim).collect();
        for (at, share) in inside.iter().zip(max_min(part, &claims)) {
            shares[*at] = share;
        }
    }
    shares
}

/// In thousandths; `None` for fewer than two, who can be treated in one way only.
pub fn jain_permille(served: impl Iterator<Item = Served>) -> Option<u32> {
    let (mut count, mut sum, mut squares) = (0_u128, 0_u128, 0_u128);
    for Served { service, due } in served.filter(|served| served.due > 0) {
        // A thousand times what it was entitled to says no more than that.
        let part = u128::from(service) * u128::from(WHOLE) / u128::from(due);
        let part = part.min(u128::from(WHOLE) * 1_000);
        count += 1;
        sum += part;
        squares += part * part;
    }
    if count < 2 || squares == 0 {
        return None;
    }
    u32::try_from((sum * sum * 1_000 + count * squares / 2) / (count * squares)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn claim(weight: u32, wants: u32) -> Claim {
        Claim { weight, wants }
    }

    #[test]
    fn who_wants_less_leaves_the_rest_to_the_others_by_their_weights() {
        let claims = [claim(1, 2), claim(1, 100), claim(2, 100)];
        assert_eq!(max_min(10_000, &claims), [2_000, 2_667, 5_333]);
        assert_eq!(max_min(10_000, &[claim(1, 3), claim(5, 4)]), [3_000, 4_000]);
        assert_eq!(max_min(10_000, &[]), [0_u64; 0]);
    }

    #[test]
    fn groups_share_first_and_then_their_members() {
        let member = |group, wants| Member { group, claim: claim(1, wants) };
        let members = [member(7, 50), member(7, 50), member(9, 50), member(9, 1)];
        assert_eq!(max_min_tree(10_000, &BTreeMap::new(), &members), [2_500, 2_500, 4_000, 1_000]);
        let groups = BTreeMap::from([(7, claim(3, 2)), (9, claim(1, u32::MAX))]);
        assert_eq!(max_min_tree(10_000, &groups, &members), [1_000, 1_000, 7_000, 1_000]);
    }

    proptest! {
        /// Nobody gets more than it wants, nothing is left while somebody wants more, and who wants more than it gets has
        /// at least the share by weight of anybody else.
        #[test]
        fn shares_are_max_min(
            slots in 1..2_000_u64,
            claims in prop::collection::vec((1..50_u32, 0..500_u32), 0..40),
        ) {
            let claims: Vec<Claim> = claims.iter().map(|(weight, wants)| claim(*weight, *wants)).collect();
            let shares = max_min(slots * SCALE, &claims);
            let wanted: u64 = claims.iter().map(|claim| u64::from(claim.wants) * SCALE).sum();
            let given: u64 = shares.iter().sum();
            prop_assert!(given.abs_diff(wanted.min(slots * SCALE)) <= claims.len() as u64);
            for (one, share) in claims.iter().zip(&shares) {
                prop_assert!(*share <= u64::from(one.wants) * SCALE);
                if *share == u64::from(one.wants) * SCALE {
                    continue;
                }
                for (other, its) in claims.iter().zip(&shares) {
                    // Thousandths of a slot are lost to rounding, one for each claim.
                    let lost = claims.len() as u64;
                    let own = (share + lost) * u64::from(other.weight);
                    let theirs = its.saturating_sub(lost) * u64::from(one.weight);
                    prop_assert!(own >= theirs, "{one:?} {share} {other:?} {its}");
                }
            }
        }
    }

    #[test]
    fn the_index_is_one_if_all_are_served_alike_and_one_in_n_if_one_has_everything() {
        let served = |parts: &[(u64, u64)]| {
            jain_permille(
                parts.iter().map(|(service, due)| Served { service: *service, due: *due }),
            )
        };
        assert_eq!(served(&[(5, 10), (50, 100), (1, 2)]), Some(1_000));
        assert_eq!(served(&[(10, 10), (0, 10), (0, 10), (0, 10)]), Some(250));
        assert_eq!(served(&[(10, 10), (5, 10)]), Some(900));
        assert_eq!(served(&[(10, 10), (0, 0)]), None);
        assert_eq!(
            served(&[(0, 10), (0, 10)]),
            None,
            "nobody was served: fairness is not the question"
        );
    }
}
