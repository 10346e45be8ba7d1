//! Who asks: API keys and people who have signed in, what each role may do, and how often.
//!
//! An API key is `fl_<key id>_<secret>`. The id finds the row, the SHA-256 of the secret is compared with
//! the stored digest in constant time, and an id that does not exist costs the same work. The secret has 256
//! random bits, so that a plain hash cannot be reversed by trying.
//!
//! - `oidc` reads tokens of an identity provider. Who has signed in has the keys that ask for something that the token says;
//!   of several the one is meant that the request is about.
//! - `limits` counts requests, once it is known whose they are.
//!
//! The comparison, and the right to a tenant's rows that follows, are of [`fairlane_core::auth`]. What a caller may not see
//! answers exactly as what does not exist.

pub(crate) mod limits;
pub(crate) mod oidc;

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{Method, header};
use fairlane_api::Code;
use fairlane_core::auth::{self, AllTenants};
use fairlane_core::cell::input::Handler;
use fairlane_core::id::{KeyId, PersonId, PoolName, RegionName, TenantId};
use fairlane_core::row::{Access, Actor, Credential, KeyRow, Role};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::{Span, Time};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use self::limits::{Limited, Limits, Of};
use self::oidc::Provider;
use crate::access;
use crate::cells::App;
use crate::config::Config;
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::serve::Shared;
use crate::upstream::Upstream;

/// Names the tenant that an operator calls models for.
pub(crate) const TENANT_HEADER: &str = "x-fairlane-tenant";
/// Names one of the keys that somebody has who has signed in.
pub(crate) const KEY_HEADER: &str = "x-fairlane-key";

/// Everybody may ask who they are.
const ME: &str = "/v1/me";
const PREFIX: &str = "fl_";
const KEY_ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What is asked of who asks, apart from keys.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) limits: Limits,
    /// `None`: nobody signs in.
    pub(crate) provider: Option<Arc<Provider>>,
}

impl Auth {
    pub(crate) fn new(config: &Config, upstream: &Arc<Upstream>) -> Self {
        let rate = config.tenant_requests_per_second;
        let provider =
            |oidc: &crate::config::Oidc| Arc::new(Provider::new(oidc.clone(), upstream.clone()));
        Self {
            limits: Limits::new((rate > 0).then_some(rate)),
            provider: config.oidc.as_ref().map(provider),
        }
    }
}

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
        // It is asked several times who sends a request.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let credential = bearer(parts)?.map(str::to_owned);
        let (people, credential) = (shared.auth().provider.as_ref(), credential.as_deref());
        let checked = match (credential, people) {
            (Some(token), Some(provider)) if oidc::is_token(token) => {
                Some(signed_in(parts, shared, (provider, token)).await?)
            }
            (Some(key), _) => check(shared, key),
            (None, _) => None,
        };
        let invalid = || Refused::new(Code::Unauthenticated).detail("the API key is not valid");
        let identity = checked.map(Self).ok_or_else(invalid)?;
        let taken = shared.auth().limits.take(identity.0.key(), Instant::now());
        taken.map_err(|limited| too_many(&limited))?;
        identity.note_attempt(parts, shared).await;
        identity.may(parts)?;
        parts.extensions.insert(match identity.role() {
            Role::Tenant { tenant, .. } => {
                access::is_about(tenant);
                Sender::Tenant(tenant.clone())
            }
            Role::Operator | Role::Worker { .. } | Role::Reviewer { .. } => {
                Sender::Key(identity.key().clone())
            }
        });
        parts.extensions.insert(identity.clone());
        Ok(identity)
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, shared).await?;
        let rights = identity.0.all_tenants().ok_or_else(|| forbidden("an operator's key"))?;
        Ok(Self { rights, by: identity.actor() })
    }
}

/// Whom a request is counted for: a tenant, or a key of nobody's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sender {
    Tenant(TenantId),
    Key(KeyId),
}

/// All keys that somebody has who has signed in.
#[derive(Clone, Debug)]
pub(crate) struct OwnKeys(pub(crate) Vec<Arc<KeyRow>>);

/// The right to the rows of the tenant that the path names.
#[derive(Clone, Debug)]
pub(crate) struct Scoped(pub(crate) TenantScope);

