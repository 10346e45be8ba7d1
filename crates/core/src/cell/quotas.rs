//! Declarations of tools, budget classes and accounts.

use crate::calendar::{Calendar, Window};
use crate::gate::LimitHolder;
use crate::id::{TenantId, ToolName};
use crate::ledger::Key;
use crate::limiter::{Caller, Reading};
use crate::money::Nano;
use crate::quota::{
    BudgetClass, FAILURES_MAX, OPEN_FOR_MAX, PERIOD_MAX, QUOTAS_MAX, RULES_MAX, Rule, Tool,
    UNITS_MAX,
};
use crate::reject::Rejection;
use crate::row::Owner;
use crate::scheduler::TenantIx;
use crate::tenant::Context;
use crate::time::Span;

use super::change::Change;
use super::configure::{full, span, wide};
use super::effect::{AccountView, LimitView, Response};
use super::input::SetAccount;
use super::{Cell, Turn};

/// Bounds on how much can be declared in one cell.
pub(crate) const TOOLS_MAX: usize = 10_000;
pub(crate) const CLASSES_MAX: usize = 1_000;

const PERIOD_MIN: Span = Span::from_millis(1);
/// A rate is taken over such a part of a period at least, a day of a month: over its first minutes it says nothing.
const FORECAST_PARTS: u64 = 30;

impl Cell {
    pub(crate) fn declare_tool(&mut self, tool: Tool, turn: &mut Turn) -> Result<bool, Rejection> {
        rules(&tool.limits)?;
        self.can_share(&tool.limits)?;
        self.check_endpoint(&tool)?;
        self.check_location(&tool.location)?;
        if let Some(breaker) = tool.breaker {
            wide("/breaker/failures", breaker.failures.into(), 1, FAILURES_MAX.into())?;
            span("/breaker/open_for", breaker.open_for, PERIOD_MIN, OPEN_FOR_MAX)?;
        }
        let known = self.directory.tools.get(&tool.name);
        if known == Some(&tool) {
            return Ok(false);
        }
        full("tools", known.is_none(), self.directory.tools.len(), TOOLS_MAX)?;
        let is_called_anew = known.is_some_and(|known| known.endpoint != tool.endpoint);
        let is_elsewhere = *self.directory.location(&tool.name) != tool.location;
        turn.write(Change::Tool(tool.clone()));
        let before = self.circuit(&tool.name);
        let number = self.put_tool(tool);
        if is_called_anew {
            self.models_changed();
        }
        if is_elsewhere {
            self.rules_changed(None, turn);
        }
        self.log_circuit(number, before, turn);
        Ok(true)
    }

    /// What all tenants share is divided among the cells: each gives out one at least.
    fn can_share(&self, limits: &[Rule]) -> Result<(), Rejection> {
        let cells = u64::from(self.directory.share.of);
        limits.iter().try_for_each(|rule| wide("/limits", rule.units(), cells, UNITS_MAX))
    }

    pub(crate) fn declare_class(
        &mut self,
        class: BudgetClass,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        wide("/quotas", class.quotas.len() as u64, 0, QUOTAS_MAX as u64)?;
        class.quotas.values().try_for_each(|quota| rules(quota))?;
        let budget = &class.budget;
        for (field, amount) in [
            ("/budget/run", budget.run),
            ("/budget/day", budget.day),
            ("/budget/month", budget.month),
            ("/budget/reserve", Some(budget.reserve)),
        ] {
            money(field, amount.unwrap_or_default())?;
        }
        wide("/budget/reserve", budget.reserve.0, 0, budget.run.unwrap_or(Nano::MAX).0)?;
        let known = self.directory.classes.get(&class.name);
        if known == Some(&class) {
            return Ok(false);
        }
        full("budget classes", known.is_none(), self.directory.classes.len(), CLASSES_MAX)?;
        turn.write(Change::Class(class.clone()));
        let name = class.name.clone();
        self.directory.classes.insert(name.clone(), class);
        // What it says holds for its tenants at once.
        let is_member = |context: &Context| context.budget_class.as_ref() == Some(&name);
        let tenants = self.directory.tenants.indexed();
        let members: Vec<_> =
            tenants.filter(|(_, entry)| is_member(entry.context())).map(|(at, _)| at).collect();
        for tenant in members {
            self.set_terms(tenant);
        }
        Ok(true)
    }

    pub(crate) fn accounts(&self, owner: &Owner) -> Response {
        let keys: Vec<Key> = match owner {
            Owner::Tenant(id) => {
                let Some(tenant) = self.directory.tenants.find(id) else {
                    return Response::Rejected(Rejection::UnknownTenant { tenant: id.clone() });
                };
                self.ledger.keys(tenant.0).filter(|key| !matches!(key, Key::OrgMonth(_))).collect()
            }
            Owner::Org(id) => {
                let Some(org) = self.directory.orgs.find(id) else {
                    return Response::Rejected(Rejection::UnknownOrg { org: id.clone() });
                };
                vec![Key::OrgMonth(org.0)]
            }
        };
        Response::Accounts(keys.into_iter().map(|key| self.account_view(key)).collect())
    }

