//! Sealing: what is written under a key that only its tenant's rows have.
//!
//! Three levels of keys. A run has one, which seals its payloads; it stands in the run's row, wrapped by the key of its tenant,
//! which stands in the store too, wrapped by the [root key](Root), which does not. So a key is destroyed with its row, and a new
//! root key or tenant's key means to wrap some keys anew and not to read any payload.
//!
//! The cipher is AES-256-GCM (NIST SP 800-38D) with random nonces: one key may seal 2^32 texts, after which two nonces are equal
//! with a chance of 2^-32. A run stays far below that; a tenant with more runs needs a new key before.
//!
//! What is sealed says for whom and where: tenant, table and key of the row are authenticated with it, so that it opens there only.

mod root;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

pub use self::root::{LocalRoot, Root, RootError, RootId, Roots};

pub const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Says how the rest is sealed. No other has been.
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + NONCE_LEN;
/// What sealing adds to a text.
pub(crate) const OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// A secret key. It is overwritten when it is dropped, and shown nowhere.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub const fn reveal(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0);
        LessSafeKey::new(key.expect("a key has the length that the cipher asks for"))
    }

    /// Seals a text for the place that `context` tells. Takes time in the length of the text.
    pub(crate) fn seal(&self, random: &Random, context: &[u8], text: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD_BYTES);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher().seal_in_place_separate_tag(
            nonce,
            Aad::from(context),
            &mut sealed[HEAD_BYTES..],
        );
        let tag = tag.expect("a text is shorter than the 64 GiB that the cipher can take");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// The inverse. `None`: it is not what was sealed with this key for this place.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let rest = sealed.strip_prefix(&[FORMAT])?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut text = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.cipher().open_in_place(nonce, Aad::from(context), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// Seals another key.
    pub(crate) fn wrap(&self, random: &Random, context: &[u8], key: &Self) -> Vec<u8> {
        self.seal(random, context, &key.0)
    }

    /// The inverse.
    pub(crate) fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<Self> {
        let mut bytes = self.open(context, wrapped)?;
        let key = bytes.as_slice().try_into().ok().map(Self);
        bytes.zeroize();
        key
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The machine's random bytes, fetched many at a time: a call of the system for each nonce costs as much as sealing a small text.
pub(crate) struct Random(Mutex<Pool>);

struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

const POOL_BYTES: usize = 4_096;

impl Random {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES }))
    }

    /// # Panics
    ///
    /// If the machine has no randomness to give: nothing can be kept secret then, and nothing is written.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Pool { bytes, used } = &mut *pool;
        if POOL_BYTES - *used < N {
            SystemRandom::new().fill(bytes).expect("the machine has random bytes");
            *used = 0;
        }
        let taken = &mut bytes[*used..*used + N];
        let mut given = [0; N];
        given.copy_from_slice(taken);
        // Nobody gets them again, and nobody finds them.
        taken.zeroize();
        *used += N;
        given
    }

    pub(crate) fn key(&self) -> Key {
        Key(self.bytes())
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_at_its_place_only() {
        let random = Random::new();
        let (key, other) = (random.key(), random.key());
        for text in [&b""[..], b"x", &[7; 5_000]] {
            let sealed = key.seal(&random, b"here", text);
            assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
            assert_eq!(key.open(b"here", &sealed).as_deref(), Some(text));
            assert_eq!(key.open(b"there", &sealed), None);
            assert_eq!(other.open(b"here", &sealed), None);
            for at in 0..sealed.len().min(40) {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(key.open(b"here", &changed), None, "byte {at}");
            }
            assert_eq!(key.open(b"here", &sealed[..sealed.len() - 1]), None);
        }
        assert_eq!(key.open(b"here", b""), None);
        assert_eq!(key.open(b"here", b"{}"), None);
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let random = Random::new();
        let key = random.key();
        let sealed: std::collections::BTreeSet<_> =
            (0..10_000).map(|_| key.seal(&random, b"", b"{}")).collect();
        assert_eq!(sealed.len(), 10_000);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key([7; KEY_BYTES])), "Key(..)");
    }
}
