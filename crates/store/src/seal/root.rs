//! The root key: wraps the keys of tenants, and stands in no store.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ring::digest::{SHA256, digest};

use super::{Key, Random};

/// Something that can wrap keys: a key in this process, or a service that has one.
///
/// It is asked once for each tenant that something is done for, and at a rotation for all of them; what it gave is kept.
pub trait Root: Send + Sync + fmt::Debug {
    /// Names the key, so that what it has wrapped is known to be its.
    fn id(&self) -> RootId;

    /// Wraps a key. `context` says whose it is.
    fn wrap(&self, context: &[u8], key: &Key) -> Result<Vec<u8>, RootError>;

    /// The inverse.
    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Key, RootError>;
}

/// Names a root key and tells nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RootId(pub [u8; 8]);

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a root key did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error(
        "what was wrapped does not open with the root key {id}: it was changed, or is somebody else's"
    )]
    Refused { id: RootId },
    #[error("the service that has the root key cannot be asked")]
    Unavailable { source: Box<dyn std::error::Error + Send + Sync> },
}

/// A root key in this process.
pub struct LocalRoot {
    key: Key,
    random: Random,
}

impl LocalRoot {
    pub const fn new(key: Key) -> Self {
        Self { key, random: Random::new() }
    }

    /// Another one each time.
    pub fn random() -> Self {
        Self::new(Random::new().key())
    }

    /// To be written where only its owner can read it.
    pub const fn reveal(&self) -> &Key {
        &self.key
    }
}

impl Root for LocalRoot {
    fn id(&self) -> RootId {
        let text = [&b"fairlane root key id\0"[..], self.key.reveal()].concat();
        let digest = digest(&SHA256, &text);
        RootId(*digest.as_ref().first_chunk().expect("a digest has 32 bytes"))
    }

    fn wrap(&self, context: &[u8], key: &Key) -> Result<Vec<u8>, RootError> {
        Ok(self.key.wrap(&self.random, context, key))
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Key, RootError> {
        self.key.unwrap(context, wrapped).ok_or_else(|| RootError::Refused { id: self.id() })
    }
}

impl fmt::Debug for LocalRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalRoot({})", self.id())
    }
}

/// The root keys of a server: one wraps, and those before it still unwrap until nothing of theirs is left. Shared by its stores.
#[derive(Debug)]
pub struct Roots(RwLock<Vec<Arc<dyn Root>>>);

impl Roots {
    /// `earlier`: the newest first.
    pub fn new(newest: Arc<dyn Root>, earlier: Vec<Arc<dyn Root>>) -> Self {
        let mut all = earlier;
        all.insert(0, newest);
        Self(RwLock::new(all))
    }

    /// For a store that is not to be read again, such as a test's.
    pub fn ephemeral() -> Arc<Self> {
        Arc::new(Self::new(Arc::new(LocalRoot::random()), Vec::new()))
    }

    /// From now on this one wraps.
    pub fn renew(&self, newest: Arc<dyn Root>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(0, newest);
    }

    /// Nothing is left that an earlier one has wrapped.
    pub fn forget_earlier(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).truncate(1);
    }

    pub fn newest(&self) -> Arc<dyn Root> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.first().expect("there is always one"))
    }

    pub fn find(&self, id: RootId) -> Option<Arc<dyn Root>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|root| root.id() == id).cloned()
    }
}
