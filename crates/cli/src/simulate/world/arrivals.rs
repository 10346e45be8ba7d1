//! What comes, when, and how often: the arrivals of the scenario as a variant has them.
//!
//! A tenant of which twice as many come has each of its runs twice: the second half way to its next one, so that a burst
//! stays a burst and a trickle a trickle. Both take as long as the one that they are of.

use std::collections::{BTreeMap, HashMap, HashSet};

use fairlane_core::cell::input::{Input, ReplyId, Submit};
use fairlane_core::id::{RunId, TenantId, WorkflowName};
use fairlane_core::row::{Lane, Payload, RunKey};
use fairlane_core::time::{Span, Time};

use super::{Came, Event, Run, World};
use crate::recorded::{Place, Recorded};
use crate::simulate::scenario::Source;
use crate::simulate::variant::{Times, Variant};

/// An arrival, and which of its copies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    which: Which,
    copy: u64,
    /// How many come at once.
    runs: u64,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    /// Runs of one source.
    Source { source: usize, time: u64 },
    /// A row of the trace of a group whose arrivals these are.
    Traced { arrival: usize, row: usize },
    /// A row of `Scenario::records`.
    Recorded(usize),
}

/// One arrival before it is copied. Those of one stream and tenant are in order.
struct Planned<'a> {
    stream: usize,
    tenant: &'a str,
    at: Span,
    which: Which,
}

/// Of recorded runs, those that a step of another one calls.
pub(super) fn called(records: &[Recorded]) -> HashMap<(usize, Place), usize> {
    let numbers: HashMap<u32, usize> =
        records.iter().enumerate().map(|(at, record)| (record.run, at)).collect();
    let called = records.iter().enumerate().filter_map(|(at, record)| {
        let (parent, place) = record.parent.as_ref()?;
        Some(((*numbers.get(parent)?, place.clone()), at))
    });
    called.collect()
}

