//! Mail to a tenant's people, handed to the relay that the server is set up with.
//!
//! The relay is the operator's word, so that it may be at a private address. What it answers with 4xx passes, what with 5xx does
//! not: the first is tried again, the second is given up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fairlane_api::notice::Event;
use fairlane_core::cell::input::Verdict;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::missed;
use crate::config::Smtp;

/// For each step of the conversation with the relay.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);
/// For the whole of it.
const ATTEMPT_TIME_MAX: Duration = Duration::from_mins(1);

/// Sends mail.
#[derive(Clone)]
pub(crate) struct Mailer {
    relay: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// The part of an address of the sender that makes ids unique.
    domain: Arc<str>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Mailer {
    /// `None`: the setup is not one that can be used. [`crate::config`] has checked it.
    pub(crate) fn new(smtp: &Smtp) -> Option<Self> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp.url.reveal()).ok()?;
        let from: Mailbox = smtp.from.parse().ok()?;
        Some(Self {
            relay: builder.timeout(Some(STEP_TIME_MAX)).build(),
            domain: from.email.domain().into(),
            from,
        })
    }

    pub(super) async fn attempt(&self, to: &[Arc<str>], event: &Event) -> Verdict {
        let Some(message) = self.message(to, event) else {
            return Verdict::Refused { class: "address-malformed".into(), status: None };
        };
        match tokio::time::timeout(ATTEMPT_TIME_MAX, self.relay.send(message)).await {
            Ok(Ok(_)) => Verdict::Accepted,
            Ok(Err(error)) => verdict(&error),
            Err(_) => missed("relay-timeout", None),
        }
    }

    fn message(&self, to: &[Arc<str>], event: &Event) -> Option<Message> {
        let Event { id, event: kind, tenant, link, .. } = event;
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(format!("{kind}: {tenant}"))
            .message_id(Some(format!("<{id}@{}>", self.domain)))
            // So that nobody's absence note answers it (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN);
        for address in to {
            builder = builder.to(address.parse().ok()?);
        }
        let at = event.at;
        builder.body(format!("{kind}\n\nTenant: {tenant}\nAt: {at}\n\n{link}\n")).ok()
    }
}

fn verdict(error: &Error) -> Verdict {
    let status = error.status().map(u16::from);
    if error.is_permanent() {
        return Verdict::Refused { class: "relay-refused".into(), status };
    }
    let class = match status {
        Some(_) => "relay-deferred",
        None if error.is_timeout() => "relay-timeout",
        None if error.is_tls() => "relay-insecure",
        None => "relay-unreachable",
    };
    missed(class, status)
}
