//! Carries checkpoints to where this server cannot take them back: a file that is only appended to, a receiver of requests.
//!
//! Each of the two has its own place in the order of a region's checkpoints, which is kept in the data folder; so what comes
//! twice after a crash is the same, and nothing is left out. Nobody waits for this, and what fails is tried again.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlane_audit::Signed;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, USER_AGENT};

use crate::config::{Config, StoreKind};
use crate::serve::Shared;
use crate::upstream::Target;

/// How often a region is asked for new ones.
const EVERY: Duration = Duration::from_secs(2);
/// After something failed.
const REST: Duration = Duration::from_secs(15);
/// Checkpoints that are carried at once.
const AT_ONCE: u32 = 100;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    File(PathBuf),
    Url(String),
}

impl To {
    const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Url(_) => "url",
        }
    }
}

fn destinations(config: &Config) -> Vec<To> {
    let file = config.audit_checkpoints_file.clone().map(To::File);
    file.into_iter().chain(config.audit_checkpoints_url.clone().map(To::Url)).collect()
}

/// Carries what a region makes, until the server stops.
pub(crate) async fn work(shared: Shared) {
    let all = destinations(&shared.config);
    if all.is_empty() || shared.config.store == StoreKind::Memory {
        return;
    }
    let mut rest = EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = shared.stopping() => return,
        }
        rest = EVERY;
        for to in &all {
            if let Err(error) = carry(&shared, to).await {
                tracing::warn!(event = "checkpoints-not-carried", region = %shared.region, to = to.name(), error = %error, "checkpoints of audit logs could not be carried; they are tried again");
                rest = REST;
            }
        }
    }
}

/// Carries all that are new to one destination.
async fn carry(shared: &Shared, to: &To) -> Result<(), String> {
    let places = Places { path: shared.config.data_dir.join(format!("{}.carried", shared.region)) };
    loop {
        let after = places.read().map_err(|error| error.to_string())?;
        let after = after.get(to.name()).copied().unwrap_or(0);
        let read = shared.reads.checkpoints(after, AT_ONCE).await;
        let new = read.map_err(|refused| refused.0.to_string())?;
        let Some((last, _)) = new.last() else { return Ok(()) };
        let last = *last;
        let lines: String = new.iter().map(|(_, signed)| line(signed)).collect();
        match to {
            To::File(path) => append(path, &lines).map_err(|error| error.to_string())?,
            To::Url(url) => send(shared, url, lines).await?,
        }
        places.put(to.name(), last).map_err(|error| error.to_string())?;
    }
}

fn line(signed: &Signed) -> String {
    let text = serde_json::to_string(signed).expect("a checkpoint has string keys only");
    format!("{text}\n")
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}

async fn send(shared: &Shared, url: &str, lines: String) -> Result<(), String> {
    let target = Target {
        url: url.parse().map_err(|_| "the address is none".to_owned())?,
        // The operator says where, and no tenant.
        allow_private: true,
        timeout: REQUEST_TIME_MAX,
        idle: REQUEST_TIME_MAX,
        response_bytes_max: 0,
    };
    let request = hyper::Request::post("/")
        .header(CONTENT_TYPE, "application/x-ndjson")
        .header(USER_AGENT, concat!("fairlane/", env!("CARGO_PKG_VERSION")))
        .body(Bytes::from(lines))
        .map_err(|error| error.to_string())?;
    let sent = shared.upstream.open(&target, request).await;
    sent.map(drop).map_err(|fault| fault.class().to_owned())
}

/// How far each destination is: a file of JSON, by its name.
struct Places {
    path: PathBuf,
}

impl Places {
    fn read(&self) -> io::Result<BTreeMap<String, u64>> {
        match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            text => serde_json::from_str(&text?).map_err(io::Error::other),
        }
    }

    fn put(&self, name: &str, place: u64) -> io::Result<()> {
        let mut all = self.read()?;
        all.insert(name.to_owned(), place);
        let text = serde_json::to_string(&all).map_err(io::Error::other)?;
        crate::key_file::write(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_destination_has_its_own_place() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { path: folder.path().join("eu.carried") };
        assert_eq!(places.read().unwrap(), BTreeMap::new());
        places.put("file", 7).unwrap();
        places.put("url", 2).unwrap();
        places.put("file", 9).unwrap();
        assert_eq!(places.read().unwrap(), [("file".to_owned(), 9), ("url".to_owned(), 2)].into());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints.jsonl");
        append(&path, "one\n").unwrap();
        append(&path, "two\n").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
    }
}
