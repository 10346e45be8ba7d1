//! Which workflows' runs run short of money.
//!
//! It counts runs that were submitted in a window and have ended. Runs are read newest first, tenant by tenant, and so
//! are the decisions that say which of them were halted or degraded: those cannot be older than the window. What is
//! looked at is proportional to the rows since its beginning, and bounded: a cursor goes on where an answer was cut.

mod tally;

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::report::ShortWorkflows;
use fairlane_api::{Code, Problem, Timestamp};
use fairlane_core::auth::AllTenants;
use fairlane_core::id::{RunId, TenantId};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::{Span, Time};
use fairlane_store::{DecisionQuery, Error, PAGE_MAX, Read, RunFilter, RunQuery};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::tally::{Shortage, Tally, shortage};
use crate::auth::Operator;
use crate::body::Params;
use crate::cells::{App, InRegion};
use crate::page::after;
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::serve::Shared;
use crate::wire::timestamp;

/// Rows that one answer looks at, about: a second of one reader.
const ROWS_MAX: usize = 100_000;
/// Decisions of one tenant that are looked at.
const DECISIONS_MAX: usize = 50_000;
const DAYS_DEFAULT: u64 = 30;
const DAYS_MAX: u64 = 366;
const DAY: Span = Span::from_secs(24 * 3_600);
/// A run's id is made before the run comes in, by another clock.
const SLACK: Span = Span::from_secs(60);

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Window {
    /// `next` of an answer that was cut.
    cursor: Option<String>,
    /// Runs that were submitted then or later. Absent: 30 days before `until`.
    from: Option<Timestamp>,
    /// Runs that were submitted before. Absent: now. At most 366 days after `from`.
    until: Option<Timestamp>,
    /// Only runs of this tenant.
    tenant: Option<String>,
    /// A region of this server; its first one, or that of the tenant, if absent.
    region: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report_workflows))
}

/// Reports which workflows' runs run short of money
///
/// Of the runs that were submitted in a time and have ended: how many were halted, failed or degraded for want of
/// money, and the median of what was spent of their limits.
#[utoipa::path(
    get, path = "/v1/platform/reports/workflows", tag = "platform", params(Window),
    responses((status = 200, body = ShortWorkflows), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn report_workflows(
    State(app): State<App>,
    Operator { rights, .. }: Operator,
    Params(window): Params<Window>,
) -> Result<Answer<ShortWorkflows>, Refused> {
    let (from, until) = period(&window, app.now())?;
    let cursor: Option<Cursor> = window.cursor.as_deref().map(cursor).transpose()?;
    let (cell, tenants) = match &window.tenant {
        None => {
            let cell = app.named(&InRegion { region: window.region.clone() })?;
            (cell, all_tenants(cell))
        }
        Some(given) => {
            let (cell, tenant) = known_tenant(&app, given)?;
            (cell, vec![tenant])
        }
    };
    let one = if let [one] = &tenants[..] { Some(one.clone()) } else { None };
    let (tally, next) = cell
        .reads
        .turn(one, move |reader| {
            count(reader, (from, until), (rights, &tenants), cursor.as_ref(), ROWS_MAX)
        })
        .await?;
    Ok(Answer(ShortWorkflows {
        starts_at: timestamp(from),
        ends_at: timestamp(until),
        cut: tally.is_cut,
        workflows: tally.report(),
        next: next.map(|next| next.to_string()),
    }))
}

fn period(window: &Window, now: Time) -> Result<(Time, Time), Refused> {
    let until = window.until.map_or(now, |until| Time(until.0));
    let default = Time(until.0.saturating_sub(DAY.0 * DAYS_DEFAULT));
    let from = window.from.map_or(default, |from| Time(from.0));
    if from < until && until.since(from) <= Span(DAY.0 * DAYS_MAX) {
        return Ok((from, until));
    }
    Err(Refused::new(Code::MalformedRequest)
        .detail("the parameter `until` is not after `from`, or too long after it")
        .expected(format!("a time of at most {DAYS_MAX} days")))
}

fn all_tenants(cell: &Shared) -> Vec<TenantId> {
    let contexts = cell.registry.contexts(None, usize::MAX);
    contexts.iter().map(|context| context.tenant.clone()).collect()
}

fn known_tenant<'a>(app: &'a App, given: &str) -> Result<(&'a Shared, TenantId), Refused> {
    let known = TenantId::parse(given).ok().and_then(|id| Some((app.of(&id)?, id)));
    known.ok_or_else(|| unknown_tenant(given))
}

/// Where an answer was cut: at this tenant, before this run of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    tenant: TenantId,
    before: Option<RunId>,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tenant, before } = self;
        match before {
            None => write!(f, "{tenant}"),
            Some(run) => write!(f, "{tenant}.{run}"),
        }
    }
}

fn cursor(text: &str) -> Result<Cursor, Refused> {
    Ok(match text.split_once('.') {
        None => Cursor { tenant: after(text)?, before: None },
        Some((tenant, run)) => Cursor { tenant: after(tenant)?, before: Some(after(run)?) },
    })
}

