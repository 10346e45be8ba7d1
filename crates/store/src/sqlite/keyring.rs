//! Table `tenant_keys`, the keys of runs, and what is sealed with them.
//!
//! A [`Db`] is a connection with the keys to what it reads and writes. What a tenant submits, gets or says is sealed under its
//! run's key; what SQL has to look at is not: ids, states, times, amounts.
//!
//! INVARIANT: what is kept in memory here was stored, or is stored by the transaction that is under way. When one is rolled
//! back, everything is forgotten: a key that exists in memory only would seal what nobody can open after a restart.

mod rotation;

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairlane_core::id::{ChannelName, ReviewId, TenantId};
use fairlane_core::row::RunKey;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::rotation::Sweep;
pub(super) use self::rotation::{open_all, renew_root};
use super::codec::{Columns, Fault, from_json, id_bytes, to_json};
use super::payloads::Slot;
use crate::seal::{Key, Random, RootId, Roots};

/// Keys of runs that are kept in memory, each with about 200 bytes.
const RUNS_MAX: usize = 32_768;

/// The keys of one store, shared by its writer and its readers.
#[derive(Debug)]
pub(super) struct Keyring {
    roots: Arc<Roots>,
    random: Random,
    tenants: Mutex<BTreeMap<TenantId, BTreeMap<u32, Key>>>,
    /// Which key of a tenant seals what is new: for the writer to say, who alone looks here. A reader may see a commit from
    /// before.
    newest: Mutex<BTreeMap<TenantId, u32>>,
    runs: Mutex<Runs>,
    sweep: Mutex<Sweep>,
}

/// Two generations: when the young one is full it is the old one, and what was old is forgotten.
#[derive(Debug, Default)]
struct Runs {
    young: HashMap<RunKey, RunSecret>,
    old: HashMap<RunKey, RunSecret>,
}

/// The key of a run, and how it stands in the run's row.
#[derive(Clone, Debug)]
pub(super) struct RunSecret {
    key: Key,
    pub(super) wrapped: Arc<[u8]>,
    /// No payload of the run stands apart from its row, as far as this writer, who has made the run, knows: none has to be
    /// looked for when a smaller one is written.
    is_small: bool,
}

impl Runs {
    fn get(&mut self, run: &RunKey) -> Option<RunSecret> {
        if let Some(found) = self.young.get(run) {
            return Some(found.clone());
        }
        let found = self.old.remove(run)?;
        self.put(run.clone(), found.clone());
        Some(found)
    }

    fn remove(&mut self, run: &RunKey) {
        self.young.remove(run);
        self.old.remove(run);
    }

    fn has_large(&mut self, run: &RunKey) {
        for generation in [&mut self.young, &mut self.old] {
            if let Some(secret) = generation.get_mut(run) {
                secret.is_small = false;
            }
        }
    }

    fn put(&mut self, run: RunKey, secret: RunSecret) {
        if self.young.len() >= RUNS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(run, secret);
    }
}

impl Keyring {
    pub(super) fn new(roots: Arc<Roots>) -> Self {
        Self {
            roots,
            random: Random::new(),
            tenants: Mutex::default(),
            newest: Mutex::default(),
            runs: Mutex::default(),
            sweep: Mutex::default(),
        }
    }

    /// As a server does it at a rotation.
    #[cfg(test)]
    pub(super) fn renew_roots(&self, newest: Arc<dyn crate::seal::Root>) {
        self.roots.renew(newest);
    }

    /// A transaction was rolled back.
    pub(super) fn forget(&self) {
        self.tenants().clear();
        self.newest().clear();
        *self.runs() = Runs::default();
        *self.sweep() = Sweep::Unknown;
    }

    fn sweep(&self) -> MutexGuard<'_, Sweep> {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<TenantId, BTreeMap<u32, Key>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> MutexGuard<'_, BTreeMap<TenantId, u32>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where something sealed stands, but for tenant and run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// An input or output, in its row or in `payloads`.
    Payload(Slot),
    RunFailure,
    StepFailure(Slot),
    Signal(u64),
    Review(ReviewId),
    ReviewEvent(ReviewId, u32),
    Replan(u32),
}

impl Place {
    /// Authenticated with what is sealed. Tenants have no NUL in their names and all numbers have their full width, so that no
    /// two places have the same.
    pub(super) fn context(self, run: &RunKey) -> Vec<u8> {
        let mut context = Vec::with_capacity(128);
        let slot = |slot: Slot| [slot.step.to_be_bytes(), slot.part.to_be_bytes()].concat();
        let (table, rest) = match self {
            Self::Payload(at) => ("payload", slot(at)),
            Self::RunFailure => ("runs.fault", Vec::new()),
            Self::StepFailure(at) => ("steps.fault", slot(at)),
            Self::Signal(sequence) => ("signals", sequence.to_be_bytes().to_vec()),
            Self::Review(review) => ("reviews", id_bytes(review.0).to_vec()),
            Self::ReviewEvent(review, sequence) => {
                ("review_events", [&id_bytes(review.0)[..], &sequence.to_be_bytes()].concat())
            }
            Self::Replan(number) => ("replans", number.to_be_bytes().to_vec()),
        };
        for text in [table, run.tenant.as_str()] {
            context.extend_from_slice(text.as_bytes());
            context.push(0);
        }
        context.extend_from_slice(&id_bytes(run.run));
        context.extend_from_slice(&rest);
        context
    }
}

