//! What the suite has made on the server, noted as it is made, so that it can be undone whatever happened meanwhile.

use std::sync::Mutex;

use fairlane_api::key::{CreatedKey, NewKey};
use fairlane_api::resource::TenantSpec;
use fairlane_client::{Client, Error, RunFilter, Write};
use serde::Serialize;

/// Runs of one page; all of a tenant that the suite made are in one.
const RUNS_MAX: u32 = 1_000;

/// Notes, for the time after.
pub(super) struct Made {
    client: Client,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// What the keys are labelled with, and nobody else's: of one whose making was interrupted nobody knows the id.
    labels: Vec<String>,
    tenants: Vec<(String, TenantSpec)>,
    /// Tenant and channel.
    channels: Vec<(String, String)>,
    stays: Vec<String>,
}

/// What became of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Left {
    /// What is still there, since the API cannot delete it.
    pub(super) stays: Vec<String>,
    /// What should have been undone and could not be.
    pub(super) not_undone: Vec<String>,
}

impl Made {
    pub(super) fn new(client: Client) -> Self {
        Self { client, notes: Mutex::default() }
    }

    /// Makes a key that is deleted at the end, as all with its label are.
    pub(super) async fn key(&self, new: &NewKey) -> Result<CreatedKey, Error> {
        self.note(|notes| notes.labels.extend(new.label.clone()));
        self.client.create_key(new).await
    }

    /// Declares a tenant that is suspended at the end.
    pub(super) async fn tenant(&self, name: &str, spec: TenantSpec) -> Result<(), Error> {
        self.note(|notes| notes.tenants.push((name.to_owned(), spec.clone())));
        self.client.put_tenant(name, &spec, Write::Apply).await.map(drop)
    }

    /// Notes a channel that is deleted at the end.
    pub(super) fn channel(&self, tenant: &str, channel: &str) {
        self.note(|notes| notes.channels.push((tenant.to_owned(), channel.to_owned())));
    }

    /// Notes something that stays, since the API cannot delete it.
    pub(super) fn stays(&self, what: impl Into<String>) {
        self.note(|notes| notes.stays.push(what.into()));
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes.lock().expect("nothing panics while it is held"));
    }

    /// Cancels the runs, deletes channels and keys and suspends the tenants, each even if another could not be.
    pub(super) async fn undo(self) -> Left {
        let notes = self.notes.into_inner().expect("nothing panics while it is held");
        let client = &self.client;
        let mut left = Left { stays: notes.stays, not_undone: Vec::new() };
        let mut undone = |what: String, result: Result<(), Error>| match result {
            Ok(()) => {}
            // It was never made, or what was to be tried has deleted it.
            Err(error) if error.status() == Some(404) => {}
            Err(error) => left.not_undone.push(format!("{what}: {error}")),
        };
        for (tenant, channel) in &notes.channels {
            let deleted = client.delete_channel(tenant, channel).await;
            undone(format!("channel {channel} of {tenant}"), deleted);
        }
        for (tenant, spec) in &notes.tenants {
            match client.tenant(tenant).await {
                // To suspend it would make it.
                Err(error) if error.status() == Some(404) => continue,
                there => undone(format!("tenant {tenant}"), there.map(drop)),
            }
            undone(format!("runs of {tenant}"), cancel(client, tenant).await);
            let spec = TenantSpec { suspended: true, ..spec.clone() };
            let suspended = client.put_tenant(tenant, &spec, Write::Apply).await.map(drop);
            undone(format!("tenant {tenant}"), suspended);
            left.stays.push(format!("tenant {tenant}, suspended, with its runs"));
        }
        let keys = if notes.labels.is_empty() { Ok(Vec::new()) } else { client.keys().await };
        match keys {
            Ok(keys) => {
                for key in keys.iter().filter(|key| notes.labels.contains(&key.label)) {
                    undone(format!("key {}", key.id), client.delete_key(&key.id).await);
                }
            }
            Err(error) => undone("its keys".to_owned(), Err(error)),
        }
        left
    }
}

async fn cancel(client: &Client, tenant: &str) -> Result<(), Error> {
    let filter = RunFilter { limit: Some(RUNS_MAX), ..RunFilter::default() };
    let runs = client.runs(tenant, &filter).await?.items;
    for run in runs.iter().filter(|run| !run.status.is_ended()) {
        match client.cancel(tenant, &run.id).await {
            // It has ended meanwhile.
            Err(error) if error.status() == Some(409) => {}
            result => drop(result?),
        }
    }
    Ok(())
}
