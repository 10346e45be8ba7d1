//! Ed25519 keys (RFC 8032): one that signs checkpoints, and the public half that checks them.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::{hex, unhex};

/// Signs checkpoints. Shown nowhere.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// Written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// Names a public key: its first 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl Signer {
    /// From 32 random bytes, which have to be kept secret.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        let pair = pair.expect("a seed has the length that the scheme asks for");
        let bytes = pair.public_key().as_ref().try_into();
        let public = PublicKey(bytes.expect("a public key has 32 bytes"));
        Self { pair, public }
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// About 20 microseconds.
    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(text).as_ref());
        bytes
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public.id())
    }
}

impl PublicKey {
    pub fn id(&self) -> KeyId {
        let (first, _) = self.0.split_first_chunk().expect("a key is longer than its id");
        KeyId(*first)
    }

    pub(crate) fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        unhex(text.trim()).map(Self).ok_or(NotAKey)
    }
}

/// It is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a public key: 64 hexadecimal digits")]
pub struct NotAKey;

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes =
            unhex(&text).ok_or_else(|| D::Error::custom("expected 16 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}
