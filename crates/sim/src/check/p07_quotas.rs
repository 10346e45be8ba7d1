//! P7: in no window more is called than a rule allows, and never more at once, by a tenant or by all of them; and what is
//! stored as counted is that. Counted anew from the leases that are given and the calls of the gateway: a call takes what it
//! is expected to use from the window in which it is sent, and is put right there by what it used, or given back if it was
//! never sent. How many tokens a call of the gateway takes is known when its client is told, so that what is stored is judged
//! then.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::calendar::Window;
use fairlane_core::catalog::Metered;
use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::cell::input::{Input, Outcome};
use fairlane_core::id::{ClassName, TenantId, ToolName};
use fairlane_core::money::Nano;
use fairlane_core::quota::{Rule, Unit};
use fairlane_core::row::{CallRow, Part, Route, StepRow, StepState, UseRow, Used};
use fairlane_core::time::Time;

use crate::rows::Rows;
use crate::violation::{Verdict, Violation, holds};
use crate::worker::NOT_SENT;

const PROMISE: &str = "P7 quota";

/// A rule of a tenant, or of a tool's provider.
type Holder = (ToolName, Option<TenantId>, String);
/// Rules that a call counts for, in which window what; `None`: calls at once.
type Counted = Vec<(Holder, Option<(Time, Unit)>)>;

#[derive(Debug, Default)]
pub(crate) struct Quotas {
    rules: Rules,
    /// Under way, by fence.
    calls: BTreeMap<u64, Call>,
    windows: BTreeMap<(Holder, Time), Count>,
    at_once: BTreeMap<Holder, u64>,
    /// Leases of which somebody said that nothing was sent under them.
    unsent: BTreeSet<u64>,
    /// Of the last turn: calls whose tokens are not known yet, with their windows of tokens.
    untold: BTreeMap<u64, Vec<(Holder, Time)>>,
    /// Of the last turn: what was stored.
    stored: Vec<UseRow>,
}

#[derive(Debug)]
struct Call {
    of: Of,
    /// What a call of a model takes, and holds; others take no tokens.
    model: Option<(u64, Nano)>,
    counted: Counted,
    /// It is from before a restart: what it took stays as it is.
    is_resumed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Lease,
    Gateway,
}

#[derive(Debug, Default)]
struct Count {
    units: u64,
    /// Nobody outside can tell what was given back: there may be more.
    is_blurred: bool,
}

impl Quotas {
    pub(crate) fn stepped(&mut self, input: &Input) {
        match input {
            Input::Undelivered(leases) => {
                self.unsent.extend(leases.iter().map(|lease| lease.fence));
            }
            Input::Exchange(exchange) => {
                let is_unsent = |outcome: &Outcome| matches!(outcome, Outcome::NotSent(_));
                let unsent = exchange.reports.iter().filter(|report| is_unsent(&report.outcome));
                self.unsent.extend(unsent.map(|report| report.lease.fence));
            }
            _ => {}
        }
    }

    /// A new owner knows what was counted, and not by whom.
    pub(crate) fn reloaded(&mut self) {
        self.calls.values_mut().for_each(|call| call.is_resumed = true);
        self.give_up_untold();
    }

