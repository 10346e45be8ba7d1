//! Reports for operators.

use fairlane_api::Timestamp;
use fairlane_api::page::Page;
use fairlane_api::quota::Every;
use fairlane_api::report::{BudgetUse, ShortWorkflows};

use crate::client::{Call, Path};
use crate::resources::every_text;
use crate::{Client, Error};

/// Which budgets to report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetFilter {
    /// `Day` or `Month`; the month if absent.
    pub every: Option<Every>,
    /// Periods that are over, 1 to 24.
    pub periods: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Most tenants of the page.
    pub limit: Option<u32>,
}

/// Which runs to count: those that were submitted in a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortFilter {
    /// Absent: 30 days before `until`.
    pub from: Option<Timestamp>,
    /// Absent: now.
    pub until: Option<Timestamp>,
    pub tenant: Option<String>,
    /// `next` of an answer that was cut.
    pub cursor: Option<String>,
}

impl Client {
    /// One page of how far tenants use their budgets.
    pub async fn report_budgets(&self, filter: &BudgetFilter) -> Result<Page<BudgetUse>, Error> {
        let path = Path::new(&["v1", "platform", "reports", "budgets"])
            .query("every", filter.every.map(every_text))
            .query("periods", filter.periods)
            .query("cursor", filter.cursor.as_deref())
            .query("limit", filter.limit);
        self.call(Call::get(path.into_string())).await
    }

    /// Which workflows' runs run short of money.
    pub async fn report_workflows(&self, filter: &ShortFilter) -> Result<ShortWorkflows, Error> {
        let path = Path::new(&["v1", "platform", "reports", "workflows"])
            .query("from", filter.from)
            .query("until", filter.until)
            .query("tenant", filter.tenant.as_deref())
            .query("cursor", filter.cursor.as_deref());
        self.call(Call::get(path.into_string())).await
    }
}
