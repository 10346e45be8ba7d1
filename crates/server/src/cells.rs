//! The cells of this server: one for each region, each with its own store, its own thread and its own memory.
//!
//! What belongs to a tenant is asked of the cell that has it, and of no other: its rows, its payloads and its readings are
//! there alone. What the operator declares is declared in all of them; the first one, *home*, is asked when it is read, and
//! the others are brought to what home knows when the server starts. The map from tenants to cells is nowhere stored: it
//! follows from what each store has.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use fairlane_api::Code;
use fairlane_audit::PublicKey;
use fairlane_core::id::{KeyId, OrgId, PersonId, TenantId};
use fairlane_core::row::KeyRow;
use fairlane_core::tenant::TenantScope;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Auth;
use crate::auth::oidc::Claims;
use crate::body::Room;
use crate::metrics::ScrapeToken;
use crate::problem::Refused;
use crate::root_key::RootKeys;
use crate::serve::Shared;

/// All cells. It stands for home where no tenant is named.
#[derive(Clone, Debug)]
pub(crate) struct App {
    cells: Arc<[Shared]>,
    /// The cell that gave each person their last review. Persons are those of keys, so there are not many.
    served: Arc<Mutex<BTreeMap<PersonId, usize>>>,
    /// What a start declares is declared: the operator's key of a new store is valid.
    prepared: Arc<AtomicBool>,
    /// `None`: nothing is sealed.
    root_keys: Option<Arc<RootKeys>>,
    /// What checks checkpoints of audit logs. `None`: there are none.
    audit_key: Option<PublicKey>,
    auth: Arc<Auth>,
    scrape_token: ScrapeToken,
    room: Room,
    /// By tenant, how many requests with its keys named another one, since the server started.
    attempts: Arc<Mutex<BTreeMap<TenantId, u64>>>,
}

/// What surrounds the cell of the tenant that the path names; home if there is no such tenant, which answers so.
#[derive(Clone, Debug)]
pub(crate) struct Here(pub(crate) Shared);

/// Which of the regions is meant.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InRegion {
    /// A region of this server; its first one if absent.
    pub(crate) region: Option<String>,
}

impl App {
    /// At least one; the first is home.
    pub(crate) fn new(
        cells: Vec<Shared>,
        (root_keys, audit_key): (Option<Arc<RootKeys>>, Option<PublicKey>),
        (auth, scrape_token): (Auth, ScrapeToken),
    ) -> Self {
        assert!(!cells.is_empty(), "a server has a cell");
        let (served, attempts, prepared) = (Arc::default(), Arc::default(), Arc::default());
        let room = Room::new(cells[0].config.body_bytes_max);
        let (cells, auth) = (cells.into(), Arc::new(auth));
        Self { cells, served, prepared, root_keys, audit_key, auth, scrape_token, room, attempts }
    }

    pub(crate) fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    pub(crate) fn prepared(&self) {
        self.prepared.store(true, Ordering::Release);
    }

    pub(crate) const fn root_keys(&self) -> Option<&Arc<RootKeys>> {
        self.root_keys.as_ref()
    }

    pub(crate) const fn audit_key(&self) -> Option<PublicKey> {
        self.audit_key
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    pub(crate) const fn scrape_token(&self) -> &ScrapeToken {
        &self.scrape_token
    }

    /// For large bodies while they arrive.
    pub(crate) const fn room(&self) -> &Room {
        &self.room
    }

    pub(crate) fn home(&self) -> &Shared {
        &self.cells[0]
    }

    /// In the order of the configuration, home first.
    pub(crate) fn all(&self) -> &[Shared] {
        &self.cells
    }

    /// The cell that has the tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> Option<&Shared> {
        self.cells.iter().find(|cell| cell.registry.context(tenant).is_some())
    }

    /// The cell that has the tenant, or home if there is none, which says so.
    pub(crate) fn at(&self, tenant: &TenantId) -> &Shared {
        self.of(tenant).unwrap_or_else(|| self.home())
    }

    /// The cell of an authenticated tenant.
    pub(crate) fn of_scope(&self, scope: &TenantScope) -> &Shared {
        self.at(scope.tenant())
    }

