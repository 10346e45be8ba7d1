//! P7 under random callers: what was taken is written down and counted again.

use proptest::prelude::*;

use super::*;
use crate::calendar::Window;

/// A take that was not given back.
struct Entry {
    at: Time,
    tenant: u32,
    units: u64,
    taken: Taken,
    is_over: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Take { tenant: u32, units: u64 },
    GiveBack(usize),
    Finish(usize),
    Wait(u64),
    Wake,
    Restart,
}

/// In the night in which summer time ends in Berlin, at 22:30 UTC.
const START: Time = Time(1_792_881_000 * SECOND);

fn quota(tenant: u32) -> Vec<Rule> {
    match tenant {
        0 => vec![window(4, Calendar::Hour, "Europe/Berlin"), Rule::Concurrent { calls: 3 }],
        1 => vec![bucket(3, Span::from_secs(7), 3), window(9, Calendar::Day, "Europe/Berlin")],
        2 => vec![window(2, Calendar::Minute, "UTC"), window(12, Calendar::Month, "UTC")],
        _ => Vec::new(),
    }
}

fn shared() -> Vec<Rule> {
    vec![
        window(20, Calendar::Day, "Europe/Berlin"),
        bucket(11, Span::from_secs(60), 6),
        Rule::Concurrent { calls: 5 },
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let waits = [1, 999, 1_000, SECOND, 7 * SECOND, 61 * SECOND, HOUR / 2, HOUR, 13 * HOUR];
    let op = prop_oneof![
        8 => (0_u32..5, 1_u64..4).prop_map(|(tenant, units)| Op::Take { tenant, units }),
        1 => any::<prop::sample::Index>().prop_map(|at| Op::GiveBack(at.index(1_000))),
        3 => any::<prop::sample::Index>().prop_map(|at| Op::Finish(at.index(1_000))),
        3 => prop::sample::select(waits.to_vec()).prop_map(Op::Wait),
        3 => Just(Op::Wake),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..150)
}

/// Nothing that a rule promises is broken by the takes that it counts, the last one included.
fn assert_kept(rule: &Rule, log: &[&Entry]) {
    let Some(last) = log.last() else { return };
    match rule {
        Rule::Window { units, every, time_zone, .. } => {
            let window = Window::at(last.at, *every, time_zone);
            let within = log.iter().filter(|entry| window.has(entry.at));
            let used: u64 = within.map(|entry| entry.units).sum();
            assert!(used <= *units, "{used} of {units} each {every:?}");
        }
        Rule::Bucket { units: rate, per, burst, .. } => {
            let mut used = 0_u128;
            for entry in log.iter().rev() {
                used += u128::from(entry.units);
                let length = u128::from(last.at.since(entry.at).0);
                let most = u128::from(*burst * per.0) + length * u128::from(*rate);
                assert!(used * u128::from(per.0) <= most, "{used} units in {length} us");
            }
        }
        Rule::Concurrent { calls } => {
            let under_way = log.iter().filter(|entry| !entry.is_over).count();
            assert!(under_way <= *calls as usize, "{under_way} of {calls} calls under way");
        }
    }
}

fn restarted(limiter: &mut Limiter, stored: &mut Vec<super::super::Changed>, now: Time) -> Limiter {
    stored.extend(limiter.take_changes());
    let mut after = provider(&shared());
    for (tool, tenant, label, used) in stored.iter() {
        after.restore(*tool, *tenant, label, *used);
    }
    after.wake(now);
    after
}

proptest! {
    #[test]
    fn no_rule_of_either_level_is_ever_broken(ops in ops()) {
        let mut limiter = provider(&shared());
        let mut stored = Vec::new();
        let mut log: Vec<Entry> = Vec::new();
        let mut now = START;
        for op in ops {
            match op {
                Op::Take { tenant, units } => {
                    let quota = quota(tenant);
                    let refused = limiter.would_block(now, &caller(tenant, &quota), calls(units));
                    match limiter.take(now, &caller(tenant, &quota), calls(units)) {
                        Err(blocked) => prop_assert!(refused.is_some() || blocked.opens.is_none()),
                        Ok(taken) => {
                            log.push(Entry { at: now, tenant, units, taken, is_over: false });
                            let own: Vec<&Entry> =
                                log.iter().filter(|entry| entry.tenant == tenant).collect();
                            for rule in &quota { assert_kept(rule, &own); }
                            let all: Vec<&Entry> = log.iter().collect();
                            for rule in &shared() { assert_kept(rule, &all); }
                        }
                    }
                }
                Op::GiveBack(at) if !log.is_empty() => {
                    let at = at % log.len();
                    if !log[at].is_over {
                        limiter.give_back(&log.remove(at).taken);
                    }
                }
                Op::Finish(at) if !log.is_empty() => {
                    let at = at % log.len();
                    if !std::mem::replace(&mut log[at].is_over, true) {
                        over(&mut limiter, &log[at].taken);
                    }
                }
                Op::Wait(span) => now = now + Span(span),
                Op::Wake => { limiter.wake(now); }
                Op::Restart => {
                    limiter = restarted(&mut limiter, &mut stored, now);
                    for entry in log.iter_mut().filter(|entry| !entry.is_over) {
                        let quota = quota(entry.tenant);
                        entry.taken = limiter.resume(now, &caller(entry.tenant, &quota));
                    }
                }
                Op::GiveBack(_) | Op::Finish(_) => {}
            }
        }
        for entry in log.iter().filter(|entry| !entry.is_over) {
            over(&mut limiter, &entry.taken);
        }
        // Those that asked for more than ever passes wait for another quota.
        (0..5).for_each(|tenant| limiter.retry_all(tenant));
        let end = now + Span(62 * 24 * HOUR);
        wakes(&mut limiter, end);
        while !limiter.over.is_empty() {
            limiter.wake(end);
        }
        prop_assert_eq!(limiter.tools[&TOOL].uses.len(), 0, "all counts are forgotten");
        prop_assert_eq!(limiter.waits.remembered() + limiter.tools[&TOOL].line.remembered(), 0);
    }
}
