//! `/v1/catalog/regions`, `/v1/catalog/zones` and `/v1/catalog/adequacy`: where data may be. Lists have what is known without
//! being declared, too, and say so.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::residency::{self as wire, AdequacySpec, RegionSpec, ZoneSpec};
use fairlane_api::resource::Applied;
use fairlane_api::{Code, Problem};
use fairlane_core::cell::input::Configure;
use fairlane_core::id::{RegionName, ZoneName};
use fairlane_core::residency::{
    Adequacy, Atlas, Country, DECISIONS_MAX, Decision, Declaration, Region, TEXT_BYTES_MAX, Zone,
};
use fairlane_core::time::Time;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::body::{Json, Params};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::places::NOTHING_KEPT;
use crate::problem::Refused;
use crate::quotas::Check;
use crate::rules::{at_region, countries, country, regions};
use crate::serve::Shared;
use crate::tenants::missing;
use crate::wire::{name, path_name, timestamp};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_regions))
        .routes(routes!(get_region, put_region))
        .routes(routes!(list_zones))
        .routes(routes!(get_zone, put_zone))
        .routes(routes!(list_adequacy))
        .routes(routes!(get_adequacy, put_adequacy))
}

/// Declares a region: in which country it is
///
/// Regions of the large providers are known without being declared; what is declared under the same name replaces them.
#[utoipa::path(
    put, path = "/v1/catalog/regions/{region}", tag = "catalog",
    params(("region" = String, Path), DryRun), request_body = RegionSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_region(
    State(shared): State<App>,
    operator: Operator,
    Path(region): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<RegionSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name: RegionName = path_name(&region)?;
    let mut check = Check::default();
    if name.as_str() == NOTHING_KEPT {
        check.wrong(
            Refused::new(Code::InvalidName)
                .detail(format!("`{NOTHING_KEPT}` stands for a tool that keeps nothing"))
                .expected("another name"),
        );
    }
    let country = check.keep(country(&spec.country, "/country"));
    let label = spec.label.as_deref().map(|label| text(&mut check, "/label", label));
    let region = check.finish(country.map(|country| Region { name, country, label }))?;
    declare((&shared, &operator), region.map(Declaration::Region), dry_run).await
}

/// Reads a region
#[utoipa::path(
    get, path = "/v1/catalog/regions/{region}", tag = "catalog", params(("region" = String, Path)),
    responses((status = 200, body = wire::Region), (status = "4XX", body = Problem))
)]
async fn get_region(
    State(shared): State<App>,
    _: Operator,
    Path(region): Path<String>,
) -> Result<Answer<wire::Region>, Refused> {
    let found = region
        .parse()
        .ok()
        .and_then(|name: RegionName| shared.registry.places(|atlas| atlas.region(&name).cloned()));
    let found = found.ok_or_else(|| missing(Code::UnknownRegion, "region", &region))?;
    Ok(Answer(region_out(&shared, &found)))
}

/// Lists regions, those that are known without being declared too
#[utoipa::path(
    get, path = "/v1/catalog/regions", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Region>), (status = "4XX", body = Problem))
)]
async fn list_regions(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Region>>, Refused> {
    let read = read(&shared, &paging, Atlas::regions)?;
    let view = |region: Region| region_out(&shared, &region);
    Ok(Answer(page(read, paging.limit()?, |region| region.name.to_string(), view)))
}

/// Declares a zone: a set of countries and regions
///
/// `eu`, `eea`, `eea+adequate` and `us` are known without being declared; what is declared under the same name replaces
/// them. It acts at once on what waits and on what is under way.
#[utoipa::path(
    put, path = "/v1/catalog/zones/{zone}", tag = "catalog",
    params(("zone" = String, Path), DryRun), request_body = ZoneSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_zone(
    State(shared): State<App>,
    operator: Operator,
    Path(zone): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<ZoneSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name = path_name(&zone)?;
    let mut check = Check::default();
    let countries = countries(&mut check, "/countries", &spec.countries);
    let regions = regions(&mut check, "/regions", &spec.regions);
    let zone = check.finish(Zone { name, countries, regions, adequate: spec.adequate })?;
    let declared = declare((&shared, &operator), Some(Declaration::Zone(zone)), dry_run).await;
    declared.map_err(|refused| at_region(refused, "/regions", &spec.regions))
}

/// Reads a zone
#[utoipa::path(
    get, path = "/v1/catalog/zones/{zone}", tag = "catalog", params(("zone" = String, Path)),
    responses((status = 200, body = wire::Zone), (status = "4XX", body = Problem))
)]
async fn get_zone(
    State(shared): State<App>,
    _: Operator,
    Path(zone): Path<String>,
) -> Result<Answer<wire::Zone>, Refused> {
    let found = zone
        .parse()
        .ok()
        .and_then(|name: ZoneName| shared.registry.places(|atlas| atlas.zone(&name).cloned()));
    let found = found.ok_or_else(|| missing(Code::UnknownZone, "zone", &zone))?;
    Ok(Answer(zone_out(&shared, &found)))
}

