//! The signature of a webhook's requests, as Standard Webhooks lays it down (<https://www.standardwebhooks.com>): HMAC-SHA256
//! over id, time and body. The time is that of the attempt, so that a receiver can refuse what is old: somebody who has seen a
//! request cannot send it again later.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairlane_core::notice::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::problem::Refused;

/// What the text of a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// The signature by each secret, as the header has them.
pub(super) fn signatures(secrets: &[Secret], id: &str, seconds: u64, body: &[u8]) -> String {
    let one = |secret: &Secret| {
        let mac = Hmac::<Sha256>::new_from_slice(&secret.0);
        let mac = mac.expect("a key of HMAC can have any length");
        let mac = mac.chain_update(format!("{id}.{seconds}.")).chain_update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// # Errors
/// If the machine has no randomness to give.
pub(crate) fn new_secret() -> Result<Secret, Refused> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Refused::internal(&error))?;
    Ok(Secret(bytes))
}

/// As its owner is shown it, once.
pub(crate) fn secret_text(secret: Secret) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's tests verify the same text.
    #[test]
    fn a_signature_is_over_id_time_and_body_and_there_is_one_for_each_secret() {
        let secrets = [Secret([7; 32]), Secret([8; 32])];
        let text = signatures(&secrets, "msg_1", 1_614_265_330, br#"{"test": 2432232314}"#);
        let expected = "v1,4tb+MnkCTqymlrGQQ6f66PPeMjMas7AHx6XI40qL5MA= v1,cVKuncek8l3CU4LyEBhmTYndIG6zRK37jBLfwb3GIbw=";
        assert_eq!(text, expected);
        assert_eq!(secret_text(secrets[0]), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    }
}
