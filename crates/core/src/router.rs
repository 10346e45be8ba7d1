//! Which candidate serves a call of a model: the ways that there are for a tier, and the choices among them that money
//! allows, best first.
//!
//! Pure, on what the catalog says; what an account has left is asked of the caller, who also knows which endpoints have
//! room. Nothing is kept, and nothing is taken.
//!
//! Zone first: a candidate that the tenant's data may not go to is out before anything else is asked of it, and so never
//! comes back as a fallback, a retry or a cheaper stand-in. Every candidate that a call does not go to is told with its reason.
//!
//! The first candidate that is healthy and within its limits is used. One that cannot be paid for is passed over, or
//! asked for less, only if the tenant's ladder says so, and in the ladder's order: the choice then carries the rung.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::{Candidate, Price, PriceVersion, Usage};
use crate::id::{ModelName, PriceName, RegionName, TierName, ToolName};
use crate::money::Nano;
use crate::quota::{Rung, Tool};
use crate::residency::{Country, Outside};
use crate::time::Time;

/// Tokens of one call before it is made: what goes in, and the bounds on what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    pub input: u32,
    pub max_output: u32,
    pub min_output: u32,
    /// Answers, of which each has the model's bounds; `max_output` and `min_output` are those of all together.
    pub answers: u32,
}

/// What the catalog knows of a model's candidates.
pub trait Catalog {
    fn candidates(&self, model: &ModelName) -> Option<&[Candidate]>;
    fn tool(&self, name: &ToolName) -> Option<&Tool>;
    fn price(&self, name: &PriceName) -> Option<&Price>;
}

/// A candidate that can serve the call, as far as the catalog says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub endpoint: ToolName,
    /// What the endpoint calls the model.
    pub upstream: Arc<str>,
    pub price: PriceVersion,
    pub surcharge_permille: u32,
    /// Most tokens that may come out of it, at most what was asked for.
    pub output: u32,
    pub region: Option<RegionName>,
    /// The country whose adequacy lets the tenant's data go there.
    pub adequate: Option<Country>,
}

/// What was found: the ways, and the candidates that are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub ways: Vec<Way>,
    pub passed: Vec<Passed>,
}

/// That no candidate is a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoneFound {
    /// Of the candidate that came closest.
    pub because: NoWay,
    pub passed: Vec<Passed>,
}

/// A way with a bound on the output that can be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Position among the ways.
    pub way: usize,
    pub output: u32,
    pub need: Nano,
    /// What was done because the money was short.
    pub rung: Option<Rung>,
}

/// A candidate that a call does not go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    pub endpoint: ToolName,
    /// What the endpoint calls the model.
    pub upstream: Arc<str>,
    pub because: Because,
}

/// Why a call does not go to a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is not meant for the tenant's tier.
    Tier,
    /// The tenant may not use its endpoint.
    Denied,
    /// A policy forbids it.
    Policy { policy: Arc<str> },
    /// Its endpoint is outside of where the tenant's data may be.
    Outside(Outside),
    /// Its endpoint is not declared, or the server cannot call it.
    Endpoint,
    /// No price is in force for it.
    Price,
    /// More goes in and comes out than it takes.
    Context,
    /// It gave no answer to this call just now.
    Broken,
    /// It costs more than there is.
    Money { need: Nano },
    /// It has no room, or is left alone, by this rule.
    Limit { rule: Arc<str> },
    /// One before it was taken.
    NotNeeded,
}

/// Why no candidate can serve a call, whatever money and limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoWay {
    UnknownModel,
    /// None is meant for the tenant's tier.
    Tier,
    /// The tenant may not use their endpoints.
    Denied,
    /// Their endpoints are outside of where the tenant's data may be.
    Outside,
    /// Their endpoints are not declared, or the server cannot call them.
    Endpoint,
    /// No price is in force for them.
    Price,
    /// More goes in and comes out than they take.
    Context,
}

impl Way {
    /// What the call costs at most.
    pub fn cost(&self, input: u32, output: u32) -> Nano {
        self.price.cost(Usage { input, cached: 0, output }, self.surcharge_permille)
    }
}

/// The ways of a tier, best first; at least one. `may` says whether the tenant may use an endpoint at all, and on which
/// country's adequacy that rests: what it refuses is no way, whatever else becomes of the call.
///
/// # Errors
/// Of several reasons the last one is told, which came closest.
pub fn ways(
    catalog: &impl Catalog,
    now: Time,
    (model, tier): (&ModelName, &TierName),
    demand: Demand,
    may: &impl Fn(&Tool) -> Result<Option<Country>, Because>,
) -> Result<Found, NoneFound> {
    let Some(candidates) = catalog.candidates(model) else {
        return Err(NoneFound { because: NoWay::UnknownModel, passed: Vec::new() });
    };
    let mut found = Found::default();
    let mut closest = NoWay::Tier;
    for candidate in candidates {
        let way = if candidate.is_for(tier) {
            way(catalog, now, candidate, demand, may)
        } else {
            Err(Because::Tier)
        };
        match way {
            Ok(way) => found.ways.push(way),
            Err(because) => {
                closest = closest.max(because.of_all());
                let (endpoint, upstream) = (candidate.endpoint.clone(), candidate.model.clone());
                found.passed.push(Passed { endpoint, upstream, because });
            }
        }
    }
    if found.ways.is_empty() {
        return Err(NoneFound { because: closest, passed: found.passed });
    }
    Ok(found)
}

