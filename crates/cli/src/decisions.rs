//! `fairlane decisions`: what the platform decided, and on what facts.

use clap::Args;
use fairlane_api::platform::Decision;

use crate::table::Table;
use crate::target::Target;
use crate::text;

/// List the decision log, newest first: a tenant's, or the platform's own
#[derive(Debug, Args)]
pub(crate) struct Decisions {
    // Not from the environment, or whoever has set a tenant could not read the platform's.
    /// The tenant; without it the platform, for operators
    #[arg(long, short)]
    tenant: Option<String>,
    /// Go on where the last list ended
    #[arg(long)]
    cursor: Option<String>,
    /// Most entries to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

impl Decisions {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let client = target.client()?;
        let (tenant, cursor) = (self.tenant.as_deref(), self.cursor.as_deref());
        let page = client.decisions(tenant, cursor, self.limit).await?;
        printer.data(&page, |page| list(&page.items))?;
        if let Some(next) = page.next.as_ref().filter(|_| !printer.is_json()) {
            printer.note(&format!("There are older ones: --cursor {next}"));
        }
        Ok(())
    }
}

fn list(decisions: &[Decision]) -> String {
    let mut table = Table::new(&["AT", "TENANT", "CODE", "BY", "FACTS"]);
    for decision in decisions {
        table.row([
            text::time(decision.at),
            text::or_dash(decision.tenant.as_ref()),
            decision.code.clone(),
            text::or_dash(decision.by.as_ref()),
            decision.facts.get().to_owned(),
        ]);
    }
    table.render()
}
