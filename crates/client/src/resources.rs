//! Organisations, tiers, tenants, budget classes and the catalog: declare, read, list. Accounts: top up.

use fairlane_api::catalog::{Model, ModelSpec, Price, PriceSpec};
use fairlane_api::page::Page;
use fairlane_api::policy::{AppliedPolicy, Policy, PolicySchema, PolicySpec};
use fairlane_api::quota::{
    Account, AccountSpec, Accounts, BudgetClass, BudgetClassSpec, Every, LimitUse, Limits,
    RunBudget, Tool, ToolSpec,
};
use fairlane_api::resource::{Applied, Org, OrgSpec, Tenant, TenantSpec, Tier, TierSpec};
use fairlane_api::run::Commanded;
use hyper::Method;
use serde::de::DeserializeOwned;

use crate::client::{Call, Path};
use crate::{Client, Error};

/// Entries of a page when all are read: the most that the server gives.
const PAGE: u32 = 1_000;

/// Whether a declaration is written, or only checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Write {
    #[default]
    Apply,
    /// Nothing is written; the answer says what is wrong.
    Check,
}

impl Write {
    pub(crate) const fn parameter(self) -> Option<bool> {
        match self {
            Self::Apply => None,
            Self::Check => Some(true),
        }
    }
}

/// Declarations. The same one twice changes nothing.
impl Client {
    pub async fn put_org(&self, id: &str, spec: &OrgSpec, write: Write) -> Result<Applied, Error> {
        self.put(&["v1", "orgs", id], spec, write).await
    }

    pub async fn put_tier(
        &self,
        name: &str,
        spec: &TierSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "tiers", name], spec, write).await
    }

    /// Declares a tenant: its organisation, its tier, and what differs from the tier.
    pub async fn put_tenant(
        &self,
        id: &str,
        spec: &TenantSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "tenants", id], spec, write).await
    }

    /// Declares a tool: what all tenants together may call of it, and how the server calls it.
    pub async fn put_tool(
        &self,
        name: &str,
        spec: &ToolSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "tools", name], spec, write).await
    }

    /// Declares a model: the candidates that its name stands for.
    pub async fn put_model(
        &self,
        name: &str,
        spec: &ModelSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "models", name], spec, write).await
    }

    /// Declares a price, with all its versions.
    pub async fn put_price(
        &self,
        name: &str,
        spec: &PriceSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "prices", name], spec, write).await
    }

    /// Declares a budget class: what each of its tenants may call and spend.
    pub async fn put_budget_class(
        &self,
        name: &str,
        spec: &BudgetClassSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "budget-classes", name], spec, write).await
    }

    /// Declares a policy, as text in Cedar. One with mistakes is refused with all of them (`invalid-policy`, see
    /// [`Problem::mistakes`](fairlane_api::Problem)). A check says what it would do to the work that is there.
    pub async fn put_policy(
        &self,
        name: &str,
        text: &str,
        write: Write,
    ) -> Result<AppliedPolicy, Error> {
        let spec = PolicySpec { text: text.to_owned() };
        self.put(&["v1", "catalog", "policies", name], &spec, write).await
    }

    /// Removes a policy.
    pub async fn remove_policy(&self, name: &str, write: Write) -> Result<AppliedPolicy, Error> {
        let path = Path::new(&["v1", "catalog", "policies", name]);
        let path = path.query("dry_run", write.parameter());
        self.call(Call::new(Method::DELETE, path.into_string())).await
    }

    /// A version of a policy that is kept; the one in force if none is named.
    pub async fn policy(&self, name: &str, version: Option<u32>) -> Result<Policy, Error> {
        let path = Path::new(&["v1", "catalog", "policies", name]).query("version", version);
        self.call(Call::get(path.into_string())).await
    }

    /// All policies, those that the product ships included.
    pub async fn policies(&self) -> Result<Vec<Policy>, Error> {
        self.list(&["v1", "catalog", "policies"]).await
    }

    /// What policies can speak about.
    pub async fn policy_schema(&self) -> Result<PolicySchema, Error> {
        self.get(&["v1", "catalog", "policy-schema"]).await
    }

    pub async fn tool(&self, name: &str) -> Result<Tool, Error> {
        self.get(&["v1", "catalog", "tools", name]).await
    }

    pub async fn model(&self, name: &str) -> Result<Model, Error> {
        self.get(&["v1", "catalog", "models", name]).await
    }

    pub async fn price(&self, name: &str) -> Result<Price, Error> {
        self.get(&["v1", "catalog", "prices", name]).await
    }

    pub async fn budget_class(&self, name: &str) -> Result<BudgetClass, Error> {
        self.get(&["v1", "budget-classes", name]).await
    }

    pub async fn tools(&self) -> Result<Vec<Tool>, Error> {
        self.list(&["v1", "catalog", "tools"]).await
    }

    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        self.list(&["v1", "catalog", "models"]).await
    }

    pub async fn prices(&self) -> Result<Vec<Price>, Error> {
        self.list(&["v1", "catalog", "prices"]).await
    }

    pub async fn budget_classes(&self) -> Result<Vec<BudgetClass>, Error> {
        self.list(&["v1", "budget-classes"]).await
    }

    pub async fn org(&self, id: &str) -> Result<Org, Error> {
        self.get(&["v1", "orgs", id]).await
    }

    pub async fn tier(&self, name: &str) -> Result<Tier, Error> {
        self.get(&["v1", "tiers", name]).await
    }

    /// A tenant, with what its tier fills in.
    pub async fn tenant(&self, id: &str) -> Result<Tenant, Error> {
        self.get(&["v1", "tenants", id]).await
    }

    pub async fn orgs(&self) -> Result<Vec<Org>, Error> {
        self.list(&["v1", "orgs"]).await
    }

    pub async fn tiers(&self) -> Result<Vec<Tier>, Error> {
        self.list(&["v1", "tiers"]).await
    }

    pub async fn tenants(&self) -> Result<Vec<Tenant>, Error> {
        self.list(&["v1", "tenants"]).await
    }
}

