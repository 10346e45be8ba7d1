//! What a worker calls models with under a lease: a token that is the lease's name, signed.
//!
//! Nothing is kept of it. Whether the lease still is one, the cell decides at each call; the signature says only that
//! this server, or one before it on the same data folder, has given the lease away.

use std::fmt;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairlane_core::row::LeaseId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::worker::{LeaseName, parse_lease};

/// What a token begins with, which no key does.
pub(crate) const PREFIX: &str = "fll_";
const KEY_BYTES: usize = 32;
/// In the data folder.
const KEY_FILE: &str = "gateway.key";

/// Signs leases. It is made once for a data folder, so that tokens outlive a restart as leases do.
#[derive(Clone)]
pub(crate) struct TokenKey(Hmac<Sha256>);

/// Shows the token of a lease.
#[derive(Debug)]
pub(crate) struct LeaseToken<'a>(pub(crate) &'a TokenKey, pub(crate) &'a LeaseId);

impl TokenKey {
    /// One that is forgotten with the process.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self::of(&bytes))
    }

    /// The one of a data folder, which is made if it has none.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        crate::key_file::open(&folder.join(KEY_FILE)).map(|bytes| Self::of(&bytes))
    }

    fn of(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("a key of HMAC can have any length"))
    }

    /// The lease that a token is of, if this key signed it. How long that takes says nothing of the signature.
    pub(crate) fn read(&self, token: &str) -> Option<LeaseId> {
        let (name, signature) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let name = URL_SAFE_NO_PAD.decode(name).ok()?;
        self.0.clone().chain_update(&name).verify_slice(&signature).ok()?;
        parse_lease(std::str::from_utf8(&name).ok()?)
    }
}

impl fmt::Display for LeaseToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, lease) = self;
        let name = LeaseName(lease).to_string();
        let signature = key.0.clone().chain_update(&name).finalize().into_bytes();
        let [name, signature] =
            [name.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        write!(f, "{PREFIX}{name}.{signature}")
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

#[cfg(test)]
mod tests {
    use fairlane_core::plan::StepIndex;
    use fairlane_core::row::{Instance, Part, RunKey};

    use super::*;

    fn lease(fence: u64) -> LeaseId {
        let key = RunKey { tenant: "bank-1".parse().unwrap(), run: fairlane_core::id::RunId(7) };
        LeaseId { key, instance: Instance { step: StepIndex(3), part: Part::Item(2) }, fence }
    }

    #[test]
    fn a_token_is_read_back_by_the_key_that_signed_it_only() {
        let [key, other] = [(); 2].map(|()| TokenKey::random().unwrap());
        let token = LeaseToken(&key, &lease(9)).to_string();
        assert_eq!(key.read(&token), Some(lease(9)));
        assert_eq!(other.read(&token), None);
        let forged = LeaseToken(&key, &lease(10)).to_string();
        let (name, _) = forged.split_once('.').unwrap();
        let (_, signature) = token.split_once('.').unwrap();
        for wrong in [
            format!("{name}.{signature}"),
            format!("{name}."),
            name.to_owned(),
            format!("{token}A"),
            token[..token.len() - 2].to_owned(),
            token.replace(PREFIX, ""),
            PREFIX.to_owned(),
            format!("{PREFIX}."),
            String::new(),
        ] {
            assert_eq!(key.read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_key_of_a_folder_outlives_the_process_and_is_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let token = LeaseToken(&TokenKey::open(folder.path()).unwrap(), &lease(1)).to_string();
        let again = TokenKey::open(folder.path()).unwrap();
        assert_eq!(again.read(&token), Some(lease(1)));
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let path = folder.path().join(KEY_FILE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        for wrong in ["", "short", "not base64 at all, and as long as one would be"] {
            std::fs::write(&path, wrong).unwrap();
            let error = TokenKey::open(folder.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{wrong}");
        }
    }
}