    pub(crate) fn budget_view(&self, tenant: TenantIx, every: Calendar) -> (TenantId, AccountView) {
        let key = match every {
            Calendar::Minute | Calendar::Hour | Calendar::Day => Key::TenantDay(tenant.0),
            Calendar::Month => Key::TenantMonth(tenant.0),
        };
        let id = self.directory.tenants.get(tenant).context().tenant.clone();
        (id, self.account_view(key))
    }

    /// A tenant's own quotas only: what others have used of a provider is not for its eyes.
    pub(crate) fn quotas(&self, id: &TenantId) -> Response {
        let Some(tenant) = self.directory.tenants.find(id) else {
            return Response::Rejected(Rejection::UnknownTenant { tenant: id.clone() });
        };
        let context = self.directory.tenants.get(tenant).context();
        let class = self.directory.budget_class(context);
        let quotas = class.into_iter().flat_map(|class| &class.quotas);
        let views = quotas.flat_map(|(name, quota)| {
            let tool = self.directory.tool_number(name).unwrap_or(u32::MAX);
            let caller = Caller { tenant: tenant.0, tool, quota };
            self.limit_views(name, &caller, LimitHolder::Tenant)
        });
        Response::Limits(views.collect())
    }

    pub(crate) fn provider(&self, name: &ToolName) -> Response {
        if !self.directory.tools.contains_key(name) {
            return Response::Rejected(Rejection::UnknownTool { tool: name.clone() });
        }
        let tool = self.directory.tool_number(name).unwrap_or(u32::MAX);
        let caller = Caller { tenant: u32::MAX, tool, quota: &[] };
        let limits = self.limit_views(name, &caller, LimitHolder::Provider);
        Response::Provider(limits, self.circuit(name))
    }

    fn limit_views(&self, tool: &ToolName, caller: &Caller<'_>, of: LimitHolder) -> Vec<LimitView> {
        let readings = self.limiter.reading(self.now, caller).into_iter();
        let view = |reading: Reading| LimitView {
            tool: tool.clone(),
            rule: reading.rule,
            used: reading.used,
            of: reading.of,
            opens: reading.resets,
        };
        readings.filter(|reading| reading.holder == of).map(view).collect()
    }

    fn account_view(&self, key: Key) -> AccountView {
        let reading = self.ledger.reading(self.now, key);
        let Window { start, end } = reading.window;
        let length = end.since(start).0;
        let passed = self.now.since(start).0.max(length / FORECAST_PARTS).max(1);
        let forecast = u128::from(reading.state.posted.0) * u128::from(length) / u128::from(passed);
        AccountView {
            account: key.account(),
            start,
            end,
            budget: reading.budget,
            posted: reading.state.posted,
            uncertain: reading.state.uncertain,
            held: reading.held,
            topped_up: reading.state.topped_up,
            forgiven: reading.state.forgiven,
            debt: reading.debt,
            available: reading.available,
            forecast: Nano(u64::try_from(forecast).unwrap_or(u64::MAX)).rounded(),
        }
    }

    /// The number that stands for it is the answer.
    pub(crate) fn put_tool(&mut self, tool: Tool) -> u32 {
        let number = self.directory.number_tool(&tool.name);
        let share = self.directory.share;
        let parts: Vec<Rule> = tool.limits.iter().map(|rule| rule.part(share)).collect();
        self.limiter.set_tool(self.now, number, &parts, tool.breaker);
        self.directory.tools.insert(tool.name.clone(), tool);
        number
    }

    /// What an account has on top of its budget, in the period that is under way.
    pub(crate) fn set_account(&mut self, account: &SetAccount) -> Result<bool, Rejection> {
        money("/topped_up", account.topped_up)?;
        money("/forgiven", account.forgiven)?;
        let unbounded =
            || Rejection::NoAccount { owner: account.owner.clone(), every: account.every };
        let key = self.directory.account(&account.owner, account.every).ok_or_else(unbounded)?;
        let changed = self.ledger.adjust(self.now, key, account.topped_up, account.forgiven);
        changed.ok_or_else(unbounded)
    }
}

pub(crate) fn money(field: &'static str, amount: Nano) -> Result<(), Rejection> {
    wide(field, amount.0, 0, Nano::MAX.0)
}

fn rules(rules: &[Rule]) -> Result<(), Rejection> {
    wide("/limits", rules.len() as u64, 0, RULES_MAX as u64)?;
    for rule in rules {
        match rule {
            Rule::Window { units, .. } => wide("/units", *units, 1, UNITS_MAX)?,
            Rule::Bucket { units, per, burst, .. } => {
                wide("/units", *units, 1, UNITS_MAX)?;
                wide("/burst", *burst, 1, UNITS_MAX)?;
                span("/per", *per, PERIOD_MIN, PERIOD_MAX)?;
            }
            Rule::Concurrent { calls } => wide("/calls", u64::from(*calls), 1, UNITS_MAX)?,
        }
    }
    Ok(())
}
