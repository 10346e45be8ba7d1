//! The key that signs checkpoints: `audit.key` in the data folder, made at the first start.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fairlane_audit::Signer;

use crate::config::Config;

/// In the data folder, unless the configuration names another file.
const AUDIT_KEY_FILE: &str = "audit.key";

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the key of the audit log in {}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

pub(crate) fn open(config: &Config) -> Result<Arc<Signer>, Error> {
    let default = || config.data_dir.join(AUDIT_KEY_FILE);
    let path = config.audit_key_file.clone().unwrap_or_else(default);
    let seed = crate::key_file::open(&path).map_err(|source| Error { path, source })?;
    Ok(Arc::new(Signer::of_seed(&seed)))
}
