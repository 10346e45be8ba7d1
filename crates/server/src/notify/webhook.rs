//! One signed request to a tenant's receiver.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlane_api::notice::Event;
use fairlane_core::cell::input::Verdict;
use fairlane_core::notice::Secret;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};

use super::{missed, sign};
use crate::provider::retry_after;
use crate::upstream::{Fault, Target, Upstream};

/// From the start of an attempt to the head of its answer. A receiver that works on what it was told answers first.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(10);

/// A status of 200 to 299 is all that is asked for: the answer's body is not read.
pub(super) async fn attempt(
    upstream: &Upstream,
    (url, allow_private): (&str, bool),
    (secrets, event): (&[Secret], &Event),
) -> Verdict {
    let Ok(url) = url.parse() else { return refused("address-malformed", None) };
    let target = Target {
        url,
        allow_private,
        timeout: ATTEMPT_TIME_MAX,
        idle: ATTEMPT_TIME_MAX,
        response_bytes_max: 0,
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Some(request) = request(secrets, event, since.as_secs()) else {
        return refused("internal", None);
    };
    match upstream.open(&target, request).await {
        Ok(_) => Verdict::Accepted,
        Err(fault) => verdict(&fault),
    }
}

fn request(secrets: &[Secret], event: &Event, seconds: u64) -> Option<hyper::Request<Bytes>> {
    let body = serde_json::to_vec(event).ok()?;
    let signatures = sign::signatures(secrets, &event.id, seconds, &body);
    let mut signature = HeaderValue::from_str(&signatures).ok()?;
    signature.set_sensitive(true);
    hyper::Request::post("/")
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("fairlane/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature)
        .body(Bytes::from(body))
        .ok()
}

/// What follows from a fault. A receiver that is set up wrongly is set right within the day, mostly: everything but "gone" is
/// tried again, redirects too, which are not followed.
fn verdict(fault: &Fault) -> Verdict {
    let status = match fault {
        Fault::Status { status, .. } | Fault::Redirect { status, .. } => Some(*status),
        _ => None,
    };
    // The classes are those of providers; here the other side is a receiver.
    let class = fault.class();
    let class = class
        .strip_prefix("provider-")
        .map_or_else(|| class.to_owned(), |rest| format!("receiver-{rest}"));
    let code = status.map(|status| status.as_u16());
    if status == Some(StatusCode::GONE) {
        return Verdict::Gone { class: "receiver-gone".into(), status: code };
    }
    match retry_after(fault) {
        Some(rest) => Verdict::Missed { class: class.into(), status: code, rest: Some(rest) },
        None => missed(&class, code),
    }
}

fn refused(class: &str, status: Option<u16>) -> Verdict {
    Verdict::Refused { class: class.into(), status }
}
