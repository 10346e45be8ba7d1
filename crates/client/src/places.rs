//! Regions, zones and decisions on countries: declare, read, list.

use fairlane_api::report::ResidencyReport;
use fairlane_api::residency::{Adequacy, AdequacySpec, Region, RegionSpec, Zone, ZoneSpec};
use fairlane_api::resource::Applied;

use crate::{Client, Error, Write};

/// Where data may be.
impl Client {
    /// Declares in which country a region is.
    pub async fn put_region(
        &self,
        name: &str,
        spec: &RegionSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "regions", name], spec, write).await
    }

    /// Declares a set of countries and regions.
    pub async fn put_zone(
        &self,
        name: &str,
        spec: &ZoneSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "zones", name], spec, write).await
    }

    /// Declares all decisions on a country.
    pub async fn put_adequacy(
        &self,
        country: &str,
        spec: &AdequacySpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "adequacy", country], spec, write).await
    }

    pub async fn region(&self, name: &str) -> Result<Region, Error> {
        self.get(&["v1", "catalog", "regions", name]).await
    }

    pub async fn zone(&self, name: &str) -> Result<Zone, Error> {
        self.get(&["v1", "catalog", "zones", name]).await
    }

    pub async fn adequacy(&self, country: &str) -> Result<Adequacy, Error> {
        self.get(&["v1", "catalog", "adequacy", country]).await
    }

    /// All regions, those that are known without being declared too.
    pub async fn regions(&self) -> Result<Vec<Region>, Error> {
        self.list(&["v1", "catalog", "regions"]).await
    }

    /// All zones, those that are known without being declared too.
    pub async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.list(&["v1", "catalog", "zones"]).await
    }

    /// All countries on which there are decisions.
    pub async fn adequacies(&self) -> Result<Vec<Adequacy>, Error> {
        self.list(&["v1", "catalog", "adequacy"]).await
    }

    /// What rests on the adequacy of countries now, and what is outside of where it may be.
    pub async fn report_residency(&self) -> Result<ResidencyReport, Error> {
        self.get(&["v1", "platform", "reports", "residency"]).await
    }
}
