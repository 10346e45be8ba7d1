//! `fairlane report`: what operators read of money and of places over many tenants.

mod residency;

use clap::{Args, Subcommand, ValueEnum};
use fairlane_api::Timestamp;
use fairlane_api::quota::Every;
use fairlane_api::report::{BudgetUse, ShortWorkflow, ShortWorkflows, Verdict};
use fairlane_client::{BudgetFilter, Client, ShortFilter};

use crate::budget::Period;
use crate::table::Table;
use crate::target::Target;
use crate::{input, text};

/// Tenants of one page.
const PAGE: u32 = 1_000;

/// Report how far budgets are used, which workflows run out of theirs, and what rests on adequacy
#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show for each tenant how far it used its budget, over several periods
    Budgets {
        /// Which budget
        #[arg(long, default_value = "month")]
        every: Period,
        /// Periods that are over
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=24))]
        periods: u32,
        /// Only tenants that overrun their budget, or leave it unused
        #[arg(long)]
        only: Option<Only>,
    },
    /// Show which workflows' runs were halted, failed or degraded for want of money
    Workflows {
        /// Runs that were submitted then or later: a day such as 2026-12-01 (in UTC), or a time; 30 days before
        /// the end if not given
        #[arg(long, value_name = "TIME", value_parser = input::moment)]
        from: Option<Timestamp>,
        /// Runs that were submitted before; now if not given
        #[arg(long, value_name = "TIME", value_parser = input::moment)]
        until: Option<Timestamp>,
        /// Only runs of this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// Count the rest of a report that was cut
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show what rests on the adequacy of countries now, what is outside, and which decisions end soon
    Residency,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    Overruns,
    Unused,
}

impl Report {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::Budgets { every, periods, only } => {
                let mut budgets = budgets(&client, every.into(), periods).await?;
                budgets.retain(|of| only.is_none_or(|only| only.has(of.verdict)));
                printer.data(&budgets, |budgets| list(budgets))
            }
            Verb::Workflows { from, until, tenant, cursor } => {
                let filter = ShortFilter { from, until, tenant, cursor };
                let short = client.report_workflows(&filter).await?;
                printer.data(&short, show)?;
                if short.cut && !printer.is_json() {
                    let rest = short.next.as_ref();
                    let rest = rest.map_or_else(String::new, |next| format!(": --cursor {next}"));
                    printer.note(&format!("There is more than one answer looks at{rest}"));
                }
                Ok(())
            }
            Verb::Residency => printer.data(&client.report_residency().await?, residency::show),
        }
    }
}

impl Only {
    const fn has(self, verdict: Verdict) -> bool {
        matches!(
            (self, verdict),
            (Self::Overruns, Verdict::Overruns) | (Self::Unused, Verdict::Unused)
        )
    }
}

async fn budgets(client: &Client, every: Every, periods: u32) -> anyhow::Result<Vec<BudgetUse>> {
    let mut filter = BudgetFilter {
        every: Some(every),
        periods: Some(periods),
        limit: Some(PAGE),
        cursor: None,
    };
    let mut found = Vec::new();
    loop {
        let page = client.report_budgets(&filter).await?;
        found.extend(page.items);
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            return Ok(found);
        }
    }
}

fn list(budgets: &[BudgetUse]) -> String {
    let mut table = Table::new(&[
        "TENANT",
        "EVERY",
        ">BUDGET",
        ">POSTED",
        ">USED",
        ">PERIODS",
        ">MEAN",
        ">VARIANCE",
        ">OVERRAN",
        ">DEBT",
        "VERDICT",
    ]);
    for of in budgets {
        let now = of.periods.first();
        table.row([
            of.tenant.clone(),
            text::word(&of.every),
            text::or_dash(of.budget.as_ref()),
            text::or_dash(now.map(|now| &now.posted)),
            text::or_dash(now.and_then(|now| now.utilisation_permille).map(percent)),
            of.complete.to_string(),
            text::or_dash(of.mean_permille.map(percent)),
            text::or_dash(of.variance_millionths.map(fraction)),
            of.overruns.to_string(),
            text::or_dash(now.map(|now| &now.debt)),
            text::word(&of.verdict),
        ]);
    }
    table.render()
}

fn show(short: &ShortWorkflows) -> String {
    let mut table = Table::new(&[
        "WORKFLOW",
        ">RUNS",
        ">SHORT",
        ">SHARE",
        ">HALTED",
        ">FAILED",
        ">DEGRADED",
        ">MEDIAN SPENT",
    ]);
    for of in &short.workflows {
        let ShortWorkflow { workflow, version, runs, halted, failed, degraded, .. } = of;
        table.row([
            format!("{workflow} v{version}"),
            runs.to_string(),
            of.short.to_string(),
            percent(of.short_permille),
            halted.to_string(),
            failed.to_string(),
            degraded.to_string(),
            text::or_dash(of.median_spent_permille.map(percent)),
        ]);
    }
    let (from, until) = (text::time(short.starts_at), text::time(short.ends_at));
    format!(
        "runs that were submitted from {from} until {until} and have ended\n\n{}",
        table.render()
    )
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// A number in millionths.
fn fraction(millionths: u64) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_has_a_line_with_what_is_used_now_and_was_before() {
        let period = json!({
            "starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
            "complete": false, "posted": "3.75", "uncertain": "0.00", "topped_up": "0.00",
            "forgiven": "0.00", "utilisation_permille": 375, "over": "0.00", "debt": "0.00",
        });
        let mut none = period.clone();
        none.as_object_mut().unwrap().remove("utilisation_permille");
        let budgets: Vec<BudgetUse> = serde_json::from_value(json!([
            { "tenant": "bank-1", "every": "month", "budget": "10.00", "verdict": "overruns",
              "complete": 2, "mean_permille": 800, "variance_millionths": 160_000, "overruns": 1,
              "periods": [period] },
            { "tenant": "bank-2", "every": "month", "verdict": "unbounded", "complete": 0,
              "overruns": 0, "periods": [none] },
        ]))
        .unwrap();
        expect![[r"
            TENANT  EVERY  BUDGET  POSTED    USED  PERIODS    MEAN  VARIANCE  OVERRAN  DEBT  VERDICT
            bank-1  month   10.00    3.75  37.5 %        2  80.0 %  0.160000        1  0.00  overruns
            bank-2  month       -    3.75       -        0       -         -        0  0.00  unbounded
        "]]
        .assert_eq(&list(&budgets));
    }

    #[test]
    fn a_workflow_has_a_line_with_how_its_runs_came_out() {
        let short: ShortWorkflows = serde_json::from_value(json!({
            "starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z", "cut": false,
            "workflows": [{
                "workflow": "loan", "version": 3, "runs": 200, "short": 50, "short_permille": 250,
                "halted": 40, "failed": 0, "degraded": 12, "bounded": 200,
                "median_spent_permille": 905,
            }],
        }))
        .unwrap();
        expect![[r"
            runs that were submitted from 2026-11-01T00:00:00Z until 2026-12-01T00:00:00Z and have ended

            WORKFLOW  RUNS  SHORT   SHARE  HALTED  FAILED  DEGRADED  MEDIAN SPENT
            loan v3    200     50  25.0 %      40       0        12        90.5 %
        "]]
        .assert_eq(&show(&short));
    }
}
