//! Calls of models, each by itself and what they used together; and what runs took.

use fairlane_api::Timestamp;
use fairlane_api::arrival::Arrival;
use fairlane_api::page::Page;
use fairlane_api::usage::{Call as ModelCall, Usage};

use crate::client::{Call, Path};
use crate::{Client, Error};

/// Entries of a page of arrivals: with their steps they are larger than those of other lists.
const ARRIVALS: u32 = 500;

/// Which calls of a tenant to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Only those that were made for this run.
    pub run: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Most entries of the page.
    pub limit: Option<u32>,
}

/// Which time to sum up. What is absent is the beginning, or the end, of the tenant's month that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Client {
    /// One page of a tenant's calls of models, newest first.
    pub async fn calls(&self, tenant: &str, filter: &CallFilter) -> Result<Page<ModelCall>, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "calls"])
            .query("run", filter.run.as_deref())
            .query("cursor", filter.cursor.as_deref())
            .query("limit", filter.limit);
        self.call(Call::get(path.into_string())).await
    }

    /// One page of a tenant's runs of a time with what their steps took, newest first.
    pub async fn arrivals(
        &self,
        tenant: &str,
        (from, until): (Timestamp, Timestamp),
        cursor: Option<&str>,
    ) -> Result<Page<Arrival>, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "arrivals"])
            .query("from", Some(from))
            .query("until", Some(until))
            .query("cursor", cursor)
            .query("limit", Some(ARRIVALS));
        self.call(Call::get(path.into_string())).await
    }

    /// What a tenant's calls of models used, by model and who served it.
    pub async fn usage(&self, tenant: &str, period: Period) -> Result<Usage, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "usage"])
            .query("from", period.from)
            .query("until", period.until);
        self.call(Call::get(path.into_string())).await
    }
}
