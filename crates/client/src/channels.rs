//! Channels through which tenants are told of things, and notices that are not delivered.

use fairlane_api::notice::{
    Channel, ChannelApplied, ChannelSpec, Noted, Notice, NoticeState, RotatedSecret,
};
use fairlane_api::page::Page;
use hyper::Method;

use crate::client::{Call, Path, Resend};
use crate::{Client, Error, Write};

/// Which notices to list.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    pub state: Option<NoticeState>,
    pub channel: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    pub limit: Option<u32>,
}

impl Client {
    /// Declares a channel. The secret of a new webhook is in the answer, and nowhere else: it is sent once, since a second answer
    /// would not have it.
    pub async fn put_channel(
        &self,
        tenant: &str,
        name: &str,
        spec: &ChannelSpec,
        write: Write,
    ) -> Result<ChannelApplied, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "channels", name]);
        let path = path.query("dry_run", write.parameter()).into_string();
        let once = Call { resend: Resend::Never, ..Call::put(path) };
        self.call(once.json(spec)?).await
    }

    /// A tenant's channels, by name.
    pub async fn channels(&self, tenant: &str) -> Result<Vec<Channel>, Error> {
        self.list(&["v1", "tenants", tenant, "channels"]).await
    }

    pub async fn channel(&self, tenant: &str, name: &str) -> Result<Channel, Error> {
        self.get(&["v1", "tenants", tenant, "channels", name]).await
    }

    /// What was to be told through it is forgotten.
    pub async fn delete_channel(&self, tenant: &str, name: &str) -> Result<(), Error> {
        let path = Path::new(&["v1", "tenants", tenant, "channels", name]).into_string();
        self.call_raw(Call::new(Method::DELETE, path)).await.map(drop)
    }

    /// Gives a webhook a new secret; the one before signs too for a day.
    pub async fn rotate_channel(&self, tenant: &str, name: &str) -> Result<RotatedSecret, Error> {
        self.call(Call::post(of_channel(tenant, name, "rotate"))).await
    }

    /// Sends a notice that is of no other use.
    pub async fn test_channel(&self, tenant: &str, name: &str) -> Result<Noted, Error> {
        self.call(Call::post(of_channel(tenant, name, "test"))).await
    }

    /// Notices that are not delivered, oldest first.
    pub async fn notices(
        &self,
        tenant: &str,
        filter: &NoticeFilter,
    ) -> Result<Page<Notice>, Error> {
        let NoticeFilter { state, channel, cursor, limit } = filter;
        let state = state.map(|state| match state {
            NoticeState::Pending => "pending",
            NoticeState::Sending => "sending",
            NoticeState::Failed => "failed",
        });
        let path = Path::new(&["v1", "tenants", tenant, "notices"])
            .query("state", state)
            .query("channel", channel.as_ref())
            .query("cursor", cursor.as_ref())
            .query("limit", *limit);
        self.call(Call::get(path.into_string())).await
    }

    /// Delivers a notice that was given up, or at once one that waits.
    pub async fn redeliver(&self, tenant: &str, notice: &str) -> Result<Noted, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "notices", notice, "redeliver"]);
        self.call(Call::post(path.into_string()).harmless()).await
    }
}

fn of_channel(tenant: &str, name: &str, what: &str) -> String {
    Path::new(&["v1", "tenants", tenant, "channels", name, what]).into_string()
}
