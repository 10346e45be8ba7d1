//! `/v1/platform/reports`: what operators read of money and of places over many tenants.
//!
//! - `budgets`: how far each tenant has used its budgets, over several periods.
//! - `workflows`: which workflows' runs run short of money.
//! - `residency`: what rests on the adequacy of countries.

mod budgets;
mod residency;
mod workflows;

use utoipa_axum::router::OpenApiRouter;

use crate::cells::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    budgets::routes().merge(workflows::routes()).merge(residency::routes())
}

/// A part of a whole in thousandths, rounded down; `None` if the whole is nothing.
fn permille(part: u64, whole: u64) -> Option<u64> {
    let permille = (u128::from(part) * 1_000).checked_div(u128::from(whole))?;
    Some(u64::try_from(permille).unwrap_or(u64::MAX))
}