fn way(
    catalog: &impl Catalog,
    now: Time,
    candidate: &Candidate,
    demand: Demand,
    may: &impl Fn(&Tool) -> Result<Option<Country>, Because>,
) -> Result<Way, Because> {
    let tool = catalog.tool(&candidate.endpoint).ok_or(Because::Endpoint)?;
    let adequate = may(tool)?;
    let endpoint = tool.endpoint.as_ref().filter(|endpoint| endpoint.is_chat());
    let endpoint = endpoint.ok_or(Because::Endpoint)?;
    let price = catalog.price(&candidate.price).and_then(|price| price.at(now));
    let price = *price.ok_or(Because::Price)?;
    let room = price.context.map_or(u32::MAX, |context| context.saturating_sub(demand.input));
    // Each answer may be as long as that.
    let output_max = price.output_max.map_or(u32::MAX, |max| max.saturating_mul(demand.answers));
    let output = demand.max_output.min(output_max).min(room.saturating_mul(demand.answers));
    let is_too_long = price.context.is_some_and(|context| demand.input > context);
    if is_too_long || output < demand.min_output.min(output_max) {
        return Err(Because::Context);
    }
    Ok(Way {
        endpoint: candidate.endpoint.clone(),
        upstream: candidate.model.clone(),
        price,
        surcharge_permille: endpoint.surcharge_permille,
        output,
        region: tool.location.region.clone(),
        adequate,
    })
}

impl Because {
    /// The same said of all candidates.
    const fn of_all(&self) -> NoWay {
        match self {
            Self::Tier | Self::NotNeeded => NoWay::Tier,
            Self::Denied | Self::Policy { .. } => NoWay::Denied,
            Self::Outside(_) => NoWay::Outside,
            Self::Endpoint | Self::Broken | Self::Limit { .. } => NoWay::Endpoint,
            Self::Price | Self::Money { .. } => NoWay::Price,
            Self::Context => NoWay::Context,
        }
    }
}

/// The rungs of a ladder that change how a model is called, up to the first that does something else with the step.
pub fn model_rungs(ladder: &[Rung], is_optional: bool) -> impl Iterator<Item = Rung> {
    let is_for_models = |rung: &Rung| matches!(rung, Rung::CheaperModel | Rung::ShorterOutput);
    let passed =
        ladder.iter().copied().filter(move |rung| *rung != Rung::SkipOptional || is_optional);
    passed.take_while(is_for_models)
}

/// The choices that can be paid for, best first; at least one. If there is none: what the cheapest one that the ladder
/// allows lacks.
pub fn choices<E>(
    ways: &[Way],
    demand: Demand,
    rungs: impl Iterator<Item = Rung>,
    can_pay: impl Fn(Nano) -> Result<(), E>,
) -> Result<Vec<Choice>, E> {
    let full = |at: usize, rung| {
        let way = &ways[at];
        Choice { way: at, output: way.output, need: way.cost(demand.input, way.output), rung }
    };
    // Without a shortage, the next ones stand in for those before whose endpoints have no room.
    let mut found: Vec<Choice> = Vec::new();
    let mut short = None;
    for at in 0..ways.len() {
        let choice = full(at, None);
        match can_pay(choice.need) {
            Ok(()) => found.push(choice),
            Err(lacks) => {
                short = Some((at, lacks));
                break;
            }
        }
    }
    let Some((from, mut lacks)) = short else { return Ok(found) };
    // Those that may be asked for less: the one that was too dear, and the cheaper ones once they are allowed.
    let mut tried = from..from + 1;
    for rung in rungs {
        match rung {
            Rung::CheaperModel => {
                let dear = full(from, None).need;
                tried = from..ways.len();
                for at in from + 1..ways.len() {
                    let choice = full(at, Some(rung));
                    if choice.need >= dear {
                        continue;
                    }
                    match can_pay(choice.need) {
                        Ok(()) => found.push(choice),
                        Err(less) => lacks = less,
                    }
                }
            }
            Rung::ShorterOutput => {
                for at in tried.clone() {
                    if found.iter().any(|choice| choice.way == at) {
                        continue;
                    }
                    match shorter(&ways[at], at, demand, &can_pay) {
                        Ok(choice) => found.push(choice),
                        Err(less) => lacks = less,
                    }
                }
            }
            Rung::SkipOptional | Rung::Escalate | Rung::Pause | Rung::Fail => break,
        }
    }
    if found.is_empty() { Err(lacks) } else { Ok(found) }
}

/// The most that can come out of a way for what is left, if it is worth a call.
fn shorter<E>(
    way: &Way,
    at: usize,
    demand: Demand,
    can_pay: &impl Fn(Nano) -> Result<(), E>,
) -> Result<Choice, E> {
    let least = demand.min_output.min(way.output);
    can_pay(way.cost(demand.input, least))?;
    let (mut fits, mut above) = (least, way.output);
    while above - fits > 1 {
        let middle = fits + (above - fits) / 2;
        match can_pay(way.cost(demand.input, middle)) {
            Ok(()) => fits = middle,
            Err(_) => above = middle,
        }
    }
    let need = way.cost(demand.input, fits);
    Ok(Choice { way: at, output: fits, need, rung: Some(Rung::ShorterOutput) })
}

#[cfg(test)]
mod tests;
