//! What is counted of one tool by one holder: a tenant, or the provider for all.

#![warn(clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::calendar::Window;
use crate::quota::{Rule, Unit};
use crate::row::Used;
use crate::time::Time;

use super::Units;
use super::bucket::{Bucket, Drawn, Shape};
use super::rule::{is_same, of_label};

/// The counts of one holder for one tool.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// Calls under way, whether a rule bounds them or not, so that a rule that comes later finds them.
    pub(super) under_way: u32,
    counts: Vec<Count>,
    /// Stands among those that are looked at when their windows are over.
    pub(super) is_listed: bool,
}

#[derive(Debug)]
struct Count {
    /// What it counts; the numbers in it mean nothing.
    rule: Rule,
    label: Arc<str>,
    state: State,
}

#[derive(Debug)]
enum State {
    Window { window: Window, units: u64 },
    Bucket(Bucket),
}

/// One count of a take.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) label: Arc<str>,
    unit: Unit,
    of: Of,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    /// The window that begins then.
    Window(Time),
    Bucket(Drawn),
}

/// What others were called for: it is not free, and not taken yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) units: Units,
    /// How many were called.
    pub(super) takes: u32,
}

/// A rule has no room.
#[derive(Clone, Debug)]
pub(super) struct Short {
    pub(super) rule: Arc<str>,
    pub(super) used: u64,
    pub(super) of: u64,
    pub(super) opens: Option<Time>,
    /// More is asked for than the rule ever allows at once.
    pub(super) is_never: bool,
}

/// How a rule stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) used: u64,
    pub(super) of: u64,
    pub(super) resets: Option<Time>,
}

impl Use {
    /// The rule that is in the way longest: one that would never let so much pass, or else the one that opens last.
    pub(super) fn short(
        &self,
        now: Time,
        rules: impl Iterator<Item = Rule>,
        units: Units,
        kept: Kept,
    ) -> Option<Short> {
        rules.filter_map(|rule| self.short_of(now, &rule, units, kept)).reduce(longer)
    }

    fn short_of(&self, now: Time, rule: &Rule, units: Units, kept: Kept) -> Option<Short> {
        let units = rule.unit().map_or(1, |unit| units.of(unit));
        if units == 0 {
            return None;
        }
        let kept = rule.unit().map_or(kept.takes.into(), |unit| kept.units.of(unit));
        let asked = units.saturating_add(kept);
        let stand = self.stand(now, rule);
        let opens = match rule {
            Rule::Window { .. } => {
                let is_open = stand.used.saturating_add(asked) <= stand.of;
                (!is_open).then_some(stand.resets)
            }
            Rule::Bucket { .. } => {
                let shape = shape(rule);
                let opens = match self.find(rule).map(|count| &count.state) {
                    Some(State::Bucket(bucket)) => bucket.opens(now, &shape, asked),
                    _ => Bucket::new(&shape, 0).opens(now, &shape, asked),
                };
                opens.map(Some)
            }
            Rule::Concurrent { .. } => {
                (stand.used.saturating_add(asked) > stand.of).then_some(None)
            }
        };
        let is_never = units > stand.of;
        let opens = opens?.filter(|_| !is_never);
        let Stand { used, of, .. } = stand;
        Some(Short { rule: rule.label().into(), used, of, opens, is_never })
    }

    pub(super) fn stand(&self, now: Time, rule: &Rule) -> Stand {
        let state = self.find(rule).map(|count| &count.state);
        match rule {
            Rule::Window { units: of, every, time_zone, .. } => match state {
                Some(State::Window { window, units }) if now < window.end => {
                    Stand { used: *units, of: *of, resets: Some(window.end) }
                }
                _ => {
                    let window = Window::at(now, *every, time_zone);
                    Stand { used: 0, of: *of, resets: Some(window.end) }
                }
            },
            Rule::Bucket { burst, .. } => match state {
                Some(State::Bucket(bucket)) if bucket.full() > now => Stand {
                    used: bucket.used(now, &shape(rule)),
                    of: *burst,
                    resets: Some(bucket.full()),
                },
                _ => Stand { used: 0, of: *burst, resets: None },
            },
            Rule::Concurrent { calls } => {
                Stand { used: self.under_way.into(), of: (*calls).into(), resets: None }
            }
        }
    }

    /// Counts units that a rule has room for. A call under way is not counted here.
    pub(super) fn add(&mut self, now: Time, rule: &Rule, units: Units, born: u64) -> Option<Mark> {
        let unit = rule.unit()?;
        let units = units.of(unit);
        let known = self.counts.iter().position(|count| is_same(&count.rule, rule));
        let at = known.unwrap_or_else(|| {
            let state = fresh(now, rule, born);
            self.counts.push(Count { rule: rule.clone(), label: rule.label().into(), state });
            self.counts.len().saturating_sub(1)
        });
        let count = &mut self.counts[at];
        if matches!(count.state, State::Window { window, .. } if now >= window.end) {
            count.state = fresh(now, rule, born);
        }
        let of = match &mut count.state {
            State::Window { window, units: used } => {
                *used = used.saturating_add(units);
                Of::Window(window.start)
            }
            State::Bucket(bucket) => Of::Bucket(bucket.draw(now, &shape(rule), units, born)),
        };
        Some(Mark { label: count.label.clone(), unit, of })
    }

