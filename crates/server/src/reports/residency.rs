//! What rests on the adequacy of countries: the decisions in force, the tenants that rely on them, and what is under way
//! because of them; what is where it may not be any more; and which decisions end soon.
//!
//! Decisions and tenants are what is declared, what is under way is the cell's.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::Problem;
use fairlane_api::report::{
    CountryReport, EndingDecision, LiveUse, OutsideStore, OutsideUse, ResidencyReport,
};
use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::Query;
use fairlane_core::cell::residency_view::{ResidencyView, Use};
use fairlane_core::residency::{Adequacy, Atlas, Country, Decision, Outside, Residency};
use fairlane_core::router::Because;
use fairlane_core::tenant::Context;
use fairlane_core::time::{Span, Time};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::catalog::places::decision_out;
use crate::cells::App;
use crate::places::{passed_code, passed_words};
use crate::problem::Refused;
use crate::serve::Surroundings;
use crate::wire::timestamp;

/// Decisions that end within this are told.
const SOON: Span = Span::from_secs(90 * 24 * 3_600);
/// Tenants of one country that are named; all are counted.
const TENANTS_SHOWN_MAX: usize = 1_000;
/// Tenants that are looked at in one go, between which others can read.
const PAGE: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report_residency))
}

/// Reports what rests on the adequacy of countries now
///
/// For each country with decisions: the one in force, the tenants that rely on it, and the calls and tools under way because
/// of it. Also what is under way where it may not be any more, and the decisions that end within 90 days.
#[utoipa::path(
    get, path = "/v1/platform/reports/residency", tag = "platform",
    responses((status = 200, body = ResidencyReport), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn report_residency(
    State(app): State<App>,
    _: Operator,
) -> Result<Answer<ResidencyReport>, Refused> {
    let shared = app.home();
    let mut view = live(shared).await?;
    let (mut relying, mut stores) = (Relying::new(), Vec::new());
    find_relying(shared, view.at, &mut relying, &mut stores);
    for cell in &app.all()[1..] {
        let mut other = live(cell).await?;
        view.adequate.append(&mut other.adequate);
        view.outside.append(&mut other.outside);
        view.is_cut |= other.is_cut;
        find_relying(cell, view.at, &mut relying, &mut stores);
    }
    let mut live: BTreeMap<Country, Vec<LiveUse>> = BTreeMap::new();
    for (used, country) in &view.adequate {
        live.entry(*country).or_default().push(use_out(used));
    }
    let countries = shared.registry.places(|atlas| {
        let all = atlas.adequacies().values();
        all.map(|adequacy| {
            let (tenants, tenant_ids) = relying.remove(&adequacy.country).unwrap_or_default();
            CountryReport {
                country: adequacy.country.to_string(),
                suspended: adequacy.suspended,
                decision: in_force(adequacy, view.at).map(decision_out),
                tenants,
                tenant_ids,
                live: live.remove(&adequacy.country).unwrap_or_default(),
            }
        })
        .collect()
    });
    Ok(Answer(ResidencyReport {
        at: timestamp(view.at),
        countries,
        outside: view.outside.iter().map(outside_out).collect(),
        stores,
        ending: shared.registry.places(|atlas| ending(atlas, view.at)),
        cut: view.is_cut,
    }))
}

async fn live(shared: &Surroundings) -> Result<ResidencyView, Refused> {
    let view = shared.engine.query(Query::Residency, |response| match response {
        Response::Residency(view) => Ok(*view),
        other => Err(other),
    });
    view.await
}

/// The tenants that rely on each country: how many, and the first of them.
type Relying = BTreeMap<Country, (u64, Vec<String>)>;

/// Adds the tenants of one cell: those that rely on a country, and those whose data may not rest in its region.
fn find_relying(
    cell: &Surroundings,
    now: Time,
    found: &mut Relying,
    stores: &mut Vec<OutsideStore>,
) {
    let most = stores.len() + TENANTS_SHOWN_MAX;
    let mut after = None;
    loop {
        let contexts = cell.registry.contexts(after.as_ref(), PAGE);
        let Some(last) = contexts.last() else { return };
        after = Some(last.tenant.clone());
        cell.registry.places(|atlas| {
            for context in &contexts {
                let Some(residency) = &context.rules.data_residency else { continue };
                let may = atlas.admits_region(Some(residency), Some(&cell.region), now);
                if let Err(outside) = may
                    && stores.len() < most
                {
                    stores.push(store_out(context, cell, outside));
                }
                for country in relies_on(atlas, residency) {
                    let (count, ids) = found.entry(country).or_default();
                    *count += 1;
                    if ids.len() < TENANTS_SHOWN_MAX {
                        ids.push(context.tenant.to_string());
                    }
                }
            }
        });
    }
}

/// The countries where a tenant's data may be because they are adequate, and for no other reason.
fn relies_on(atlas: &Atlas, residency: &Residency) -> Vec<Country> {
    let zone = residency.zone.as_ref().and_then(|zone| atlas.zone(zone));
    let takes_all = zone.is_some_and(|zone| zone.adequate);
    let has_anyway = |country: &Country| zone.is_some_and(|zone| zone.countries.contains(country));
    let declared = atlas.adequacies().keys().copied();
    declared
        .filter(|country| takes_all || residency.adequate.contains(country))
        .filter(|country| !has_anyway(country))
        .collect()
}

fn in_force(adequacy: &Adequacy, now: Time) -> Option<&Decision> {
    let is_in_force = |decision: &&Decision| {
        decision.from <= now && decision.until.is_none_or(|until| until > now)
    };
    adequacy.decisions.iter().find(is_in_force).filter(|_| !adequacy.suspended)
}

fn ending(atlas: &Atlas, now: Time) -> Vec<EndingDecision> {
    let in_force = atlas.adequacies().values().filter_map(|adequacy| {
        let decision = in_force(adequacy, now)?;
        let until = decision.until.filter(|until| until.since(now) <= SOON)?;
        Some((until, adequacy.country, decision.name.clone()))
    });
    let mut ending: Vec<_> = in_force.collect();
    ending.sort();
    let out = |(until, country, name): (Time, Country, std::sync::Arc<str>)| EndingDecision {
        country: country.to_string(),
        name: name.to_string(),
        until: timestamp(until),
    };
    ending.into_iter().map(out).collect()
}

fn use_out(used: &Use) -> LiveUse {
    let (run, step) =
        used.run.as_ref().map(|(run, step)| (run.to_string(), step.to_string())).unzip();
    LiveUse { tenant: used.tenant.to_string(), run, step, endpoint: used.tool.to_string() }
}

fn outside_out((used, because): &(Use, Because)) -> OutsideUse {
    let LiveUse { tenant, run, step, endpoint } = use_out(used);
    let (code, reason) = (passed_code(because), passed_words(because));
    OutsideUse { tenant, run, step, endpoint, code, reason }
}

fn store_out(context: &Context, cell: &Surroundings, outside: Outside) -> OutsideStore {
    let because = Because::Outside(outside);
    OutsideStore {
        tenant: context.tenant.to_string(),
        region: cell.region.to_string(),
        code: passed_code(&because),
        reason: passed_words(&because),
    }
}

#[cfg(test)]
mod tests {
    use fairlane_core::residency::Declaration;

    use super::*;

    #[test]
    fn a_decision_is_told_before_it_ends_and_not_after_or_while_it_is_suspended() {
        let day = 24 * 3_600 * 1_000_000;
        let adequacy = |country: &str, until_days: u64, suspended| {
            let decision = Decision {
                name: format!("on {country}").into(),
                from: Time(0),
                until: Some(Time(until_days * day)),
                certificate: None,
                scope: None,
            };
            let country = Country::parse(country).unwrap();
            Declaration::Adequacy(Adequacy { country, suspended, decisions: vec![decision] })
        };
        let mut atlas = Atlas::default();
        for declaration in [
            adequacy("JP", 190, false),
            adequacy("GB", 150, false),
            adequacy("KR", 150, true),
            adequacy("CA", 191, false),
            adequacy("US", 100, false),
        ] {
            atlas.declare(declaration);
        }
        let told: Vec<String> =
            ending(&atlas, Time(100 * day)).into_iter().map(|ending| ending.name).collect();
        assert_eq!(told, ["on GB", "on JP"]);
    }
}
