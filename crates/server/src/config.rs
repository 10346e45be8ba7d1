//! How a server is set up: a TOML file, then the environment, each optional.
//!
//! Every key of the file has a variable `FAIRLANE_` and its name in capitals, which wins. What is not known is
//! refused, so that a misspelt key does not go unnoticed.

mod oidc;
mod smtp;
mod telemetry;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::http::Uri;
use fairlane_core::id::{RegionName, TenantId};
use fairlane_core::notice::{Means, Relay};
use fairlane_core::time::Span;
use serde::Deserialize;

use crate::root_key::RootKeyText;
pub use oidc::Oidc;
pub use smtp::{RelayUrl, Smtp};
pub use telemetry::{Collector, Telemetry};

/// Prefix of the environment's variables.
pub const ENVIRONMENT_PREFIX: &str = "FAIRLANE_";

/// Setup of one server. [`Config::new`] has the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the store; made if it is missing.
    pub data_dir: PathBuf,
    /// Address to listen on. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Name of the region, which names the store's file.
    pub region: String,
    /// Names of several regions instead, each with a store of its own; the first one is home.
    pub regions: Vec<String>,
    /// Where rows are kept.
    pub store: StoreKind,
    /// Write the operator's key of a new store to `operator.key` in the data folder, readable by its owner
    /// only. Otherwise it is only handed to the caller of `Server::start`.
    pub operator_key_file: bool,
    /// The currency of all amounts: three capital letters. It is a name only: nothing is converted.
    pub currency: String,
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Largest input, output or signal of a run, in bytes.
    pub payload_bytes_max: usize,
    /// Bound on payloads kept in memory so that steps find their inputs without reading the store.
    pub payload_cache_bytes: usize,
    /// Most connections at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// Most connections of one address; further ones are closed at once. Half of `connections_max`, if 0.
    pub connections_per_address_max: usize,
    /// Most tokens of an answer through the gateway whose request has no bound of its own.
    pub gateway_output_tokens: u32,
    /// How long a call through the gateway waits for room at most.
    pub gateway_wait_ms: u64,
    /// What links in notices begin with: where people reach this server. The address that it listens on, if absent.
    pub public_url: Option<String>,
    /// How long the second attempt to deliver a notice waits after the first, in milliseconds; doubled for each further one.
    pub notice_wait_ms: u64,
    /// The relay that mail is handed to. Absent: no mail is sent.
    pub smtp: Option<Smtp>,
    /// The file of the root key, with which everything that tenants say and get is sealed; made if it is missing. Absent:
    /// `root.key` in the data folder.
    pub root_key_file: Option<PathBuf>,
    /// The root key itself, or several with commas between them, the newest first; no file is read or written then. Of the
    /// environment only.
    #[serde(skip)]
    pub root_key: Option<RootKeyText>,
    /// The file of the key that checkpoints of audit logs are signed with; made if it is missing. Absent: `audit.key` in the data
    /// folder.
    pub audit_key_file: Option<PathBuf>,
    /// A file that every checkpoint of an audit log is appended to, a line of JSON each. Absent: none.
    pub audit_checkpoints_file: Option<PathBuf>,
    /// Where every checkpoint is sent, as lines of JSON in requests. Absent: nowhere.
    pub audit_checkpoints_url: Option<String>,
    /// The certificate of the server's port and those that lead to an authority, in PEM; with `tls_key_file`. Absent: no TLS.
    pub tls_certificate_file: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    pub tls_key_file: Option<PathBuf>,
    /// Authorities that are trusted besides those that browsers trust, in PEM: for providers, receivers of notices and an identity
    /// provider in a network of one's own.
    pub trusted_authorities_file: Option<PathBuf>,
    /// The identity provider at which people sign in. Absent: there are API keys only.
    pub oidc: Option<Oidc>,
    /// Requests a second that are taken of all keys of a tenant together; ten times as many at once. 0: as many as come.
    pub tenant_requests_per_second: u32,
    /// Tenants that metrics are told of besides those that hold and want most.
    pub metrics_tenants: Vec<String>,
    /// Of how many tenants that hold and want most metrics are told.
    pub metrics_tenants_max: u32,
    /// The file of a token that opens `/metrics` and nothing else. Absent: an operator's key alone does.
    pub metrics_token_file: Option<PathBuf>,
    /// Where traces go. Its default exports nothing.
    pub telemetry: Telemetry,
    /// How long a stopping server waits for requests under way, in milliseconds.
    pub drain_ms: u64,
}

