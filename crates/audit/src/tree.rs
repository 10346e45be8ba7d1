//! Merkle trees over a range of records, as RFC 9162 (section 2.1) builds them.
//!
//! A leaf is the hash of a record. A tree of n leaves has a perfect tree of the largest power of two below n as its left
//! half, so that a growing one needs to remember the roots of its perfect trees only: one for each bit of n.

use serde::{Deserialize, Serialize};

use crate::hash::{Hash, Kind};

fn leaf(record: Hash) -> Hash {
    Hash::of(Kind::Leaf, &[&record.0])
}

fn node(left: Hash, right: Hash) -> Hash {
    Hash::of(Kind::Node, &[&left.0, &right.0])
}

/// A tree that grows, in O(log n) memory. A push costs O(1) hashes on average.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    count: u64,
    /// Roots of the perfect trees, the largest first: one for each bit of `count` that is set.
    roots: Vec<Hash>,
}

impl Frontier {
    pub const fn len(&self) -> u64 {
        self.count
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn push(&mut self, record: Hash) {
        let mut hash = leaf(record);
        for _ in 0..self.count.trailing_ones() {
            let left = self.roots.pop().expect("each bit that is set has a root");
            hash = node(left, hash);
        }
        self.roots.push(hash);
        self.count += 1;
    }

    /// `None`: it is empty.
    pub fn root(&self) -> Option<Hash> {
        let mut roots = self.roots.iter().rev().copied();
        let smallest = roots.next()?;
        Some(roots.fold(smallest, |right, left| node(left, right)))
    }
}

/// What is needed beside a record to come to the root of its tree: the roots of the halves that it is not in, the smallest
/// first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(pub Vec<Hash>);

impl Path {
    /// Of the record at that place, from 0, among these. Takes O(n) hashes.
    pub fn of(records: &[Hash], at: usize) -> Option<Self> {
        let mut path = Vec::new();
        (at < records.len()).then(|| {
            collect(records, at, &mut path);
            Self(path)
        })
    }

    /// The root of a tree of `count` records that has this one at that place. `None`: the path has the wrong length.
    pub fn root(&self, record: Hash, at: u64, count: u64) -> Option<Hash> {
        if at >= count {
            return None;
        }
        // RFC 9162, section 2.1.3.2.
        let (mut from, mut last, mut hash) = (at, count - 1, leaf(record));
        for beside in &self.0 {
            if last == 0 {
                return None;
            }
            if from & 1 == 1 || from == last {
                hash = node(*beside, hash);
                while from & 1 == 0 && from != 0 {
                    from >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node(hash, *beside);
            }
            from >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(hash)
    }
}

fn collect(records: &[Hash], at: usize, path: &mut Vec<Hash>) {
    if records.len() == 1 {
        return;
    }
    let half = records.len().next_power_of_two() / 2;
    let (left, right) = records.split_at(half);
    if at < half {
        collect(left, at, path);
        path.push(root(right));
    } else {
        collect(right, at - half, path);
        path.push(root(left));
    }
}

fn root(records: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for record in records {
        frontier.push(*record);
    }
    frontier.root().expect("a half has at least one record")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u8) -> Vec<Hash> {
        (0..count).map(|at| Hash([at; 32])).collect()
    }

    /// As section 2.1.1 of RFC 9162 says it.
    fn plain(records: &[Hash]) -> Hash {
        if let [one] = records {
            return leaf(*one);
        }
        let half = records.len().next_power_of_two() / 2;
        node(plain(&records[..half]), plain(&records[half..]))
    }

    #[test]
    fn a_tree_that_grew_is_the_one_that_is_built_at_once() {
        assert_eq!(Frontier::default().root(), None);
        let mut grown = Frontier::default();
        for (count, record) in (1..).zip(records(70)) {
            grown.push(record);
            assert_eq!(grown.root(), Some(plain(&records(count))), "{count}");
            assert_eq!(grown.len(), u64::from(count));
        }
    }

    #[test]
    fn each_record_comes_to_the_root_from_its_own_place_only() {
        for count in 1..40 {
            let all = records(count);
            let root = Some(plain(&all));
            for at in 0..all.len() {
                let path = Path::of(&all, at).unwrap();
                for (other, record) in (0..).zip(&all) {
                    let found = path.root(*record, other, count.into());
                    assert_eq!(found == root, other == at as u64, "{at} as {other} of {count}");
                }
                let mut long = path.clone();
                long.0.push(Hash::default());
                assert_ne!(long.root(all[at], at as u64, count.into()), root);
                if !path.0.is_empty() {
                    let short = Path(path.0[..path.0.len() - 1].to_vec());
                    assert_ne!(short.root(all[at], at as u64, count.into()), root);
                }
            }
            assert_eq!(Path::of(&all, all.len()), None);
            assert_eq!(Path(Vec::new()).root(Hash::default(), 1, 1), None);
        }
    }
}
