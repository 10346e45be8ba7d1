//! P8: a call of a model goes the way that the catalog and the money let it. Its candidate is one for the tenant's tier, at
//! the price in force; what stands before it could be paid for, or else the tenant's ladder lets a cheaper one stand in, or
//! less come out, and the call says so. Which candidates have room is not asked here.

use std::collections::BTreeMap;

use fairlane_core::catalog::{Endpoint, Usage};
use fairlane_core::cell::change::Change;
use fairlane_core::money::Nano;
use fairlane_core::plan::{ModelCall, StepKind};
use fairlane_core::quota::Rung;
use fairlane_core::row::{Hold, Part, ReviewState, Route, RunKey, StepRow, StepState};

use super::p08_money::{Account, accounts_of, has, held};
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P8 way";

/// What is held before a lease of the turn was given.
struct Before<'a> {
    rows: &'a Rows,
    accounts: BTreeMap<Account, Nano>,
    runs: BTreeMap<RunKey, Nano>,
}

/// A candidate that could serve, and what it would cost at most.
struct Way {
    upstream: std::sync::Arc<str>,
    output: u32,
    cost: Nano,
}

pub(crate) fn committed(changes: &[Change], rows: &Rows) -> Verdict {
    let leased = |change: &Change| match change {
        Change::Step(step) => match &step.state {
            StepState::Leased { hold: Some(hold), route, .. } => {
                Some(((**step).clone(), hold.clone(), route.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    let leased: Vec<_> = changes.iter().filter_map(leased).collect();
    if leased.iter().all(|(.., route)| route.is_none()) {
        return Ok(());
    }
    // Nothing is settled once the first lease of a turn is given, so that what was held before each is what is held after the
    // turn, without those that came later.
    let mut before = Before { rows, accounts: held(rows), runs: BTreeMap::new() };
    for (step, hold, route) in leased.iter().rev() {
        before.take_back(step, hold);
        if let Some(route) = route {
            before.judge(step, hold, route)?;
        }
    }
    Ok(())
}

impl Before<'_> {
    fn take_back(&mut self, step: &StepRow, hold: &Hold) {
        for account in accounts_of(&step.key.tenant, hold) {
            if let Some(held) = self.accounts.get_mut(&account) {
                *held = held.minus(hold.amount);
            }
        }
        let rows = self.rows;
        let held = self.runs.entry(step.key.clone());
        let held = held.or_insert_with(|| super::p08_money::held_of_run(&step.key, rows));
        *held = held.minus(hold.amount);
    }

    fn judge(&self, step: &StepRow, hold: &Hold, route: &Route) -> Verdict {
        let run = self.rows.runs.get(&step.key);
        let Some(plan) = run.and_then(|run| self.rows.workflow_of(run)) else { return Ok(()) };
        let declared = plan.step(step.instance.step);
        let StepKind::Model(call) = &declared.kind else {
            return holds(false, PROMISE, || format!("{step:?} calls no model"));
        };
        let ways = self.ways(step, route, call);
        let Some(at) = ways.iter().position(|way| way.upstream == route.upstream) else {
            return holds(false, PROMISE, || format!("{step:?} goes a way that is none"));
        };
        let is_optional = declared.optional && step.instance.part == Part::Whole;
        let rungs = self.rungs(step, is_optional);
        let can_pay = |way: &Way| self.can_pay(step, hold, way.cost);
        let dear = ways[..=at].iter().position(|way| !can_pay(way));
        let way = &ways[at];
        let is_full = route.output == way.output;
        let is_so = match (route.rung, dear) {
            (None, None) => is_full,
            (Some(Rung::CheaperModel), Some(dear)) => {
                let is_cheaper = dear < at && way.cost < ways[dear].cost && can_pay(way);
                is_full && is_cheaper && rungs.contains(&Rung::CheaperModel)
            }
            (Some(Rung::ShorterOutput), Some(dear)) => {
                // Asked for again after `CheaperModel`, it is for the cheaper ones too.
                let allowed = rungs.iter().rposition(|rung| *rung == Rung::ShorterOutput);
                let cheaper = rungs.iter().position(|rung| *rung == Rung::CheaperModel);
                let one_more = cost(route, route.output + 1);
                let may_stand_in = cheaper.is_some_and(|cheaper| Some(cheaper) < allowed);
                route.output < way.output
                    && !can_pay(way)
                    && !self.can_pay(step, hold, one_more)
                    && allowed.is_some()
                    && (dear == at || may_stand_in)
            }
            _ => false,
        };
        holds(is_so, PROMISE, || {
            let costs: Vec<_> = ways.iter().map(|way| (way.cost, can_pay(way))).collect();
            format!("{step:?} of {call:?} is number {at} of {costs:?}, with the rungs {rungs:?}")
        })
    }

    /// The candidates that could serve, best first.
    fn ways(&self, step: &StepRow, route: &Route, call: &ModelCall) -> Vec<Way> {
        let Rows { models, tools, prices, .. } = self.rows;
        let tier = self.rows.context(&step.key.tenant).map(|context| &context.tier);
        let candidates = models.get(&call.model).into_iter().flat_map(|model| &model.candidates);
        let way = |candidate: &fairlane_core::catalog::Candidate| {
            tier.filter(|tier| candidate.tiers.is_empty() || candidate.tiers.contains(tier))?;
            if !super::p10_residency::may_use(&step.key, &candidate.endpoint, self.rows) {
                return None;
            }
            let endpoint = tools.get(&candidate.endpoint)?.endpoint.as_ref();
            let surcharge = endpoint.filter(|of| Endpoint::is_chat(of))?.surcharge_permille;
            let price = prices.get(&candidate.price)?;
            let price = price.versions.iter().rfind(|version| version.from <= step.since)?;
            let most = price.output_max.unwrap_or(u32::MAX);
            let room = price.context.map_or(u32::MAX, |of| of.saturating_sub(route.input));
            let output = call.max_tokens.min(most).min(room);
            if output < call.min_tokens.min(most) {
                return None;
            }
            let is_it = candidate.model == route.upstream;
            let is_as_said = (price, surcharge) == (&route.price, route.surcharge_permille)
                && candidate.endpoint == route.endpoint;
            if is_it && !is_as_said {
                return None;
            }
            let usage = Usage { input: route.input, cached: 0, output };
            let cost = price.cost(usage, surcharge);
            Some(Way { upstream: candidate.model.clone(), output, cost })
        };
        candidates.filter_map(way).collect()
    }

    /// What the tenant's ladder lets a call of a model do.
    fn rungs(&self, step: &StepRow, is_optional: bool) -> Vec<Rung> {
        let context = self.rows.context(&step.key.tenant);
        let class = context.and_then(|context| context.budget_class.as_ref());
        let class = class.and_then(|class| self.rows.classes.get(class));
        let rungs = class.into_iter().flat_map(|class| &class.budget.short).copied();
        let declared = rungs
            .filter(|rung| *rung != Rung::SkipOptional || is_optional)
            .take_while(|rung| matches!(rung, Rung::CheaperModel | Rung::ShorterOutput));
        let allowed = self.people_allow_cheaper(step).then_some(Rung::CheaperModel);
        allowed.into_iter().chain(declared.filter(|rung| Some(*rung) != allowed)).collect()
    }

    /// Whether people have decided of the run that cheaper models may stand in from then on.
    fn people_allow_cheaper(&self, step: &StepRow) -> bool {
        self.rows.reviews.values().any(|row| {
            let is_cheaper = matches!(&row.state, ReviewState::Decided { outcome } if outcome.as_str() == "cheaper");
            row.run == step.key.run && is_cheaper
        })
    }

    fn can_pay(&self, step: &StepRow, hold: &Hold, need: Nano) -> bool {
        if need == Nano::ZERO {
            return true;
        }
        let money = self.rows.runs.get(&step.key).map(|run| run.money).unwrap_or_default();
        let held = self.runs.get(&step.key).copied().unwrap_or_default();
        let used = money.posted.plus(held).plus(money.reserve).plus(need);
        let fits = |account: Account| {
            let row = self.rows.accounts.get(&account);
            let posted = row.map_or(Nano::ZERO, |row| row.posted);
            let held = self.accounts.get(&account).copied().unwrap_or_default();
            has(&account, self.rows).is_none_or(|has| posted.plus(held).plus(need) <= has)
        };
        money.limit.is_none_or(|limit| used <= limit)
            && accounts_of(&step.key.tenant, hold).into_iter().all(fits)
    }
}

fn cost(route: &Route, output: u32) -> Nano {
    route.cost(Usage { input: route.input, cached: 0, output })
}