    /// One turn. The rows are those after it.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &Rows) -> Verdict {
        self.give_up_untold();
        let mut ended = BTreeMap::new();
        for change in changes {
            match change {
                Change::Call(row) if row.ended.is_none() => self.opened(row)?,
                Change::Call(row) => match self.calls.get(&row.id).map(|call| call.of) {
                    Some(Of::Gateway) => self.over(row.id, None, Some(&**row)),
                    _ => drop(ended.insert(row.id, &**row)),
                },
                Change::Step(step) => match &step.state {
                    StepState::Leased { hold, route, .. } => {
                        let hold = hold.as_ref().map_or(Nano::ZERO, |hold| hold.amount);
                        self.called(step, route.as_deref().map(|route| (route, hold)), rows)?;
                    }
                    state => self.over(step.fence, Some(state), ended.remove(&step.fence)),
                },
                Change::Use(row) => self.stored.push(row.clone()),
                _ => self.rules.follow(change),
            }
        }
        if self.untold.is_empty() { self.judge_stored() } else { Ok(()) }
    }

    /// The turn is durable, and its owner lives to say so: the calls that it let through are known.
    pub(crate) fn closed(&mut self, effects: &[Effect]) -> Verdict {
        if self.untold.is_empty() {
            return Ok(());
        }
        for effect in effects {
            let Effect::Reply(_, Response::Opened { call, route, .. }) = effect else { continue };
            let taken = tokens_of(route);
            for (holder, start) in self.untold.remove(call).unwrap_or_default() {
                self.windows.entry((holder, start)).or_default().units += taken;
            }
            if let Some(call) = self.calls.get_mut(call) {
                call.model = call.model.map(|(_, hold)| (taken, hold));
            }
        }
        self.judge_stored()
    }

    /// Nobody will ever say what these took.
    fn give_up_untold(&mut self) {
        for window in std::mem::take(&mut self.untold).into_values().flatten() {
            self.windows.entry(window).or_default().is_blurred = true;
        }
        self.stored.clear();
    }

    fn judge_stored(&mut self) -> Verdict {
        let stored = std::mem::take(&mut self.stored);
        stored.iter().try_for_each(|row| self.agrees(row))
    }

    fn called(&mut self, step: &StepRow, model: Option<(&Route, Nano)>, rows: &Rows) -> Verdict {
        if step.instance.part == Part::Compensation || self.calls.contains_key(&step.fence) {
            return Ok(());
        }
        let run = rows.runs.get(&step.key);
        let Some(plan) = run.and_then(|run| rows.workflow_of(run)) else { return Ok(()) };
        let tool = match model {
            Some((route, _)) => Some(&route.endpoint),
            None => plan.step(step.instance.step).tool.as_ref(),
        };
        let Some(tool) = tool else { return Ok(()) };
        let tokens = model.map_or(0, |(route, _)| tokens_of(route));
        let counted = self.count((tool, &step.key.tenant), (step.since, tokens), step.fence)?;
        let model = model.map(|(_, hold)| (tokens, hold));
        self.calls.insert(step.fence, Call { of: Of::Lease, model, counted, is_resumed: false });
        Ok(())
    }

    /// A call of the gateway, whose tokens are not known yet.
    fn opened(&mut self, row: &CallRow) -> Verdict {
        let counted = self.count((&row.endpoint, &row.tenant), (row.began, 0), row.id)?;
        let of_tokens = counted.iter().filter_map(|(holder, window)| match window {
            Some((start, Unit::Tokens)) => Some((holder.clone(), *start)),
            _ => None,
        });
        self.untold.insert(row.id, of_tokens.collect());
        let hold = row.hold.as_ref().map_or(Nano::ZERO, |hold| hold.amount);
        let model = Some((0, hold));
        self.calls.insert(row.id, Call { of: Of::Gateway, model, counted, is_resumed: false });
        Ok(())
    }

    /// Counts a call for its rules, of which each has room.
    fn count(
        &mut self,
        (tool, tenant): (&ToolName, &TenantId),
        (since, tokens): (Time, u64),
        call: u64,
    ) -> Result<Counted, Violation> {
        let mut counted = Vec::new();
        for (tenant, rule) in self.rules.of(tool, tenant) {
            let holder = (tool.clone(), tenant, rule.label());
            let (of, count, window, units) = match rule {
                Rule::Window { units, every, time_zone, of } => {
                    let start = Window::at(since, every, &time_zone).start;
                    let start = self.not_before(&holder, start);
                    let count = self.windows.entry((holder.clone(), start)).or_default();
                    let taken = if of == Unit::Tokens { tokens } else { 1 };
                    (units, &mut count.units, Some((start, of)), taken)
                }
                Rule::Concurrent { calls } => {
                    let count = self.at_once.entry(holder.clone()).or_default();
                    (u64::from(calls), count, None, 1)
                }
                Rule::Bucket { .. } => continue,
            };
            *count += units;
            holds(units == 0 || *count <= of, PROMISE, || {
                format!("call {call} makes it {count} of {holder:?}, which allows {of}")
            })?;
            counted.push((holder, window));
        }
        Ok(counted)
    }

    /// A clock that was set back while the owner was down does not open a window again: what is sent then counts in the
    /// newest that was begun.
    fn not_before(&self, holder: &Holder, start: Time) -> Time {
        let later = (holder.clone(), start)..=(holder.clone(), Time::MAX);
        self.windows.range(later).next_back().map_or(start, |((_, newest), _)| *newest)
    }

    /// A call is over, and the lease that it was made for is what it is then.
    fn over(&mut self, fence: u64, state: Option<&StepState>, ended: Option<&CallRow>) {
        let is_unsent = self.unsent.remove(&fence);
        let Some(call) = self.calls.remove(&fence) else { return };
        let back = match call.model {
            Some((taken, hold)) => back_of_model(taken, hold, ended),
            None if !is_unsent => Back::Nothing,
            None => match state {
                Some(StepState::Failed { failure }) if &*failure.class == NOT_SENT => Back::All(0),
                // What was said may have come when the lease was over already.
                _ => Back::Unknown(0),
            },
        };
        for (holder, window) in call.counted {
            let Some((start, of)) = window else {
                let count = self.at_once.entry(holder).or_default();
                *count = count.saturating_sub(1);
                continue;
            };
            if !call.is_resumed {
                let count = self.windows.entry((holder, start)).or_default();
                back.give(of, count);
            }
        }
    }

    fn agrees(&self, row: &UseRow) -> Verdict {
        let Used::Window { start, units } = row.used else { return Ok(()) };
        let holder = (row.tool.clone(), row.tenant.clone(), row.rule.to_string());
        let count = self.windows.get(&(holder, start));
        let is_blurred = count.is_some_and(|count| count.is_blurred);
        holds(is_blurred || count.map_or(0, |count| count.units) == units, PROMISE, || {
            format!("{row:?} is stored, but calls took {count:?}")
        })
    }
}

