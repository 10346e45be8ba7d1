//! P16: past its thresholds no new work comes in, the over-demanding first, and who is refused is told when to come again.
//! What came in stays until it has ended (see `p12_durability`).

use std::collections::BTreeMap;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::id::TenantId;
use fairlane_core::reject::{Rejection, ValveCause};
use fairlane_core::row::{Lane, RunKey, RunRow};
use fairlane_core::time::Span;

use super::declared::Declared;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P16 valve";

/// Live runs at each point of the stream, with the bytes that they hold and how deep they are called.
#[derive(Debug, Default)]
pub(crate) struct Admissions {
    live: BTreeMap<RunKey, (u64, u32)>,
}

/// One of the two things that the valve bounds, and how much of it a live run is.
#[derive(Debug)]
struct Bound {
    what: &'static str,
    soft: u64,
    hard: u64,
    size: fn(&(u64, u32)) -> u64,
}

impl Admissions {
    pub(crate) fn follow(&mut self, change: &Change, declared: &Declared) -> Verdict {
        let Change::Run(run) = change else { return Ok(()) };
        if run.status.is_ended() {
            self.live.remove(&run.key);
            return Ok(());
        }
        let entry = (u64::from(run.input_bytes), depth(run));
        if self.live.insert(run.key.clone(), entry).is_none() {
            self.comes_in(run, declared)?;
        }
        Ok(())
    }

    /// The run is new, or was opened again. It is counted already.
    fn comes_in(&self, run: &RunRow, declared: &Declared) -> Verdict {
        let tenant = &run.key.tenant;
        let beside = self
            .live
            .iter()
            .filter(|(key, (_, deep))| key.tenant == *tenant && *deep == depth(run));
        let beside = beside.count() as u64;
        // A caller would wait for it for ever. A child that is retried has no caller; its input is in the store already.
        if depth(run) > 0 && run.input.is_some() && beside == 1 {
            return Ok(());
        }
        let most = declared.contexts.get(tenant).map_or(0, |context| context.runs_max);
        holds(beside <= u64::from(most), PROMISE, || {
            format!("{:?} came in as number {beside} of its tenant's {most}", run.key)
        })?;
        let valve = &declared.valve;
        let runs =
            Bound { what: "runs", soft: valve.runs_soft, hard: valve.runs_hard, size: |_| 1 };
        self.keeps(run, &runs, declared)?;
        let (soft, hard) = (valve.bytes_soft, valve.bytes_hard);
        self.keeps(run, &Bound { what: "bytes", soft, hard, size: |(bytes, _)| *bytes }, declared)
    }

    /// Whether one of the two resources had room for the run.
    fn keeps(&self, run: &RunRow, bound: &Bound, declared: &Declared) -> Verdict {
        let Bound { what, soft, hard, size } = *bound;
        let tenant = &run.key.tenant;
        let sum = |of: Option<&TenantId>| {
            let counted = self.live.iter().filter(|(key, _)| of.is_none_or(|of| key.tenant == *of));
            counted.map(|(_, entry)| size(entry)).sum::<u64>()
        };
        let (in_all, of_tenant) = (sum(None), sum(Some(tenant)));
        holds(in_all <= hard, PROMISE, || {
            format!("{:?} came in and makes {in_all} {what} of {hard}", run.key)
        })?;
        // Children of background runs count as urgent, as they are accepted work.
        let lane = if depth(run) > 0 && run.input.is_some() { Lane::Urgent } else { run.lane };
        let thirds = match lane {
            Lane::Background => 0,
            Lane::Normal => 1,
            Lane::Urgent => 2,
        };
        let is_past = (in_all.saturating_sub(soft)) * 3 > (hard - soft) * thirds;
        let is_first = self.live.keys().filter(|key| key.tenant == *tenant).count() == 1;
        let weight = |tenant: &TenantId| {
            declared.contexts.get(tenant).map_or(0, |context| u64::from(context.weight))
        };
        let mut tenants: Vec<&TenantId> = self.live.keys().map(|key| &key.tenant).collect();
        tenants.dedup();
        let weights: u64 = tenants.into_iter().map(weight).sum();
        let has_share = of_tenant * weights <= soft * weight(tenant);
        holds(!is_past || is_first || has_share, PROMISE, || {
            format!(
                "{:?} came in with {of_tenant} of {in_all} {what} between {soft} and {hard}, \
                 {} parts of {weights}",
                run.key,
                weight(tenant)
            )
        })
    }
}

fn depth(run: &RunRow) -> u32 {
    run.parent.as_ref().map_or(0, |parent| parent.depth)
}

/// A refusal says when to come again, and its numbers are such that it had to be given.
pub(crate) fn released(effect: &Effect) -> Verdict {
    let Effect::Reply(_, Response::Rejected(rejection)) = effect else { return Ok(()) };
    let (is_due, retry_after) = match rejection {
        Rejection::TenantQueueFull { live, max, retry_after } => (live >= max, *retry_after),
        Rejection::ValveClosed { cause, depth, threshold, retry_after } => {
            let is_due = match cause {
                ValveCause::RunsOverShare | ValveCause::RunsHard | ValveCause::Calls => {
                    depth >= threshold
                }
                ValveCause::BytesOverShare | ValveCause::BytesHard => depth > threshold,
            };
            (is_due, *retry_after)
        }
        _ => return Ok(()),
    };
    holds(is_due && retry_after > Span::ZERO, PROMISE, || format!("refused with {rejection:?}"))
}
