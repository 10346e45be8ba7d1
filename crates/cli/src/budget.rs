//! `fairlane budget` and `fairlane limits`: what is spent, held and left, what is used, and how it is changed.

use clap::{Args, Subcommand, ValueEnum};
use fairlane_api::quota::{
    Account, AccountSpec, Amount, Circuit, CircuitState, Every, LimitUse, RunBudget, Why,
};

use fairlane_client::Client;

use crate::exit::Usage;
use crate::table::Table;
use crate::target::{OneRun, Target};
use crate::text;

/// Show and change budgets: what is spent, held and left
#[derive(Debug, Args)]
pub(crate) struct Budget {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the accounts of a tenant, or of an organisation
    Get(Whose),
    /// Set what an account has on top of its budget, and what of its debt is let off, until its period ends
    Set {
        #[command(flatten)]
        whose: Whose,
        /// The account: organisations have one for the month
        #[arg(long, default_value = "month")]
        every: Period,
        /// On top of the budget, in all; what is not given stays as it is
        #[arg(long, value_name = "AMOUNT", required_unless_present = "forgiven")]
        topped_up: Option<String>,
        /// Debt that is let off, in all
        #[arg(long, value_name = "AMOUNT")]
        forgiven: Option<String>,
    },
    /// Set what a run may spend in all; it goes on if that is what it waits for
    Run {
        #[command(flatten)]
        run: OneRun,
        /// Such as 0.75
        #[arg(long, value_name = "AMOUNT")]
        limit: String,
    },
}

/// Show how much of limits is used: a tenant's own, or those of a tool that all tenants share
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// The tenant
    #[arg(long, env = "FAIRLANE_TENANT", required_unless_present = "tool")]
    tenant: Option<String>,
    /// The tool
    #[arg(long)]
    tool: Option<String>,
}

/// A tenant or an organisation.
#[derive(Debug, Args)]
struct Whose {
    /// The tenant
    #[arg(long, env = "FAIRLANE_TENANT", required_unless_present = "org")]
    tenant: Option<String>,
    /// The organisation
    #[arg(long)]
    org: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Period {
    Day,
    Month,
}

impl Budget {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::Get(whose) => {
                let accounts = whose.accounts(&client).await?;
                printer.data(&accounts, |accounts| list(accounts))
            }
            Verb::Set { whose: Whose { org: Some(_), .. }, every: Period::Day, .. } => {
                Err(Usage("organisations have a budget for the month only".to_owned()).into())
            }
            Verb::Set { whose, every, topped_up, forgiven } => {
                let every = Every::from(every);
                let spec = match (topped_up, forgiven) {
                    (Some(topped_up), Some(forgiven)) => {
                        AccountSpec { topped_up: Amount(topped_up), forgiven: Amount(forgiven) }
                    }
                    (topped_up, forgiven) => {
                        let known = whose.account(&client, every).await?;
                        AccountSpec {
                            topped_up: topped_up.map_or(known.topped_up, Amount),
                            forgiven: forgiven.map_or(known.forgiven, Amount),
                        }
                    }
                };
                let applied = match &whose.org {
                    Some(org) => client.put_org_account(org, &spec).await?,
                    None => client.put_tenant_account(whose.tenant(), every, &spec).await?,
                };
                printer.data(&applied, |applied| {
                    let word = if applied.changed { "changed" } else { "unchanged" };
                    format!("budget {word}\n")
                })
            }
            Verb::Run { run: OneRun { run, of }, limit } => {
                let budget = RunBudget { limit: Amount(limit) };
                let done = client.put_run_budget(of.tenant()?, &run, &budget).await?;
                printer.data(&done, |done| {
                    format!("run {} is {}\n", done.run, text::word(&done.status))
                })
            }
        }
    }
}

impl Limits {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match (&self.tool, &self.tenant) {
            (Some(tool), _) => printer.data(&client.tool_limits(tool).await?, |read| {
                format!("{}{}", used(&read.limits), circuit(read.circuit.as_ref()))
            }),
            (None, tenant) => {
                let tenant = tenant.as_deref().unwrap_or_default();
                printer.data(&client.tenant_limits(tenant).await?, |limits| used(limits))
            }
        }
    }
}

impl Whose {
    async fn accounts(&self, client: &Client) -> Result<Vec<Account>, fairlane_client::Error> {
        match &self.org {
            Some(org) => client.org_accounts(org).await,
            None => client.tenant_accounts(self.tenant()).await,
        }
    }

    /// What the account has beside its budget: nothing if there is no such account, which the server says.
    async fn account(
        &self,
        client: &Client,
        every: Every,
    ) -> Result<AccountSpec, fairlane_client::Error> {
        let accounts = self.accounts(client).await?;
        let known = accounts.into_iter().find(|account| account.every == every);
        let nothing = || Amount("0".to_owned());
        Ok(known.map_or_else(
            || AccountSpec { topped_up: nothing(), forgiven: nothing() },
            |Account { topped_up, forgiven, .. }| AccountSpec { topped_up, forgiven },
        ))
    }

    fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or_default()
    }
}

impl From<Period> for Every {
    fn from(period: Period) -> Self {
        match period {
            Period::Day => Self::Day,
            Period::Month => Self::Month,
        }
    }
}

fn list(accounts: &[Account]) -> String {
    let mut table = Table::new(&[
        "ACCOUNT",
        ">BUDGET",
        ">TOPPED UP",
        ">POSTED",
        ">UNCERTAIN",
        ">HELD",
        ">AVAILABLE",
        ">DEBT",
        ">FORECAST",
        "UNTIL",
    ]);
    for account in accounts {
        table.row([
            text::word(&account.every),
            text::or_dash(account.budget.as_ref()),
            account.topped_up.to_string(),
            account.posted.to_string(),
            account.uncertain.to_string(),
            account.held.to_string(),
            text::or_dash(account.available.as_ref()),
            account.debt.to_string(),
            account.forecast.to_string(),
            text::time(account.ends_at),
        ]);
    }
    table.render()
}

/// Nothing while the tool is called.
fn circuit(circuit: Option<&Circuit>) -> String {
    let Some(Circuit { state, why: Some(why), until }) = circuit else { return String::new() };
    let why = match why {
        Why::RetryAfter => "its provider asked to be left alone",
        Why::Failures => "its calls failed",
    };
    match (state, until) {
        (CircuitState::Open, Some(until)) => {
            format!("not called until {}: {why}\n", text::time(*until))
        }
        _ => format!("one call at a time tries it: {why}\n"),
    }
}

fn used(limits: &[LimitUse]) -> String {
    let mut table = Table::new(&["TOOL", "LIMIT", ">USED", ">OF", "OPENS"]);
    for limit in limits {
        table.row([
            limit.tool.clone(),
            limit.rule.clone(),
            limit.used.to_string(),
            limit.of.to_string(),
            text::or_dash(limit.opens_at.map(text::time)),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whether_a_tool_is_called_is_said_only_if_it_is_not() {
        let says = |read| circuit(Some(&serde_json::from_value(read).unwrap()));
        assert_eq!(circuit(None), "");
        assert_eq!(says(json!({ "state": "closed" })), "");
        let until = "2026-01-31T09:30:00.000000Z";
        let open = json!({ "state": "open", "why": "retry_after", "until": until });
        let words = says(open);
        assert!(words.starts_with("not called until 2026-01-31"), "{words}");
        assert!(words.ends_with(": its provider asked to be left alone\n"), "{words}");
        let tried = json!({ "state": "half_open", "why": "failures" });
        assert_eq!(says(tried), "one call at a time tries it: its calls failed\n");
    }
}