/// Lists zones, those that are known without being declared too
#[utoipa::path(
    get, path = "/v1/catalog/zones", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Zone>), (status = "4XX", body = Problem))
)]
async fn list_zones(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Zone>>, Refused> {
    let read = read(&shared, &paging, Atlas::zones)?;
    let view = |zone: Zone| zone_out(&shared, &zone);
    Ok(Answer(page(read, paging.limit()?, |zone| zone.name.to_string(), view)))
}

/// Declares the adequacy of a country: dated decisions that it protects data well enough
///
/// A decision is in force from its beginning until its end. What rests on one that ends, or that is suspended, is stopped at
/// once: what is under way is called back, and waits or goes elsewhere.
#[utoipa::path(
    put, path = "/v1/catalog/adequacy/{country}", tag = "catalog",
    params(("country" = String, Path), DryRun), request_body = AdequacySpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_adequacy(
    State(shared): State<App>,
    operator: Operator,
    Path(country): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<AdequacySpec>,
) -> Result<Answer<Applied>, Refused> {
    let country = Country::parse(&country).map_err(|error| {
        Refused::new(Code::InvalidName).detail(format!("the name in the path {error}"))
    })?;
    let mut check = Check::default();
    let decisions = decisions(&mut check, &spec.decisions);
    let AdequacySpec { suspended, .. } = spec;
    let adequacy = check.finish(Adequacy { country, suspended, decisions })?;
    declare((&shared, &operator), Some(Declaration::Adequacy(adequacy)), dry_run).await
}

/// Reads the adequacy of a country
#[utoipa::path(
    get, path = "/v1/catalog/adequacy/{country}", tag = "catalog", params(("country" = String, Path)),
    responses((status = 200, body = wire::Adequacy), (status = "4XX", body = Problem))
)]
async fn get_adequacy(
    State(shared): State<App>,
    _: Operator,
    Path(country): Path<String>,
) -> Result<Answer<wire::Adequacy>, Refused> {
    let found = Country::parse(&country).ok().and_then(|country| {
        shared.registry.places(|atlas| atlas.adequacy(country).map(adequacy_out))
    });
    found.map(Answer).ok_or_else(|| {
        Refused::new(Code::UnknownAdequacy)
            .detail(format!("no adequacy decision on `{country}` is declared"))
    })
}

