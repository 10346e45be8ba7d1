//! `fairlane key`: make, list and revoke API keys.

use std::time::Duration;

use clap::{Args, Subcommand};
use fairlane_api::Timestamp;
use fairlane_api::key::{self, NewKey, Role, SignIn};
use fairlane_client::Client;
use serde_json::json;

use crate::table::Table;
use crate::target::Target;
use crate::text;

/// Make, list and revoke API keys; change what rows are sealed with
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key and print it; it is shown this once only
    Create(Create),
    /// List keys, without their secrets
    List,
    /// Revoke a key; it stops working at once
    Revoke {
        /// The key's id, as `list` shows it
        id: String,
    },
    /// Show or change what rows are sealed with
    #[command(subcommand)]
    Seal(Seal),
}

#[derive(Debug, Subcommand)]
enum Seal {
    /// Name the root key, which wraps the keys of tenants
    Show,
    /// Make a new root key and wrap the keys of all tenants with it
    RotateRoot,
    /// Give a tenant a new key; its runs have it in a while
    Rotate { tenant: String },
}

#[derive(Debug, Args)]
struct Create {
    #[command(subcommand)]
    role: For,
    /// What the key is for
    #[arg(long, global = true)]
    label: Option<String>,
    /// How long it is good for, such as 12h or 90d; for ever if absent
    #[arg(long, global = true, value_name = "SPAN", value_parser = span)]
    expires_in: Option<Duration>,
    /// For people: it is of whoever signs in and is said to be that, such as email=ada@acme.example or groups=ops; it has no
    /// secret then
    #[arg(long, global = true, value_name = "CLAIM=VALUE", value_parser = sign_in)]
    sign_in: Option<SignIn>,
    /// Most requests a second with it; ten times as many at once
    #[arg(long, global = true, value_name = "NUMBER")]
    requests_per_second: Option<u32>,
}

/// Whom a key is for.
#[derive(Debug, Subcommand)]
enum For {
    /// A key that may do everything
    Operator,
    /// A key for the runs and readings of one tenant
    Tenant {
        tenant: String,
        /// Who uses it, if that is one person: what they submit they do not decide
        #[arg(long)]
        person: Option<String>,
    },
    /// A key that reads all of one tenant and changes nothing
    Viewer { tenant: String },
    /// A key that reads the audit log of one tenant, and nothing else
    Auditor { tenant: String },
    /// A key for the reviews that one person may decide
    Reviewer { person: String },
    /// A key for the worker exchange
    Worker {
        /// A pool that it may serve; can be given several times, all pools if not at all
        #[arg(long = "pool", value_name = "POOL")]
        pools: Vec<String>,
        /// A tenant whose steps it may be given; can be given several times, everyone's if not at all
        #[arg(long = "tenant", value_name = "TENANT")]
        tenants: Vec<String>,
        /// The region in which the worker is; needed on a server of several regions
        #[arg(long)]
        region: Option<String>,
    },
}

impl Key {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::Create(create) => {
                for pool in unknown_pools(&client, &create.role).await? {
                    printer.note(&format!("No pool is named `{pool}` yet."));
                }
                let created = client.create_key(&create.into_new()).await?;
                if let Some(SignIn { claim, value }) = &created.key.sign_in {
                    let words = format!("{} for who signs in with {claim}={value}", created.key.id);
                    return printer.data(&created, |_| words);
                }
                printer.data(&created, |created| created.secret.clone())?;
                printer.note("This key is not stored and cannot be shown again.");
                Ok(())
            }
            Verb::List => printer.data(&client.keys().await?, |keys| list(keys)),
            Verb::Revoke { id } => {
                client.delete_key(&id).await?;
                printer.data(&json!({ "id": id, "revoked": true }), |_| format!("{id} revoked"))
            }
            Verb::Seal(Seal::Show) => printer.data(&client.root_key().await?, root_key),
            Verb::Seal(Seal::RotateRoot) => {
                printer.data(&client.rotate_root_key().await?, root_key)?;
                printer.note(
                    "Keep a copy of the new file: backups that are made from now on need it.",
                );
                Ok(())
            }
            Verb::Seal(Seal::Rotate { tenant }) => {
                client.rotate_tenant_key(&tenant).await?;
                let done = json!({ "tenant": tenant, "rotated": true });
                printer.data(&done, |_| format!("{tenant} has a new key"))
            }
        }
    }
}

