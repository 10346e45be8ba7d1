//! What the operator declares: tables `orgs`, `tiers`, `tenants`, `contexts`, `pools`, `valves`, `workflows`,
//! `tools`, `budget_classes`, `models`, `prices`, `policies`, `residency`, `reviewer_pools`, `keys`.
//! Few rows, seldom written; each is one JSON document under its name.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlane_core::catalog::{Model, Price};
use fairlane_core::id::{KeyId, PolicyName, TenantId, WorkflowName};
use fairlane_core::plan::Workflow;
use fairlane_core::policy::Policy;
use fairlane_core::pool::{Pool, Valve};
use fairlane_core::quota::{BudgetClass, Tool};
use fairlane_core::residency::Declaration;
use fairlane_core::review::ReviewerPool;
use fairlane_core::row::{Credential, KeyRow};
use fairlane_core::tenant::{Context, Org, Tenant, TenantScope, Tier};
use rusqlite::{Connection, Params, params};
use serde::de::DeserializeOwned;

use super::codec::{Columns, Fault, signed, to_json};
use crate::read::{Page, one_more, page_limit};

pub(super) fn put_org(connection: &Connection, org: &Org) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO orgs (org, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![org.id.as_str(), to_json(org)],
    )
}

pub(super) fn put_tier(connection: &Connection, tier: &Tier) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO tiers (tier, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![tier.name.as_str(), to_json(tier)],
    )
}

pub(super) fn put_tenant(
    connection: &Connection,
    tenant: &Tenant,
    context: &Context,
) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO tenants (tenant, body) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![tenant.id.as_str(), to_json(tenant)],
    )?;
    write(
        connection,
        "INSERT INTO contexts (tenant, version, body) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![context.tenant.as_str(), context.version, to_json(context)],
    )
}

pub(super) fn put_pool(connection: &Connection, pool: &Pool) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO pools (pool, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![pool.name.as_str(), to_json(pool)],
    )
}

pub(super) fn put_valve(connection: &Connection, valve: &Valve) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO valves (cell, body) VALUES (0, ?1) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![to_json(valve)],
    )
}

pub(super) fn put_workflow(connection: &Connection, workflow: &Workflow) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO workflows (workflow, version, body) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![workflow.name.as_str(), workflow.version, to_json(workflow)],
    )
}

pub(super) fn put_tool(connection: &Connection, tool: &Tool) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO tools (tool, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![tool.name.as_str(), to_json(tool)],
    )
}

pub(super) fn put_class(connection: &Connection, class: &BudgetClass) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO budget_classes (class, body) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![class.name.as_str(), to_json(class)],
    )
}

pub(super) fn put_model(connection: &Connection, model: &Model) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO models (model, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![model.name.as_str(), to_json(model)],
    )
}

pub(super) fn put_residency(
    connection: &Connection,
    declaration: &Declaration,
) -> Result<(), Fault> {
    let (kind, name) = declaration.key();
    write(
        connection,
        "INSERT INTO residency (kind, name, body) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![kind, name, to_json(declaration)],
    )
}

pub(super) fn put_price(connection: &Connection, price: &Price) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO prices (price, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        params![price.name.as_str(), to_json(price)],
    )
}

pub(super) fn put_reviewer_pool(connection: &Connection, pool: &ReviewerPool) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO reviewer_pools (pool, body) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![pool.name.as_str(), to_json(pool)],
    )
}

pub(super) fn put_policy(connection: &Connection, policy: &Policy) -> Result<(), Fault> {
    write(
        connection,
        "INSERT INTO policies (policy, body) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![policy.name.as_str(), to_json(policy)],
    )
}

pub(super) fn delete_policy(connection: &Connection, policy: &PolicyName) -> Result<(), Fault> {
    write(connection, "DELETE FROM policies WHERE policy = ?1", params![policy.as_str()])
}

pub(super) fn put_key(connection: &Connection, key: &KeyRow) -> Result<(), Fault> {
    let (digest, sign_in) = match &key.credential {
        Credential::Secret(digest) => (&digest[..], None),
        Credential::SignIn(sign_in) => (&[][..], Some(to_json(sign_in))),
    };
    write(
        connection,
        "INSERT INTO keys (key, digest, role, created, label, expires, sign_in, rate)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET digest = excluded.digest, role = excluded.role,
         created = excluded.created, label = excluded.label, expires = excluded.expires,
         sign_in = excluded.sign_in, rate = excluded.rate",
        params![
            key.id.as_str(),
            digest,
            to_json(&key.role),
            signed(key.created.0),
            &*key.label,
            key.expires.map(|expires| signed(expires.0)),
            sign_in,
            key.rate,
        ],
    )
}

pub(super) fn delete_key(connection: &Connection, key: &KeyId) -> Result<(), Fault> {
    write(connection, "DELETE FROM keys WHERE key = ?1", params![key.as_str()])
}

