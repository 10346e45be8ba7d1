//! Typed ids and names. A bare string or integer never stands for one of them.
//!
//! Names are checked once, at the edge, by `parse`; a value of such a type is valid everywhere else. They are
//! cheap to clone (one shared allocation).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Time;

/// Longest name or id of any kind, in bytes.
pub const NAME_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must not be empty")]
    Empty,
    #[error("is {length} bytes long, at most {NAME_MAX} are allowed")]
    TooLong { length: usize },
    #[error("has {found:?} at byte {at}; allowed are {allowed}")]
    Character { found: char, at: usize, allowed: &'static str },
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $allowed:literal, $test:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and alphabet.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, $allowed, $test)?;
                Ok(Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

const fn is_id(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')
}

const fn is_zone(c: char) -> bool {
    is_id(c) || c == '+'
}

const fn is_identifier(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_')
}

const fn is_free(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | ':' | '/')
}

const fn is_person(c: char) -> bool {
    is_free(c) || matches!(c, '@' | '+')
}

const fn is_worker(c: char) -> bool {
    is_free(c) || c == '@'
}

names! {
    /// A tenant: opaque, never reused.
    TenantId: "a-z 0-9 - _", is_id;
    /// An organisation, the parent of tenants.
    OrgId: "a-z 0-9 - _", is_id;
    /// A tier: a named set of tenant defaults.
    TierName: "a-z 0-9 - _", is_id;
    /// A pool of worker slots.
    PoolName: "a-z 0-9 - _", is_id;
    /// A workflow.
    WorkflowName: "a-z 0-9 - _", is_id;
    /// A step of a workflow; an identifier, because expressions say `steps.NAME.output`.
    StepName: "a-z A-Z 0-9 _", is_identifier;
    /// A task that a worker executes.
    TaskName: "a-z A-Z 0-9 - _ . : /", is_free;
    /// A tool of the catalog.
    ToolName: "a-z A-Z 0-9 - _ . : /", is_free;
    /// A model, by the name that workflows and clients use.
    ModelName: "a-z A-Z 0-9 - _ . : /", is_free;
    /// A price: what a model costs at some endpoint.
    PriceName: "a-z A-Z 0-9 - _ . : /", is_free;
    /// A budget class: a named set of quotas and budgets.
    ClassName: "a-z 0-9 - _", is_id;
    /// A policy.
    PolicyName: "a-z 0-9 - _", is_id;
    /// A region: a place where data rests or is worked on.
    RegionName: "a-z 0-9 - _", is_id;
    /// A zone: a named set of countries and regions.
    ZoneName: "a-z 0-9 - _ +", is_zone;
    /// What an endpoint is certified for, such as being on the list of a data privacy framework.
    CertificateName: "a-z 0-9 - _", is_id;
    /// A signal sent to a run.
    SignalName: "a-z A-Z 0-9 - _ . : /", is_free;
    /// A worker process, as it names itself; behind an `@` the key that it is bound by, if it is.
    WorkerName: "a-z A-Z 0-9 - _ . : / @", is_worker;
    /// A person, as the operator or an identity provider names them.
    PersonId: "a-z A-Z 0-9 - _ . : / @ +", is_person;
    /// A pool of human reviewers.
    ReviewerPoolName: "a-z 0-9 - _", is_id;
    /// A skill or a certification of a reviewer.
    SkillName: "a-z 0-9 - _", is_id;
    /// What a review can come to.
    OutcomeName: "a-z 0-9 - _", is_id;
    /// A channel through which a tenant is told of things.
    ChannelName: "a-z 0-9 - _", is_id;
    /// An API key's public id (its secret is never part of it).
    KeyId: "a-z 0-9 - _", is_id;
}

fn check(text: &str, allowed: &'static str, test: fn(char) -> bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_MAX {
        return Err(NameError::TooLong { length: text.len() });
    }
    match text.char_indices().find(|(_, c)| !test(*c)) {
        Some((at, found)) => Err(NameError::Character { found, at, allowed }),
        None => Ok(()),
    }
}

/// A run, unique inside its tenant; the bits of a version 7 UUID, so that ids sort by submission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

/// The text is not a UUID in its hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a run id: expected a UUID such as 0190b6c2-7a1e-7cc3-98c4-dc0c0c07398f")]
pub struct RunIdError;

impl RunId {
    /// The smallest id of a run that is submitted then: those of the same millisecond are no smaller.
    #[must_use]
    pub const fn first_of(at: Time) -> Self {
        Self((at.as_millis() as u128) << 80)
    }

    /// When it was made, as Unix time in milliseconds, if it has the form of version 7 or 8 of RFC 9562.
    pub const fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The id of a run that another run or a schedule starts: a fixed function of its origin, so that
    /// starting it twice names the same run. `salt` tells apart several children of one origin; `at`, when it
    /// starts, stands in front, so that these ids sort by their start like those of submitted runs.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken one by one")]
    pub const fn derive(self, at: Time, salt: u64) -> Self {
        let low = mix(self.0 as u64 ^ mix(salt));
        let high = mix((self.0 >> 64) as u64 ^ mix(low ^ salt.rotate_left(32)));
        let bits = ((high as u128) << 64) | low as u128;
        // Version 8 (free form), variant 10, and the milliseconds where version 7 has them, as RFC 9562 lays them out.
        let free = bits & !(u128::MAX << 80) & !(0xf << 76) & !(0x3 << 62);
        Self(((at.as_millis() as u128) << 80) | free | (0x8 << 76) | (0x2 << 62))
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection that spreads each input bit.
pub const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

macro_rules! derived_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub RunId);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = RunIdError;

            fn from_str(text: &str) -> Result<Self, RunIdError> {
                text.parse().map(Self)
            }
        }
    )*};
}

derived_ids! {
    /// A review, in the form of a run's id: a fixed function of the run, the step and the try, so that it names nothing else
    /// and tells nobody how many there are.
    ReviewId;
    /// A notice, in the same form. It stays the same over all attempts to deliver it, so that receivers can drop doubles.
    NoticeId;
    /// An erasure, in the same form.
    ErasureId;
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        let part = |shift: u32, bits: u32| (n >> shift) & ((1u128 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(RunIdError);
        }
        let mut bits = 0u128;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return Err(RunIdError);
                }
                continue;
            }
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return Err(RunIdError),
            };
            bits = (bits << 4) | u128::from(digit);
        }
        Ok(Self(bits))
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
