//! For receivers of webhooks: whether a request is Fairlane's, and new.
//!
//! The scheme is that of Standard Webhooks: HMAC-SHA256 over id, time and body, by a secret that the channel and its receiver
//! share. A request that is older than [`TOLERANCE`] is refused, so that nobody who has seen one can send it again later; one
//! that comes twice within that time has the same id, by which the receiver drops it.
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//!
//! use fairlane_client::webhook::{Headers, verify};
//!
//! let headers = Headers {
//!     id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
//!     timestamp: "1614265330",
//!     signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
//! };
//! let now = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
//! let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
//! verify(&[secret], headers, br#"{"test": 2432232314}"#, now)?;
//! # Ok::<(), fairlane_client::webhook::Forged>(())
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far the time of a request may be from the receiver's.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// What the text of a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// What a signature begins with; others are of versions that are not known here.
const VERSION: &str = "v1,";

/// The headers that a request is checked by.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// Why a request is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forged {
    #[error("a secret is none: expected `whsec_` and base64")]
    Secret,
    #[error("the time of the request is no number of seconds")]
    Time,
    #[error("the request is older than {TOLERANCE:?}: it may be one that is sent again")]
    Old,
    #[error("the request is of more than {TOLERANCE:?} ahead")]
    Future,
    #[error("no signature of the request is by a secret of this channel")]
    Signature,
}

/// Whether a request was made with one of the secrets, and lately. Several: while one is changed for another.
///
/// `body`: as it came, before anything has read it.
///
/// # Errors
/// If it is not to be believed. How long that takes says nothing of the signature.
pub fn verify(
    secrets: &[&str],
    headers: Headers<'_>,
    body: &[u8],
    now: SystemTime,
) -> Result<(), Forged> {
    let Headers { id, timestamp, signature } = headers;
    let seconds: u64 = timestamp.parse().map_err(|_| Forged::Time)?;
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Forged::Time)?;
    if now.duration_since(at).is_ok_and(|age| age > TOLERANCE) {
        return Err(Forged::Old);
    }
    if at.duration_since(now).is_ok_and(|ahead| ahead > TOLERANCE) {
        return Err(Forged::Future);
    }
    for secret in secrets {
        let key = secret.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let mac = Hmac::<Sha256>::new_from_slice(&key.ok_or(Forged::Secret)?);
        let mac = mac.map_err(|_| Forged::Secret)?;
        // What is signed is the text of the header, not the number that it is read as.
        let mac = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
        let given = signature.split(' ').filter_map(|one| one.strip_prefix(VERSION));
        for given in given.filter_map(|given| STANDARD.decode(given).ok()) {
            if mac.clone().verify_slice(&given).is_ok() {
                return Ok(());
            }
        }
    }
    Err(Forged::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    const OTHER: &str = "whsec_CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: u64 = 1_614_265_330;
    /// As the server signs with both secrets: its own tests have the same text.
    const BOTH: &str = "v1,4tb+MnkCTqymlrGQQ6f66PPeMjMas7AHx6XI40qL5MA= v1,cVKuncek8l3CU4LyEBhmTYndIG6zRK37jBLfwb3GIbw=";

    fn check(secrets: &[&str], signature: &str, body: &[u8], now: u64) -> Result<(), Forged> {
        let headers = Headers { id: "msg_1", timestamp: "1614265330", signature };
        verify(secrets, headers, body, UNIX_EPOCH + Duration::from_secs(now))
    }

    #[test]
    fn what_the_server_has_signed_is_believed_by_either_secret() {
        let (first, second) = BOTH.split_once(' ').unwrap();
        for secrets in [&[SECRET][..], &[OTHER], &[OTHER, SECRET]] {
            assert_eq!(check(secrets, BOTH, BODY, AT), Ok(()));
        }
        assert_eq!(check(&[SECRET], first, BODY, AT), Ok(()));
        assert_eq!(check(&[SECRET], second, BODY, AT), Err(Forged::Signature));
        let unknown = format!("v2,xyz v1a,abc {first}");
        assert_eq!(check(&[SECRET], &unknown, BODY, AT), Ok(()));
    }

    #[test]
    fn an_old_request_and_one_of_the_future_are_refused() {
        assert_eq!(check(&[SECRET], BOTH, BODY, AT + 300), Ok(()));
        assert_eq!(check(&[SECRET], BOTH, BODY, AT + 301), Err(Forged::Old));
        assert_eq!(check(&[SECRET], BOTH, BODY, AT - 300), Ok(()));
        assert_eq!(check(&[SECRET], BOTH, BODY, AT - 301), Err(Forged::Future));
    }

    #[test]
    fn an_altered_request_is_refused() {
        assert_eq!(check(&[SECRET], BOTH, br#"{"test": 2432232315}"#, AT), Err(Forged::Signature));
        let now = UNIX_EPOCH + Duration::from_secs(AT);
        for (id, timestamp) in
            [("msg_2", "1614265330"), ("msg_1", "1614265331"), ("msg_1", "01614265330")]
        {
            let headers = Headers { id, timestamp, signature: BOTH };
            assert_eq!(verify(&[SECRET], headers, BODY, now), Err(Forged::Signature));
        }
        for timestamp in ["", "-1", "now", "18446744073709551615", "99999999999999999999"] {
            let headers = Headers { id: "msg_1", timestamp, signature: BOTH };
            let refused = verify(&[SECRET], headers, BODY, now);
            assert!(matches!(refused, Err(Forged::Time | Forged::Future)), "{timestamp}");
        }
    }

    #[test]
    fn a_wrong_secret_and_no_signature_are_refused() {
        let wrong = "whsec_AAAA";
        assert_eq!(check(&[wrong], BOTH, BODY, AT), Err(Forged::Signature));
        for secret in ["BwcH", "whsec_!", ""] {
            assert_eq!(check(&[secret], BOTH, BODY, AT), Err(Forged::Secret));
        }
        for signature in ["", "v1,", "v1,AAAA", "v1", " "] {
            assert_eq!(check(&[SECRET], signature, BODY, AT), Err(Forged::Signature));
        }
        assert_eq!(check(&[], BOTH, BODY, AT), Err(Forged::Signature));
    }
}
