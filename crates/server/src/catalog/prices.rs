//! `/v1/catalog/prices`: what a million tokens cost, and from when on.

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::catalog::{self as wire, PriceSpec};
use fairlane_api::page::Page;
use fairlane_api::quota::Amount;
use fairlane_api::resource::Applied;
use fairlane_api::{Code, Problem};
use fairlane_core::catalog::{
    PRICE_MAX, PRICE_VERSIONS_MAX, Price, PriceVersion, Rates, TOKENS_MAX,
};
use fairlane_core::cell::input::Configure;
use fairlane_core::money::Nano;
use fairlane_core::time::Time;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::body::{Json, Params};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::quotas::{Check, amount_out};
use crate::tenants::missing;
use crate::wire::{between, path_name, timestamp};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_prices)).routes(routes!(get_price, put_price))
}

/// Declares a price: what a million tokens cost, in versions
///
/// A call costs what was in force when it was let through; a version that begins later changes nothing before.
#[utoipa::path(
    put, path = "/v1/catalog/prices/{price}", tag = "catalog",
    params(("price" = String, Path), DryRun), request_body = PriceSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_price(
    State(shared): State<App>,
    operator: Operator,
    Path(price): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<PriceSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name = path_name(&price)?;
    let mut check = Check::default();
    let versions = versions(&mut check, &spec.versions, &shared.config.currency);
    let price = check.finish(Price { name, versions })?;
    configure((&shared, &operator), Configure::Price(price), dry_run).await.map(Answer)
}

/// Reads a price with all its versions
#[utoipa::path(
    get, path = "/v1/catalog/prices/{price}", tag = "catalog", params(("price" = String, Path)),
    responses((status = 200, body = wire::Price), (status = "4XX", body = Problem))
)]
async fn get_price(
    State(shared): State<App>,
    _: Operator,
    Path(price): Path<String>,
) -> Result<Answer<wire::Price>, Refused> {
    let found = price.parse().ok().and_then(|name| shared.registry.price(&name));
    let found = found.ok_or_else(|| missing(Code::UnknownPrice, "price", &price))?;
    Ok(Answer(price_out(&found, &shared.config.currency)))
}

/// Lists prices
#[utoipa::path(
    get, path = "/v1/catalog/prices", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Price>), (status = "4XX", body = Problem))
)]
async fn list_prices(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Price>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.prices(paging.after()?.as_ref(), limit + 1);
    let currency = &shared.config.currency;
    let view = |price: Price| price_out(&price, currency);
    Ok(Answer(page(read, limit, |price| price.name.to_string(), view)))
}

fn versions(check: &mut Check, given: &[wire::PriceVersion], currency: &str) -> Vec<PriceVersion> {
    if given.is_empty() || given.len() > PRICE_VERSIONS_MAX {
        let refused = Refused::new(if given.is_empty() { Code::OutOfRange } else { Code::TooMany });
        check.wrong(
            refused
                .detail(format!("there are {}", given.len()))
                .at("/versions")
                .expected(format!("1 to {PRICE_VERSIONS_MAX} versions")),
        );
        return Vec::new();
    }
    given.iter().zip(0..).map(|(version, at)| read_version(check, version, at, currency)).collect()
}

fn read_version(
    check: &mut Check,
    given: &wire::PriceVersion,
    at: usize,
    currency: &str,
) -> PriceVersion {
    let pointer = format!("/versions/{at}");
    if let Some(named) = given.currency.as_ref().filter(|named| *named != currency) {
        check.wrong(
            Refused::new(Code::WrongCurrency)
                .detail(format!("the price is in `{named}`, and the platform counts in {currency}"))
                .at(format!("{pointer}/currency"))
                .expected(format!("`{currency}`, or nothing"))
                .facts(&json!({ "currency": currency })),
        );
    }
    let wire::PriceVersion { input, cached_input, output, .. } = given;
    let rates = rates(check, &pointer, input, cached_input.as_ref(), output);
    let long = given.long.as_ref().map(|long| {
        let pointer = format!("{pointer}/long");
        let above = tokens(check, &format!("{pointer}/above"), long.above);
        let wire::LongRates { input, cached_input, output, .. } = long;
        (above, self::rates(check, &pointer, input, cached_input.as_ref(), output))
    });
    let mut optional = |field: &str, given: Option<u64>| {
        given.map(|given| tokens(check, &format!("{pointer}/{field}"), given))
    };
    PriceVersion {
        from: given.from.map_or(Time(0), |from| Time(from.0)),
        rates,
        long,
        context: optional("context", given.context),
        output_max: optional("output_max", given.output_max),
    }
}

fn rates(
    check: &mut Check,
    pointer: &str,
    input: &Amount,
    cached: Option<&Amount>,
    output: &Amount,
) -> Rates {
    Rates {
        input: rate(check, &format!("{pointer}/input"), input),
        cached: cached.map(|cached| rate(check, &format!("{pointer}/cached_input"), cached)),
        output: rate(check, &format!("{pointer}/output"), output),
    }
}

fn rate(check: &mut Check, pointer: &str, given: &Amount) -> Nano {
    let rate = check.amount(pointer, given);
    if rate > PRICE_MAX {
        check.wrong(
            Refused::new(Code::OutOfRange)
                .detail(format!("a million tokens cost {rate}"))
                .at(pointer)
                .expected(format!("at most {PRICE_MAX}")),
        );
    }
    rate
}

fn tokens(check: &mut Check, pointer: &str, given: u64) -> u32 {
    check.keep(between(given, [1, u64::from(TOKENS_MAX)], pointer));
    u32::try_from(given).unwrap_or(TOKENS_MAX)
}

fn price_out(price: &Price, currency: &str) -> wire::Price {
    let version = |version: &PriceVersion| wire::PriceVersion {
        from: (version.from > Time(0)).then(|| timestamp(version.from)),
        currency: Some(currency.to_owned()),
        input: amount_out(version.rates.input),
        cached_input: version.rates.cached.map(amount_out),
        output: amount_out(version.rates.output),
        long: version.long.map(|(above, rates)| wire::LongRates {
            above: u64::from(above),
            input: amount_out(rates.input),
            cached_input: rates.cached.map(amount_out),
            output: amount_out(rates.output),
        }),
        context: version.context.map(u64::from),
        output_max: version.output_max.map(u64::from),
    };
    wire::Price {
        name: price.name.to_string(),
        versions: price.versions.iter().map(version).collect(),
    }
}