/// The region of a server that says nothing of one.
const LOCAL: &str = "local";
/// Each has a store, a thread and its readers.
const REGIONS_MAX: usize = 16;

/// Of more tenants metrics are not told: each has several series.
const METRICS_TENANTS_MAX: usize = 50;

/// Where rows are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    #[default]
    Sqlite,
    /// Nothing survives the process: for tests and measurements.
    Memory,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {path} has a mistake: {message}")]
    Parse { path: PathBuf, message: String },
    #[error("the variable {variable} is set to {value:?}: expected {expected}")]
    Variable { variable: String, value: String, expected: &'static str },
    #[error("{field} is {value}: expected {expected}")]
    Range { field: &'static str, value: String, expected: &'static str },
}

fn range(field: &'static str, value: &dyn ToString, expected: &'static str) -> Result<(), Error> {
    Err(Error::Range { field, value: value.to_string(), expected })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("fairlane-data"),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7420),
            region: LOCAL.to_owned(),
            regions: Vec::new(),
            store: StoreKind::default(),
            operator_key_file: false,
            currency: "USD".to_owned(),
            body_bytes_max: 8 << 20,
            payload_bytes_max: 1 << 20,
            payload_cache_bytes: 64 << 20,
            connections_max: 10_000,
            connections_per_address_max: 0,
            gateway_output_tokens: 4_096,
            gateway_wait_ms: 10_000,
            public_url: None,
            notice_wait_ms: 30_000,
            smtp: None,
            root_key_file: None,
            root_key: None,
            audit_key_file: None,
            audit_checkpoints_file: None,
            audit_checkpoints_url: None,
            tls_certificate_file: None,
            tls_key_file: None,
            trusted_authorities_file: None,
            oidc: None,
            tenant_requests_per_second: 1_000,
            metrics_tenants: Vec::new(),
            metrics_tenants_max: 20,
            metrics_token_file: None,
            telemetry: Telemetry::default(),
            drain_ms: 10_000,
        }
    }
}

