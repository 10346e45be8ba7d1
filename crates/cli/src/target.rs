//! Options that all commands have: which server, which key, which form of output.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use fairlane_client::{Client, RetryPolicy, Trust};

use crate::exit::Usage;
use crate::printer::Printer;
use crate::signed_in::Kept;

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
    /// Which of your keys is meant, by its id, where you have signed in and have several
    #[arg(long, global = true, env = "FAIRLANE_USE_KEY", value_name = "ID")]
    use_key: Option<String>,
    /// Certificates of authorities to trust besides those that browsers trust, in PEM
    #[arg(long, global = true, env = "FAIRLANE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Write data as JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

impl Target {
    pub(crate) const fn printer(&self) -> Printer {
        Printer::new(self.json)
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let key = self.given_key().ok_or_else(|| {
            Usage(
                "an API key is needed: --key or FAIRLANE_KEY (`fairlane dev` prints one), or \
                 `fairlane login` where people sign in"
                    .to_owned(),
            )
        })?;
        self.client_of(key)
    }

    /// With that credential, whatever else is given.
    pub(crate) fn client_of(&self, key: &str) -> anyhow::Result<Client> {
        let client = Client::trusting(&self.url, key, &self.trust()?)?.with_retry(RETRY);
        match self.use_key.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => Ok(client.with_key(id)?),
            None => Ok(client),
        }
    }

    /// For what is asked without a credential.
    pub(crate) fn anonymous(&self) -> anyhow::Result<Client> {
        self.client_of("")
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether nobody between could read what is sent: by TLS, or within this machine.
    pub(crate) fn is_private(&self) -> bool {
        self.url.parse().is_ok_and(|url| fairlane_client::sign_in::is_private(&url))
    }

    /// Which authorities are trusted.
    pub(crate) fn trust(&self) -> anyhow::Result<Trust> {
        let Some(file) = &self.ca_file else { return Ok(Trust::default()) };
        let cannot = || format!("cannot trust the authorities in {}", file.display());
        let pem = std::fs::read(file).with_context(cannot)?;
        Trust::pem(&pem).with_context(cannot)
    }

    fn given_key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| !key.is_empty())
    }

    /// The same with what somebody has who has signed in to the server, if no key is given. A token that is over is renewed;
    /// one that cannot be is left out, so that the command says what is needed.
    pub(crate) async fn with_signed_in(self) -> anyhow::Result<Self> {
        if self.given_key().is_some() {
            return Ok(self);
        }
        // A home that cannot be read keeps nobody from a command that needs no credential.
        let Ok(kept) = Kept::open() else { return Ok(self) };
        let Some(signed_in) = kept.get(&self.url).cloned() else { return Ok(self) };
        if !signed_in.is_over() {
            return Ok(Self { key: Some(signed_in.token), ..self });
        }
        // A refresh token is good once: of commands that run at the same time one renews.
        let kept = Kept::lock()?;
        let Some(signed_in) = kept.get(&self.url).cloned() else { return Ok(self) };
        if !signed_in.is_over() {
            return Ok(Self { key: Some(signed_in.token), ..self });
        }
        match signed_in.renewed(&self.trust()?).await {
            Ok(renewed) => {
                let token = renewed.token.clone();
                kept.put(&self.url, renewed)?;
                Ok(Self { key: Some(token), ..self })
            }
            Err(error) => {
                self.printer().note(&format!("You are signed in no more: {error}"));
                Ok(self)
            }
        }
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
