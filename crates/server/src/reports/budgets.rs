//! How far tenants use their budgets: each period's utilisation, their mean and variance, and who is out of the ordinary.
//!
//! The account of the period under way is the cell's, those of periods that are over are the store's. A period without
//! a row is one in which nothing was spent. What a budget was in the past is not stored, so that all periods are
//! measured by what it is now.

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::page::Page;
use fairlane_api::quota::Every;
use fairlane_api::report::{BudgetUse, PeriodUse, Verdict};
use fairlane_api::{Code, Problem};
use fairlane_core::auth::AllTenants;
use fairlane_core::calendar::{Calendar, TimeZone, Window};
use fairlane_core::cell::effect::{AccountView, Response};
use fairlane_core::cell::input::Query;
use fairlane_core::id::TenantId;
use fairlane_core::money::Nano;
use fairlane_core::row::AccountRow;
use fairlane_core::time::Time;
use fairlane_store::Read;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permille;
use crate::auth::Operator;
use crate::body::Params;
use crate::cells::App;
use crate::page::{after, limit, page};
use crate::problem::Refused;
use crate::quotas::{amount_out, every_out};
use crate::serve::Surroundings;
use crate::wire::timestamp;

const PERIODS_DEFAULT: u32 = 6;
/// Periods before the one under way: two years of months.
const PERIODS_MAX: u32 = 24;
/// A budget of which no period used so much is not used.
const UNUSED_PERMILLE: u64 = 100;
/// Far above what anybody spends, and small enough that sums of squares fit.
const UTILISATION_MAX: u64 = u32::MAX as u64;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listing {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most tenants, 1 to 1,000; 100 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// Which budget: `day` or `month`; `month` if absent.
    every: Option<Every>,
    /// Periods that are over, 1 to 24; 6 if absent.
    periods: Option<u32>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report_budgets))
}