impl FromRequestParts<App> for Scoped {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, shared).await?;
        let scope = identity.scope_of_path(parts, shared).await?;
        identity.asks_about(&scope);
        Ok(Self(scope))
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

    /// For the log, which knows of a tenant's own keys already.
    pub(crate) fn asks_about(&self, scope: &TenantScope) {
        if !matches!(self.role(), Role::Tenant { .. }) {
            access::is_about(scope.tenant());
        }
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
            _ if path == ME && reads => Ok(()),
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
        if is_other {
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

    pub(crate) fn key_row(&self) -> &KeyRow {
        self.0.key()
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

    /// The one person who asks, if it is known.
    pub(crate) fn person(&self) -> Option<&PersonId> {
        self.0.person()
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
        let by = || self.actor();
        match self.role() {
            Role::Reviewer { person } => Ok(Handler::Person { person: person.clone(), fence }),
            Role::Tenant { tenant, .. } => {
                Ok(Handler::Owner { by: by(), tenant: Some(tenant.clone()) })
            }
            Role::Operator => Ok(Handler::Owner { by: by(), tenant: None }),
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

    /// Whether the key is a worker's that may not serve all pools, or not all tenants.
    pub(crate) fn is_of_some(&self) -> bool {
        matches!(self.role(), Role::Worker { pools, tenants, .. }
            if !pools.is_empty() || !tenants.is_empty())
    }

    /// The tenants whose steps the key's worker may be given; `None`: everyone's.
    pub(crate) fn tenants_served(&self) -> Option<&[TenantId]> {
        match self.role() {
            Role::Worker { tenants, .. } => Some(&tenants[..]).filter(|some| !some.is_empty()),
            Role::Operator | Role::Tenant { .. } | Role::Reviewer { .. } => None,
        }
    }

    /// The key, if its worker is there for some tenants only.
    pub(crate) fn bound_by(&self) -> Option<&KeyId> {
        self.tenants_served().map(|_| self.key())
    }

    /// Whether the key's worker may be given steps of the tenant.
    pub(crate) fn serves_tenant(&self, tenant: &TenantId) -> bool {
        self.tenants_served().is_none_or(|some| some.contains(tenant))
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
    let id = new_key_id()?;
    let mut random = [0u8; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Refused::internal(&error))?;
    let secret = crate::hex::encode(&random);
    let credential = format!("{PREFIX}{id}_{secret}");
    let row = KeyRow {
        id,
        credential: Credential::Secret(digest(&secret)),
        role,
        created,
        expires: None,
        rate: None,
        label: Arc::from(label),
    };
    Ok((row, credential))
}

/// An id that no key has.
///
/// # Errors
/// If the machine has no randomness to give.
pub(crate) fn new_key_id() -> Result<KeyId, Refused> {
    let mut random = [0u8; KEY_ID_BYTES];
    getrandom::fill(&mut random).map_err(|error| Refused::internal(&error))?;
    let id = crate::hex::encode(&random);
    KeyId::parse(&id).map_err(|error| Refused::internal(&error))
}

/// Who has signed in, with the key that the request is about.
async fn signed_in(
    parts: &mut Parts,
    app: &App,
    (provider, token): (&Arc<Provider>, &str),
) -> Result<auth::Identity, Refused> {
    let claims = provider.read(token).await?;
    let person = provider.person(&claims)?;
    let now = app.home().now();
    let open = |key| auth::Identity::signed_in(key, person.clone(), |asked| claims.has(asked), now);
    let keys: Vec<_> = app.keys_for(&claims).into_iter().filter_map(open).collect();
    parts.extensions.insert(OwnKeys(keys.iter().map(|key| key.key().clone()).collect()));
    let chosen = choose(keys, parts, app).await;
    chosen.map_err(|refused| refused.detail(format!("`{person}` has signed in")))
}

/// Of several keys the one that is named; or else, of those that fit what is asked for, the one that may do most: for reviews a
/// reviewer's, unless no reviewer may do it; an operator's; one of the tenant that is named; or the only one. Of equals it
/// does not matter which.
async fn choose(
    keys: Vec<auth::Identity>,
    parts: &mut Parts,
    app: &App,
) -> Result<auth::Identity, Refused> {
    let ids = keys.iter().map(|key| key.key().id.to_string()).collect::<Vec<_>>().join(", ");
    let named = |parts: &Parts, header| {
        let value = parts.headers.get(header)?;
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    if let Some(id) = named(parts, KEY_HEADER) {
        let mut keys = keys.into_iter();
        return keys.find(|key| key.key().id.as_str() == id).ok_or_else(|| {
            forbidden(&format!("one of your keys in the header `{KEY_HEADER}`: {ids}"))
        });
    }
    let in_path = RawPathParams::from_request_parts(parts, app).await.ok().and_then(|params| {
        let mut tenants = params.iter().filter(|(name, _)| *name == "tenant");
        tenants.next().map(|(_, tenant)| tenant.to_owned())
    });
    let tenant = in_path.or_else(|| named(parts, TENANT_HEADER));
    let path = parts.uri.path();
    let is_of_reviews = path.starts_with("/v1/reviews") && !path.ends_with("/break-glass");
    let is_of_all = path == ME;
    let rank = |identity: &auth::Identity| match &identity.key().role {
        Role::Tenant { tenant: own, access, .. } if tenant.as_deref() == Some(own.as_str()) => {
            let access = match access {
                Access::Full => 2,
                Access::View => 1,
                Access::Audit => 0,
            };
            (2, access)
        }
        Role::Reviewer { .. } if is_of_reviews => (4, 0),
        Role::Operator => (3, 0),
        Role::Tenant { .. } | Role::Reviewer { .. } | Role::Worker { .. } => (1, 0),
    };
    let Some(best) = keys.iter().map(rank).max() else {
        return Err(forbidden(
            "a key that asks for something that the token says: ask an operator",
        ));
    };
    let mut fitting = keys.into_iter().filter(|identity| rank(identity) == best);
    match (fitting.next(), fitting.next()) {
        // To a tenant that none of them is for each says the same.
        (Some(_), Some(_)) if best.0 == 1 && tenant.is_none() && !is_of_all => Err(forbidden(
            &format!("which of your keys is meant, in the header `{KEY_HEADER}`: {ids}"),
        )),
        (Some(first), _) => Ok(first),
        (None, _) => Err(Refused::internal(&"the best of some keys is none of them")),
    }
}

/// Refuses a request beyond a limit.
pub(crate) fn too_many(limited: &Limited) -> Refused {
    let Limited { of, rate, wait } = *limited;
    let (whose, of) = match of {
        Of::Key => ("the key may send", "key"),
        Of::Tenant => ("all keys of the tenant may send", "tenant"),
    };
    let wait = Span(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
    Refused::new(Code::TooManyRequests)
        .detail(format!("{whose} {rate} requests a second"))
        .facts(&serde_json::json!({ "of": of, "requests_per_second": rate }))
        .retry_after(wait)
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
