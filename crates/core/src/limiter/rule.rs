//! Rules as they are counted: which of them share a count, and what a stored label stands for.

use crate::calendar::{Calendar, TimeZone};
use crate::quota::{Rule, Unit};
use crate::time::Span;

/// Whether both have the same [`Rule::label`], and so one count.
pub(super) fn is_same(one: &Rule, other: &Rule) -> bool {
    match (one, other) {
        (
            Rule::Window { every, time_zone, of, .. },
            Rule::Window { every: other_every, time_zone: other_zone, of: other_of, .. },
        ) => of == other_of && every == other_every && time_zone.name() == other_zone.name(),
        (Rule::Bucket { per, of, .. }, Rule::Bucket { per: other_per, of: other_of, .. }) => {
            of == other_of && per == other_per
        }
        (Rule::Concurrent { .. }, Rule::Concurrent { .. }) => true,
        _ => false,
    }
}

/// The rules with one for each label. Of several that share a count the smallest numbers hold, so that none is broken.
pub(super) fn distinct(rules: &[Rule]) -> impl Iterator<Item = Rule> {
    rules.iter().enumerate().filter_map(|(at, rule)| {
        let mut same = rules.iter().enumerate().filter(|(_, other)| is_same(rule, other));
        let is_first = same.next().is_some_and(|(first, _)| first == at);
        is_first.then(|| same.fold(rule.clone(), |rule, (_, other)| stricter(rule, other)))
    })
}

fn stricter(rule: Rule, other: &Rule) -> Rule {
    match (rule, other) {
        (Rule::Window { units, every, time_zone, of }, Rule::Window { units: most, .. }) => {
            Rule::Window { units: units.min(*most), every, time_zone, of }
        }
        (
            Rule::Bucket { units, per, burst, of },
            Rule::Bucket { units: most, burst: at_once, .. },
        ) => Rule::Bucket { units: units.min(*most), per, burst: burst.min(*at_once), of },
        (Rule::Concurrent { calls }, Rule::Concurrent { calls: most }) => {
            Rule::Concurrent { calls: calls.min(*most) }
        }
        (rule, _) => rule,
    }
}

/// A rule with that label; its numbers mean nothing. `None`: no rule has it.
pub(super) fn of_label(label: &str) -> Option<Rule> {
    let tokens = label.strip_prefix(Unit::Tokens.label());
    let of = if tokens.is_some() { Unit::Tokens } else { Unit::Calls };
    let (what, at) = tokens.unwrap_or(label).split_once('@')?;
    if what == "bucket" {
        return Some(Rule::Bucket { units: 1, per: Span(at.parse().ok()?), burst: 1, of });
    }
    let all = [Calendar::Minute, Calendar::Hour, Calendar::Day, Calendar::Month];
    let every = all.into_iter().find(|every| every.as_str() == what)?;
    Some(Rule::Window { units: 1, every, time_zone: TimeZone::parse(at).ok()?, of })
}