impl Config {
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self { data_dir: data_dir.into(), listen, ..Self::default() }
    }

    /// The regions, home first.
    pub fn all_regions(&self) -> Vec<RegionName> {
        let all = if self.regions.is_empty() {
            std::slice::from_ref(&self.region)
        } else {
            &self.regions[..]
        };
        let checked = |name: &String| name.parse().expect("the configuration was checked");
        all.iter().map(checked).collect()
    }

    /// What links begin with, without a slash at the end.
    pub(crate) fn public_url(&self) -> String {
        let url = self.public_url.clone().unwrap_or_else(|| self.local_url());
        url.trim_end_matches('/').to_owned()
    }

    /// Where the server is reached from this machine.
    pub(crate) fn local_url(&self) -> String {
        let scheme = if self.tls_certificate_file.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.listen)
    }

    fn check_metrics(&self) -> Result<(), Error> {
        let is_id = |tenant: &&String| tenant.parse::<TenantId>().is_err();
        if let Some(tenant) = self.metrics_tenants.iter().find(is_id) {
            return range("metrics_tenants", tenant, "ids of tenants");
        }
        if self.metrics_tenants.len() > METRICS_TENANTS_MAX {
            let count = self.metrics_tenants.len();
            return range("metrics_tenants", &count, "at most 50 tenants");
        }
        if self.metrics_tenants_max as usize > METRICS_TENANTS_MAX {
            return range("metrics_tenants_max", &self.metrics_tenants_max, "0 to 50");
        }
        Ok(())
    }

    fn check_public_url(&self) -> Result<(), Error> {
        let Some(url) = &self.public_url else { return Ok(()) };
        let path = crate::catalog::endpoint::check_host(url);
        if path.is_ok_and(|path| !path.contains('?')) && url.parse::<Uri>().is_ok() {
            return Ok(());
        }
        range("public_url", url, "a URL such as https://fairlane.example")
    }

    /// Most connections of one address. At least one.
    pub(crate) fn connections_of_one(&self) -> usize {
        match self.connections_per_address_max {
            0 => self.connections_max.div_ceil(2),
            most => most,
        }
    }

    /// How notices can be delivered, as the cells are told.
    pub(crate) fn means(&self) -> Means {
        let region = |smtp: &Smtp| smtp.region.as_ref().and_then(|region| region.parse().ok());
        Means {
            relay: self.smtp.as_ref().map(|smtp| Relay { region: region(smtp) }),
            first_wait: Span::from_millis(self.notice_wait_ms),
        }
    }

    /// Reads the file, if one is given, and then the variables that `environment` knows.
    ///
    /// # Errors
    /// If the file cannot be read, or a value is not what its key needs.
    pub fn load(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut config = match file {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        config.apply(&environment)?;
        config.check()?;
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| Error::Parse {
            path: path.to_owned(),
            message: mistake(&text, &error),
        })
    }

    fn apply(&mut self, environment: &impl Fn(&str) -> Option<String>) -> Result<(), Error> {
        let variable = |name: &str| {
            let name = format!("{ENVIRONMENT_PREFIX}{name}");
            environment(&name).map(|value| (name, value))
        };
        set(variable("DATA_DIR"), &mut self.data_dir, "a path")?;
        set(variable("LISTEN"), &mut self.listen, "an address such as 127.0.0.1:7420")?;
        set(variable("REGION"), &mut self.region, "a name")?;
        set(variable("OPERATOR_KEY_FILE"), &mut self.operator_key_file, "true or false")?;
        set(variable("CURRENCY"), &mut self.currency, "three capital letters")?;
        set(variable("BODY_BYTES_MAX"), &mut self.body_bytes_max, "a number of bytes")?;
        set(variable("PAYLOAD_BYTES_MAX"), &mut self.payload_bytes_max, "a number of bytes")?;
        set(variable("PAYLOAD_CACHE_BYTES"), &mut self.payload_cache_bytes, "a number of bytes")?;
        set(variable("CONNECTIONS_MAX"), &mut self.connections_max, "a number")?;
        let per_address = variable("CONNECTIONS_PER_ADDRESS_MAX");
        set(per_address, &mut self.connections_per_address_max, "a number")?;
        let tokens = variable("GATEWAY_OUTPUT_TOKENS");
        set(tokens, &mut self.gateway_output_tokens, "a number of tokens")?;
        let wait = variable("GATEWAY_WAIT_MS");
        set(wait, &mut self.gateway_wait_ms, "a number of milliseconds")?;
        set(variable("DRAIN_MS"), &mut self.drain_ms, "a number of milliseconds")?;
        if let Some((_, url)) = variable("PUBLIC_URL") {
            self.public_url = Some(url);
        }
        for (name, list) in
            [("REGIONS", &mut self.regions), ("METRICS_TENANTS", &mut self.metrics_tenants)]
        {
            if let Some((_, names)) = variable(name) {
                *list = names.split(',').map(|name| name.trim().to_owned()).collect();
            }
        }
        self.apply_files(&variable);
        for (name, number, expected) in [
            (
                "TENANT_REQUESTS_PER_SECOND",
                &mut self.tenant_requests_per_second,
                "a number of requests",
            ),
            ("METRICS_TENANTS_MAX", &mut self.metrics_tenants_max, "a number of tenants"),
        ] {
            set(variable(name), number, expected)?;
        }
        self.oidc = oidc::with(
            self.oidc.take(),
            ["ISSUER", "AUDIENCE", "PERSON_CLAIM", "CLIENT_ID", "SCOPES"]
                .map(|part| variable(&format!("OIDC_{part}"))),
        );
        if let Some((_, url)) = variable("AUDIT_CHECKPOINTS_URL") {
            self.audit_checkpoints_url = Some(url);
        }
        self.root_key = variable("ROOT_KEY").map(|(_, text)| RootKeyText::new(text));
        let wait = variable("NOTICE_WAIT_MS");
        set(wait, &mut self.notice_wait_ms, "a number of milliseconds")?;
        self.smtp = smtp::with(
            self.smtp.take(),
            ["URL", "FROM", "REGION"].map(|part| variable(&format!("SMTP_{part}"))),
        );
        self.telemetry.apply(variable)?;
        if let Some((variable, value)) = variable("STORE") {
            self.store = match value.as_str() {
                "sqlite" => StoreKind::Sqlite,
                "memory" => StoreKind::Memory,
                _ => {
                    return Err(Error::Variable { variable, value, expected: "sqlite or memory" });
                }
            };
        }
        Ok(())
    }

    fn apply_files(&mut self, variable: &impl Fn(&str) -> Option<(String, String)>) {
        for (name, path) in [
            ("METRICS_TOKEN_FILE", &mut self.metrics_token_file),
            ("ROOT_KEY_FILE", &mut self.root_key_file),
            ("AUDIT_KEY_FILE", &mut self.audit_key_file),
            ("AUDIT_CHECKPOINTS_FILE", &mut self.audit_checkpoints_file),
            ("TLS_CERTIFICATE_FILE", &mut self.tls_certificate_file),
            ("TLS_KEY_FILE", &mut self.tls_key_file),
            ("TRUSTED_AUTHORITIES_FILE", &mut self.trusted_authorities_file),
        ] {
            if let Some((_, given)) = variable(name) {
                *path = Some(given.into());
            }
        }
    }

    /// Checks the ranges that the rest relies on.
    ///
    /// # Errors
    /// If a value is outside its range.
    pub fn check(&self) -> Result<(), Error> {
        let (field, all) = if self.regions.is_empty() {
            ("region", std::slice::from_ref(&self.region))
        } else {
            ("regions", &self.regions[..])
        };
        let is_wrong = |name: &&String| fairlane_core::id::RegionName::parse(name).is_err();
        if let Some(name) = all.iter().find(is_wrong) {
            return range(field, name, "1 to 64 of a-z 0-9 - _");
        }
        if all.len() > REGIONS_MAX {
            return range(field, &all.len(), "at most 16 names");
        }
        if all.iter().collect::<std::collections::BTreeSet<_>>().len() < all.len() {
            return range(field, &all.join(", "), "each region once");
        }
        self.telemetry.check(all)?;
        if field == "regions" && self.region != LOCAL {
            return range("region", &self.region, "either `region` or `regions`");
        }
        let is_code = |text: &str| text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code(&self.currency) {
            return range("currency", &self.currency, "three capital letters such as USD");
        }
        if !(1_024..=1 << 30).contains(&self.body_bytes_max) {
            return range("body_bytes_max", &self.body_bytes_max, "1 KiB to 1 GiB");
        }
        if !(1..=self.body_bytes_max).contains(&self.payload_bytes_max) {
            return range("payload_bytes_max", &self.payload_bytes_max, "1 to body_bytes_max");
        }
        if !(1..=1_000_000).contains(&self.gateway_output_tokens) {
            let tokens = &self.gateway_output_tokens;
            return range("gateway_output_tokens", tokens, "1 to 1000000");
        }
        if self.gateway_wait_ms > 600_000 {
            return range("gateway_wait_ms", &self.gateway_wait_ms, "0 to 600000");
        }
        if !(1..=3_600_000).contains(&self.notice_wait_ms) {
            return range("notice_wait_ms", &self.notice_wait_ms, "1 to 3600000");
        }
        self.check_metrics()?;
        self.check_public_url()?;
        if let Some(url) = &self.audit_checkpoints_url
            && crate::catalog::endpoint::check_host(url).is_err()
        {
            let expected = "a URL such as https://witness.example/checkpoints";
            return range("audit_checkpoints_url", url, expected);
        }
        if let Some(smtp) = &self.smtp {
            smtp.check()?;
        }
        if let Some(oidc) = &self.oidc {
            oidc.check()?;
        }
        match (&self.tls_certificate_file, &self.tls_key_file) {
            (Some(_), None) => return range("tls_key_file", &"absent", "the certificate's key"),
            (None, Some(_)) => {
                return range("tls_certificate_file", &"absent", "the key's certificate");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.connections_max == 0 {
            return range("connections_max", &self.connections_max, "at least 1");
        }
        Ok(())
    }
}

/// Whether what is read from there can be believed: with TLS, or from this machine.
pub(crate) fn is_trusted_url(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here =
        || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_here(),
        _ => false,
    }
}

