//! Where traces go, and of which runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::http::Uri;
use fairlane_core::id::RegionName;
use fairlane_core::trace::Sampling;
use serde::Deserialize;

use super::{Error, set};

/// Setup of traces. The default exports nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The address of a collector, to which `/v1/traces` is added. Absent: nothing is exported. With several regions each has its
    /// own, in `regions`.
    pub otlp_endpoint: Option<String>,
    /// A file of headers that go with each request to it, a line each: `name: value`.
    pub otlp_headers_file: Option<PathBuf>,
    /// The same by region. What happens in a region without one is exported nowhere.
    pub regions: BTreeMap<String, Collector>,
    /// How this server is named in traces.
    pub service_name: String,
    /// So many of a thousand runs are followed, of those that come without a trace of their client's.
    pub sample_permille: u16,
    /// Whether a run continues the trace that its submission names in `traceparent`.
    pub continue_traces: bool,
    /// Whether calls of models and tools that the server makes name their trace in `traceparent`.
    pub propagate: bool,
}

/// Where a region's traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collector {
    pub otlp_endpoint: String,
    #[serde(default)]
    pub otlp_headers_file: Option<PathBuf>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers_file: None,
            regions: BTreeMap::new(),
            service_name: "fairlane".to_owned(),
            sample_permille: 1_000,
            continue_traces: true,
            propagate: false,
        }
    }
}

impl Telemetry {
    /// Where the region's traces go.
    pub(crate) fn collector(&self, region: &RegionName) -> Option<Collector> {
        let everywhere = self.otlp_endpoint.clone().map(|otlp_endpoint| Collector {
            otlp_endpoint,
            otlp_headers_file: self.otlp_headers_file.clone(),
        });
        self.regions.get(region.as_str()).cloned().or(everywhere)
    }

    pub(crate) const fn sampling(&self) -> Sampling {
        Sampling { permille: self.sample_permille }
    }

    /// What the environment's variables say instead.
    ///
    /// # Errors
    /// If a value is not what it has to be.
    pub(super) fn apply(
        &mut self,
        variable: impl Fn(&str) -> Option<(String, String)>,
    ) -> Result<(), Error> {
        let variable = |name: &str| variable(&format!("TELEMETRY_{name}"));
        if let Some((_, url)) = variable("OTLP_ENDPOINT") {
            self.otlp_endpoint = Some(url);
        }
        if let Some((_, path)) = variable("OTLP_HEADERS_FILE") {
            self.otlp_headers_file = Some(path.into());
        }
        set(variable("SERVICE_NAME"), &mut self.service_name, "a name")?;
        set(variable("SAMPLE_PERMILLE"), &mut self.sample_permille, "a number up to 1000")?;
        set(variable("CONTINUE_TRACES"), &mut self.continue_traces, "true or false")?;
        set(variable("PROPAGATE"), &mut self.propagate, "true or false")
    }

    /// `regions`: all of the server.
    ///
    /// # Errors
    /// If a value is not what it has to be.
    pub(super) fn check(&self, regions: &[String]) -> Result<(), Error> {
        let wrong = |field, value: &str, expected| {
            Err(Error::Range { field, value: value.to_owned(), expected })
        };
        if let (Some(url), true) = (&self.otlp_endpoint, regions.len() > 1) {
            let expected = "`telemetry.regions` with a collector in each region, since nothing leaves its region";
            return wrong("telemetry.otlp_endpoint", url, expected);
        }
        if self.otlp_endpoint.is_some() && !self.regions.is_empty() {
            let expected = "either `otlp_endpoint` or `regions`";
            return wrong("telemetry.regions", "given too", expected);
        }
        if let (Some(path), None) = (&self.otlp_headers_file, &self.otlp_endpoint) {
            let (field, path) = ("telemetry.otlp_headers_file", path.display().to_string());
            return wrong(field, &path, "an `otlp_endpoint` that they are for");
        }
        if let Some(name) = self.regions.keys().find(|name| !regions.contains(name)) {
            return wrong("telemetry.regions", name, "regions of this server");
        }
        let own = self.otlp_endpoint.iter();
        for url in own.chain(self.regions.values().map(|collector| &collector.otlp_endpoint)) {
            let path = crate::catalog::endpoint::check_host(url);
            let is_plain = path.is_ok_and(|path| !path.contains('?'));
            if !is_plain || url.parse::<Uri>().is_err() {
                let expected = "a URL such as http://127.0.0.1:4318";
                return wrong("telemetry.otlp_endpoint", url, expected);
            }
        }
        if self.service_name.is_empty() {
            return wrong("telemetry.service_name", "empty", "a name");
        }
        if self.sample_permille > 1_000 {
            let value = self.sample_permille.to_string();
            return wrong("telemetry.sample_permille", &value, "0 to 1000");
        }
        Ok(())
    }
}