/// Reports how far tenants use their budgets
///
/// For each tenant the period under way and the last ones that are over, with mean and variance of their utilisation,
/// and whether it overruns its budget or leaves it unused.
#[utoipa::path(
    get, path = "/v1/platform/reports/budgets", tag = "platform", params(Listing),
    responses((status = 200, body = Page<BudgetUse>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn report_budgets(
    State(app): State<App>,
    Operator { rights, .. }: Operator,
    Params(listing): Params<Listing>,
) -> Result<Answer<Page<BudgetUse>>, Refused> {
    let (every, periods) = (every(listing.every)?, periods(listing.periods)?);
    let limit = limit(listing.limit)?;
    let after: Option<TenantId> = listing.cursor.as_deref().map(after).transpose()?;
    let beyond = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut views = Vec::new();
    for (at, cell) in app.all().iter().enumerate() {
        let query = Query::Budgets { after: after.clone(), every, limit: beyond };
        let read = cell.engine.query(query, |response| match response {
            Response::Budgets(views) => Ok(views),
            other => Err(other),
        });
        views.extend(read.await?.into_iter().map(|(tenant, view)| (tenant, view, at)));
    }
    views.sort_by(|one, other| one.0.cmp(&other.0));
    let mut read = page(views, limit, |(tenant, ..)| tenant.to_string(), |read| read);
    let mut items = Vec::with_capacity(read.items.len());
    for (at, cell) in app.all().iter().enumerate() {
        let here = read.items.extract_if(.., |(.., of)| *of == at);
        let current = here.map(|(tenant, view, _)| current(cell, tenant, view)).collect();
        items.append(&mut reported(cell, (rights, current), (every, periods)).await?);
    }
    items.sort_by(|one: &BudgetUse, other| one.tenant.cmp(&other.tenant));
    Ok(Answer(Page { items, next: read.next }))
}

/// What tenants of one cell have used.
async fn reported(
    cell: &Surroundings,
    (rights, current): (AllTenants, Vec<Current>),
    (every, periods): (Calendar, u32),
) -> Result<Vec<BudgetUse>, Refused> {
    let report = move |reader: &mut dyn Read| {
        let report = |current: &Current| {
            let windows = current.before(every, periods);
            let Some(oldest) = windows.last() else { return Ok(current.report(every, &[])) };
            let scope = rights.scope(&current.tenant);
            let rows = reader.accounts(&scope, every, oldest.start)?;
            Ok(current.report(every, &spent(&windows, &rows)))
        };
        current.iter().map(report).collect()
    };
    cell.reads.turn(None, report).await
}

fn every(given: Option<Every>) -> Result<Calendar, Refused> {
    match given.unwrap_or(Every::Month) {
        Every::Day => Ok(Calendar::Day),
        Every::Month => Ok(Calendar::Month),
        Every::Minute | Every::Hour => Err(Refused::new(Code::MalformedRequest)
            .detail("the parameter `every` is no period of a budget")
            .expected("`day` or `month`")),
    }
}

fn periods(given: Option<u32>) -> Result<u32, Refused> {
    let periods = given.unwrap_or(PERIODS_DEFAULT);
    if (1..=PERIODS_MAX).contains(&periods) {
        return Ok(periods);
    }
    Err(Refused::new(Code::MalformedRequest)
        .detail(format!("the parameter `periods` is {periods}"))
        .expected(format!("1 to {PERIODS_MAX}")))
}

/// A tenant's account of the period under way, and the time zone of its periods.
#[derive(Debug)]
struct Current {
    tenant: TenantId,
    zone: TimeZone,
    view: AccountView,
}

fn current(shared: &Surroundings, tenant: TenantId, view: AccountView) -> Current {
    let context = shared.registry.context(&tenant);
    let class = context.and_then(|context| context.budget_class.clone());
    let class = class.and_then(|class| shared.registry.class(&class));
    let zone = class.map_or(TimeZone::UTC, |class| class.budget.time_zone);
    Current { tenant, zone, view }
}

/// What was spent in a period that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    start: Time,
    end: Time,
    posted: Nano,
    uncertain: Nano,
    topped_up: Nano,
    forgiven: Nano,
    has_row: bool,
}

/// Each window with its rows, up to the first in which something was spent. A window has several if the time zone was
/// another one.
fn spent(windows: &[Window], rows: &[AccountRow]) -> Vec<Spent> {
    let sum = |window: &Window| {
        let empty = Spent { start: window.start, end: window.end, ..Spent::default() };
        let own = rows.iter().filter(|row| window.has(row.start));
        own.fold(empty, |sum, row| Spent {
            posted: sum.posted.plus(row.posted),
            uncertain: sum.uncertain.plus(row.uncertain),
            topped_up: sum.topped_up.plus(row.topped_up),
            forgiven: sum.forgiven.plus(row.forgiven),
            has_row: true,
            ..sum
        })
    };
    let mut spent: Vec<Spent> = windows.iter().map(sum).collect();
    let first = spent.iter().rposition(|period| period.has_row).map_or(0, |at| at + 1);
    spent.truncate(first);
    spent
}

impl Current {
    /// Windows before the one under way, newest first.
    fn before(&self, every: Calendar, periods: u32) -> Vec<Window> {
        let mut start = self.view.start;
        let mut windows = Vec::new();
        for _ in 0..periods {
            let Some(last) = start.0.checked_sub(1) else { break };
            let window = Window::at(Time(last), every, &self.zone);
            start = window.start;
            windows.push(window);
        }
        windows
    }

    fn report(&self, every: Calendar, complete: &[Spent]) -> BudgetUse {
        let budget = self.view.budget;
        let used: Vec<u64> =
            complete.iter().filter_map(|period| utilisation(period.posted, budget)).collect();
        let overran = |period: &&Spent| budget.is_some_and(|budget| period.posted > budget);
        let overruns = complete.iter().filter(overran).count();
        let mut periods = vec![self.under_way()];
        periods.extend(complete.iter().map(|period| period_out(period, budget)));
        let is_unused = |periods: &[PeriodUse]| {
            let used = periods.iter().filter_map(|period| period.utilisation_permille);
            used.max().is_some_and(|most| most < UNUSED_PERMILLE)
        };
        let verdict = match budget {
            None => Verdict::Unbounded,
            Some(_) if overruns > 0 || self.view.debt > Nano::ZERO => Verdict::Overruns,
            Some(_) if is_unused(&periods) => Verdict::Unused,
            Some(_) => Verdict::Normal,
        };
        let moments = moments(&used);
        BudgetUse {
            tenant: self.tenant.to_string(),
            every: every_out(every),
            budget: budget.map(amount_out),
            verdict,
            complete: u32::try_from(complete.len()).unwrap_or(u32::MAX),
            mean_permille: moments.map(|(mean, _)| mean),
            variance_millionths: moments.map(|(_, variance)| variance),
            overruns: u32::try_from(overruns).unwrap_or(u32::MAX),
            periods,
        }
    }

    fn under_way(&self) -> PeriodUse {
        let AccountView { start, end, budget, posted, uncertain, topped_up, forgiven, .. } =
            self.view;
        let period = Spent { start, end, posted, uncertain, topped_up, forgiven, has_row: true };
        let debt = amount_out(self.view.debt);
        PeriodUse { complete: false, debt, ..period_out(&period, budget) }
    }
}

fn period_out(period: &Spent, budget: Option<Nano>) -> PeriodUse {
    let over = budget.map_or(Nano::ZERO, |budget| period.posted.minus(budget));
    PeriodUse {
        starts_at: timestamp(period.start),
        ends_at: timestamp(period.end),
        complete: true,
        posted: amount_out(period.posted),
        uncertain: amount_out(period.uncertain),
        topped_up: amount_out(period.topped_up),
        forgiven: amount_out(period.forgiven),
        utilisation_permille: utilisation(period.posted, budget),
        over: amount_out(over),
        debt: amount_out(over.minus(period.topped_up).minus(period.forgiven)),
    }
}

fn utilisation(posted: Nano, budget: Option<Nano>) -> Option<u64> {
    permille(posted.0, budget?.0).map(|used| used.min(UTILISATION_MAX))
}

/// Mean and variance, rounded down; `None` of nothing.
fn moments(used: &[u64]) -> Option<(u64, u64)> {
    let count = u128::from(u32::try_from(used.len()).ok()?);
    let sum: u128 = used.iter().copied().map(u128::from).sum();
    let squares: u128 = used.iter().copied().map(|used| u128::from(used).pow(2)).sum();
    let mean = sum.checked_div(count)?;
    let variance = (count * squares - sum.pow(2)).checked_div(count.pow(2))?;
    Some((u64::try_from(mean).ok()?, u64::try_from(variance).ok()?))
}

#[cfg(test)]
mod tests;
