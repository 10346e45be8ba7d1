//! Telling people: the server makes the attempts that the cell asks for, and says how each ended.
//!
//! What is sent says that something happened, and has a link to it: see [`fairlane_api::notice::Event`]. Nothing of an input, an
//! output or a person is at hand here, so that nothing of them can be sent. Whether and when there is another attempt is the
//! cell's to say.
//!
//! - `webhook` makes signed requests, on the connections of `upstream` and under its rules for addresses.
//! - `sign` is the signature, and the text of secrets.
//! - `mail` hands mail to the relay that the server is set up with.

pub(crate) mod mail;
pub(crate) mod sign;
mod webhook;

use std::sync::Arc;

use fairlane_api::notice::Event;
use fairlane_core::cell::effect::Delivery;
use fairlane_core::cell::input::{Delivered, Input, Verdict};
use fairlane_core::notice::{NoticeRow, Receiver};

use crate::engine::Message;
use crate::engine::inbox::Inbox;
use crate::upstream::Upstream;
use crate::wire::timestamp;
use mail::Mailer;

/// Makes attempts. Clones share what they are made with.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    pub(crate) upstream: Arc<Upstream>,
    /// `None`: mail cannot be sent, and the cell knows.
    pub(crate) mailer: Option<Mailer>,
    /// What links begin with, without a slash at the end.
    pub(crate) public_url: Arc<str>,
}

/// The way in for those attempts that a cell asks for.
#[derive(Clone, Debug)]
pub(crate) struct Courier {
    pub(crate) notifier: Notifier,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Courier {
    /// Makes an attempt, and tells the cell how it ended, whatever happens: an attempt without an end would hold its place in
    /// the channel's line.
    pub(crate) fn deliver(&self, delivery: Box<Delivery>) {
        let (notifier, inbox) = (self.notifier.clone(), self.inbox.clone());
        let (tenant, notice) = (delivery.row.tenant.clone(), delivery.row.id);
        let fence = delivery.fence;
        let attempt = self.runtime.spawn(async move { notifier.attempt(&delivery).await });
        self.runtime.spawn(async move {
            let verdict = attempt.await.unwrap_or_else(|_| {
                tracing::error!(event = "delivery-panicked", %notice, "an attempt to deliver a notice was broken off by a panic");
                missed("internal", None)
            });
            let delivered = Delivered { tenant, notice, fence, verdict };
            // Nobody waits for it: many are committed together.
            inbox.defer(Message::Note(Input::Delivered(delivered)));
        });
    }
}

impl Notifier {
    async fn attempt(&self, delivery: &Delivery) -> Verdict {
        let event = self.event(&delivery.row);
        match (&delivery.to, &self.mailer) {
            (Receiver::Webhook { url, allow_private }, _) => {
                let signed = (&delivery.secrets[..], &event);
                webhook::attempt(&self.upstream, (url, *allow_private), signed).await
            }
            (Receiver::Email { to }, Some(mailer)) => mailer.attempt(to, &event).await,
            (Receiver::Email { .. }, None) => missed("no-mail-relay", None),
        }
    }

    fn event(&self, row: &NoticeRow) -> Event {
        Event {
            id: row.id.to_string(),
            event: row.event.as_str().to_owned(),
            tenant: row.tenant.to_string(),
            at: timestamp(row.at),
            run: row.run.map(|run| run.to_string()),
            review: row.review.map(|review| review.to_string()),
            link: self.link(row),
        }
    }

    /// Where to read in the API what happened.
    fn link(&self, row: &NoticeRow) -> String {
        let (public_url, tenant) = (&self.public_url, &row.tenant);
        match (row.review, row.run) {
            (Some(review), _) => format!("{public_url}/v1/reviews/{review}"),
            (None, Some(run)) => format!("{public_url}/v1/tenants/{tenant}/runs/{run}"),
            (None, None) => format!("{public_url}/v1/tenants/{tenant}/channels/{}", row.channel),
        }
    }
}

/// Another attempt may do better.
fn missed(class: &str, status: Option<u16>) -> Verdict {
    Verdict::Missed { class: class.into(), status, rest: None }
}
