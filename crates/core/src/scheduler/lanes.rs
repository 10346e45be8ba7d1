//! Inside a tenant: lanes of gate classes, each class a line of steps with the oldest run first.

use std::collections::VecDeque;

use crate::time::{Span, Time};

use super::config::{Entry, Lane, Ticket};
use super::flow::{ANY, SHORT, Share};

/// Urgent service up to this much is never held against a tenant: a share of nothing is nothing.
const URGENT_GRACE: Span = Span::from_secs(1);
/// Once this much service is counted, both counts are halved, so that the share is of the recent past.
const URGENT_WINDOW: Span = Span::from_secs(600);

/// A tenant with something ready, running or owed.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) share: Share,
    pub(crate) lanes: [Line; 3],
    /// Ready steps, parked ones included.
    pub(crate) ready: u32,
    /// Ready steps of classes that are not parked: all, and short ones.
    pub(crate) open: [u32; 2],
    pub(crate) burst: BurstState,
    pub(crate) urgent: UrgentUse,
    /// That the cap was reached has been logged in this episode of waiting.
    pub(crate) cap_logged: bool,
}

/// The classes of one lane.
#[derive(Debug, Default)]
pub(crate) struct Line {
    classes: Vec<Class>,
    /// When the lane was served last, or began to wait.
    since: Time,
}

/// Steps that would meet the same gates.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) key: u64,
    pub(crate) is_long: bool,
    /// Oldest run first; mostly appended to.
    waiting: VecDeque<(u64, Ticket)>,
    pub(crate) parked: Option<(u64, Time)>,
}

/// Where a tenant stands with its burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BurstState {
    /// It may burst.
    #[default]
    Ready,
    /// It may hold its extra slots, and is preferred by its credit.
    Bursting,
    /// The credit is used up: the normal cap holds until it owes nothing.
    PayingBack,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UrgentUse {
    urgent: u64,
    all: u64,
    pub(crate) is_over: bool,
}

impl UrgentUse {
    pub(crate) fn add(&mut self, used: Span, is_urgent: bool) {
        self.all = self.all.saturating_add(used.0);
        if is_urgent {
            self.urgent = self.urgent.saturating_add(used.0);
        }
        if self.all > URGENT_WINDOW.0 {
            self.all /= 2;
            self.urgent /= 2;
        }
    }

    /// Whether urgent steps still go first.
    pub(crate) fn is_within(&self, share_permille: u32) -> bool {
        let allowed =
            u128::from(self.all) * u128::from(share_permille) / 1_000 + u128::from(URGENT_GRACE.0);
        share_permille >= 1_000 || u128::from(self.urgent) <= allowed
    }
}

/// Where the next step of a tenant stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) lane: Lane,
    pub(crate) class: usize,
    pub(crate) ticket: Ticket,
}

impl Active {
    pub(crate) fn new(weight: u32) -> Self {
        Self {
            share: Share::new(weight),
            lanes: Default::default(),
            ready: 0,
            open: [0, 0],
            burst: BurstState::Ready,
            urgent: UrgentUse::default(),
            cap_logged: false,
        }
    }

    pub(crate) fn insert(&mut self, now: Time, entry: &Entry, is_long: bool) {
        let line = &mut self.lanes[entry.lane.index()];
        if line.classes.iter().all(|class| class.parked.is_some() || class.waiting.is_empty()) {
            line.since = now;
        }
        let at = line.position(entry.class, is_long).unwrap_or_else(|| {
            line.classes.push(Class {
                key: entry.class,
                is_long,
                waiting: VecDeque::new(),
                parked: None,
            });
            line.classes.len() - 1
        });
        let class = &mut line.classes[at];
        class.insert((entry.age, entry.ticket));
        let is_parked = class.parked.is_some();
        self.ready += 1;
        self.count(is_parked, is_long, 1);
    }

    /// Takes a ready step out; false if it is not there.
    pub(crate) fn remove(&mut self, entry: &Entry, is_long: bool) -> bool {
        let line = &mut self.lanes[entry.lane.index()];
        let Some(at) = line.position(entry.class, is_long) else { return false };
        let class = &mut line.classes[at];
        if !class.remove((entry.age, entry.ticket)) {
            return false;
        }
        let is_parked = class.parked.is_some();
        line.drop_empty(at);
        self.ready -= 1;
        self.count(is_parked, is_long, -1);
        true
    }

    /// The step that the tenant gives next: `short` leaves long ones out, `lanes` says whether lanes count.
    pub(crate) fn head(&self, now: Time, short: bool, lanes: Option<LaneRule>) -> Option<Head> {
        let Some(rule) = lanes else { return self.oldest(&Lane::ALL, short) };
        let late = Lane::ALL
            .into_iter()
            .filter(|lane| now.since(self.lanes[lane.index()].since) >= rule.age_guard)
            .filter(|lane| self.oldest(&[*lane], short).is_some())
            .min_by_key(|lane| (self.lanes[lane.index()].since, *lane));
        if let Some(late) = late {
            return self.oldest(&[late], short);
        }
        let first: &[Lane] = if self.urgent.is_within(rule.urgent_share_permille) {
            &[Lane::Urgent]
        } else {
            &[Lane::Urgent, Lane::Normal]
        };
        self.oldest(first, short)
            .or_else(|| self.oldest(&[Lane::Normal], short))
            .or_else(|| self.oldest(&[Lane::Background], short))
    }

