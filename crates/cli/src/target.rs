//! Options that all commands have: which server, which key, which form of output.

use std::time::Duration;

use clap::Args;
use fairlane_client::{Client, RetryPolicy};

use crate::exit::Usage;
use crate::printer::Printer;

/// Where a server of `fairlane dev` listens.
pub(crate) const URL_DEFAULT: &str = "http://127.0.0.1:7420";

/// Somebody waits: a server that restarts is waited for, one that is not there is soon said not to be.
const RETRY: RetryPolicy = RetryPolicy {
    attempts_max: 8,
    delay_min: Duration::from_millis(50),
    delay_max: Duration::from_millis(500),
    patience: Duration::from_secs(2),
};

#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Address of the server
    #[arg(long, global = true, env = "FAIRLANE_URL", default_value = URL_DEFAULT)]
    url: String,
    /// API key
    #[arg(long, global = true, env = "FAIRLANE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Write data as JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

impl Target {
    pub(crate) const fn printer(&self) -> Printer {
        Printer::new(self.json)
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let key = self.key.as_deref().filter(|key| !key.is_empty()).ok_or_else(|| {
            Usage(
                "an API key is needed: --key or FAIRLANE_KEY (`fairlane dev` prints one)"
                    .to_owned(),
            )
        })?;
        Ok(Client::new(&self.url, key)?.with_retry(RETRY))
    }
}

/// The tenant whose runs a command is about.
#[derive(Clone, Debug, Args)]
pub(crate) struct ForTenant {
    /// The tenant
    #[arg(long, short, env = "FAIRLANE_TENANT")]
    tenant: Option<String>,
}

impl ForTenant {
    pub(crate) fn tenant(&self) -> anyhow::Result<&str> {
        self.tenant.as_deref().filter(|tenant| !tenant.is_empty()).ok_or_else(|| {
            Usage("a tenant is needed: --tenant or FAIRLANE_TENANT".to_owned()).into()
        })
    }
}

/// One run of a tenant.
#[derive(Clone, Debug, Args)]
pub(crate) struct OneRun {
    /// The run's id
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) of: ForTenant,
}
