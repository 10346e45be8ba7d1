//! The audit log: what the cell decides of its tenants' work, and who has done what. Facts, no sentences.
//!
//! What somebody asks for is logged with who it was, the rest is the platform's own. A decision that is met again and again
//! while nothing changes is one entry: a class of steps that is parked for the same reason until one of it has passed, and what
//! is refused for the same reason in one turn, with how often. The store numbers the entries and chains them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::gate::Refusal;
use crate::id::{RegionName, RunId, TenantId, ToolName};
use crate::quota::Rung;
use crate::reading::Cause;
use crate::reject::Rejection;
use crate::row::{Actor, Credential, Decision, Lane, Owner, Part, Role, Route, RunKey};
use crate::scheduler::TenantIx;

use super::change::Change;
use super::input::{Command, Configure, NoticeCommand};
use super::live::{At, Passed, Run};
use super::observe;
use super::{Cell, Turn};

/// A value longer than this is not repeated in the log, which then says only that it has changed.
const VALUE_BYTES_MAX: usize = 200;

/// What the log has said already, so that it does not say it again.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Refused since the turn began.
    refused: BTreeMap<Refused, (Value, u32)>,
    /// Classes of steps that are parked, by pool, tenant and class: why, in words and as a place.
    parked: BTreeMap<(usize, u32, u64), (String, Cause)>,
}

impl Said {
    pub(crate) fn why_parked(&self, pool: usize, tenant: TenantIx, class: u64) -> Option<Cause> {
        self.parked.get(&(pool, tenant.0, class)).map(|(_, cause)| *cause)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refused {
    tenant: TenantId,
    by: Option<Actor>,
    asked: &'static str,
    cause: String,
}

/// A declaration that is under way, as it will stand in the log.
#[derive(Debug)]
pub(crate) struct Declaring {
    code: &'static str,
    tenant: Option<TenantId>,
    facts: Value,
    /// What is declared now, and what was before.
    changes: Option<(Value, Value)>,
}

#[derive(Serialize)]
struct Admitted<'a> {
    run: RunId,
    workflow: &'a str,
    version: u32,
    lane: Lane,
    context: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
}

/// A step, and what was decided of it.
#[derive(Serialize)]
struct OfStep<'a> {
    run: RunId,
    step: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
    /// The tool that is called, where no way was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(flatten)]
    way: Option<Way<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Value>,
}

/// A call through the gateway.
#[derive(Serialize)]
struct OfCall<'a> {
    call: u64,
    held: String,
    #[serde(flatten)]
    way: Way<'a>,
}

/// Where a model's call goes.
#[derive(Serialize)]
struct Way<'a> {
    model: &'a str,
    endpoint: &'a str,
    served_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rung: Option<Rung>,
}

impl<'a> OfStep<'a> {
    fn new(run: &'a Run, node: u32) -> Self {
        let part = run.node(node).instance.part;
        Self {
            run: run.key.run,
            step: run.step(node).name.as_str(),
            item: match part {
                Part::Item(item) => Some(item),
                Part::Whole | Part::Compensation => None,
            },
            undo: (part == Part::Compensation).then_some(true),
            attempt: None,
            held: None,
            endpoint: None,
            way: None,
            pool: None,
            refusal: None,
        }
    }
}

impl<'a> Way<'a> {
    fn of(route: &'a Route) -> Self {
        Self {
            model: route.model.as_str(),
            endpoint: route.endpoint.as_str(),
            served_by: &route.upstream,
            region: route.considered.region.as_ref().map(RegionName::as_str),
            rung: route.rung,
        }
    }
}

impl Cell {
    /// Logs what the platform has decided, with facts as a JSON object. `tenant`: `None` if it is about the platform.
    pub(crate) fn decide(
        &self,
        tenant: Option<TenantId>,
        code: &'static str,
        facts: String,
        turn: &mut Turn,
    ) {
        self.log((tenant, None), code, facts, turn);
    }

    /// The same for what somebody has decided.
    pub(crate) fn log(
        &self,
        (tenant, by): (Option<TenantId>, Option<Actor>),
        code: &'static str,
        facts: String,
        turn: &mut Turn,
    ) {
        let (at, code, facts) = (self.now, code.into(), facts.into());
        turn.write(Change::Decision(Decision { tenant, at, code, by, facts }));
    }