fn tokens_of(route: &Route) -> u64 {
    u64::from(route.input) + u64::from(route.output)
}

/// What returns to its window.
#[derive(Clone, Copy, Debug)]
enum Back {
    Nothing,
    /// The call, and so many tokens.
    All(u64),
    /// It took so many tokens, and used so many.
    Corrected(u64, u64),
    /// Nothing, or all of these tokens and the call.
    Unknown(u64),
}

impl Back {
    fn give(self, of: Unit, count: &mut Count) {
        let less = match (self, of) {
            (Self::Nothing, _) | (Self::Corrected(..), Unit::Calls) => 0,
            (Self::All(_) | Self::Unknown(_), Unit::Calls) => 1,
            (Self::All(tokens) | Self::Unknown(tokens), Unit::Tokens) => tokens,
            (Self::Corrected(taken, used), Unit::Tokens) => {
                count.units += used;
                taken
            }
        };
        count.units = count.units.saturating_sub(less);
        count.is_blurred |= matches!(self, Self::Unknown(_));
    }
}

/// Every call of a model that was sent has its row; what is in it was used, unless nobody said so.
fn back_of_model(taken: u64, hold: Nano, ended: Option<&CallRow>) -> Back {
    match ended {
        None => Back::All(taken),
        Some(row) if row.metered != Metered::default() => {
            Back::Corrected(taken, row.metered.usage.total())
        }
        Some(row) if row.cost == Nano::ZERO || hold == Nano::ZERO => Back::Unknown(taken),
        Some(_) => Back::Nothing,
    }
}

/// What is declared at each point of the stream of changes.
#[derive(Debug, Default)]
struct Rules {
    tools: BTreeMap<ToolName, Vec<Rule>>,
    classes: BTreeMap<ClassName, BTreeMap<ToolName, Vec<Rule>>>,
    class_of: BTreeMap<TenantId, ClassName>,
}

impl Rules {
    fn follow(&mut self, change: &Change) {
        match change {
            Change::Tool(tool) => drop(self.tools.insert(tool.name.clone(), tool.limits.clone())),
            Change::Class(class) => {
                self.classes.insert(class.name.clone(), class.quotas.clone());
            }
            Change::Tenant(tenant, context) => {
                self.class_of.remove(&tenant.id);
                let class = context.budget_class.clone();
                self.class_of.extend(class.map(|class| (tenant.id.clone(), class)));
            }
            _ => {}
        }
    }

    /// The rules that a call meets: the tenant's own and the provider's.
    fn of(&self, tool: &ToolName, tenant: &TenantId) -> Vec<(Option<TenantId>, Rule)> {
        let class = self.class_of.get(tenant).and_then(|class| self.classes.get(class));
        let own = class.and_then(|quotas| quotas.get(tool)).into_iter().flatten();
        let own = own.map(|rule| (Some(tenant.clone()), rule.clone()));
        let shared = self.tools.get(tool).into_iter().flatten();
        own.chain(shared.map(|rule| (None, rule.clone()))).collect()
    }
}