/// Lists the countries on which there are adequacy decisions
#[utoipa::path(
    get, path = "/v1/catalog/adequacy", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Adequacy>), (status = "4XX", body = Problem))
)]
async fn list_adequacy(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Adequacy>>, Refused> {
    let read = read(&shared, &paging, Atlas::adequacies)?;
    let view = |adequacy: Adequacy| adequacy_out(&adequacy);
    Ok(Answer(page(read, paging.limit()?, |adequacy| adequacy.country.to_string(), view)))
}

async fn declare(
    (shared, operator): (&App, &Operator),
    declaration: Option<Declaration>,
    dry_run: DryRun,
) -> Result<Answer<Applied>, Refused> {
    let declaration =
        declaration.ok_or_else(|| Refused::internal(&"a mistake was found and not kept"))?;
    configure((shared, operator), Configure::Residency(declaration), dry_run).await.map(Answer)
}

/// One entry more than the page has.
fn read<K, V: Clone>(
    shared: &Shared,
    paging: &Paging,
    of: fn(&Atlas) -> &BTreeMap<K, V>,
) -> Result<Vec<V>, Refused>
where
    K: Ord + std::str::FromStr,
{
    let (limit, after) = (paging.limit()?, paging.after::<K>()?);
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    Ok(shared.registry.places(|atlas| {
        let entries = of(atlas).range((from, Bound::Unbounded)).take(limit + 1);
        entries.map(|(_, value)| value.clone()).collect()
    }))
}

fn decisions(check: &mut Check, given: &[wire::Decision]) -> Vec<Decision> {
    if given.is_empty() || given.len() > DECISIONS_MAX {
        let refused = Refused::new(if given.is_empty() { Code::OutOfRange } else { Code::TooMany });
        check.wrong(
            refused
                .detail(format!("there are {}", given.len()))
                .at("/decisions")
                .expected(format!("1 to {DECISIONS_MAX} decisions")),
        );
        return Vec::new();
    }
    given.iter().zip(0..).map(|(given, at)| decision(check, given, at)).collect()
}

fn decision(check: &mut Check, given: &wire::Decision, at: usize) -> Decision {
    let pointer = format!("/decisions/{at}");
    let wire::Decision { name: named, from, until, certificate, scope } = given;
    let certificate = certificate
        .as_ref()
        .and_then(|text| check.keep(name(text, &format!("{pointer}/certificate"))));
    Decision {
        name: text(check, &format!("{pointer}/name"), named),
        from: Time(from.0),
        until: until.map(|until| Time(until.0)),
        certificate,
        scope: scope.as_deref().map(|scope| text(check, &format!("{pointer}/scope"), scope)),
    }
}

/// A text for people.
fn text(check: &mut Check, pointer: &str, given: &str) -> Arc<str> {
    let refused = match given.len() {
        0 => Some(Refused::new(Code::InvalidValue).detail("the text is empty")),
        bytes if bytes > TEXT_BYTES_MAX => {
            Some(Refused::new(Code::TooLong).detail(format!("the value has {bytes} bytes")))
        }
        _ => None,
    };
    if let Some(refused) = refused {
        check.wrong(refused.at(pointer).expected(format!("1 to {TEXT_BYTES_MAX} bytes")));
    }
    given.into()
}

fn region_out(shared: &Shared, region: &Region) -> wire::Region {
    wire::Region {
        name: region.name.to_string(),
        country: region.country.to_string(),
        label: region.label.as_ref().map(ToString::to_string),
        built_in: !shared.registry.is_place_declared("region", region.name.as_str()),
    }
}

fn zone_out(shared: &Shared, zone: &Zone) -> wire::Zone {
    wire::Zone {
        name: zone.name.to_string(),
        countries: zone.countries.iter().map(ToString::to_string).collect(),
        regions: zone.regions.iter().map(ToString::to_string).collect(),
        adequate: zone.adequate,
        built_in: !shared.registry.is_place_declared("zone", zone.name.as_str()),
    }
}

fn adequacy_out(adequacy: &Adequacy) -> wire::Adequacy {
    wire::Adequacy {
        country: adequacy.country.to_string(),
        suspended: adequacy.suspended,
        decisions: adequacy.decisions.iter().map(decision_out).collect(),
    }
}

pub(crate) fn decision_out(decision: &Decision) -> wire::Decision {
    wire::Decision {
        name: decision.name.to_string(),
        from: timestamp(decision.from),
        until: decision.until.map(timestamp),
        certificate: decision.certificate.as_ref().map(ToString::to_string),
        scope: decision.scope.as_ref().map(ToString::to_string),
    }
}
