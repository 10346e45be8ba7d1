//! Who asks: API keys, and what each role may do.
//!
//! A credential is `fl_<key id>_<secret>`. The id finds the row, the SHA-256 of the secret is compared with
//! the stored digest in constant time, and an id that does not exist costs the same work. The secret has 256
//! random bits, so that a plain hash cannot be reversed by trying.
//!
//! The comparison, and the right to a tenant's rows that follows, are of [`fairlane_core::auth`]. What a caller may not see
//! answers exactly as what does not exist.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{Method, header};
use fairlane_api::Code;
use fairlane_core::auth::{self, AllTenants};
use fairlane_core::cell::input::Handler;
use fairlane_core::id::{KeyId, PersonId, PoolName, RegionName, TenantId};
use fairlane_core::row::{Access, Actor, KeyRow, Role};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use sha2::{Digest, Sha256};

use crate::cells::App;
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::serve::Shared;

/// Names the tenant that an operator calls models for.
pub(crate) const TENANT_HEADER: &str = "x-fairlane-tenant";

const PREFIX: &str = "fl_";
const KEY_ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// The checked credential of a request.
#[derive(Clone, Debug)]
pub(crate) struct Identity(auth::Identity);

/// The checked credential of an operator, with the right to the rows of all tenants.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub(crate) rights: AllTenants,
    /// For the record.
    pub(crate) by: Actor,
}

impl FromRequestParts<App> for Identity {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Refused> {
        let row = bearer(parts)?.and_then(|credential| check(shared, credential));
        let invalid = || Refused::new(Code::Unauthenticated).detail("the API key is not valid");
        let identity = row.map(Self).ok_or_else(invalid)?;
        identity.note_attempt(parts, shared).await;
        identity.may(parts)?;
        Ok(identity)
    }
}

/// That the request names another tenant was noted: it is asked several times who sends it.
#[derive(Clone, Copy, Debug)]
struct Noted;

impl FromRequestParts<App> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, shared).await?;
        let rights = identity.0.all_tenants().ok_or_else(|| forbidden("an operator's key"))?;
        Ok(Self { rights, by: identity.actor() })
    }
}

/// The right to the rows of the tenant that the path names.
#[derive(Clone, Debug)]
pub(crate) struct Scoped(pub(crate) TenantScope);

impl FromRequestParts<App> for Scoped {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, shared).await?;
        identity.scope_of_path(parts, shared).await.map(Self)
    }
}

/// The checked credential of whoever has to do with reviews: a reviewer, a tenant, an operator.
#[derive(Clone, Debug)]
pub(crate) struct OfReviews(pub(crate) Identity);

impl FromRequestParts<App> for OfReviews {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, app).await?;
        identity.handler(None)?;
        Ok(Self(identity))
    }
}

/// The person whose key a reviewer's is.
#[derive(Clone, Debug)]
pub(crate) struct Deciding(pub(crate) PersonId);

impl FromRequestParts<App> for Deciding {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, app).await?;
        identity.reviewer().cloned().map(Self)
    }
}

impl Identity {
    fn role(&self) -> &Role {
        &self.0.key().role
    }

    /// Whether a key that may not do everything with what its tenant has may ask this. What it may not ask of its own tenant it
    /// may not ask of any, so that the answer tells nothing.
    fn may(&self, parts: &Parts) -> Result<(), Refused> {
        let path = parts.uri.path();
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let below = path.strip_prefix("/v1/tenants/").and_then(|rest| rest.split_once('/'));
        let is_log =
            matches!(below, Some((_, "audit" | "audit/proof" | "audit/close" | "decisions")))
                || path == "/v1/audit-key";
        match self.0.access() {
            Access::Full => Ok(()),
            Access::View if reads => Ok(()),
            Access::View => Err(forbidden("a key that may change something: this one views")),
            Access::Audit if is_log => Ok(()),
            Access::Audit => Err(forbidden("a key for more than the audit log")),
        }
    }

    /// Counts a tenant's request that names another tenant in its path or header, whether there is one or not, whatever else
    /// becomes of it.
    async fn note_attempt(&self, parts: &mut Parts, app: &App) {
        let Role::Tenant { tenant: own, .. } = self.role() else { return };
        let header = parts.headers.get(TENANT_HEADER);
        let is_other = header.is_some_and(|named| named.as_bytes() != own.as_str().as_bytes())
            || names_other(parts, app, own).await;
        if is_other && parts.extensions.insert(Noted).is_none() {
            app.note_attempt(own);
        }
    }