/// What is wrong and where. Neither the line nor a text in the wrong place is shown: they may have the relay's password.
fn mistake(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let message = match (message.find(" string \""), message.rfind("\", expected")) {
        (Some(from), Some(to)) if from < to => {
            format!("{} string{}", &message[..from], &message[to + 1..])
        }
        _ => message.to_owned(),
    };
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|at| *at != '\n').count() + 1;
    format!("line {line}, column {column}: {message}")
}

fn set<T: std::str::FromStr>(
    variable: Option<(String, String)>,
    field: &mut T,
    expected: &'static str,
) -> Result<(), Error> {
    let Some((variable, value)) = variable else { return Ok(()) };
    *field = value.parse().map_err(|_| Error::Variable { variable, value, expected })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fairlane.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nregion = \"eu\"\nstore = \"memory\"")
            .unwrap();
        let config = Config::load(Some(&file), |name| {
            (name == "FAIRLANE_LISTEN").then(|| "127.0.0.1:2".to_owned())
        })
        .unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.region, "eu");
        assert_eq!(config.store, StoreKind::Memory);
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fairlane.toml");
        for (text, expected) in [
            ("lisen = \"127.0.0.1:1\"", "line 1, column 1: unknown field `lisen`, expected one of"),
            ("region = \"eu\"\nlisten = 7", "line 2, column 10: "),
            ("body_bytes_max = \"1k\"", "invalid type: string, expected usize"),
            ("region = \"EU west\"", "region is EU west"),
            ("currency = \"usd\"", "currency is usd"),
            ("payload_bytes_max = 0", "payload_bytes_max is 0"),
            ("gateway_output_tokens = 0", "gateway_output_tokens is 0"),
            ("gateway_wait_ms = 600001", "gateway_wait_ms is 600001"),
            ("connections_max = 0", "connections_max is 0"),
            ("notice_wait_ms = 0", "notice_wait_ms is 0"),
            ("public_url = \"fairlane.example\"", "public_url is fairlane.example"),
            ("tls_key_file = \"key.pem\"", "tls_certificate_file is absent"),
            (
                "[oidc]\nissuer = \"http://id.example\"\naudience = \"f\"",
                "oidc.issuer is http://id",
            ),
            ("[oidc]\nissuer = \"https://id.example\"", "oidc.audience is empty"),
            ("public_url = \"https://a.example/?b\"", "public_url is https://a.example/?b"),
            ("[telemetry]\notlp_endpoint = \"grpc://a\"", "telemetry.otlp_endpoint is grpc://a"),
            ("[telemetry]\notlp_endpoint = \"http://a/?b\"", "telemetry.otlp_endpoint is"),
            ("[telemetry]\notlp_headers_file = \"h\"", "telemetry.otlp_headers_file is h"),
            ("[telemetry]\nsample_permille = 1001", "telemetry.sample_permille is 1001"),
            ("[telemetry]\nservice_name = \"\"", "telemetry.service_name is empty"),
            ("[telemetry]\nregions.eu.otlp_endpoint = \"http://a\"", "telemetry.regions is eu"),
            (
                "regions = [\"a\", \"b\"]\n[telemetry]\notlp_endpoint = \"http://a\"",
                "expected `telemetry.regions` with a collector in each region",
            ),
            (
                "[telemetry]\notlp_endpoint = \"http://a\"\nregions.local.otlp_endpoint = \"http://b\"",
                "telemetry.regions is given too",
            ),
            ("[smtp]\nurl = \"smtp://a.example\"\nfrom = \"nobody\"", "smtp.from is nobody"),
            (
                "[smtp]\nurl = \"http://a.example\"\nfrom = \"a@b.example\"",
                "smtp.url is (not shown)",
            ),
            (
                "[smtp]\nurl = \"smtp://a.example\"\nfrom = \"a@b.example\"\nregion = \"EU\"",
                "smtp.region is EU",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(&file), none).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error =
            Config::load(None, |name| (name == "FAIRLANE_LISTEN").then(|| "here".to_owned()));
        assert!(
            error.unwrap_err().to_string().contains("FAIRLANE_LISTEN"),
            "the variable is named"
        );
    }

    #[test]
    fn a_file_with_a_mistake_does_not_have_a_password_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fairlane.toml");
        let url = "\"smtps://me:hunter2@mail.example\"";
        for text in [
            format!("[smtp]\nurll = {url}"),
            format!("smtp = {url}"),
            format!("[smtp]\nurl = {url}, from = \"a@b.example\""),
            format!("[smtp]\nurl = {}", url.trim_end_matches('"')),
            format!("notice_wait_ms = {url}"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let error = Config::load(Some(&file), none).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("line ") && !shown.contains("hunter2"), "{text}: {shown}");
        }
    }

    #[test]
    fn the_password_of_the_relay_needs_tls_and_is_shown_nowhere() {
        let load = |url: &str| {
            Config::load(None, |name| match name {
                "FAIRLANE_SMTP_URL" => Some(url.to_owned()),
                "FAIRLANE_SMTP_FROM" => Some("a@b.example".to_owned()),
                _ => None,
            })
        };
        let error = load("smtp://me:hunter2@mail.example").unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("with TLS for a password") && !shown.contains("hunter2"), "{shown}");
        for url in
            ["smtps://me:hunter2@mail.example", "smtp://me:hunter2@mail.example?tls=required"]
        {
            let config = load(url).unwrap();
            assert!(!format!("{config:?}").contains("hunter2"));
            assert_eq!(config.means().relay, Some(Relay { region: None }));
        }
        assert_eq!(load("smtp://127.0.0.1:25").unwrap().public_url(), "http://127.0.0.1:7420");
    }
}
