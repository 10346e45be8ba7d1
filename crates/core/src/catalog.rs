//! What the server itself calls: endpoints of providers, models by alias, and what they cost.
//!
//! An alias is what workflows and clients name. It stands for candidates, best first, each a model at an endpoint; a tier
//! sees those that are meant for it. An endpoint is a tool of the catalog, so that limits, quotas and breakers are those of
//! tools. Prices have versions: what a call costs is what was in force when it was let through.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ModelName, PriceName, TierName, ToolName};
use crate::money::Nano;
use crate::time::{Span, Time};

/// Most candidates of one model.
pub const CANDIDATES_MAX: usize = 16;
/// Most versions of one price that are kept.
pub const PRICE_VERSIONS_MAX: usize = 64;
/// Largest number of tokens of one call, in or out.
pub const TOKENS_MAX: u32 = 100_000_000;
/// Largest price of a million tokens.
pub const PRICE_MAX: Nano = Nano(1_000_000_000_000_000);
/// Largest surcharge, in thousandths of the price.
pub const SURCHARGE_MAX: u32 = 100_000;
/// Shortest and longest bound on one call.
pub const CALL_TIMEOUT_MIN: Span = Span::from_millis(1);
pub const CALL_TIMEOUT_MAX: Span = Span::from_secs(3_600);
/// Largest answer that is read.
pub const ANSWER_BYTES_MAX: u32 = 64 << 20;
/// Longest name that an endpoint may have for a model.
pub const MODEL_ID_BYTES_MAX: usize = 256;
/// Most tiers of one candidate.
pub const TIERS_MAX: usize = 64;
/// Most headers of a request.
pub const HEADERS_MAX: usize = 32;

/// What prices are given for.
const PRICED_TOKENS: u128 = 1_000_000;

/// How the server calls a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// Of `Chat`: the base, such as `https://models.example/v1`. Of `Http`: a template; scheme and host are fixed.
    pub url: Arc<str>,
    /// The variable of the server's environment with the key, which is sent as `Authorization: Bearer`.
    pub key: Option<Arc<str>>,
    /// Whether its address may be a private one.
    pub allow_private: bool,
    /// Bound on one call.
    pub timeout: Span,
    /// Bound on an answer.
    pub answer_bytes_max: u32,
    /// On top of the price, for the region that it is in.
    pub surcharge_permille: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Chat completions and embeddings, as `OpenAI` has them.
    Chat,
    /// One request, made from a template.
    Http(Request),
}

/// The request of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub method: Method,
    pub headers: Vec<(Arc<str>, Header)>,
    /// A template of JSON; `None`: the step's inputs as they are, or nothing for `Get` and `Delete`.
    pub body: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    Text(Arc<str>),
    /// The variable of the server's environment that has its value.
    Secret(Arc<str>),
}

/// A model by the name that workflows use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub name: ModelName,
    /// Best first.
    pub candidates: Vec<Candidate>,
}

/// One way to serve a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub endpoint: ToolName,
    /// What the endpoint calls the model.
    pub model: Arc<str>,
    pub price: PriceName,
    /// Who may use it; empty: every tier.
    pub tiers: Vec<TierName>,
}

/// The versions of one price, in order of their beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub name: PriceName,
    pub versions: Vec<PriceVersion>,
}

/// What a million tokens cost from a moment on, until the next version begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceVersion {
    pub from: Time,
    pub rates: Rates,
    /// Rates of the whole call if its input is longer than so many tokens.
    pub long: Option<(u32, Rates)>,
    /// Most tokens of one call, in and out together.
    pub context: Option<u32>,
    /// Most tokens that come out of one call.
    pub output_max: Option<u32>,
}

/// For a million tokens each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    pub input: Nano,
    /// Of input that the provider had in its cache; `None`: the same as `input`.
    pub cached: Option<Nano>,
    pub output: Nano,
}

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All that went in, cached ones included.
    pub input: u32,
    pub cached: u32,
    pub output: u32,
}

