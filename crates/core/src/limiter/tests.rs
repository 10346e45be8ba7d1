//! What the limiter promises, tried in virtual time.

use super::{Answer, Caller, Circuit, Limiter, Taken, Units, Why};
use crate::calendar::{Calendar, TimeZone};
use crate::gate::LimitHolder;
use crate::quota::{Breaker, Rule, Unit};
use crate::row::Used;
use crate::time::{Span, Time};

mod buckets;
mod circuits;
mod quotas;
mod random;
mod shares;
mod tokens;
mod waits;

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;
const TOOL: u32 = 7;

fn per_hour(units: u64) -> Rule {
    window(units, Calendar::Hour, "UTC")
}

fn window(units: u64, every: Calendar, zone: &str) -> Rule {
    Rule::Window { units, every, time_zone: TimeZone::parse(zone).unwrap(), of: Unit::Calls }
}

fn bucket(units: u64, per: Span, burst: u64) -> Rule {
    Rule::Bucket { units, per, burst, of: Unit::Calls }
}

/// The rule, counting tokens.
fn tokens(mut rule: Rule) -> Rule {
    if let Rule::Window { of, .. } | Rule::Bucket { of, .. } = &mut rule {
        *of = Unit::Tokens;
    }
    rule
}

fn calls(calls: u64) -> Units {
    Units { calls, tokens: 0 }
}

/// One call with so many tokens.
fn prompt(tokens: u64) -> Units {
    Units { calls: 1, tokens }
}

/// The call was served.
fn over(limiter: &mut Limiter, taken: &Taken) {
    limiter.finish(Time(0), taken, Answer::Served, None);
}

fn caller(tenant: u32, quota: &[Rule]) -> Caller<'_> {
    Caller { tenant, tool: TOOL, quota }
}

fn provider(rules: &[Rule]) -> Limiter {
    let mut limiter = Limiter::default();
    limiter.set_tool(Time(0), TOOL, rules, None);
    limiter
}

/// Takes of one unit until one is refused; each call is over at once.
fn take_all(limiter: &mut Limiter, now: Time, caller: &Caller<'_>) -> u64 {
    let mut units = 0;
    while let Ok(taken) = limiter.take(now, caller, Units::CALL) {
        over(limiter, &taken);
        units += 1;
    }
    units
}

fn key(tenant: u32) -> u64 {
    super::wake_key((tenant, TOOL))
}

/// The moments at which the limiter has something to say, up to `end`, and what it says.
fn wakes(limiter: &mut Limiter, end: Time) -> Vec<(Time, Vec<u64>)> {
    let mut all = Vec::new();
    let mut rounds = 0;
    while let Some(at) = limiter.next_wake().filter(|at| *at <= end) {
        let woken = limiter.wake(at);
        if !woken.is_empty() {
            all.push((at, woken));
        }
        rounds += 1;
        assert!(rounds < 100_000, "the limiter asks for the clock without end at {at}");
    }
    all
}