    /// The right to the rows of the tenant that the path names.
    pub(crate) async fn scope_of_path(
        &self,
        parts: &mut Parts,
        app: &App,
    ) -> Result<TenantScope, Refused> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|rejection| Refused::internal(&rejection.body_text()))?;
        let tenant = params.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value);
        self.scope(app, tenant.unwrap_or_default())
    }

    /// The right to the named tenant's rows, or the answer that a tenant which does not exist gives.
    fn scope(&self, app: &App, tenant: &str) -> Result<TenantScope, Refused> {
        if matches!(self.role(), Role::Worker { .. } | Role::Reviewer { .. }) {
            return Err(forbidden("an operator's or the tenant's key"));
        }
        let known = TenantId::parse(tenant).ok().filter(|id| app.of(id).is_some());
        let granted = known.and_then(|id| self.0.scope(&id));
        granted.ok_or_else(|| unknown_tenant(tenant))
    }

    /// The tenant whose models are called and whose money that costs: the key's own, or the one that an operator names.
    pub(crate) fn caller(&self, app: &App, named: Option<&str>) -> Result<TenantScope, Refused> {
        match (self.role(), named) {
            (_, Some(named)) => self.scope(app, named),
            (Role::Tenant { tenant, .. }, None) => self.scope(app, tenant.as_str()),
            (Role::Operator, None) => Err(Refused::new(Code::MalformedRequest)
                .detail("an operator's key belongs to no tenant")
                .expected(format!("the tenant's id in the header `{TENANT_HEADER}`"))),
            (Role::Worker { .. } | Role::Reviewer { .. }, None) => {
                Err(forbidden("an operator's or the tenant's key, or the token of a lease"))
            }
        }
    }

    /// Names the key, for the record.
    pub(crate) fn key(&self) -> &KeyId {
        &self.0.key().id
    }

    /// Who does what is asked for: the person whose key it is, or else the key.
    pub(crate) fn actor(&self) -> Actor {
        match self.person() {
            Some(person) => Actor::Person(person.clone()),
            None => Actor::Key(self.key().clone()),
        }
    }

    pub(crate) fn is_operator(&self) -> bool {
        matches!(self.role(), Role::Operator)
    }

    /// The one person who uses the key, if it is one's.
    pub(crate) fn person(&self) -> Option<&PersonId> {
        match self.role() {
            Role::Reviewer { person } => Some(person),
            Role::Tenant { person, .. } => person.as_ref(),
            Role::Operator | Role::Worker { .. } => None,
        }
    }

    /// The person whose reviews the key decides.
    fn reviewer(&self) -> Result<&PersonId, Refused> {
        match self.role() {
            Role::Reviewer { person } => Ok(person),
            Role::Operator | Role::Tenant { .. } | Role::Worker { .. } => {
                Err(forbidden("a reviewer's key: nobody decides as somebody else"))
            }
        }
    }

    /// On whose behalf something is done to reviews.
    pub(crate) fn handler(&self, fence: Option<u64>) -> Result<Handler, Refused> {
        let key = || self.0.key().id.clone();
        match self.role() {
            Role::Reviewer { person } => Ok(Handler::Person { person: person.clone(), fence }),
            Role::Tenant { tenant, .. } => {
                Ok(Handler::Key { key: key(), tenant: Some(tenant.clone()) })
            }
            Role::Operator => Ok(Handler::Key { key: key(), tenant: None }),
            Role::Worker { .. } => Err(forbidden("a reviewer's, an operator's or a tenant's key")),
        }
    }

    /// Workflows are the same for all tenants, but for their schedules: whoever submits runs may read them.
    pub(crate) fn read_workflows(&self) -> Result<(), Refused> {
        match self.role() {
            Role::Operator | Role::Tenant { .. } => Ok(()),
            Role::Worker { .. } | Role::Reviewer { .. } => {
                Err(forbidden("an operator's or a tenant's key"))
            }
        }
    }

    /// The cell whose leases the caller may take: of a worker that of the region in which it is, which its key says, or of an
    /// operator the one that it names. On a server of one region nobody need say which.
    pub(crate) fn cell<'a>(
        &self,
        app: &'a App,
        named: Option<&str>,
    ) -> Result<&'a Shared, Refused> {
        let own = match self.role() {
            Role::Worker { region, .. } => region.as_ref().map(RegionName::as_str),
            Role::Operator | Role::Tenant { .. } | Role::Reviewer { .. } => None,
        };
        let unknown =
            |name: &str| app.region(name).ok_or_else(|| app.no_region(name).at("/region"));
        match (own, named) {
            (Some(own), Some(named)) if own != named => {
                Err(forbidden(&format!("`{own}`, where the key says that the worker is"))
                    .at("/region"))
            }
            (Some(name), _) => unknown(name),
            (None, _) if app.all().len() == 1 => named.map_or(Ok(app.home()), unknown),
            (None, Some(name)) if self.is_operator() => unknown(name),
            (None, _) => Err(forbidden(&format!(
                "a worker's key that says in which region the worker is: {}",
                app.names()
            ))),
        }
    }

    /// Whether the key is a worker's that may not serve all pools.
    pub(crate) fn is_of_some_pools(&self) -> bool {
        matches!(self.role(), Role::Worker { pools, .. } if !pools.is_empty())
    }

    /// The right to take leases of the pool.
    pub(crate) fn serve(&self, pool: &PoolName) -> Result<(), Refused> {
        match self.role() {
            Role::Operator => Ok(()),
            Role::Worker { pools, .. } if pools.is_empty() || pools.contains(pool) => Ok(()),
            Role::Worker { .. } => Err(forbidden("a worker's key for this pool")),
            Role::Tenant { .. } | Role::Reviewer { .. } => Err(forbidden("a worker's key")),
        }
    }
}