    /// The cell that keeps an organisation's account.
    pub(crate) fn account_of(&self, org: &OrgId) -> &Shared {
        if self.cells.len() == 1 {
            return self.home();
        }
        let has_tenants = |cell: &&Shared| cell.registry.has_tenant_of(org);
        self.cells.iter().find(has_tenants).unwrap_or_else(|| self.home())
    }

    pub(crate) fn key(&self, id: &KeyId) -> Option<Arc<KeyRow>> {
        self.cells.iter().find_map(|cell| cell.registry.key(id))
    }

    /// The keys that ask for something of this, in the order of their ids.
    pub(crate) fn keys_for(&self, claims: &Claims) -> Vec<Arc<KeyRow>> {
        let asked: Vec<_> = claims.each().collect();
        let of = |cell: &Shared| cell.registry.keys_for(&asked);
        let mut keys: Vec<_> = self.cells.iter().flat_map(of).collect();
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        keys.dedup_by(|a, b| a.id == b.id);
        keys
    }

    pub(crate) fn region(&self, name: &str) -> Option<&Shared> {
        self.cells.iter().find(|cell| cell.region.as_str() == name)
    }

    /// The named region's cell, or home.
    pub(crate) fn named(&self, region: &InRegion) -> Result<&Shared, Refused> {
        match &region.region {
            None => Ok(self.home()),
            Some(name) => self.region(name).ok_or_else(|| self.no_region(name)),
        }
    }

    /// That this server has no such region.
    pub(crate) fn no_region(&self, name: &str) -> Refused {
        Refused::new(Code::UnknownRegion)
            .detail(format!("this server has no region `{name}`"))
            .expected(self.names())
    }

    /// The names of its regions, as what would be right.
    pub(crate) fn names(&self) -> String {
        let names = self.cells.iter().map(|cell| format!("`{}`", cell.region));
        names.collect::<Vec<_>>().join(" or ")
    }

    /// All cells, beginning behind the one that gave this person their last review: each cell knows only whose turn it is
    /// among its own tenants, and a cell that is always asked first would leave those of the others to wait.
    pub(crate) fn by_turns(&self, person: &PersonId) -> impl Iterator<Item = (usize, &Shared)> {
        let served = self.served.lock().expect("nothing panics while it is held");
        let begin = served.get(person).map_or(0, |at| at + 1);
        let count = self.cells.len();
        (begin..begin + count).map(move |at| (at % count, &self.cells[at % count]))
    }

    /// The cell at that position has given the person a review.
    pub(crate) fn served_by(&self, person: &PersonId, at: usize) {
        if self.cells.len() > 1 {
            let mut served = self.served.lock().expect("nothing panics while it is held");
            served.insert(person.clone(), at);
        }
    }

    /// A request with a key of the tenant has named another one.
    pub(crate) fn note_attempt(&self, by: &TenantId) {
        let mut attempts = self.attempts.lock().expect("nothing panics while it is held");
        let count = attempts.entry(by.clone()).or_default();
        *count = count.saturating_add(1);
    }

    /// How many requests with keys of the tenant have named another one.
    pub(crate) fn attempts_by(&self, tenant: &TenantId) -> u64 {
        let attempts = self.attempts.lock().expect("nothing panics while it is held");
        attempts.get(tenant).copied().unwrap_or_default()
    }

    /// The same of all tenants.
    pub(crate) fn all_attempts(&self) -> u64 {
        let attempts = self.attempts.lock().expect("nothing panics while it is held");
        attempts.values().sum()
    }

    /// What each cell has, in the order of their keys.
    pub(crate) fn merged<T, K: Ord>(
        &self,
        each: impl Fn(&Shared) -> Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Vec<T> {
        let mut all: Vec<T> = self.cells.iter().flat_map(each).collect();
        if self.cells.len() > 1 {
            all.sort_by_key(key);
        }
        all
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.home()
    }
}

impl FromRef<App> for Shared {
    fn from_ref(app: &App) -> Self {
        app.home().clone()
    }
}

impl FromRequestParts<App> for Here {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        if app.all().len() == 1 {
            return Ok(Self(app.home().clone()));
        }
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|rejection| Refused::internal(&rejection.body_text()))?;
        let tenant = params.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value);
        let tenant = tenant.and_then(|tenant| tenant.parse().ok());
        let cell = tenant.map_or(app.home(), |tenant| app.at(&tenant));
        Ok(Self(cell.clone()))
    }
}