    /// Whether anything changed: a window that is over takes nothing back.
    pub(super) fn give_back(&mut self, mark: &Mark, units: Units) -> bool {
        self.lessen(mark, units.of(mark.unit))
    }

    /// The take used so many tokens, and not those that were counted; whether anything changed. A window that is over
    /// stays as it is.
    pub(super) fn correct(&mut self, mark: &Mark, counted: u64, used: u64) -> bool {
        match mark.unit {
            Unit::Tokens if used > counted => self.raise(mark, used.saturating_sub(counted)),
            Unit::Tokens if used < counted => self.lessen(mark, counted.saturating_sub(used)),
            Unit::Tokens | Unit::Calls => false,
        }
    }

    fn raise(&mut self, mark: &Mark, units: u64) -> bool {
        let Some(count) = self.counts.iter_mut().find(|count| count.label == mark.label) else {
            return false;
        };
        match (&mut count.state, mark.of) {
            (State::Window { window, units: used }, Of::Window(start)) if window.start == start => {
                *used = used.saturating_add(units);
            }
            // What a rate that has changed since makes of it is as good as any: it is not forgotten.
            (State::Bucket(bucket), Of::Bucket(_)) => bucket.add(units),
            _ => return false,
        }
        true
    }

    fn lessen(&mut self, mark: &Mark, units: u64) -> bool {
        let Some(count) = self.counts.iter_mut().find(|count| count.label == mark.label) else {
            return false;
        };
        match (&mut count.state, mark.of) {
            (State::Window { window, units: used }, Of::Window(start)) if window.start == start => {
                *used = used.checked_sub(units).expect("what is given back was counted");
                true
            }
            (State::Bucket(bucket), Of::Bucket(drawn)) => bucket.give_back(drawn, units),
            _ => false,
        }
    }

    /// `None`: no rule has such a label, or such a count.
    pub(super) fn restore(&mut self, label: &str, used: Used, born: u64) -> Option<()> {
        let rule = of_label(label)?;
        let state = match (&rule, used) {
            (Rule::Window { every, time_zone, .. }, Used::Window { start, units }) => {
                let end = Window::at(start, *every, time_zone).end;
                State::Window { window: Window { start, end }, units }
            }
            (Rule::Bucket { per, .. }, Used::Bucket { full }) => {
                State::Bucket(Bucket::restored(*per, full, born))
            }
            _ => return None,
        };
        self.counts.retain(|count| !is_same(&count.rule, &rule));
        self.counts.push(Count { rule, label: label.into(), state });
        Some(())
    }

    pub(super) fn used(&self, label: &str) -> Option<Used> {
        let count = self.counts.iter().find(|count| &*count.label == label)?;
        Some(match &count.state {
            State::Window { window, units } => Used::Window { start: window.start, units: *units },
            State::Bucket(bucket) => Used::Bucket { full: bucket.full() },
        })
    }

    /// Forgets counts that say nothing any more, and says when the last of the others will. A call that is under way may
    /// have used more of a bucket than is known.
    pub(super) fn sweep(&mut self, now: Time) -> Option<Time> {
        let is_used = self.under_way > 0;
        let may_grow = |count: &Count| is_used && matches!(count.state, State::Bucket(_));
        self.counts.retain(|count| count.end() > now || may_grow(count));
        self.counts.iter().map(Count::end).max().filter(|end| *end > now)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way == 0 && self.counts.is_empty()
    }

    fn find(&self, rule: &Rule) -> Option<&Count> {
        self.counts.iter().find(|count| is_same(&count.rule, rule))
    }
}

impl Count {
    fn end(&self) -> Time {
        match &self.state {
            State::Window { window, .. } => window.end,
            State::Bucket(bucket) => bucket.full(),
        }
    }
}

/// Which of the two is in the way longer; the first if nobody knows.
pub(super) fn longer(one: Short, other: Short) -> Short {
    let rank = |short: &Short| (short.is_never, short.opens);
    if rank(&other) > rank(&one) { other } else { one }
}

fn fresh(now: Time, rule: &Rule, born: u64) -> State {
    match rule {
        Rule::Window { every, time_zone, .. } => {
            State::Window { window: Window::at(now, *every, time_zone), units: 0 }
        }
        Rule::Bucket { .. } | Rule::Concurrent { .. } => {
            State::Bucket(Bucket::new(&shape(rule), born))
        }
    }
}

fn shape(rule: &Rule) -> Shape {
    match rule {
        Rule::Bucket { units, per, burst, .. } => Shape { rate: *units, per: *per, burst: *burst },
        Rule::Window { .. } | Rule::Concurrent { .. } => unreachable!("only a bucket has a shape"),
    }
}
