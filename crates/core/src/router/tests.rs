//! Which way a call goes, and what it may cost.

use std::collections::BTreeMap;

use super::*;
use crate::catalog::{Endpoint, Protocol, Rates};
use crate::time::Span;

#[derive(Default)]
struct Known {
    models: BTreeMap<ModelName, Vec<Candidate>>,
    tools: BTreeMap<ToolName, Tool>,
    prices: BTreeMap<PriceName, Price>,
}

impl Catalog for Known {
    fn candidates(&self, model: &ModelName) -> Option<&[Candidate]> {
        self.models.get(model).map(Vec::as_slice)
    }

    fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.tools.get(name)
    }

    fn price(&self, name: &PriceName) -> Option<&Price> {
        self.prices.get(name)
    }
}

fn model() -> ModelName {
    "reasoner".parse().unwrap()
}

fn tier(name: &str) -> TierName {
    name.parse().unwrap()
}

fn candidate(model: &str, tiers: &[&str]) -> Candidate {
    Candidate {
        endpoint: format!("at-{model}").parse().unwrap(),
        model: model.into(),
        price: model.parse().unwrap(),
        tiers: tiers.iter().map(|name| tier(name)).collect(),
    }
}

/// `large` for enterprises at 2.00 and 10.00 a million, `small` for all at a tenth of it.
fn known() -> Known {
    let mut known = Known::default();
    known
        .models
        .insert(model(), vec![candidate("large", &["enterprise"]), candidate("small", &[])]);
    for (name, cents) in [("large", 200), ("small", 20)] {
        let endpoint = Endpoint {
            protocol: Protocol::Chat,
            url: "http://127.0.0.1/v1".into(),
            key: None,
            allow_private: true,
            timeout: Span::from_secs(60),
            answer_bytes_max: 1 << 20,
            surcharge_permille: 0,
        };
        let tool: ToolName = format!("at-{name}").parse().unwrap();
        let declared = Tool { endpoint: Some(endpoint), ..Tool::new(tool.clone(), Vec::new()) };
        known.tools.insert(tool, declared);
        let rates = Rates {
            input: Nano::from_cents(cents),
            cached: None,
            output: Nano::from_cents(cents * 5),
        };
        let version = PriceVersion {
            from: Time(100),
            rates,
            long: None,
            context: Some(8_000),
            output_max: Some(4_000),
        };
        let name: PriceName = name.parse().unwrap();
        known.prices.insert(name.clone(), Price { name, versions: vec![version] });
    }
    known
}

const DEMAND: Demand = Demand { input: 1_000, max_output: 1_000, min_output: 250, answers: 1 };

#[expect(clippy::unnecessary_wraps, reason = "others refuse")]
fn anywhere(_: &Tool) -> Result<Option<Country>, Because> {
    Ok(None)
}

fn enterprise_ways() -> Vec<Way> {
    ways(&known(), Time(100), (&model(), &tier("enterprise")), DEMAND, &anywhere).unwrap().ways
}

/// The choices with so much left, as way, output and rung.
fn with_left(left: &str, rungs: &[Rung]) -> Result<Vec<(usize, u32, Option<Rung>)>, Nano> {
    let left: Nano = left.parse().unwrap();
    let can_pay = |need: Nano| if need <= left { Ok(()) } else { Err(need) };
    let rungs = model_rungs(rungs, false);
    let found = choices(&enterprise_ways(), DEMAND, rungs, can_pay)?;
    Ok(found.iter().map(|choice| (choice.way, choice.output, choice.rung)).collect())
}

#[test]
fn a_tier_is_served_by_the_candidates_that_are_meant_for_it() {
    let upstream = |name: &str| -> Vec<Arc<str>> {
        let ways = ways(&known(), Time(100), (&model(), &tier(name)), DEMAND, &anywhere).unwrap();
        ways.ways.into_iter().map(|way| way.upstream).collect()
    };
    assert_eq!(upstream("enterprise"), ["large".into(), "small".into()]);
    assert_eq!(upstream("free"), ["small".into()]);
}

