//! The zones that are there without being declared. One of the same name that the operator declares replaces them.

use super::{Country, Zone};
use crate::id::ZoneName;

/// The member states of the European Union.
const EU: &str = "AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";
/// The further members of the European Economic Area.
const EEA_ONLY: &str = "IS LI NO";

/// `eu`, `eea`, `eea+adequate` and `us`.
pub(super) fn known() -> impl Iterator<Item = Zone> {
    let eea = || EU.split(' ').chain(EEA_ONLY.split(' '));
    [
        zone("eu", EU.split(' '), false),
        zone("eea", eea(), false),
        zone("eea+adequate", eea(), true),
        zone("us", std::iter::once("US"), false),
    ]
    .into_iter()
}

fn zone<'a>(name: &str, countries: impl Iterator<Item = &'a str>, adequate: bool) -> Zone {
    let country = |code| Country::parse(code).expect("the codes above are countries");
    Zone {
        name: ZoneName::parse(name).expect("the names above are names"),
        countries: countries.map(country).collect(),
        regions: std::collections::BTreeSet::new(),
        adequate,
    }
}
