//! Between the catalog and a provider: where a call of an endpoint goes, and what its answer says to limits and money.

use fairlane_core::catalog::{Endpoint, Metered, Usage};
use fairlane_core::limiter::Answer;
use fairlane_core::row::Route;
use fairlane_core::time::Span;
use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::serve::Shared;
use crate::upstream::chat::Counted;
use crate::upstream::{Fault, Secret, Target};

/// Longest pause within an answer.
const IDLE: Span = Span::from_secs(60);

/// Where a call of the endpoint goes, and the headers that authenticate it.
pub(crate) fn target(endpoint: &Endpoint, path: &str) -> Result<(Target, HeaderMap), String> {
    let url = format!("{}{path}", endpoint.url.trim_end_matches('/'));
    let url = url.parse().map_err(|error| format!("its address cannot be read: {error}"))?;
    let mut headers = HeaderMap::new();
    if let Some(name) = &endpoint.key {
        let secret = Secret::from_env(name).map_err(|error| error.to_string())?;
        headers.insert(AUTHORIZATION, secret.bearer());
    }
    let target = Target {
        url,
        allow_private: endpoint.allow_private,
        timeout: std::time::Duration::from_micros(endpoint.timeout.0),
        idle: std::time::Duration::from_micros(IDLE.0.min(endpoint.timeout.0)),
        response_bytes_max: usize::try_from(endpoint.answer_bytes_max).unwrap_or(usize::MAX),
    };
    Ok((target, headers))
}

/// What a call used by its provider's word. More than the bound that it was sent is what cannot be: it is posted, since it
/// may be billed, and not certain.
pub(crate) const fn metered(counted: &Counted, route: &Route) -> Metered {
    let usage = Usage {
        input: counted.usage.input_tokens,
        cached: counted.usage.cached_tokens,
        output: counted.usage.output_tokens,
    };
    Metered { usage, is_certain: counted.is_certain && usage.output <= route.output }
}

/// What a fault says of the provider.
pub(crate) fn answered(fault: &Fault, shared: &Shared) -> Answer {
    match retry_after(fault) {
        Some(after) => Answer::TurnedAway { until: shared.now() + after },
        None if fault.is_provider_down() => Answer::Broken,
        None => Answer::Unknown,
    }
}

/// How long the provider asks to be left alone.
pub(crate) fn retry_after(fault: &Fault) -> Option<Span> {
    let wait = fault.retry_after()?;
    Some(Span(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
}

/// What may have been used by a call that ended in a fault: nothing if it was turned away, what went in if nobody knows.
pub(crate) fn used_by(fault: &Fault, input: u32) -> Metered {
    if fault.may_have_been_served() {
        Metered { usage: Usage { input, cached: 0, output: 0 }, is_certain: false }
    } else {
        Metered { usage: Usage::default(), is_certain: true }
    }
}

/// The fault with what the other side said, as far as that may be shown to whoever wrote the request.
pub(crate) fn said(fault: &Fault) -> String {
    match fault {
        Fault::Status { body_excerpt, .. } if !body_excerpt.is_empty() => {
            format!("{fault}: {body_excerpt}")
        }
        _ => fault.to_string(),
    }
}