/// Whether the path names another tenant than this one.
async fn names_other(parts: &mut Parts, app: &App, own: &TenantId) -> bool {
    let Some(below) = parts.uri.path().strip_prefix("/v1/tenants/") else { return false };
    if below.split('/').next() == Some(own.as_str()) {
        return false;
    }
    // It may be the same one with escapes.
    let params = RawPathParams::from_request_parts(parts, app).await;
    params.is_ok_and(|params| {
        params.iter().any(|(name, value)| name == "tenant" && value != own.as_str())
    })
}

/// What a request authenticates with; `None`: nothing that can be read.
pub(crate) fn bearer(parts: &Parts) -> Result<Option<&str>, Refused> {
    let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(|| {
        Refused::new(Code::Unauthenticated)
            .detail("the header `Authorization: Bearer fl_...` is missing")
    })?;
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    let text = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(text.map(|(_, credential)| credential.trim()))
}

/// Makes a key. The text is the whole credential: it is shown once and not kept.
///
/// # Errors
/// If the machine has no randomness to give.
pub(crate) fn mint(role: Role, label: &str, created: Time) -> Result<(KeyRow, String), Refused> {
    let mut random = [0u8; KEY_ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Refused::internal(&error))?;
    let id = crate::hex::encode(&random[..KEY_ID_BYTES]);
    let secret = crate::hex::encode(&random[KEY_ID_BYTES..]);
    let credential = format!("{PREFIX}{id}_{secret}");
    let row = KeyRow {
        id: KeyId::parse(&id).map_err(|error| Refused::internal(&error))?,
        digest: digest(&secret),
        role,
        created,
        expires: None,
        label: Arc::from(label),
    };
    Ok((row, credential))
}

fn check(app: &App, credential: &str) -> Option<auth::Identity> {
    check_with(|id| app.key(id), credential, app.home().now())
}

fn check_with(
    find: impl FnOnce(&KeyId) -> Option<Arc<KeyRow>>,
    credential: &str,
    now: Time,
) -> Option<auth::Identity> {
    let (id, secret) = credential.strip_prefix(PREFIX)?.split_once('_')?;
    let row = KeyId::parse(id).ok().and_then(|id| find(&id));
    auth::Identity::check(row, &digest(secret), now)
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn forbidden(expected: &str) -> Refused {
    Refused::new(Code::Forbidden).expected(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use fairlane_core::cell::change::Snapshot;

    #[test]
    fn a_credential_opens_with_its_own_secret_only() {
        let (row, credential) = mint(Role::Operator, "test", Time(1)).unwrap();
        let (other, other_credential) = mint(Role::Operator, "test", Time(1)).unwrap();
        let keys = vec![row.clone(), other];
        let registry = Registry::new(&Snapshot { keys, ..Snapshot::default() });

        let identity = check_with(|id| registry.key(id), &credential, Time(2)).unwrap();
        assert_eq!(**identity.key(), row);
        let secret = other_credential.rsplit('_').next().unwrap();
        for wrong in [
            String::new(),
            "fl_".to_owned(),
            format!("fl_{}", row.id),
            format!("fl_{}_", row.id),
            format!("fl_{}_{secret}", row.id),
            format!("fl_0000000000000000_{secret}"),
            credential.replacen("fl_", "", 1),
            format!("{credential}0"),
        ] {
            assert!(check_with(|id| registry.key(id), &wrong, Time(2)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_row_does_not_hold_the_secret() {
        let (row, credential) = mint(Role::Operator, "test", Time(1)).unwrap();
        let secret = credential.rsplit('_').next().unwrap();
        assert_eq!(secret.len(), 64);
        assert!(!serde_json::to_string(&row).unwrap().contains(secret));
    }
}