/// A key may come before its pools; more often the name is a slip.
async fn unknown_pools(client: &Client, role: &For) -> anyhow::Result<Vec<String>> {
    let For::Worker { pools, .. } = role else { return Ok(Vec::new()) };
    if pools.is_empty() {
        return Ok(Vec::new());
    }
    let known = client.pools().await?;
    let is_unknown = |pool: &&String| known.iter().all(|known| known.name != **pool);
    Ok(pools.iter().filter(is_unknown).cloned().collect())
}

impl Create {
    fn into_new(self) -> NewKey {
        let new = |role| NewKey {
            requests_per_second: self.requests_per_second,
            sign_in: self.sign_in,
            expires_at: self.expires_in.map(|span| {
                let now = text::now().0;
                Timestamp(now.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
            }),
            label: self.label,
            ..NewKey::of(role)
        };
        match self.role {
            For::Operator => new(Role::Operator),
            For::Tenant { tenant, person } => {
                NewKey { tenant: Some(tenant), person, ..new(Role::Tenant) }
            }
            For::Viewer { tenant } => NewKey { tenant: Some(tenant), ..new(Role::Viewer) },
            For::Auditor { tenant } => NewKey { tenant: Some(tenant), ..new(Role::Auditor) },
            For::Reviewer { person } => NewKey { person: Some(person), ..new(Role::Reviewer) },
            For::Worker { pools, tenants, region } => {
                let some = |names: Vec<String>| Some(names).filter(|names| !names.is_empty());
                let (pools, tenants) = (some(pools), some(tenants));
                NewKey { pools, tenants, region, ..new(Role::Worker) }
            }
        }
    }
}

/// A claim, and what it has to be.
fn sign_in(text: &str) -> Result<SignIn, String> {
    let (claim, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` is no claim: expected its name, `=` and a value, such as groups=ops")
    })?;
    Ok(SignIn { claim: claim.to_owned(), value: value.to_owned() })
}

/// A whole number and a unit: s, m, h or d.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span: expected a number and s, m, h or d, such as 90d");
    let unit = text.char_indices().next_back().ok_or_else(wrong)?;
    let seconds = match unit.1 {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..unit.0].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

fn root_key(key: &key::RootKey) -> String {
    let source = match key.source {
        key::RootKeySource::File => "from its file",
        key::RootKeySource::Environment => "from FAIRLANE_ROOT_KEY",
    };
    format!("root key {}, {source}", key.id)
}

pub(crate) fn list(keys: &[key::Key]) -> String {
    let mut table =
        Table::new(&["ID", "ROLE", "FOR", "SIGNS IN AS", "CREATED", "EXPIRES", "LABEL"]);
    for key in keys {
        let pools = key.pools.as_ref().filter(|pools| !pools.is_empty());
        let region = key.region.as_ref().map(|region| format!("in {region}"));
        let pools = pools.map(|pools| pools.join(", ")).into_iter().chain(region);
        let tenants = key.tenants.as_ref().map(|tenants| format!("for {}", tenants.join(", ")));
        let worker = pools.chain(tenants).collect::<Vec<_>>().join(" ");
        let people = key.sign_in.as_ref().map(|asked| format!("{}={}", asked.claim, asked.value));
        table.row([
            key.id.clone(),
            text::word(&key.role),
            key.tenant.clone().or_else(|| key.person.clone()).unwrap_or(worker),
            text::or_dash(people),
            text::time(key.created_at),
            text::or_dash(key.expires_at.map(text::time)),
            key.label.clone(),
        ]);
    }
    table.render()
}