fn write(connection: &Connection, sql: &str, values: impl Params) -> Result<(), Fault> {
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn orgs(connection: &Connection) -> Result<Vec<Org>, Fault> {
    bodies(connection, "SELECT body FROM orgs ORDER BY org", [])
}

pub(super) fn tiers(connection: &Connection) -> Result<Vec<Tier>, Fault> {
    bodies(connection, "SELECT body FROM tiers ORDER BY tier", [])
}

pub(super) fn tenants(connection: &Connection) -> Result<Vec<Tenant>, Fault> {
    bodies(connection, "SELECT body FROM tenants ORDER BY tenant", [])
}

pub(super) fn pools(connection: &Connection) -> Result<Vec<Pool>, Fault> {
    bodies(connection, "SELECT body FROM pools ORDER BY pool", [])
}

pub(super) fn valve(connection: &Connection) -> Result<Option<Valve>, Fault> {
    Ok(bodies(connection, "SELECT body FROM valves", [])?.pop())
}

pub(super) fn workflows(connection: &Connection) -> Result<Vec<Arc<Workflow>>, Fault> {
    bodies(connection, "SELECT body FROM workflows ORDER BY workflow, version", [])
        .map(|workflows| workflows.into_iter().map(Arc::new).collect())
}

pub(super) fn tools(connection: &Connection) -> Result<Vec<Tool>, Fault> {
    bodies(connection, "SELECT body FROM tools ORDER BY tool", [])
}

pub(super) fn classes(connection: &Connection) -> Result<Vec<BudgetClass>, Fault> {
    bodies(connection, "SELECT body FROM budget_classes ORDER BY class", [])
}

pub(super) fn models(connection: &Connection) -> Result<Vec<Model>, Fault> {
    bodies(connection, "SELECT body FROM models ORDER BY model", [])
}

pub(super) fn residency(connection: &Connection) -> Result<Vec<Declaration>, Fault> {
    bodies(connection, "SELECT body FROM residency ORDER BY kind, name", [])
}

pub(super) fn prices(connection: &Connection) -> Result<Vec<Price>, Fault> {
    bodies(connection, "SELECT body FROM prices ORDER BY price", [])
}

pub(super) fn reviewer_pools(connection: &Connection) -> Result<Vec<ReviewerPool>, Fault> {
    bodies(connection, "SELECT body FROM reviewer_pools ORDER BY pool", [])
}

pub(super) fn policies(connection: &Connection) -> Result<Vec<Policy>, Fault> {
    bodies(connection, "SELECT body FROM policies ORDER BY policy", [])
}

pub(super) fn keys(connection: &Connection) -> Result<Vec<KeyRow>, Fault> {
    let mut statement = connection.prepare(
        "SELECT key, digest, role, created, label, expires, sign_in, rate FROM keys ORDER BY key",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let credential = match row.optional_json(6)? {
            Some(sign_in) => Credential::SignIn(sign_in),
            None => Credential::Secret(row.digest(1)?),
        };
        found.push(KeyRow {
            id: row.name(0)?,
            credential,
            role: row.json(2)?,
            created: row.time(3)?,
            label: Arc::from(row.text(4)?),
            expires: row.optional_time(5)?,
            rate: row.number(7)?,
        });
    }
    Ok(found)
}

/// The contexts that are pinned, and each tenant's newest, in order of tenant and version.
pub(super) fn contexts(
    connection: &Connection,
    pinned: &BTreeSet<(TenantId, u32)>,
) -> Result<Vec<Arc<Context>>, Fault> {
    let mut statement = connection.prepare(
        "SELECT tenant, version, body,
         version = (SELECT max(version) FROM contexts AS all_versions
                    WHERE all_versions.tenant = contexts.tenant)
         FROM contexts ORDER BY tenant, version",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        if row.number(3)? || pinned.contains(&(row.name(0)?, row.number(1)?)) {
            found.push(Arc::new(row.json(2)?));
        }
    }
    Ok(found)
}

/// A version of a tenant's context.
pub(super) fn context(
    connection: &Connection,
    scope: &TenantScope,
    version: u32,
) -> Result<Option<Arc<Context>>, Fault> {
    let sql = "SELECT body FROM contexts WHERE tenant = ?1 AND version = ?2";
    Ok(bodies(connection, sql, params![scope.tenant().as_str(), version])?.pop().map(Arc::new))
}

pub(super) fn workflow(
    connection: &Connection,
    name: &WorkflowName,
    version: Option<u32>,
) -> Result<Option<Arc<Workflow>>, Fault> {
    let found = bodies(
        connection,
        "SELECT body FROM workflows WHERE workflow = ?1 AND version = coalesce(?2,
         (SELECT max(version) FROM workflows WHERE workflow = ?1))",
        params![name.as_str(), version],
    )?;
    Ok(found.into_iter().next().map(Arc::new))
}

pub(super) fn workflow_versions(
    connection: &Connection,
    name: &WorkflowName,
    before: Option<u32>,
    limit: u32,
) -> Result<Page<u32, u32>, Fault> {
    let limit = page_limit(limit);
    let mut statement = connection.prepare_cached(
        "SELECT version FROM workflows WHERE workflow = ?1 AND version < ?2
         ORDER BY version DESC LIMIT ?3",
    )?;
    let before = before.map_or(i64::MAX, i64::from);
    let mut rows = statement.query(params![name.as_str(), before, one_more(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(row.number(0)?);
    }
    Ok(Page::cut(found, limit, |version| *version))
}

pub(super) fn tenant_page(
    connection: &Connection,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Page<Tenant, TenantId>, Fault> {
    let limit = page_limit(limit);
    let found = bodies(
        connection,
        "SELECT body FROM tenants WHERE tenant > ?1 ORDER BY tenant LIMIT ?2",
        params![after.map_or("", |tenant| tenant.as_str()), one_more(limit)],
    )?;
    Ok(Page::cut(found, limit, |tenant| tenant.id.clone()))
}

fn bodies<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Columns(row).json(0)?);
    }
    Ok(found)
}