    /// Logs what the pool's queue has to say of caps, bursts and paybacks.
    pub(crate) fn log_decisions(&mut self, pool: usize, turn: &mut Turn) {
        for logged in self.pools[pool].scheduler.take_log() {
            let tenant = self.directory.tenants.get(logged.tenant()).declared.id.clone();
            let mut facts = serde_json::to_value(logged.facts()).unwrap_or_default();
            if let Some(facts) = facts.as_object_mut() {
                facts.insert("pool".into(), self.directory.pools.names[pool].as_str().into());
            }
            self.decide(Some(tenant), logged.code(), facts.to_string(), turn);
        }
    }

    pub(crate) fn log_admitted(&self, run: &Run, by: Option<Actor>, turn: &mut Turn) {
        let facts = Admitted {
            run: run.key.run,
            workflow: run.shape.workflow.name.as_str(),
            version: run.shape.workflow.version,
            lane: run.lane,
            context: run.context.version,
            schedule: run.schedule.as_ref().map(crate::id::StepName::as_str),
            parent: run.parent.as_ref().map(|parent| parent.run),
        };
        self.log((Some(run.key.tenant.clone()), by), "admitted", text(&facts), turn);
    }

    /// Somebody was refused something. It is written when the turn is closed. Of a tenant that does not exist there is no log.
    pub(crate) fn was_refused(
        &mut self,
        (tenant, by): (&TenantId, Option<Actor>),
        asked: &'static str,
        rejection: &Rejection,
    ) {
        if self.directory.tenants.find(tenant).is_none() {
            return;
        }
        let value = told_to_tenant(rejection);
        let cause = match &value {
            Value::Object(object) => object.keys().next().cloned().unwrap_or_default(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        let refused = Refused { tenant: tenant.clone(), by, asked, cause };
        let (_, times) = self.said.refused.entry(refused).or_insert((value, 0));
        *times = times.saturating_add(1);
    }

    /// Writes what was refused in the turn.
    pub(crate) fn log_refused(&mut self, turn: &mut Turn) {
        for (refused, (cause, times)) in std::mem::take(&mut self.said.refused) {
            let Refused { tenant, by, asked, .. } = refused;
            let facts = json!({ "asked": asked, "cause": cause, "times": times });
            self.log((Some(tenant), by), "rejected", facts.to_string(), turn);
        }
    }

    /// A step was given its slot. That is in its own rows; what was set aside for it, and which way was chosen, is logged.
    pub(crate) fn log_passed(&self, at: At, passed: &Passed, turn: &mut Turn) {
        if passed.held.is_none() && passed.route.is_none() {
            return;
        }
        let run = self.runs.get(at.run);
        let way = passed.route.as_deref().map(Way::of);
        let tool = if way.is_none() { run.tool(at.node) } else { None };
        let code = if way.is_some() { "routed" } else { "held" };
        let facts = OfStep {
            attempt: Some(run.node(at.node).attempt),
            held: passed.held.as_ref().map(|held| held.amount.to_string()),
            endpoint: tool.map(ToolName::as_str),
            way,
            ..OfStep::new(run, at.node)
        };
        self.decide(Some(run.key.tenant.clone()), code, text(&facts), turn);
    }

    /// A call through the gateway was let in.
    pub(crate) fn log_call(
        &self,
        (tenant, by): (&TenantId, Option<Actor>),
        (call, held): (u64, crate::money::Nano),
        route: &Route,
        turn: &mut Turn,
    ) {
        let facts = OfCall { call, held: held.to_string(), way: Way::of(route) };
        self.log((Some(tenant.clone()), by), "routed", text(&facts), turn);
    }

    /// A class of steps waits outside of the queue. Said once, until one of it has passed, or the reason is another one.
    pub(crate) fn log_parked(
        &mut self,
        pool: usize,
        (at, class): (At, u64),
        refusal: &Refusal,
        turn: &mut Turn,
    ) {
        let run = self.runs.get(at.run);
        let why = sort(refusal);
        let cause = observe::cause_of(refusal, &self.directory, pool);
        let place = (pool, run.tenant.0, class);
        let known = self.said.parked.insert(place, (why.clone(), cause));
        if known.is_some_and(|(known, _)| known == why) {
            return;
        }
        let facts = OfStep {
            pool: Some(self.directory.pools.names[pool].as_str()),
            refusal: Some(told_to_tenant(refusal)),
            ..OfStep::new(run, at.node)
        };
        self.decide(Some(run.key.tenant.clone()), "parked", text(&facts), turn);
    }

    /// One of the class has passed: gives what it waited for, if it did.
    pub(crate) fn not_parked(
        &mut self,
        pool: usize,
        tenant: TenantIx,
        class: u64,
    ) -> Option<Cause> {
        self.said.parked.remove(&(pool, tenant.0, class)).map(|(_, cause)| cause)
    }

    /// A step cannot go on by itself.
    pub(crate) fn log_aside(&self, at: At, refusal: &Refusal, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let refusal = Some(told_to_tenant(refusal));
        let facts = OfStep { refusal, ..OfStep::new(run, at.node) };
        self.decide(Some(run.key.tenant.clone()), "set-aside", text(&facts), turn);
    }

    /// A call waits for room.
    pub(crate) fn log_call_parked(
        &self,
        (tenant, by): (&TenantId, Option<Actor>),
        refusal: &Rejection,
        turn: &mut Turn,
    ) {
        let facts = json!({ "call": null, "refusal": told_to_tenant(refusal) });
        self.log((Some(tenant.clone()), by), "parked", facts.to_string(), turn);
    }

    /// What a tenant did to a run.
    pub(crate) fn log_command(
        &self,
        key: &RunKey,
        by: Option<Actor>,
        (code, said): (&'static str, Value),
        turn: &mut Turn,
    ) {
        let mut facts = json!({ "run": key.run.to_string() });
        for (name, value) in said.as_object().into_iter().flatten() {
            facts[name] = value.clone();
        }
        self.log((Some(key.tenant.clone()), by), code, facts.to_string(), turn);
    }

    /// What is to be said of a declaration, once it is made: looked up before, since it says what has changed.
    #[expect(clippy::too_many_lines, reason = "a flat match, one case per declaration")]
    pub(crate) fn declaring(&self, configure: &Configure) -> Declaring {
        let known = &self.directory;
        let simple = |code, facts| Declaring { code, tenant: None, facts, changes: None };
        match configure {
            Configure::Org(org) => {
                let before = known.orgs.find(&org.id).map(|at| known.orgs.get(at));
                declared("org", org.id.as_str(), before, org)
            }
            Configure::Tier(tier) => {
                declared("tier", tier.name.as_str(), known.tiers.get(&tier.name), tier)
            }
            Configure::Tenant(tenant) => {
                let entry = known.tenants.find(&tenant.id).map(|at| known.tenants.get(at));
                let before = entry.map(|entry| &entry.declared);
                let of = Some(tenant.id.clone());
                Declaring { tenant: of, ..declared("tenant", tenant.id.as_str(), before, tenant) }
            }
            Configure::Pool(pool) => {
                let before = known.pools.find(&pool.name).map(|at| &known.pools.list[at]);
                declared("pool", pool.name.as_str(), before, pool)
            }
            Configure::Valve(valve) => declared("valve", "valve", Some(&known.valve), valve),
            Configure::Workflow(workflow) => {
                let (name, version) = (workflow.name.as_str(), workflow.version);
                simple("declared", json!({ "kind": "workflow", "name": name, "version": version }))
            }
            Configure::Tool(tool) => {
                declared("tool", tool.name.as_str(), known.tools.get(&tool.name), tool)
            }
            Configure::Class(class) => {
                let before = known.classes.get(&class.name);
                declared("budget_class", class.name.as_str(), before, class)
            }
            Configure::Model(model) => {
                declared("model", model.name.as_str(), known.models.get(&model.name), model)
            }
            Configure::Price(price) => {
                declared("price", price.name.as_str(), known.prices.get(&price.name), price)
            }
            Configure::Residency(declaration) => {
                let (kind, name) = declaration.key();
                simple("declared", json!({ "kind": kind, "name": name, "to": short(declaration) }))
            }
            Configure::ReviewerPool(pool) => {
                let before = self.desk.queue.pool(&pool.name);
                declared("reviewer_pool", pool.name.as_str(), before.map(|pool| &**pool), pool)
            }
            Configure::Policy(source) => {
                let newest = self.policed.declared.get(&source.name);
                let version = newest.map_or(0, |policy| policy.newest().version) + 1;
                let name = source.name.as_str();
                simple("policy-declared", json!({ "policy": name, "version": version }))
            }
            Configure::DropPolicy(name) => simple("policy-removed", json!({ "policy": name })),
            Configure::Account(set) => {
                let (tenant, owner) = match &set.owner {
                    Owner::Tenant(tenant) => (Some(tenant.clone()), json!({ "tenant": tenant })),
                    Owner::Org(org) => (None, json!({ "org": org })),
                };
                let facts = json!({
                    "owner": owner,
                    "every": set.every,
                    "topped_up": set.topped_up.to_string(),
                    "forgiven": set.forgiven.to_string(),
                });
                Declaring { tenant, ..simple("account-set", facts) }
            }
            Configure::Key(key) => {
                let mut facts = json!({ "key": key.id, "role": key.role, "expires": key.expires });
                if let Credential::SignIn(sign_in) = &key.credential {
                    facts["sign_in"] = json!(sign_in);
                }
                if let Some(rate) = key.rate {
                    facts["requests_per_second"] = json!(rate);
                }
                Declaring { tenant: tenant_of(&key.role), ..simple("key-issued", facts) }
            }
            Configure::DropKey(id) => Declaring {
                tenant: known.keys.get(id).and_then(|key| tenant_of(&key.role)),
                ..simple("key-revoked", json!({ "key": id }))
            },
            Configure::RenewSeal(Some(tenant)) => Declaring {
                tenant: Some(tenant.clone()),
                ..simple("tenant-key-renewed", json!({}))
            },
            Configure::RenewSeal(None) => simple("root-key-renewed", json!({})),
            Configure::CloseLog(_) => simple("log-closed", json!({})),
        }
    }

    pub(crate) fn log_declared(&self, made: Declaring, by: Option<Actor>, turn: &mut Turn) {
        let Declaring { code, tenant, mut facts, changes } = made;
        if let Some((before, after)) = changes {
            facts["changed"] = changed(&before, &after);
        }
        self.log((tenant, by), code, facts.to_string(), turn);
    }
}

/// How a command stands in the log.
pub(crate) fn commanded(command: &Command) -> (&'static str, Value) {
    match command {
        Command::Cancel => ("run-cancelled", json!({})),
        Command::Pause => ("run-paused", json!({})),
        Command::Resume => ("run-resumed", json!({})),
        Command::Signal { name, .. } => ("run-signalled", json!({ "signal": name })),
        Command::Budget { limit } => ("run-budget-set", json!({ "limit": limit.to_string() })),
        Command::Resolve(given) => ("resolved-by-hand", json!({ "step": given.step })),
        Command::AllowCheaper => ("cheaper-model-allowed", json!({})),
    }
}

/// How something that is done to channels stands in the log: where receivers are is theirs to know.
pub(crate) fn told(command: &NoticeCommand) -> Option<(&TenantId, &'static str, Value)> {
    Some(match command {
        NoticeCommand::Declare { is_dry_run: true, .. }
        | NoticeCommand::Test { .. }
        | NoticeCommand::Redeliver { .. } => return None,
        NoticeCommand::Declare { channel, .. } => {
            let facts = json!({ "channel": channel.name, "events": channel.events });
            (&channel.tenant, "channel-declared", facts)
        }
        NoticeCommand::Drop { tenant, channel } => {
            (tenant, "channel-removed", json!({ "channel": channel }))
        }
        NoticeCommand::Rotate { tenant, channel, .. } => {
            (tenant, "channel-rotated", json!({ "channel": channel }))
        }
    })
}

fn text(facts: &impl Serialize) -> String {
    serde_json::to_string(facts).expect("facts are an object of names, numbers and texts")
}

/// Why a tenant is refused something, without the numbers that are others' too: what a provider's own limit has given to all
/// tenants, and what an organisation has left.
pub(crate) fn told_to_tenant(refused: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(refused).unwrap_or_default();
    let facts = value.as_object_mut().and_then(|object| object.values_mut().next());
    if let Some(facts) = facts.and_then(Value::as_object_mut) {
        let is = |name: &str, text: &str| facts.get(name).is_some_and(|value| value == text);
        let (is_shared, is_of_org) = (is("holder", "provider"), is("account", "org_month"));
        facts.retain(|name, _| {
            !(is_shared && (name == "used" || name == "of") || is_of_org && name == "left")
        });
    }
    value
}

/// Tells refusals apart that are of another kind or another rule, whatever their numbers.
pub(crate) fn sort(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Route { model, .. } => format!("route {model}"),
        Refusal::Outside { tool, .. } => format!("outside {tool}"),
        Refusal::Denied { tool } => format!("denied {tool}"),
        Refusal::Policy { policy, .. } => format!("policy {policy}"),
        Refusal::Budget { account, .. } => format!("budget {account:?}"),
        Refusal::Limit { tool, holder, rule, .. } => format!("limit {tool} {holder:?} {rule}"),
        Refusal::NoWorker { .. } => "worker".to_owned(),
        Refusal::Slot(_) => "slot".to_owned(),
    }
}

fn tenant_of(role: &Role) -> Option<TenantId> {
    match role {
        Role::Tenant { tenant, .. } => Some(tenant.clone()),
        Role::Operator | Role::Reviewer { .. } | Role::Worker { .. } => None,
    }
}

fn declared<T: Serialize>(
    kind: &'static str,
    name: &str,
    before: Option<&T>,
    after: &T,
) -> Declaring {
    let value = |of: &T| serde_json::to_value(of).unwrap_or_default();
    Declaring {
        code: "declared",
        tenant: None,
        facts: json!({ "kind": kind, "name": name }),
        changes: Some((before.map_or(Value::Null, value), value(after))),
    }
}

/// The members that are others now, each as it was and as it is.
fn changed(before: &Value, after: &Value) -> Value {
    let empty = serde_json::Map::new();
    let [before, after] = [before, after].map(|value| value.as_object().unwrap_or(&empty));
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let pairs = names.filter_map(|name| {
        let [was, is] = [before, after].map(|all| all.get(name).unwrap_or(&Value::Null));
        // What a tenant is like may be personal, and policies alone have to know.
        let pair =
            if name == "attributes" { json!("changed") } else { json!([short(was), short(is)]) };
        (was != is).then(|| (name.clone(), pair))
    });
    Value::Object(pairs.collect())
}

fn short(value: &impl Serialize) -> Value {
    let value = serde_json::to_value(value).unwrap_or_default();
    let bytes = value.to_string().len();
    if bytes > VALUE_BYTES_MAX { json!(format!("{bytes} bytes")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Account, LimitHolder};
    use crate::money::Nano;

    #[test]
    fn what_is_others_too_is_not_told() {
        let limit = |holder| Refusal::Limit {
            tool: "bureau".parse().unwrap(),
            holder,
            rule: "minute".into(),
            used: 41,
            of: 60,
            opens: None,
            is_never: false,
        };
        let said = |refusal: &Refusal| told_to_tenant(refusal)["limit"].to_string();
        let own = said(&limit(LimitHolder::Tenant));
        assert!(own.contains("41") && own.contains("60"), "{own}");
        let shared = said(&limit(LimitHolder::Provider));
        assert!(!shared.contains("41") && !shared.contains("60"), "{shared}");
        assert!(shared.contains("minute"), "{shared}");

        let short = |account| {
            let (need, left) = (Nano(7), Nano(5));
            told_to_tenant(&Rejection::BudgetExhausted { account, need, left, opens: None })
        };
        assert!(short(Account::TenantMonth)["budget_exhausted"]["left"] != Value::Null);
        assert!(short(Account::OrgMonth)["budget_exhausted"]["left"] == Value::Null);
        assert!(short(Account::OrgMonth)["budget_exhausted"]["need"] != Value::Null);
        assert_eq!(told_to_tenant(&Rejection::UnknownKey), json!("unknown_key"));
    }
}