impl World<'_> {
    pub(super) fn plan_arrivals(&mut self, variant: &Variant, start: Time) {
        let scenario = self.scenario;
        let sources = self.sources.clone();
        let mut planned = Vec::new();
        for (stream, source) in sources.iter().enumerate() {
            let moments = (0..).zip(scenario.moments(source));
            planned.extend(moments.map(|(time, at)| {
                let which = Which::Source { source: stream, time };
                Planned { stream, tenant: &source.tenant, at, which }
            }));
        }
        for (arrival, arrivals) in scenario.arrivals.iter().enumerate() {
            let Some(traced) = scenario.traced(arrivals) else { continue };
            let stream = sources.len() + arrival;
            planned.extend(traced.arrivals.iter().enumerate().map(|(row, each)| {
                let which = Which::Traced { arrival, row };
                Planned { stream, tenant: traced.whose(each), at: each.at, which }
            }));
        }
        let stream = sources.len() + scenario.arrivals.len();
        let is_called: HashSet<usize> = self.called.values().copied().collect();
        let own = scenario.records.iter().enumerate().filter(|(at, _)| !is_called.contains(at));
        planned.extend(own.map(|(at, record)| Planned {
            stream,
            tenant: &record.tenant,
            at: record.at,
            which: Which::Recorded(at),
        }));
        planned.retain(|each| !scenario.is_among(each.tenant, &variant.without));
        self.plan_copies(&planned, variant, start);
    }

    fn plan_copies(&mut self, planned: &[Planned<'_>], variant: &Variant, start: Time) {
        let scenario = self.scenario;
        let mut nexts = vec![None; planned.len()];
        if !variant.times.is_empty() {
            let mut later = HashMap::<(usize, &str), Span>::new();
            for (next, each) in nexts.iter_mut().zip(planned).rev() {
                *next = later.insert((each.stream, each.tenant), each.at);
            }
        }
        let mut numbers = HashMap::<&str, u64>::new();
        for (each, next) in planned.iter().zip(nexts) {
            let times = if variant.times.is_empty() {
                Times::ONCE
            } else {
                variant.times_of([each.tenant, scenario.group_of(each.tenant)])
            };
            let number = numbers.entry(each.tenant).or_default();
            let count = match each.which {
                Which::Source { source, .. } => {
                    scenario.arrivals[self.sources[source].arrival].count
                }
                Which::Traced { .. } | Which::Recorded(_) => 1,
            };
            let runs = times.copies(*number, count);
            *number += count;
            let copies = runs.div_ceil(count.max(1));
            let gap = next.map_or(0, |next: Span| next.0.saturating_sub(each.at.0));
            for copy in 0..copies {
                let later = u64::try_from(u128::from(gap) * u128::from(copy) / u128::from(copies));
                let at = Span(each.at.0 + later.unwrap_or_default());
                let runs = count.min(runs - copy * count);
                self.plan(start + at, Event::Arrive(Copied { which: each.which, copy, runs }));
            }
        }
    }

    pub(super) fn arrive(&mut self, Copied { which, copy, runs }: Copied) {
        // Copies take as long as what they are copies of: what is drawn for a run follows from the lower half of its name.
        let named = |place: u128| RunId(u128::from(copy) << 112 | place);
        match which {
            Which::Source { source, time } => {
                let Source { arrival, tenant, .. } = &self.sources[source];
                let (arrival, tenant) = (*arrival, TenantId::parse(tenant));
                let arrivals = &self.scenario.arrivals[arrival];
                let Ok(tenant) = tenant else { return };
                for number in 0..runs {
                    // The same run has the same name in each variant.
                    let place = ((source as u64) << 40) + time * arrivals.count + number;
                    let run = named(u128::from(place) + 1);
                    self.submit(
                        RunKey { tenant: tenant.clone(), run },
                        Came::Arrival(arrival),
                        None,
                    );
                }
            }
            Which::Traced { arrival, row } => {
                let traced = self.scenario.traced(&self.scenario.arrivals[arrival]);
                let Some(traced) = traced else { return };
                let each = &traced.arrivals[row];
                let Ok(tenant) = TenantId::parse(traced.whose(each)) else { return };
                // Beyond all those that are in no file.
                let run = named((arrival as u128 + 1) << 96 | row as u128);
                self.submit(RunKey { tenant, run }, Came::Arrival(arrival), Some(each.takes));
            }
            Which::Recorded(at) => {
                let Ok(tenant) = TenantId::parse(&self.scenario.records[at].tenant) else { return };
                let key = RunKey { tenant, run: named(0xffff << 96 | at as u128) };
                self.submit(key.clone(), Came::Recorded(at), None);
                self.plan_cancel(&key, at);
            }
        }
    }

    fn submit(&mut self, key: RunKey, came: Came, takes: Option<Span>) {
        let scenario = self.scenario;
        let (workflow, version, lane) = match came {
            Came::Arrival(at) => (&scenario.arrivals[at].workflow, None, Lane::Normal),
            Came::Recorded(at) => {
                let record = &scenario.records[at];
                (&record.workflow, Some(record.version), record.lane)
            }
        };
        let Ok(workflow) = WorkflowName::parse(workflow) else { return };
        let reply = ReplyId(self.next_id());
        self.submitted.insert(reply, key.clone());
        self.runs.insert(key.clone(), Run { came, takes, steps: BTreeMap::new() });
        self.input(Input::Submit(Box::new(Submit {
            trace: None,
            by: None,
            requester: None,
            subject: None,
            reply,
            key,
            workflow,
            version,
            lane,
            input: Payload::from(self.input_of(came).to_vec()),
            idempotency: None,
        })));
    }

    pub(super) fn input_of(&self, came: Came) -> &[u8] {
        let arrivals = match came {
            Came::Arrival(at) => self.scenario.arrivals.get(at),
            Came::Recorded(_) => None,
        };
        let input = arrivals.and_then(|arrivals| arrivals.input.as_ref());
        input.map_or(b"{}", |input| input.get().as_bytes())
    }
}