#[test]
fn without_a_way_the_reason_is_told() {
    let enterprise = tier("enterprise");
    let because = |known: &Known, now: u64, input: u32| {
        let demand = Demand { input, ..DEMAND };
        ways(known, Time(now), (&model(), &enterprise), demand, &anywhere).unwrap_err().because
    };
    let mut catalog = known();
    assert_eq!(because(&catalog, 99, 1_000), NoWay::Price, "its first version begins later");
    assert_eq!(because(&catalog, 100, 7_751), NoWay::Context);
    assert!(
        ways(
            &catalog,
            Time(100),
            (&model(), &enterprise),
            Demand { input: 7_750, ..DEMAND },
            &anywhere
        )
        .is_ok()
    );
    for tool in catalog.tools.values_mut() {
        tool.endpoint = None;
    }
    assert_eq!(because(&catalog, 100, 1_000), NoWay::Endpoint);
    catalog.models.insert(model(), vec![candidate("large", &["other"])]);
    assert_eq!(because(&catalog, 100, 1_000), NoWay::Tier);
    catalog.models.clear();
    assert_eq!(because(&catalog, 100, 1_000), NoWay::UnknownModel);
}

#[test]
fn the_output_is_bounded_by_what_the_model_gives() {
    let most = |input: u32, max_output: u32| {
        let demand = Demand { input, max_output, min_output: 1, answers: 1 };
        ways(&known(), Time(100), (&model(), &tier("free")), demand, &anywhere).unwrap().ways[0]
            .output
    };
    assert_eq!([most(1_000, 900), most(1_000, 9_000), most(7_000, 9_000)], [900, 4_000, 1_000]);
}

#[test]
fn each_of_several_answers_has_the_bounds_of_the_model() {
    let most = |input: u32, max_output: u32| {
        let demand = Demand { input, max_output, min_output: 5, answers: 5 };
        ways(&known(), Time(100), (&model(), &tier("free")), demand, &anywhere).unwrap().ways[0]
            .output
    };
    assert_eq!(
        [most(1_000, 5_000), most(1_000, 50_000), most(7_000, 50_000)],
        [5_000, 20_000, 5_000]
    );
}

#[test]
fn what_goes_in_is_bounded_where_nothing_comes_out() {
    let of = |input: u32| {
        let demand = Demand { input, max_output: 0, min_output: 0, answers: 1 };
        ways(&known(), Time(100), (&model(), &tier("free")), demand, &anywhere)
            .map(|found| found.ways.len())
            .map_err(|none| none.because)
    };
    assert_eq!([of(8_000), of(8_001)], [Ok(1), Err(NoWay::Context)]);
}

#[test]
fn with_money_for_all_the_next_candidates_stand_in_for_the_first() {
    let both = vec![(0, 1_000, None), (1, 1_000, None)];
    assert_eq!(with_left("0.012", &[]), Ok(both.clone()));
    assert_eq!(with_left("1", &[Rung::CheaperModel]), Ok(both));
}

#[test]
fn what_is_too_dear_is_replaced_only_as_the_ladder_says() {
    let need: Nano = "0.012".parse().unwrap();
    assert_eq!(with_left("0.011", &[]), Err(need));
    assert_eq!(with_left("0.011", &[Rung::Pause, Rung::CheaperModel]), Err(need));
    let cheaper = (1, 1_000, Some(Rung::CheaperModel));
    assert_eq!(with_left("0.011", &[Rung::CheaperModel]), Ok(vec![cheaper]));
    let shorter = (0, 900, Some(Rung::ShorterOutput));
    assert_eq!(with_left("0.011", &[Rung::ShorterOutput]), Ok(vec![shorter]));
    let first = [Rung::ShorterOutput, Rung::CheaperModel];
    assert_eq!(with_left("0.011", &first), Ok(vec![shorter, cheaper]));
    let then = [Rung::SkipOptional, Rung::CheaperModel, Rung::ShorterOutput];
    assert_eq!(with_left("0.011", &then), Ok(vec![cheaper, shorter]));
}

#[test]
fn the_shortest_output_is_the_least_that_is_worth_a_call() {
    let rungs = [Rung::CheaperModel, Rung::ShorterOutput];
    // 250 out of the small one: 0.0002 + 0.00025.
    assert_eq!(with_left("0.00045", &rungs), Ok(vec![(1, 250, Some(Rung::ShorterOutput))]));
    assert_eq!(with_left("0.000449", &rungs), Err("0.00045".parse().unwrap()));
}

#[test]
fn an_optional_step_is_left_out_before_what_comes_later_in_the_ladder() {
    let ladder = [Rung::ShorterOutput, Rung::SkipOptional, Rung::CheaperModel];
    let rungs = |is_optional| model_rungs(&ladder, is_optional).collect::<Vec<_>>();
    assert_eq!(rungs(true), [Rung::ShorterOutput]);
    assert_eq!(rungs(false), [Rung::ShorterOutput, Rung::CheaperModel]);
}
