//! P4: after a turn is closed no step is left waiting that a slot, its caps and an asking worker have room for.
//!
//! Both sides are computed anew from rows, declarations and open exchanges; nothing is asked of the scheduler.
//! Left out: turns after a slow commit, when the valve keeps slots back on purpose.

use std::collections::BTreeMap;

use fairlane_core::cell::effect::Effect;
use fairlane_core::cell::input::AskId;
use fairlane_core::id::PoolName;
use fairlane_core::plan::StepKind;
use fairlane_core::pool::Policy;

use super::p01_caps::{Caps, is_long, long_slots};
use super::ready::Ready;
use crate::host::{Ask, Host};
use crate::rows::Rows;
use crate::violation::{Verdict, Violation};

/// A turn that was closed and is durable: the rows are as the cell saw them when it closed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Close<'a> {
    pub(crate) turn: u64,
    pub(crate) effects: &'a [Effect],
    pub(crate) host: &'a Host,
    pub(crate) rows: &'a Rows,
}

/// For each pool, an exchange that could have been given more.
pub(crate) type Asking<'a> = BTreeMap<PoolName, (&'a Ask, u32)>;

pub(crate) fn closed(
    close: &Close<'_>,
    asking: &Asking<'_>,
    caps: &Caps,
    ready: &[Ready],
) -> Verdict {
    for step in ready {
        let Some((ask, room)) = asking.get(&step.pool) else { continue };
        if may_run(step, close.rows, caps) {
            let facts = format!(
                "after turn {} {step:?} waits although {ask:?} has room for {room}",
                close.turn
            );
            return Err(Violation { promise: "P4 work conservation", facts });
        }
    }
    Ok(())
}

/// Who could have been given more; nobody while the valve keeps slots back.
pub(crate) fn asking<'a>(close: &Close<'a>, caps: &Caps) -> Asking<'a> {
    if close.host.closed_clock <= close.host.throttled {
        return Asking::new();
    }
    let given: BTreeMap<AskId, u32> = close
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Exchanged(ask, answer) => {
                Some((*ask, u32::try_from(answer.grants.len()).unwrap_or(u32::MAX)))
            }
            _ => None,
        })
        .collect();
    let room = |id: &AskId, ask: &Ask| {
        let is_over = ask.over.is_some_and(|over| over <= close.turn);
        let wanted = if is_over { 0 } else { ask.want };
        let wanted = wanted.saturating_sub(given.get(id).copied().unwrap_or(0));
        wanted.min(ask.slots.saturating_sub(caps.of_worker(&ask.pool, &ask.worker)))
    };
    let asks = close.host.asks.iter().filter(|(_, ask)| ask.turn <= close.turn);
    asks.map(|(id, ask)| (ask, room(id, ask)))
        .filter(|(_, room)| *room > 0)
        .map(|(ask, room)| (ask.pool.clone(), (ask, room)))
        .collect()
}

/// Whether money or a limit may be what the step waits for; these are watched by `p07_quotas` and `p08_money`.
fn meets_gates(step: &Ready, rows: &Rows) -> bool {
    if rows.classes.is_empty() && rows.tools.is_empty() {
        return false;
    }
    let Some(run) = rows.runs.get(&step.key) else { return false };
    let plan = rows.workflow_of(run);
    plan.is_some_and(|plan| {
        let step = plan.step(step.instance.step);
        step.tool.is_some() || step.cost_nano > 0 || matches!(step.kind, StepKind::Model(_))
    })
}

/// Whether every cap that the step meets has room for it.
fn may_run(step: &Ready, rows: &Rows, caps: &Caps) -> bool {
    let Ready { key, instance, pool } = step;
    if meets_gates(step, rows) {
        return false;
    }
    let (Some(context), Some(declared)) = (rows.context(&key.tenant), rows.pools.get(pool)) else {
        return false;
    };
    if context.suspended || caps.in_pool(pool) >= declared.slots {
        return false;
    }
    if declared.policy != Policy::Fair {
        return true;
    }
    let org_cap = rows.orgs.get(&context.org).and_then(|org| org.cap).unwrap_or(u32::MAX);
    let is_held_back_as_long =
        is_long(rows, key, *instance, declared) && caps.long_in(pool) >= long_slots(declared);
    caps.of_tenant(pool, &key.tenant) < context.cap
        && caps.of_org(pool, &context.org) < org_cap
        && !is_held_back_as_long
}
