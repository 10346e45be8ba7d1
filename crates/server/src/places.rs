//! Where work may not go, in words.

use fairlane_api::residency::{self as wire, PassedCode};
use fairlane_core::residency::{Because, Outside, Part};
use fairlane_core::router::{self, Passed};

use crate::wire::{down_words, timestamp};

/// What the wire has in the place of a region if nothing is kept.
pub(crate) const NOTHING_KEPT: &str = "none";

/// Why a tool or an endpoint may not be used: a clause that follows its name.
pub(crate) fn outside_words(outside: &Outside) -> String {
    let Outside { of, region, country, because } = outside;
    let does = match of {
        Part::Processing => "works in",
        Part::Storage => "keeps data in",
    };
    let region = region.as_ref().map_or_else(String::new, |region| format!("`{region}`"));
    let at = country.map_or_else(|| region.clone(), |country| format!("{region} ({country})"));
    let country = country.map_or_else(String::new, |country| country.to_string());
    match because {
        Because::Unknown => match of {
            Part::Processing => "does not say in which region it works".to_owned(),
            Part::Storage => "does not say where it keeps what it is sent".to_owned(),
        },
        Because::Undeclared => format!("{does} {at}, a region whose country is not declared"),
        Because::NotInZone => format!("{does} {at}, where the tenant's data may not be"),
        Because::NotAdequate => {
            format!("{does} {at}, and no adequacy decision on {country} is declared")
        }
        Because::Lapsed { at: ended } => format!(
            "{does} {at}, and the adequacy decision on {country} ended at {}",
            timestamp(*ended)
        ),
        Because::NotYet { from } => format!(
            "{does} {at}, and the adequacy decision on {country} begins at {}",
            timestamp(*from)
        ),
        Because::Suspended => {
            format!("{does} {at}, and the adequacy of {country} is suspended")
        }
        Because::NotCertified { certificate } => {
            format!("{does} {at}, and lacks the certificate `{certificate}` that {country} needs")
        }
    }
}

/// The candidates that a call does not go to.
pub(crate) fn passed_out(passed: &[Passed]) -> Vec<wire::Passed> {
    let out = |passed: &Passed| wire::Passed {
        endpoint: passed.endpoint.to_string(),
        served_by: passed.upstream.to_string(),
        code: passed_code(&passed.because),
        reason: passed_words(&passed.because),
    };
    passed.iter().map(out).collect()
}

pub(crate) fn passed_code(because: &router::Because) -> PassedCode {
    match because {
        router::Because::Tier => PassedCode::Tier,
        router::Because::Denied => PassedCode::Denied,
        router::Because::Policy { .. } => PassedCode::Policy,
        router::Because::Outside(outside) => match &outside.because {
            Because::Unknown => PassedCode::UnknownLocation,
            Because::Undeclared => PassedCode::UndeclaredRegion,
            Because::NotInZone => PassedCode::NotInZone,
            Because::NotAdequate => PassedCode::NotAdequate,
            Because::Lapsed { .. } => PassedCode::AdequacyEnded,
            Because::NotYet { .. } => PassedCode::AdequacyNotBegun,
            Because::Suspended => PassedCode::AdequacySuspended,
            Because::NotCertified { .. } => PassedCode::NotCertified,
        },
        router::Because::Endpoint => PassedCode::Endpoint,
        router::Because::Price => PassedCode::Price,
        router::Because::Context => PassedCode::Context,
        router::Because::Broken => PassedCode::Broken,
        router::Because::Money { .. } => PassedCode::Money,
        router::Because::Limit { rule } => match down_words(rule) {
            Some(_) => PassedCode::Down,
            None => PassedCode::Limit,
        },
        router::Because::NotNeeded => PassedCode::NotNeeded,
    }
}

/// Why a call does not go to a candidate.
pub(crate) fn passed_words(because: &router::Because) -> String {
    match because {
        router::Because::Tier => "it is not meant for the tenant's tier".to_owned(),
        router::Because::Denied => "the tenant may not use its endpoint".to_owned(),
        router::Because::Policy { policy } => format!("policy `{policy}` forbids it"),
        router::Because::Outside(outside) => format!("it {}", outside_words(outside)),
        router::Because::Endpoint => {
            "its endpoint is not declared, or the server cannot call it".to_owned()
        }
        router::Because::Price => "no price is in force for it".to_owned(),
        router::Because::Context => "more goes in and comes out than it takes".to_owned(),
        router::Because::Broken => "it gave no answer just now".to_owned(),
        router::Because::Money { need } => format!("it costs {need}, which is more than there is"),
        router::Because::Limit { rule } => match down_words(rule) {
            Some(down) => down.to_owned(),
            None => "it has no room at its limits".to_owned(),
        },
        router::Because::NotNeeded => "one before it was taken".to_owned(),
    }
}

/// All candidates that are no ways, each with its reason; nothing if there are none.
pub(crate) fn all_passed_words(passed: &[Passed]) -> String {
    let each = |passed: &Passed| {
        format!("`{}` at `{}`: {}", passed.upstream, passed.endpoint, passed_words(&passed.because))
    };
    passed.iter().map(each).collect::<Vec<_>>().join("; ")
}