fn run_key_context(run: &RunKey) -> Vec<u8> {
    [b"run key\0", run.tenant.as_str().as_bytes(), b"\0", &id_bytes(run.run)].concat()
}

fn tenant_key_context(tenant: &TenantId, version: u32) -> Vec<u8> {
    [b"tenant key\0", tenant.as_str().as_bytes(), b"\0", &version.to_be_bytes()].concat()
}

fn channel_context(tenant: &TenantId, channel: &ChannelName) -> Vec<u8> {
    [b"channels\0", tenant.as_str().as_bytes(), b"\0", channel.as_str().as_bytes()].concat()
}

/// A connection, and the keys to what it reads and writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Db<'c> {
    pub(super) connection: &'c Connection,
    pub(super) keys: &'c Keyring,
}

impl Deref for Db<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Db<'_> {
    /// The key of a run that has none yet is made here, and stored with its row.
    pub(super) fn new_run(self, run: &RunKey) -> Result<RunSecret, Fault> {
        match self.run(run)? {
            Some(known) => Ok(known),
            None => self.make_run(run, false),
        }
    }

    /// A key for a run that is most likely new: its row is not looked for. To be forgotten by [`Db::was_there`] if it is not.
    /// `None`: it is known, so that it is not new.
    pub(super) fn likely_new_run(self, run: &RunKey) -> Result<Option<RunSecret>, Fault> {
        if self.keys.runs().get(run).is_some() {
            return Ok(None);
        }
        self.make_run(run, true).map(Some)
    }

    fn make_run(self, run: &RunKey, is_small: bool) -> Result<RunSecret, Fault> {
        let (version, of_tenant) = self.newest_of_tenant(&run.tenant)?;
        let key = self.keys.random.key();
        let wrapped = self.wrapped(run, version, &of_tenant, &key);
        let secret = RunSecret { key, wrapped, is_small };
        self.keys.runs().put(run.clone(), secret.clone());
        Ok(secret)
    }

    /// The run was no new one: its key is the one that it has.
    pub(super) fn was_there(self, run: &RunKey) {
        self.keys.runs().remove(run);
    }

    /// The tenant's keys are destroyed.
    pub(super) fn forget_tenant(self, tenant: &TenantId) {
        self.keys.tenants().remove(tenant);
        self.keys.newest().remove(tenant);
    }

    /// Whether a payload of the run may stand apart from its row.
    pub(super) fn may_have_large(self, run: &RunKey) -> bool {
        self.keys.runs().get(run).is_none_or(|secret| !secret.is_small)
    }

    /// A payload of the run is put apart from its row.
    pub(super) fn has_large(self, run: &RunKey) {
        self.keys.runs().has_large(run);
    }

    fn wrapped(self, run: &RunKey, version: u32, of_tenant: &Key, key: &Key) -> Arc<[u8]> {
        let wrapped = of_tenant.wrap(&self.keys.random, &run_key_context(run), key);
        [&version.to_be_bytes()[..], &wrapped].concat().into()
    }

    /// `None`: there is no such run.
    fn run(self, run: &RunKey) -> Result<Option<RunSecret>, Fault> {
        if let Some(known) = self.keys.runs().get(run) {
            return Ok(Some(known));
        }
        let secret = match self.stored_run(run) {
            // Between the two look-ups the run's key was wrapped with a new one of its tenant.
            Err(Fault::Sealed(_)) => self.stored_run(run)?,
            found => found?,
        };
        if let Some(secret) = &secret {
            self.keys.runs().put(run.clone(), secret.clone());
        }
        Ok(secret)
    }

    fn stored_run(self, run: &RunKey) -> Result<Option<RunSecret>, Fault> {
        let mut statement =
            self.prepare_cached("SELECT key FROM runs WHERE tenant = ?1 AND run = ?2")?;
        let mut rows = statement.query(params![run.tenant.as_str(), id_bytes(run.run)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let Some(wrapped) = Columns(row).optional_bytes(0)? else { return Ok(None) };
        Ok(Some(RunSecret { key: self.unwrapped(run, &wrapped)?, wrapped, is_small: false }))
    }

    fn unwrapped(self, run: &RunKey, wrapped: &[u8]) -> Result<Key, Fault> {
        let refused = || Fault::Sealed(format!("the key of the run {} of {}", run.run, run.tenant));
        let (version, wrapped) = wrapped.split_first_chunk().ok_or_else(refused)?;
        let of_tenant = self.of_tenant(&run.tenant, u32::from_be_bytes(*version))?;
        let of_tenant = of_tenant.ok_or_else(refused)?;
        of_tenant.unwrap(&run_key_context(run), wrapped).ok_or_else(refused)
    }

    /// What is sealed may be of any length; it takes time in it.
    pub(super) fn seal(self, run: &RunKey, place: Place, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let secret = self.run(run)?;
        let secret = secret.ok_or_else(|| Fault::Missing(format!("the run of {run:?}")))?;
        Ok(secret.key.seal(&self.keys.random, &place.context(run), text))
    }

    pub(super) fn open(self, run: &RunKey, place: Place, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        let secret = self.run(run)?;
        let secret = secret.ok_or_else(|| Fault::Missing(format!("the run of {run:?}")))?;
        let opened = secret.key.open(&place.context(run), sealed);
        opened.ok_or_else(|| Fault::Sealed(format!("{place:?} of {run:?}")))
    }

    pub(super) fn seal_json<T: Serialize>(
        self,
        run: &RunKey,
        place: Place,
        value: &T,
    ) -> Result<Vec<u8>, Fault> {
        self.seal(run, place, to_json(value).as_bytes())
    }

    pub(super) fn open_json<T: DeserializeOwned>(
        self,
        run: &RunKey,
        place: Place,
        sealed: &[u8],
    ) -> Result<T, Fault> {
        read_json(&self.open(run, place, sealed)?)
    }

    /// A channel belongs to no run: it is sealed under its tenant's key.
    pub(super) fn seal_channel<T: Serialize>(
        self,
        tenant: &TenantId,
        channel: &ChannelName,
        value: &T,
    ) -> Result<Vec<u8>, Fault> {
        let (version, key) = self.newest_of_tenant(tenant)?;
        let context = channel_context(tenant, channel);
        let sealed = key.seal(&self.keys.random, &context, to_json(value).as_bytes());
        Ok([&version.to_be_bytes()[..], &sealed].concat())
    }

    pub(super) fn open_channel<T: DeserializeOwned>(
        self,
        tenant: &TenantId,
        channel: &ChannelName,
        sealed: &[u8],
    ) -> Result<T, Fault> {
        let refused = || Fault::Sealed(format!("the channel {channel} of {tenant}"));
        let (version, sealed) = sealed.split_first_chunk().ok_or_else(refused)?;
        let key = self.of_tenant(tenant, u32::from_be_bytes(*version))?.ok_or_else(refused)?;
        let text = key.open(&channel_context(tenant, channel), sealed).ok_or_else(refused)?;
        read_json(&text)
    }

    /// For the writer: what a tenant's next rows are sealed with. The first time it is made.
    fn newest_of_tenant(self, tenant: &TenantId) -> Result<(u32, Key), Fault> {
        let known = self.keys.newest().get(tenant).copied();
        let stored = || -> Result<Option<u32>, Fault> {
            let sql = "SELECT max(version) FROM tenant_keys WHERE tenant = ?1";
            Ok(self.prepare_cached(sql)?.query_one([tenant.as_str()], |row| row.get(0))?)
        };
        let Some(version) = known.map_or_else(stored, |known| Ok(Some(known)))? else {
            return self.make_tenant(tenant, 1);
        };
        self.keys.newest().insert(tenant.clone(), version);
        let key = self.of_tenant(tenant, version)?;
        let lost = || Fault::Sealed(format!("the key {version} of {tenant}"));
        Ok((version, key.ok_or_else(lost)?))
    }

    fn of_tenant(self, tenant: &TenantId, version: u32) -> Result<Option<Key>, Fault> {
        let find = |keys: &BTreeMap<u32, Key>| keys.get(&version).cloned();
        if let Some(known) = self.keys.tenants().get(tenant).and_then(find) {
            return Ok(Some(known));
        }
        let stored = self.stored_of_tenant(tenant)?;
        let found = find(&stored);
        self.keys.tenants().entry(tenant.clone()).or_default().extend(stored);
        Ok(found)
    }

    fn stored_of_tenant(self, tenant: &TenantId) -> Result<BTreeMap<u32, Key>, Fault> {
        let mut statement = self
            .prepare_cached("SELECT version, root, wrapped FROM tenant_keys WHERE tenant = ?1")?;
        let mut rows = statement.query([tenant.as_str()])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()?.map(Columns) {
            let (version, id) = (row.number(0)?, RootId(row.number(1)?));
            let root = self.keys.roots.find(id).ok_or(Fault::UnknownRoot(id))?;
            let context = tenant_key_context(tenant, version);
            found.insert(version, root.unwrap(&context, &row.bytes(2)?)?);
        }
        Ok(found)
    }

    /// Makes a key for a tenant, and stores it.
    fn make_tenant(self, tenant: &TenantId, version: u32) -> Result<(u32, Key), Fault> {
        let (root, key) = (self.keys.roots.newest(), self.keys.random.key());
        let wrapped = root.wrap(&tenant_key_context(tenant, version), &key)?;
        self.prepare_cached(
            "INSERT INTO tenant_keys (tenant, version, root, wrapped) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![tenant.as_str(), version, root.id().0, wrapped])?;
        self.keys.tenants().entry(tenant.clone()).or_default().insert(version, key.clone());
        self.keys.newest().insert(tenant.clone(), version);
        Ok((version, key))
    }
}

fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    let text = std::str::from_utf8(text);
    from_json(text.map_err(|_| Fault::Column("what was sealed is no text".to_owned()))?)
}
