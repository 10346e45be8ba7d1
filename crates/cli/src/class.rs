//! `fairlane class`: list and show budget classes.

use clap::{Args, Subcommand};
use fairlane_api::quota::{Amount, BudgetClass};

use crate::table::Table;
use crate::target::Target;
use crate::{text, tool};

/// List and show budget classes: what each of their tenants may call and spend
#[derive(Debug, Args)]
pub(crate) struct Class {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all budget classes
    List,
    /// Show one budget class
    Get { class: String },
}

impl Class {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List => printer.data(&client.budget_classes().await?, |classes| list(classes)),
            Verb::Get { class } => printer.data(&client.budget_class(&class).await?, show),
        }
    }
}

fn list(classes: &[BudgetClass]) -> String {
    let mut table = Table::new(&["CLASS", ">RUN", ">DAY", ">MONTH", "TOOLS"]);
    for class in classes {
        let tools: Vec<&str> = class.quotas.keys().map(String::as_str).collect();
        let budget = &class.budget;
        table.row([
            class.name.clone(),
            amount(budget.run.as_ref()),
            amount(budget.day.as_ref()),
            amount(budget.month.as_ref()),
            text::or_dash((!tools.is_empty()).then(|| tools.join(", "))),
        ]);
    }
    table.render()
}

fn show(class: &BudgetClass) -> String {
    let budget = &class.budget;
    let run = budget.run.as_ref().map(|run| format!("{run}, of it {} kept back", budget.reserve));
    let short: Vec<String> = budget.short.iter().map(text::word).collect();
    let lines = [
        ("class", class.name.clone()),
        ("run", text::or_dash(run)),
        ("day", amount(budget.day.as_ref())),
        ("month", amount(budget.month.as_ref())),
        ("time zone", budget.time_zone.clone()),
        ("when short", text::or_dash((!short.is_empty()).then(|| short.join(", then ")))),
    ];
    let quotas = class.quotas.iter().map(|(name, rules)| {
        let rules = tool::rules(rules);
        format!("{:<11} {name}: {rules}\n", "quota")
    });
    let lines = lines.iter().map(|(name, value)| format!("{name:<11} {value}\n"));
    lines.chain(quotas).collect()
}

fn amount(amount: Option<&Amount>) -> String {
    text::or_dash(amount)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_shows_budgets_and_quotas() {
        let class: BudgetClass = serde_json::from_value(json!({
            "name": "basic",
            "quotas": { "bureau": [{ "concurrent": { "calls": 2 } }] },
            "budget": { "run": "0.50", "reserve": "0.05", "month": "20.00", "time_zone": "UTC",
                        "short": ["skip_optional", "pause"] }
        }))
        .unwrap();
        expect![[r"
            CLASS   RUN  DAY  MONTH  TOOLS
            basic  0.50    -  20.00  bureau
        "]]
        .assert_eq(&list(std::slice::from_ref(&class)));
        expect![[r"
            class       basic
            run         0.50, of it 0.05 kept back
            day         -
            month       20.00
            time zone   UTC
            when short  skip_optional, then pause
            quota       bureau: 2 under way
        "]]
        .assert_eq(&show(&class));
    }
}
