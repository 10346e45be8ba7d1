//! The classes of one shelf in the order of their oldest steps: a pairing heap (Fredman and others, 1986) linked
//! through the classes themselves, so that a shelf is one number and allocates nothing.

use super::lanes::Class;
use super::slab::{NONE, Slab};

#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    child: u32,
    next: u32,
    /// The sibling before it, or its parent if it is the first child.
    previous: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { child: NONE, next: NONE, previous: NONE }
    }
}

pub(super) fn insert(classes: &mut Slab<Class>, shelves: &mut [u32; 6], class: u32) {
    classes[class].links = Links::default();
    let shelf = &mut shelves[classes[class].shelf()];
    *shelf = meld(classes, *shelf, class);
}

pub(super) fn remove(classes: &mut Slab<Class>, shelves: &mut [u32; 6], class: u32) {
    let shelf = &mut shelves[classes[class].shelf()];
    let Links { child, next, previous } = std::mem::take(&mut classes[class].links);
    let below = combine(classes, child);
    if *shelf == class {
        *shelf = below;
        return;
    }
    assert!(previous != NONE, "class {class} is taken from a shelf that it does not stand on");
    if classes[previous].links.child == class {
        classes[previous].links.child = next;
    } else {
        classes[previous].links.next = next;
    }
    if next != NONE {
        classes[next].links.previous = previous;
    }
    *shelf = meld(classes, *shelf, below);
}

/// Makes one heap of two roots: the one with the older step is on top.
fn meld(classes: &mut Slab<Class>, one: u32, two: u32) -> u32 {
    if one == NONE || two == NONE {
        return if one == NONE { two } else { one };
    }
    let in_order = classes[one].first.rank() <= classes[two].first.rank();
    let (top, under) = if in_order { (one, two) } else { (two, one) };
    let child = classes[top].links.child;
    classes[under].links.next = child;
    classes[under].links.previous = top;
    if child != NONE {
        classes[child].links.previous = under;
    }
    classes[top].links.child = under;
    top
}

/// Makes one heap of a line of siblings: pairs from the front, then all pairs from the back, which is what keeps the
/// cost logarithmic in the long run.
fn combine(classes: &mut Slab<Class>, first: u32) -> u32 {
    let mut pairs = NONE;
    let mut at = first;
    while at != NONE {
        let (one, two) = (at, classes[at].links.next);
        at = if two == NONE { NONE } else { classes[two].links.next };
        for root in [one, two].into_iter().filter(|root| *root != NONE) {
            classes[root].links.next = NONE;
            classes[root].links.previous = NONE;
        }
        let pair = meld(classes, one, two);
        classes[pair].links.next = pairs;
        pairs = pair;
    }
    let mut root = NONE;
    while pairs != NONE {
        let next = std::mem::replace(&mut classes[pairs].links.next, NONE);
        root = meld(classes, root, pairs);
        pairs = next;
    }
    root
}