    fn oldest(&self, lanes: &[Lane], short: bool) -> Option<Head> {
        lanes
            .iter()
            .flat_map(|lane| {
                let classes = self.lanes[lane.index()].classes.iter().enumerate();
                classes.filter_map(move |(at, class)| {
                    let open = class.parked.is_none() && !(short && class.is_long);
                    let first = class.waiting.front().filter(|_| open)?;
                    Some((*first, Head { lane: *lane, class: at, ticket: first.1 }))
                })
            })
            .min_by_key(|(first, _)| *first)
            .map(|(_, head)| head)
    }

    pub(crate) fn class_key(&self, head: Head) -> u64 {
        self.lanes[head.lane.index()].classes[head.class].key
    }

    /// Takes the head out, as dispatched. Gives its age and its class.
    pub(crate) fn take(&mut self, now: Time, head: Head) -> (u64, u64, bool) {
        let line = &mut self.lanes[head.lane.index()];
        line.since = now;
        let class = &mut line.classes[head.class];
        let (age, ticket) = class.waiting.pop_front().expect("a head waits");
        assert!(ticket == head.ticket, "the head changed between choosing and taking it");
        let (key, is_long) = (class.key, class.is_long);
        line.drop_empty(head.class);
        self.ready -= 1;
        self.count(false, is_long, -1);
        (age, key, is_long)
    }

    /// The head's class leaves the queue until the key is woken. Gives the class.
    pub(crate) fn park(&mut self, now: Time, head: Head, wake: u64) -> (u64, bool) {
        let class = &mut self.lanes[head.lane.index()].classes[head.class];
        assert!(class.parked.is_none(), "class {} is parked already", class.key);
        class.parked = Some((wake, now));
        let (key, is_long) = (class.key, class.is_long);
        let count = u32::try_from(class.waiting.len()).expect("ready steps are counted in 32 bits");
        self.open[ANY] -= count;
        self.open[SHORT] -= if is_long { 0 } else { count };
        (key, is_long)
    }

    /// The class comes back into the queue; false if it is gone or waits for another key.
    pub(crate) fn unpark(&mut self, now: Time, lane: Lane, key: (u64, bool), wake: u64) -> bool {
        let line = &mut self.lanes[lane.index()];
        let Some(at) = line.position(key.0, key.1) else { return false };
        let class = &mut line.classes[at];
        if class.parked.is_none_or(|(awaited, _)| awaited != wake) {
            return false;
        }
        class.parked = None;
        line.since = now;
        let count = u32::try_from(class.waiting.len()).expect("ready steps are counted in 32 bits");
        self.open[ANY] += count;
        self.open[SHORT] += if key.1 { 0 } else { count };
        self.lanes[lane.index()].drop_empty(at);
        true
    }

    /// All steps that could be chosen, for an order over all tenants.
    pub(crate) fn open_steps(&self) -> impl Iterator<Item = ((u64, Ticket), Lane, u64, bool)> {
        Lane::ALL.into_iter().flat_map(|lane| {
            let classes =
                self.lanes[lane.index()].classes.iter().filter(|class| class.parked.is_none());
            classes.flat_map(move |class| {
                class.waiting.iter().map(move |step| (*step, lane, class.key, class.is_long))
            })
        })
    }

    /// The head of one class, which must have an open step.
    pub(crate) fn head_of(&self, lane: Lane, key: u64, is_long: bool) -> Option<Head> {
        let line = &self.lanes[lane.index()];
        let class = line.position(key, is_long)?;
        let (_, ticket) = *line.classes[class].waiting.front()?;
        Some(Head { lane, class, ticket })
    }

    pub(crate) fn class(&self, lane: Lane, key: u64, is_long: bool) -> Option<&Class> {
        let line = &self.lanes[lane.index()];
        line.position(key, is_long).map(|at| &line.classes[at])
    }

    fn count(&mut self, is_parked: bool, is_long: bool, by: i32) {
        if is_parked {
            return;
        }
        self.open[ANY] =
            self.open[ANY].checked_add_signed(by).expect("open steps are never fewer than none");
        if !is_long {
            self.open[SHORT] = self.open[SHORT]
                .checked_add_signed(by)
                .expect("open steps are never fewer than none");
        }
    }
}

/// What decides between lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneRule {
    pub(crate) age_guard: Span,
    pub(crate) urgent_share_permille: u32,
}

impl Line {
    fn position(&self, key: u64, is_long: bool) -> Option<usize> {
        self.classes.iter().position(|class| class.key == key && class.is_long == is_long)
    }

    /// A class without steps is forgotten, unless it is parked: its key is known to whoever wakes it.
    fn drop_empty(&mut self, at: usize) {
        if self.classes[at].waiting.is_empty() && self.classes[at].parked.is_none() {
            self.classes.swap_remove(at);
        }
    }
}

impl Class {
    fn insert(&mut self, step: (u64, Ticket)) {
        if self.waiting.back().is_none_or(|last| *last < step) {
            self.waiting.push_back(step);
            return;
        }
        match self.waiting.binary_search(&step) {
            Ok(_) => panic!("{:?} waits already", step.1),
            Err(at) => self.waiting.insert(at, step),
        }
    }

    fn remove(&mut self, step: (u64, Ticket)) -> bool {
        match self.waiting.binary_search(&step) {
            Ok(at) => self.waiting.remove(at).is_some(),
            Err(_) => false,
        }
    }

    /// How many steps of the class go before this one.
    pub(crate) fn older_than(&self, age: u64, ticket: Ticket) -> usize {
        self.waiting.partition_point(|step| *step < (age, ticket))
    }
}