/// What a call used, and whether its provider said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metered {
    pub usage: Usage,
    /// False: counted by the server itself, or not at all.
    pub is_certain: bool,
}

impl Usage {
    /// In and out together.
    pub const fn total(self) -> u64 {
        self.input as u64 + self.output as u64
    }
}

impl Endpoint {
    pub const fn is_chat(&self) -> bool {
        matches!(self.protocol, Protocol::Chat)
    }
}

impl Candidate {
    /// Whether tenants of that tier may use it.
    pub fn is_for(&self, tier: &TierName) -> bool {
        self.tiers.is_empty() || self.tiers.contains(tier)
    }
}

impl Price {
    /// The version in force.
    pub fn at(&self, now: Time) -> Option<&PriceVersion> {
        self.versions.iter().rev().find(|version| version.from <= now)
    }
}

impl PriceVersion {
    /// What a call costs, with a surcharge in thousandths; a part of a nano-unit counts as a whole one.
    pub fn cost(&self, usage: Usage, surcharge_permille: u32) -> Nano {
        let Usage { input, cached, output } = usage;
        let rates = match self.long {
            Some((above, rates)) if input > above => rates,
            _ => self.rates,
        };
        let cached = cached.min(input);
        let of = |tokens: u32, rate: Nano| u128::from(tokens) * u128::from(rate.0);
        let total = of(input - cached, rates.input)
            + of(cached, rates.cached.unwrap_or(rates.input))
            + of(output, rates.output);
        let charged = total * u128::from(1_000 + surcharge_permille);
        Nano(u64::try_from(charged.div_ceil(PRICED_TOKENS * 1_000)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> PriceVersion {
        let rates = |input, cached, output| Rates {
            input: Nano::from_cents(input),
            cached: Some(Nano::from_cents(cached)),
            output: Nano::from_cents(output),
        };
        PriceVersion {
            from: Time(10),
            rates: rates(200, 20, 1_000),
            long: Some((200_000, rates(400, 40, 1_500))),
            context: Some(922_000),
            output_max: None,
        }
    }

    #[test]
    fn a_call_costs_its_tokens_at_the_rate_of_each_kind() {
        let usage = Usage { input: 3_000, cached: 1_000, output: 500 };
        // 2,000 at 2.00, 1,000 at 0.20 and 500 at 10.00 a million.
        assert_eq!(version().cost(usage, 0), "0.0092".parse().unwrap());
        assert_eq!(version().cost(usage, 100), "0.01012".parse().unwrap());
    }

    #[test]
    fn a_long_input_has_its_own_rates_for_the_whole_call() {
        let usage = |input| Usage { input, cached: 0, output: 1_000 };
        assert_eq!(version().cost(usage(200_000), 0), "0.41".parse().unwrap());
        assert_eq!(version().cost(usage(200_001), 0), "0.815004".parse().unwrap());
    }

    #[test]
    fn a_part_of_a_nano_unit_is_paid_as_a_whole_one() {
        let rates = Rates { input: Nano(1), cached: None, output: Nano(0) };
        let cheap = PriceVersion { rates, long: None, ..version() };
        let usage = Usage { input: 1, cached: 1, output: 9 };
        assert_eq!(cheap.cost(usage, 0), Nano(1));
        assert_eq!(cheap.cost(Usage::default(), 0), Nano::ZERO);
    }

    #[test]
    fn the_version_in_force_is_the_last_one_that_has_begun() {
        let later = PriceVersion { from: Time(20), ..version() };
        let price =
            Price { name: PriceName::parse("m").unwrap(), versions: vec![version(), later] };
        let begun = |now| price.at(Time(now)).map(|version| version.from.0);
        assert_eq!([9, 10, 19, 20].map(begun), [None, Some(10), Some(10), Some(20)]);
    }
}