/// Counts runs of these tenants, who are in the order of their ids, and says where it stopped if it did.
fn count(
    reader: &mut dyn Read,
    (from, until): (Time, Time),
    (rights, tenants): (AllTenants, &[TenantId]),
    cursor: Option<&Cursor>,
    rows_max: usize,
) -> Result<(Tally, Option<Cursor>), Error> {
    let mut tally = Tally::default();
    let mut rows_left = rows_max;
    let first = cursor.map(|cursor| &cursor.tenant);
    let begun = |tenant: &&TenantId| first.is_none_or(|first| *tenant >= first);
    for tenant in tenants.iter().filter(begun) {
        let scope = rights.scope(tenant);
        let resumed = cursor.filter(|cursor| cursor.tenant == *tenant);
        let before = resumed.and_then(|cursor| cursor.before);
        if rows_left == 0 {
            tally.is_cut = true;
            return Ok((tally, Some(Cursor { tenant: tenant.clone(), before: None })));
        }
        let (short, read) = shortages(reader, &scope, from)?;
        rows_left = rows_left.saturating_sub(read);
        tally.is_cut |= read >= DECISIONS_MAX;
        let mut query = RunQuery {
            before: Some(before.unwrap_or(RunId::first_of(until + SLACK))),
            limit: PAGE_MAX,
            filter: RunFilter {
                created_from: Some(from),
                created_until: Some(until),
                ..RunFilter::default()
            },
        };
        let oldest = RunId::first_of(Time(from.0.saturating_sub(SLACK.0)));
        loop {
            let page = reader.runs(&scope, &query)?;
            rows_left = rows_left.saturating_sub(page.rows.len().max(1));
            for run in &page.rows {
                tally.add(run, short.get(&run.key.run).copied().unwrap_or_default());
            }
            query.before = page.next.filter(|next| *next > oldest);
            if query.before.is_none() {
                break;
            }
            if rows_left == 0 {
                tally.is_cut = true;
                return Ok((tally, Some(Cursor { tenant: tenant.clone(), before: query.before })));
            }
        }
    }
    Ok((tally, None))
}

/// Which runs of a tenant were short of money since then, and how many decisions that took to find out.
fn shortages(
    reader: &mut dyn Read,
    scope: &TenantScope,
    from: Time,
) -> Result<(BTreeMap<RunId, Shortage>, usize), Error> {
    let mut short: BTreeMap<RunId, Shortage> = BTreeMap::new();
    let mut query = DecisionQuery { before: None, limit: PAGE_MAX };
    let mut read = 0;
    while read < DECISIONS_MAX {
        let page = reader.decisions(scope, query)?;
        read += page.rows.len();
        for decision in page.rows.iter().filter(|decision| decision.decision.at >= from) {
            if let Some((run, of)) = shortage(decision) {
                short.entry(run).or_default().join(of);
            }
        }
        let is_past = page.rows.last().is_some_and(|decision| decision.decision.at < from);
        match page.next.filter(|_| !is_past) {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    Ok((short, read))
}

#[cfg(test)]
mod tests {
    use fairlane_core::cell::change::Change;
    use fairlane_core::row::{RunKey, RunRow, RunStatus};
    use fairlane_store::Store as _;
    use fairlane_store::conformance::samples::{ended, key};
    use fairlane_store::memory::{Disk, MemoryStore};

    use super::*;

    /// A run that ended, of a tenant, submitted at that second.
    fn run(tenant: &str, second: u64, at: u32) -> Change {
        let created = Time(second * 1_000_000);
        let run = RunId(RunId::first_of(created).0 + u128::from(at));
        let key = RunKey { run, ..key(tenant, 1) };
        Change::Run(Box::new(RunRow { created, ..ended(&key, RunStatus::Completed) }))
    }

    #[test]
    fn what_was_cut_is_counted_from_its_cursor_on_and_nothing_twice() {
        let mut store = MemoryStore::open(&Disk::default());
        let epoch = store.claim().unwrap();
        let mut rows: Vec<Change> = (0..1_500).map(|at| run("a", 1_000, at)).collect();
        rows.extend([run("b", 999, 0), run("b", 1_000, 1), run("b", 1_999, 2), run("b", 2_000, 3)]);
        rows.extend([run("c", 1_500, 0)]);
        store.commit(epoch, &rows).unwrap();
        let mut reader = store.reader().unwrap();
        let rights = store.load().unwrap().all_tenants();
        let tenants = ["a", "b", "c"].map(|id| TenantId::parse(id).unwrap());
        let window = (Time(1_000_000_000), Time(2_000_000_000));
        let mut cursor = None;
        let mut answers = Vec::new();
        loop {
            let counted = count(&mut *reader, window, (rights, &tenants), cursor.as_ref(), 2);
            let (tally, next) = counted.unwrap();
            assert_eq!(tally.is_cut, next.is_some());
            answers.push(tally.report().iter().map(|of| of.runs).sum::<u64>());
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(answers, [1_000, 500, 2, 1]);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let tenant = TenantId::parse("bank-17").unwrap();
        for before in [None, Some(RunId(7 << 80))] {
            let written = Cursor { tenant: tenant.clone(), before };
            assert_eq!(cursor(&written.to_string()).unwrap(), written);
        }
        for wrong in ["", "A", "bank-17.", "bank-17.7", ".x"] {
            assert!(cursor(wrong).is_err(), "{wrong}");
        }
    }
}
