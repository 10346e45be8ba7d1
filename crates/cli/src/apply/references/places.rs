//! Regions and zones that declarations refer to, and the tools that tiers and tenants name.

use std::collections::BTreeSet;

use fairlane_api::residency::Residency;
use fairlane_client::Client;

use super::missing;
use crate::apply::resource::{Declaration, Spec};
use crate::apply::set::Set;
use crate::mistake::Mistake;

/// Stands in the place of a region if a tool keeps nothing.
const NOTHING_KEPT: &str = "none";

#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) regions: BTreeSet<String>,
    pub(super) zones: BTreeSet<String>,
}

impl Places {
    /// Those on the server, if any are named.
    pub(super) async fn read(client: &Client, set: &Set) -> anyhow::Result<Self> {
        let mut places = Self::default();
        let named = || set.all().flat_map(|declaration| named(declaration));
        if named().any(|named| named.what == What::Region) {
            places.regions = client.regions().await?.into_iter().map(|one| one.name).collect();
        }
        if named().any(|named| named.what == What::Zone) {
            places.zones = client.zones().await?.into_iter().map(|one| one.name).collect();
        }
        Ok(places)
    }

    pub(super) fn missing(&self, declaration: &Declaration) -> Vec<Mistake> {
        let is_missing = |named: &Named<'_>| match named.what {
            What::Region => !self.regions.contains(named.name),
            What::Zone => !self.zones.contains(named.name),
        };
        let mistake = |Named { what, pointer, name }: Named<'_>| {
            let (code, word) = match what {
                What::Region => ("unknown-region", "region"),
                What::Zone => ("unknown-zone", "zone"),
            };
            missing(&declaration.origin, &pointer, code, word, name)
        };
        named(declaration).into_iter().filter(is_missing).map(mistake).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Region,
    Zone,
}

/// A place that a declaration names, and where.
struct Named<'a> {
    what: What,
    pointer: String,
    name: &'a str,
}

fn named(declaration: &Declaration) -> Vec<Named<'_>> {
    let region = |pointer: String, name| Named { what: What::Region, pointer, name };
    match &declaration.spec {
        Spec::Zone(spec) => {
            let regions = spec.regions.iter().zip(0..);
            regions.map(|(name, at)| region(format!("/regions/{at}"), name)).collect()
        }
        Spec::Tool(spec) => {
            let kept = spec.storage_region.iter().filter(|kept| *kept != NOTHING_KEPT);
            let kept = kept.map(|name| region("/storage_region".to_owned(), name));
            let works = spec.region.iter().map(|name| region("/region".to_owned(), name));
            works.chain(kept).collect()
        }
        Spec::Reviewers(spec) => {
            let members = spec.members.iter().zip(0..);
            members
                .filter_map(|(member, at)| {
                    let name = member.region.as_deref()?;
                    Some(region(format!("/members/{at}/region"), name))
                })
                .collect()
        }
        Spec::Tier(spec) => of_residency(spec.data_residency.as_ref()),
        Spec::Tenant(spec) => of_residency(spec.data_residency.as_ref()),
        _ => Vec::new(),
    }
}

fn of_residency(residency: Option<&Residency>) -> Vec<Named<'_>> {
    let Some(residency) = residency else { return Vec::new() };
    let zone = residency.zone.iter().map(|name| Named {
        what: What::Zone,
        pointer: "/data_residency/zone".to_owned(),
        name,
    });
    let regions = residency.regions.iter().zip(0..).map(|(name, at)| Named {
        what: What::Region,
        pointer: format!("/data_residency/regions/{at}"),
        name,
    });
    zone.chain(regions).collect()
}

/// Whether a tier or a tenant names tools.
pub(super) fn name_tools(set: &Set) -> bool {
    set.all().any(|declaration| !tools_of(declaration).is_empty())
}

/// The tools that a tier or a tenant allows or denies, each with its place.
pub(super) fn tools_of(declaration: &Declaration) -> Vec<(String, String)> {
    let (allowed, denied) = match &declaration.spec {
        Spec::Tier(spec) => (&spec.allowed_tools, &spec.denied_tools),
        Spec::Tenant(spec) => (&spec.allowed_tools, &spec.denied_tools),
        _ => return Vec::new(),
    };
    let each = |field: &'static str, tools: &[String]| -> Vec<(String, String)> {
        let at = tools.iter().zip(0..);
        at.map(|(tool, at)| (format!("/{field}/{at}"), tool.clone())).collect()
    };
    let mut tools = each("allowed_tools", allowed.as_deref().unwrap_or_default());
    tools.extend(each("denied_tools", denied));
    tools
}
