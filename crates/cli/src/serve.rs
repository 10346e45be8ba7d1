//! `fairlane serve`: the server, set up by a file and the environment.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fairlane_server::config::Error as ConfigError;
use fairlane_server::{Config, Server};
use serde_json::json;

use crate::exit::Negative;
use crate::target::Target;
use crate::{log, signals};

/// Run the server
///
/// Settings come from the file and from variables FAIRLANE_ and their name in capitals, which win. A new
/// store's operator key is printed, once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration, in TOML
    #[arg(long, short, value_name = "FILE", env = "FAIRLANE_CONFIG")]
    config: Option<PathBuf>,
    /// Form of the log, which goes to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Check the configuration and end
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Serve {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let config = Config::load(self.config.as_deref(), |name| std::env::var(name).ok());
        let config = config.map_err(|error| self.said(error))?;
        if self.check {
            printer.note("the configuration has no mistakes");
            let document = json!({ "mistakes": [] });
            return printer.data(&document, |_| String::new());
        }
        match self.log_format {
            LogFormat::Text => log::text("info"),
            LogFormat::Json => log::json("info"),
        }
        let key_is_filed = config.operator_key_file;
        let server = Server::start(config).await?;
        let url = server.url();
        let key = server.operator_key().filter(|_| !key_is_filed).map(str::to_owned);
        let stop = signals::stop();
        printer.data(&json!({ "url": url, "key": key }), |_| match &key {
            Some(key) => format!("export FAIRLANE_URL={url}\nexport FAIRLANE_KEY={key}"),
            None => format!("export FAIRLANE_URL={url}"),
        })?;
        if key.is_some() {
            printer.note("The operator's key is not stored and cannot be shown again.");
        }
        let stopped = stop.await;
        printer.note("stopping; a second signal ends at once");
        tokio::select! {
            () = server.stop() => {}
            _ = signals::stop() => return Err(crate::exit::Interrupted.into()),
        }
        Ok(stopped?)
    }
    /// Whoever asks for a check has the answer if there is a mistake; a file that cannot be read is another thing.
    fn said(&self, error: ConfigError) -> anyhow::Error {
        match error {
            ConfigError::Read { .. } => error.into(),
            mistake if self.check => Negative(mistake.to_string()).into(),
            mistake => mistake.into(),
        }
    }
}
