//! What the server itself calls in one simulation: endpoints with limits in calls and tokens, models by alias, and prices,
//! some of them dear, some of them about to change.

use fairlane_core::calendar::{Calendar, TimeZone};
use fairlane_core::catalog::{
    Candidate, Endpoint, Model, Price, PriceVersion, Protocol, Rates, Usage,
};
use fairlane_core::id::{ModelName, PriceName, ToolName};
use fairlane_core::money::Nano;
use fairlane_core::plan::ModelCall;
use fairlane_core::quota::{Breaker, Rule, Tool, Unit};
use fairlane_core::tenant::Tier;
use fairlane_core::time::Span;

use crate::landscape::millis;
use crate::plans;
use crate::prng::Prng;
use crate::world::START;

/// Tools that workers call, and that the server calls by steps without a task.
pub(crate) const TOOLS: u64 = 2;
/// Longest output that a step asks for.
const OUTPUT_MAX: u32 = 2_000;

/// The endpoint of that number, which models are called at.
pub(crate) fn endpoint(prng: &mut Prng, at: u64) -> Tool {
    let breaker = prng
        .chance(500)
        .then(|| Breaker { failures: prng.small(1, 3), open_for: millis(prng, 100, 3_000) });
    let endpoint = Endpoint {
        protocol: Protocol::Chat,
        url: "http://127.0.0.1:9/v1".into(),
        key: None,
        allow_private: true,
        timeout: Span::from_secs(60),
        answer_bytes_max: 1 << 20,
        surcharge_permille: *prng.pick(&[0, 0, 100]),
    };
    let limits = limits(prng, 20);
    Tool { endpoint: Some(endpoint), breaker, ..Tool::new(endpoint_name(at), limits) }
}

pub(crate) fn endpoint_name(at: u64) -> ToolName {
    plans::tool(TOOLS + at)
}

/// Up to two rules with counts of their own, in calls, in tokens, or in both.
pub(crate) fn limits(prng: &mut Prng, most: u64) -> Vec<Rule> {
    let mut rules = Vec::new();
    if prng.chance(400) {
        rules.push(crate::landscape::rule(prng, most));
    }
    if prng.chance(500) {
        rules.push(tokens(prng, most));
    }
    rules
}

/// Sometimes fewer than one call takes.
fn tokens(prng: &mut Prng, most: u64) -> Rule {
    let of = Unit::Tokens;
    if prng.chance(700) {
        Rule::Window {
            units: prng.between(1_000, most * 2_000),
            every: *prng.pick(&[Calendar::Minute, Calendar::Hour]),
            time_zone: TimeZone::UTC,
            of,
        }
    } else {
        Rule::Bucket {
            units: prng.between(500, most * 500),
            per: millis(prng, 100, 5_000),
            burst: prng.between(2_000, 10_000),
            of,
        }
    }
}

/// The first is mostly so dear that many runs cannot pay a call, the last next to nothing; some change while everything runs.
pub(crate) fn price(prng: &mut Prng, at: u64) -> Price {
    let mut versions = vec![version(prng, at)];
    if prng.chance(400) {
        let from = START + millis(prng, 0, 20_000);
        versions.push(PriceVersion { from, ..version(prng, at) });
    }
    Price { name: price_name(at), versions }
}

fn version(prng: &mut Prng, at: u64) -> PriceVersion {
    let cents = match at {
        0 => *prng.pick(&[500, 3_000, 10_000, 20_000]),
        1 => *prng.pick(&[100, 1_000, 3_000]),
        _ => *prng.pick(&[0, 100, 500]),
    };
    let rates = |cents| Rates {
        input: Nano::from_cents(cents),
        cached: Some(Nano::from_cents(cents / 10)),
        output: Nano::from_cents(3 * cents),
    };
    PriceVersion {
        from: fairlane_core::time::Time(0),
        rates: rates(cents),
        long: prng.chance(200).then(|| (2_000, rates(2 * cents))),
        context: prng.chance(300).then(|| prng.small(2_000, 8_000)),
        output_max: prng.chance(300).then(|| prng.small(200, 2_000)),
    }
}

pub(crate) fn price_name(at: u64) -> PriceName {
    PriceName::parse(&format!("price-{at}")).expect("a valid name")
}

/// One to three candidates, now and then for some tiers only.
pub(crate) fn model(
    prng: &mut Prng,
    at: u64,
    (endpoints, prices): (u64, u64),
    tiers: &[Tier],
) -> Model {
    let mut of: Vec<u64> = (0..prng.between(1, 3)).map(|_| prng.below(prices)).collect();
    // What is better is dearer, as a rule.
    if prng.chance(700) {
        of.sort_unstable();
    }
    let candidates = of.into_iter().zip(0..).map(|(price, number): (u64, u64)| Candidate {
        endpoint: endpoint_name(prng.below(endpoints)),
        model: format!("m{at}.{number}").into(),
        price: price_name(price),
        tiers: if prng.chance(200) { vec![prng.pick(tiers).name.clone()] } else { Vec::new() },
    });
    Model { name: model_name(at), candidates: candidates.collect() }
}

pub(crate) fn model_name(at: u64) -> ModelName {
    ModelName::parse(&format!("model-{at}")).expect("a valid name")
}

/// A step's call of one of so many models.
pub(crate) fn call(prng: &mut Prng, models: u64) -> ModelCall {
    let max_tokens = prng.small(20, OUTPUT_MAX);
    ModelCall {
        model: model_name(prng.below(models)),
        system: None,
        prompt: "drawn".into(),
        max_tokens,
        min_tokens: prng.small(1, max_tokens),
    }
}

/// What a call used for which so much was set aside: mostly within that, sometimes more in or out than anyone expected.
pub(crate) fn usage(prng: &mut Prng, input: u32, output: u32) -> Usage {
    let (input_most, output_most) = match prng.below(10) {
        0 => (input * 3, output),
        1 => (input, output * 3),
        _ => (input, output),
    };
    let input = prng.small(0, input_most);
    let cached = if prng.chance(300) { prng.small(0, input + 10) } else { 0 };
    Usage { input, cached, output: prng.small(0, output_most) }
}
