//! Channels through which tenants are told of things, and the notices that are on their way.
//!
//! A notice says that something happened and names it; what it was about stays where it is. INVARIANT: no field of a
//! [`NoticeRow`] holds an input, an output, a message or the name of a person.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ChannelName, NoticeId, RegionName, ReviewId, RunId, TenantId};
use crate::residency::Outside;
use crate::time::{Span, Time};

/// Most channels of one tenant: each event makes a notice for every one of them that wants it.
pub const CHANNELS_MAX: usize = 20;
/// Most mailboxes of one channel; for more there are distribution lists.
pub const MAILBOXES_MAX: usize = 10;
/// Longest address of a receiver, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 2_048;
/// Attempts to deliver one notice. With the first wait as it is by default and doubled each time, the last is made about 17
/// hours after the first: a receiver that is down over night loses nothing.
pub const ATTEMPTS_MAX: u32 = 12;
/// Wait after the first attempt, unless the server is set up otherwise.
pub const FIRST_WAIT: Span = Span::from_secs(30);
/// No wait is longer.
pub const WAIT_MAX: Span = Span::from_secs(12 * 3_600);
/// Part of a wait that is drawn at random, so that what failed together does not come back together.
pub const JITTER_PERMILLE: u32 = 250;
/// The longest rest that a receiver can ask for.
pub const REST_MAX: Span = Span::from_secs(3_600);
/// How long the secret before the newest one signs too, so that a receiver can be changed to the new one in that time.
pub const OVERLAP: Span = Span::from_secs(24 * 3_600);

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    #[serde(rename = "review.opened")]
    ReviewOpened,
    /// It went up to a rung of its ladder that says `notify`.
    #[serde(rename = "review.escalated")]
    ReviewEscalated,
    /// Nobody decided it in time.
    #[serde(rename = "review.overdue")]
    ReviewOverdue,
    #[serde(rename = "review.decided")]
    ReviewDecided,
    /// A step could not be paid for, and somebody has to decide how the run goes on.
    #[serde(rename = "run.halted")]
    RunHalted,
    #[serde(rename = "run.completed")]
    RunCompleted,
    #[serde(rename = "run.failed")]
    RunFailed,
    #[serde(rename = "run.cancelled")]
    RunCancelled,
    /// Somebody tries a channel. Every channel has it.
    #[serde(rename = "channel.test")]
    ChannelTest,
}

impl EventKind {
    /// What a channel can subscribe to.
    pub const SUBSCRIBABLE: [Self; 8] = [
        Self::ReviewOpened,
        Self::ReviewEscalated,
        Self::ReviewOverdue,
        Self::ReviewDecided,
        Self::RunHalted,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReviewOpened => "review.opened",
            Self::ReviewEscalated => "review.escalated",
            Self::ReviewOverdue => "review.overdue",
            Self::ReviewDecided => "review.decided",
            Self::RunHalted => "run.halted",
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
            Self::ChannelTest => "channel.test",
        }
    }

    /// The inverse, of what a channel can subscribe to.
    pub fn parse(text: &str) -> Option<Self> {
        Self::SUBSCRIBABLE.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a tenant wants to be told, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub tenant: TenantId,
    pub name: ChannelName,
    pub to: Receiver,
    pub events: BTreeSet<EventKind>,
    /// Where the receiver is; `None`: nobody knows, which is outside of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// Nothing is sent: what waits goes on to wait, and nothing new comes up for it.
    #[serde(default)]
    pub disabled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    Webhook {
        url: Arc<str>,
        /// Loopback and private addresses may be called, and without TLS. For an operator to say.
        #[serde(default)]
        allow_private: bool,
    },
    Email {
        to: Vec<Arc<str>>,
    },
}

/// What a webhook's requests are signed with: random bytes, made outside.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A channel as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRow {
    pub channel: Channel,
    /// Of a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The one before, and until when it signs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<(Secret, Time)>,
    /// Since when the receiver says that it is no more (410): nothing is sent until the channel is declared again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Time>,
    /// Raised by each declaration: what an older receiver answered says nothing of a newer one.
    pub revision: u32,
}

impl ChannelRow {
    /// Whether anything is sent through it.
    pub const fn is_open(&self) -> bool {
        !self.channel.disabled && self.gone.is_none()
    }

    /// Everything that signs at that time, the newest first.
    pub fn signing(&self, now: Time) -> Vec<Secret> {
        let previous = self.previous.filter(|(_, until)| *until > now).map(|(secret, _)| secret);
        self.secret.into_iter().chain(previous).collect()
    }
}

/// One thing that is to be told through one channel. The row goes once it is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeRow {
    pub tenant: TenantId,
    pub id: NoticeId,
    /// In the order in which things happened in the cell.
    pub sequence: u64,
    pub channel: ChannelName,
    pub event: EventKind,
    pub at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewId>,
    pub state: NoticeState,
    /// Attempts that have ended.
    pub attempts: u32,
    /// How the last of them ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Miss>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// Its next attempt is not before then.
    Pending { due: Time },
    /// Given up, until somebody has it delivered again.
    Failed { at: Time, because: GivenUp },
}

impl NoticeRow {
    pub const fn is_failed(&self) -> bool {
        matches!(self.state, NoticeState::Failed { .. })
    }
}

/// Why a notice is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenUp {
    /// All attempts are used up.
    Attempts,
    /// The receiver said that no further attempt will do better.
    Refused,
    /// The receiver said that it is no more.
    Gone,
    /// The receiver, or the relay for its mail, is where the tenant's data may not be.
    Outside { outside: Box<Outside> },
    /// The server has no relay for mail any more.
    NoRelay,
}

/// An attempt that came to nothing. It says nothing of what the receiver answered but its number: that may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    pub at: Time,
    /// Stable code.
    pub class: Arc<str>,
    /// Of HTTP or SMTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What the server can do to deliver notices. No row says it, the surroundings do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Means {
    /// `None`: mail cannot be sent.
    pub relay: Option<Relay>,
    /// Wait after the first attempt; doubled for each further one.
    pub first_wait: Span,
}

/// The relay that mail is handed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    pub region: Option<RegionName>,
}

impl Default for Means {
    fn default() -> Self {
        Self { relay: None, first_wait: FIRST_WAIT }
    }
}
