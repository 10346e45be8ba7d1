//! Channels through which a tenant is told of things, and notices: what is told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::schema::open;

/// Body of `PUT /v1/tenants/{tenant}/channels/{channel}`: where to, with exactly one of `webhook` and `email`, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// `review.opened`, `review.escalated`, `review.overdue`, `review.decided`, `run.halted`, `run.completed`, `run.failed`,
    /// `run.cancelled`.
    pub events: Vec<String>,
    /// The region where the receiver is. Absent: outside of every zone, so that a tenant with `data_residency` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Nothing is sent: what waits goes on to wait, and nothing new comes up.
    #[serde(default)]
    pub disabled: bool,
}

/// A request with a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// With `https`; `http` only with `allow_private`. At most 2,048 bytes.
    pub url: String,
    /// Loopback and private addresses may be called. For an operator's key only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
}

/// A mail without anything in it but a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// 1 to 10 addresses.
    pub to: Vec<String>,
}

/// Answer to `PUT /v1/tenants/{tenant}/channels/{channel}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelApplied {
    /// False if the declaration already stood.
    pub changed: bool,
    /// Nothing was written: the request said `dry_run=true`.
    #[serde(default)]
    pub dry_run: bool,
    /// What a new webhook's requests are signed with. It cannot be shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Answer to `POST /v1/tenants/{tenant}/channels/{channel}/rotate`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedSecret {
    /// What requests are signed with from now on. It cannot be shown again.
    pub secret: String,
    /// Until then they are signed with the secret before, too.
    pub previous_until: Timestamp,
}

// The secret stays out of logs.
macro_rules! hide_secret {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
hide_secret!(ChannelApplied RotatedSecret);

/// A channel without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    pub name: String,
    #[serde(flatten)]
    #[schema(schema_with = open::<ChannelSpec>)]
    pub spec: ChannelSpec,
    pub state: ChannelState,
    /// When the receiver answered 410: it is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// The receiver asked to be left alone until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
    /// The secret before the newest signs too until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
    /// Notices that wait or are under way.
    pub pending: u32,
    /// Notices that were given up.
    pub failed: u32,
    /// Notices that were not even noted since too many waited, since the server started.
    pub lost: u64,
}

/// Whether anything is sent through a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    Open,
    /// Its tenant wants nothing sent.
    Disabled,
    /// The receiver answered 410. It is open again once it is declared again.
    Gone,
}

/// A notice that is not delivered. One that is, is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    /// The same over all attempts.
    pub id: String,
    pub channel: String,
    /// What happened, such as `review.opened`.
    #[serde(rename = "type")]
    pub event: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    pub state: NoticeState,
    /// Attempts that have ended.
    pub attempts: u32,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// How the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Attempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<GivenUp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// Waits for its turn, or for its next attempt.
    Pending,
    /// An attempt is under way.
    Sending,
    /// Given up, until it is redelivered.
    Failed,
}

/// How an attempt ended that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    pub at: Timestamp,
    /// Stable code, such as `receiver-timeout`.
    pub class: String,
    /// What the receiver answered: of HTTP or SMTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Why a notice was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GivenUp {
    /// `attempts-used`, `refused`, `gone`, `outside-zone` or `no-mail-relay`.
    pub code: String,
    pub detail: String,
}

/// A notice that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Noted {
    pub notice: String,
}

/// What a webhook is sent: that something happened, and where to look. Never what it was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = NoticeEvent)]
pub struct Event {
    /// The same over all attempts, and that of the header `webhook-id`: a receiver drops doubles by it.
    pub id: String,
    /// What happened, such as `review.opened`; `channel.test` if somebody tries the channel.
    #[serde(rename = "type")]
    pub event: String,
    pub tenant: String,
    /// When it happened.
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// Of the review, the run or the channel in the API; reading it takes a key.
    pub link: String,
}
