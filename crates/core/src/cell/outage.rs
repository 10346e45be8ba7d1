//! What becomes of steps whose endpoint is down, as their tenant's rules say: another candidate in the zone, a wait with a
//! limit, and then a person, or the end of it. There is nothing else, and nothing goes out of the zone.
//!
//! An endpoint is down while its circuit is open since its calls fail, and until one of its trials is served. A provider
//! that asks to be left alone is not down.

use std::collections::BTreeSet;

use crate::id::ToolName;
use crate::limiter::CIRCUIT_OPEN;
use crate::policy::Ask;
use crate::tenant::{AfterOutage, Outage};
use crate::time::{Span, Time};

use super::advance::{class, fail};
use super::live::{At, Run, State};
use super::model::{Wanted, options};
use super::timer::Kind;
use super::{Cell, Turn};

/// Whether a call that finds this rule in its way may go to the next candidate.
pub(crate) fn may_pass_on(outage: Option<Outage>, rule: &str) -> bool {
    rule != CIRCUIT_OPEN || outage.is_none_or(|outage| outage.alternative)
}

/// How long a node's step waits for an endpoint that is down.
fn bound(run: &Run, node: u32) -> Option<Span> {
    let is_call = run.model_call(node).is_some() || run.tool(node).is_some();
    run.context.rules.outage?.wait.filter(|_| is_call)
}

impl Cell {
    /// A node has come into its queue.
    pub(crate) fn watch_outage(&mut self, at: At) {
        let run = self.runs.get(at.run);
        if let Some(wait) = bound(run, at.node) {
            self.timers.set(run.node(at.node).since + wait, Kind::Outage, at);
        }
    }

    pub(crate) fn unwatch_outage(&mut self, at: At) {
        let run = self.runs.get(at.run);
        if let Some(wait) = bound(run, at.node) {
            self.timers.clear(run.node(at.node).since + wait, Kind::Outage, at);
        }
    }

    /// It is time to look whether a queued step has waited long enough for an endpoint that is down. The timer may be one of
    /// a run that was here before.
    pub(crate) fn outage_overdue(&mut self, at: At, turn: &mut Turn) {
        let Some(run) = self.runs.at(at) else { return };
        let State::Ready { queued: true } = run.node(at.node).state else { return };
        let Some(wait) = bound(run, at.node) else { return };
        match self.down(at) {
            Some((since, tools)) if since + wait <= self.now => {
                self.give_up_on_outage(at, (since, &tools), turn);
            }
            Some((since, _)) => self.timers.set(since + wait, Kind::Outage, at),
            None => self.timers.set(self.now + wait, Kind::Outage, at),
        }
    }

    fn give_up_on_outage(
        &mut self,
        at: At,
        (since, tools): (Time, &BTreeSet<ToolName>),
        turn: &mut Turn,
    ) {
        self.withdraw(at);
        let run = self.runs.get(at.run);
        let names: Vec<String> = tools.iter().map(ToString::to_string).collect();
        let facts = serde_json::json!({
            "run": run.key.run.to_string(),
            "step": run.step(at.node).name.as_str(),
            "tools": names,
            "down_since": since.0,
        });
        let then = run.context.rules.outage.map_or(AfterOutage::Fail, |outage| outage.then);
        let tenant = run.key.tenant.clone();
        self.decide(Some(tenant), "outage", facts.to_string(), turn);
        let names = names.join("`, `");
        if then == AfterOutage::Escalate && self.escalate_outage(at, since, turn) {
            return;
        }
        let down = self.now.since(since);
        let message = format!("`{names}` did not answer for {}", down.in_words());
        let failure = fail(class::ENDPOINT_DOWN, &message);
        self.end(at, State::Failed(Box::new(failure)), None, turn);
    }

    /// The endpoints that a node may go to, and since when none of them is up; `None` if one is, or it may go to none.
    fn down(&self, at: At) -> Option<(Time, BTreeSet<ToolName>)> {
        let down = |tool: &ToolName| self.limiter.down_since(self.directory.tool_number(tool)?);
        let tools = self.endpoints_of(at);
        let all: Option<Vec<Time>> = tools.iter().map(down).collect();
        Some((all?.into_iter().max()?, tools))
    }

    /// The endpoints that a node may go to: of a call that takes no alternative the first alone.
    fn endpoints_of(&self, at: At) -> BTreeSet<ToolName> {
        let run = self.runs.get(at.run);
        let Some(call) = run.model_call(at.node) else {
            return run.tool(at.node).into_iter().cloned().collect();
        };
        let wanted = Wanted::of(run, at.node, call);
        let binding = self.directory.binding(run);
        let may = |ask: &Ask| self.policed.peek(&self.directory, run.tenant, ask);
        let can_pay = |need| self.ledger.check(self.now, run.tenant.0, &run.money, need);
        let found = options(&self.directory, binding, &wanted, self.now, (may, can_pay));
        let Ok(options) = found else { return BTreeSet::new() };
        let takes_others = options.outage.is_none_or(|outage| outage.alternative);
        let most = if takes_others { options.choices.len() } else { 1 };
        let choices = options.choices.iter().take(most);
        choices.map(|choice| options.ways[choice.way].endpoint.clone()).collect()
    }
}
