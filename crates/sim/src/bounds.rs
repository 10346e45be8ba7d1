//! Where tools are and where tenants' data may be, in one simulation: some tenants keep to the EU, some tools say nothing.
//!
//! All of it has draws of its own, so that a world without bounds stays as it was.

use std::collections::BTreeSet;

use fairlane_core::cell::input::Configure;
use fairlane_core::id::RegionName;
use fairlane_core::quota::Tool;
use fairlane_core::residency::{
    Adequacy, Country, Decision, Declaration, Location, Residency, Storage,
};
use fairlane_core::tenant::{AfterOutage, Outage, Rules};
use fairlane_core::time::Time;

use crate::landscape::{Landscape, millis};
use crate::prng::Prng;

/// Where the cell of a simulation keeps its rows.
pub(crate) const HERE: &str = "eu-west-1";
/// Where what is called may be: in the EU, in a country that can be adequate, and outside.
const REGIONS: [&str; 4] = [HERE, "eu-central-1", "ap-northeast-1", "us-east-1"];
/// That country.
const JAPAN: &str = "JP";

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::parse(name).expect("the names above are names")
}

fn japan() -> Country {
    Country::parse(JAPAN).expect("a country")
}

/// Somewhere, or nowhere that anybody knows.
pub(crate) fn location(prng: &mut Prng) -> Location {
    let anywhere = |prng: &mut Prng| region(prng.pick::<&str>(&REGIONS));
    if prng.chance(200) {
        return Location::default();
    }
    let here = anywhere(prng);
    let storage = match prng.below(4) {
        0 => None,
        1 => Some(Storage::Nothing),
        2 => Some(Storage::Region(here.clone())),
        _ => Some(Storage::Region(anywhere(prng))),
    };
    Location { region: Some(here), storage, certificates: BTreeSet::new() }
}

/// Everywhere that a tenant of these simulations may want.
pub(crate) fn inside() -> Location {
    Location::within(region(HERE), region(HERE))
}

pub(crate) fn rules(prng: &mut Prng, tools: &[Tool]) -> Rules {
    let residency = prng.chance(600).then(|| Residency {
        zone: Some("eu".parse().expect("the name is one")),
        adequate: if prng.chance(300) { [japan()].into() } else { BTreeSet::new() },
        ..Residency::default()
    });
    let mut denied = BTreeSet::new();
    if prng.chance(250) {
        denied.insert(prng.pick(tools).name.clone());
    }
    let outage = prng.chance(700).then(|| Outage {
        alternative: prng.chance(500),
        wait: prng.chance(900).then(|| {
            let most = *prng.pick(&[500, 6_000]);
            millis(prng, 50, most)
        }),
        then: *prng.pick(&[AfterOutage::Fail, AfterOutage::Escalate]),
    });
    Rules { data_residency: residency, denied_tools: denied, outage, ..Rules::default() }
}

fn adequacy(prng: &mut Prng) -> Configure {
    let decision = Decision {
        name: "a decision".into(),
        from: Time(0),
        until: None,
        certificate: None,
        scope: None,
    };
    Configure::Residency(Declaration::Adequacy(Adequacy {
        country: japan(),
        suspended: prng.chance(400),
        decisions: vec![decision],
    }))
}

/// Bounds for a world: whether there are any.
pub(crate) fn draw(prng: &mut Prng, landscape: &mut Landscape) -> bool {
    if !prng.chance(600) {
        return false;
    }
    let tools = landscape.tools.clone();
    for tool in &mut landscape.tools {
        // Mostly inside, or hardly any run could begin.
        tool.location = if prng.chance(600) { inside() } else { location(prng) };
    }
    for tenant in &mut landscape.tenants {
        tenant.rules = rules(prng, &tools);
    }
    true
}

/// A change of bounds.
pub(crate) fn change(prng: &mut Prng, landscape: &mut Landscape) -> Configure {
    match prng.below(10) {
        0..3 => {
            let at = prng.index(landscape.tools.len());
            let location = if prng.chance(500) { inside() } else { location(prng) };
            let tool = &mut landscape.tools[at];
            tool.location = location;
            Configure::Tool(tool.clone())
        }
        3..8 => {
            let at = prng.index(landscape.tenants.len());
            let rules = rules(prng, &landscape.tools);
            let tenant = &mut landscape.tenants[at];
            tenant.rules = rules;
            Configure::Tenant(tenant.clone())
        }
        _ => adequacy(prng),
    }
}