/// How much is used, spent and left.
impl Client {
    /// A tenant's accounts of the day and the month that are under way.
    pub async fn tenant_accounts(&self, tenant: &str) -> Result<Vec<Account>, Error> {
        let read: Accounts = self.get(&["v1", "tenants", tenant, "budgets"]).await?;
        Ok(read.accounts)
    }

    /// An organisation's account of the month that is under way.
    pub async fn org_accounts(&self, org: &str) -> Result<Vec<Account>, Error> {
        let read: Accounts = self.get(&["v1", "orgs", org, "budgets"]).await?;
        Ok(read.accounts)
    }

    /// How much a tenant has used of its own quotas.
    pub async fn tenant_limits(&self, tenant: &str) -> Result<Vec<LimitUse>, Error> {
        let read: Limits = self.get(&["v1", "tenants", tenant, "limits"]).await?;
        Ok(read.limits)
    }

    /// How much all tenants together have used of a tool's limits, and whether it is called.
    pub async fn tool_limits(&self, tool: &str) -> Result<Limits, Error> {
        self.get(&["v1", "catalog", "tools", tool, "limits"]).await
    }
}

/// Money. Each of these sets a value, so that twice is like once.
impl Client {
    /// Sets what a tenant's account has on top of its budget, and what of its debt is let off, in the day or month that
    /// is under way.
    pub async fn put_tenant_account(
        &self,
        tenant: &str,
        every: Every,
        spec: &AccountSpec,
    ) -> Result<Applied, Error> {
        let path = ["v1", "tenants", tenant, "budgets", every_text(every)];
        self.put(&path, spec, Write::Apply).await
    }

    /// The same for an organisation, in the month that is under way.
    pub async fn put_org_account(&self, org: &str, spec: &AccountSpec) -> Result<Applied, Error> {
        self.put(&["v1", "orgs", org, "budgets", "month"], spec, Write::Apply).await
    }

    /// Sets what a run may spend in all.
    pub async fn put_run_budget(
        &self,
        tenant: &str,
        run: &str,
        budget: &RunBudget,
    ) -> Result<Commanded, Error> {
        let path = ["v1", "tenants", tenant, "runs", run, "budget"];
        self.put(&path, budget, Write::Apply).await
    }
}

impl Client {
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        spec: &impl serde::Serialize,
        write: Write,
    ) -> Result<T, Error> {
        let path = Path::new(path).query("dry_run", write.parameter());
        self.call(Call::put(path.into_string()).json(spec)?).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Error> {
        self.call(Call::get(Path::new(path).into_string())).await
    }

    /// Every page of a list.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, Error> {
        self.list_where(path, ("limit", PAGE)).await
    }

    /// The same with one more parameter of the list.
    pub(crate) async fn list_where<T: DeserializeOwned>(
        &self,
        path: &[&str],
        (parameter, value): (&'static str, impl std::fmt::Display + Copy),
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page =
                Path::new(path).query(parameter, Some(value)).query("cursor", cursor.as_deref());
            let mut page: Page<T> = self.call(Call::get(page.into_string())).await?;
            items.append(&mut page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(items),
            }
        }
    }
}

/// A period as the API writes it.
pub(crate) const fn every_text(every: Every) -> &'static str {
    match every {
        Every::Minute => "minute",
        Every::Hour => "hour",
        Every::Day => "day",
        Every::Month => "month",
    }
}
