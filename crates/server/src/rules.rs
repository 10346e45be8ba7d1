//! Where a tenant's work may go and which tools it may use: the fields that tiers and tenants share, and where a tool is;
//! from the wire with all mistakes at once, and back.

use std::collections::BTreeSet;

use fairlane_api::Code;
use fairlane_api::quota::ToolSpec;
use fairlane_api::residency as wire;
use fairlane_api::resource::{TenantSpec, TierSpec};
use fairlane_core::id::{RegionName, TierName, ToolName};
use fairlane_core::residency::{Country, Location, PLACES_MAX, Residency, Storage};
use fairlane_core::tenant::{AfterOutage, Outage, Rules};
use fairlane_core::time::Span;
use fairlane_workflow::show_span;

use crate::places::NOTHING_KEPT;
use crate::problem::Refused;
use crate::quotas::Check;
use crate::wire::name;

/// Most tools that are allowed or denied by name.
const TOOLS_NAMED_MAX: usize = 10_000;
/// As long as the longest duration of a workflow.
const WAIT_MAX: Span = Span::from_secs(3_660 * 24 * 3_600);
/// A hundred years.
const RETENTION_DAYS_MAX: u64 = 36_525;

/// The fields as a tier or a tenant gives them.
pub(crate) struct Given<'a> {
    data_residency: Option<&'a wire::Residency>,
    allowed_tools: Option<&'a [String]>,
    denied_tools: &'a [String],
    model_tier: Option<&'a str>,
    outage: Option<&'a wire::Outage>,
    audit_retention_days: Option<u32>,
    payload_retention_days: Option<u32>,
    review_retention_days: Option<u32>,
    run_retention_days: Option<u32>,
    legal_hold: Option<bool>,
    replan_approval: Option<bool>,
}

/// The same for answers.
pub(crate) struct Shown {
    pub(crate) data_residency: Option<wire::Residency>,
    pub(crate) allowed_tools: Option<Vec<String>>,
    pub(crate) denied_tools: Vec<String>,
    pub(crate) model_tier: Option<String>,
    pub(crate) outage: Option<wire::Outage>,
    pub(crate) audit_retention_days: Option<u32>,
    pub(crate) payload_retention_days: Option<u32>,
    pub(crate) review_retention_days: Option<u32>,
    pub(crate) run_retention_days: Option<u32>,
    pub(crate) legal_hold: Option<bool>,
    pub(crate) replan_approval: Option<bool>,
}

impl<'a> From<&'a TierSpec> for Given<'a> {
    fn from(spec: &'a TierSpec) -> Self {
        Self {
            data_residency: spec.data_residency.as_ref(),
            allowed_tools: spec.allowed_tools.as_deref(),
            denied_tools: &spec.denied_tools,
            model_tier: spec.model_tier.as_deref(),
            outage: spec.outage.as_ref(),
            audit_retention_days: spec.audit_retention_days,
            payload_retention_days: spec.payload_retention_days,
            review_retention_days: spec.review_retention_days,
            run_retention_days: spec.run_retention_days,
            legal_hold: spec.legal_hold,
            replan_approval: spec.replan_approval,
        }
    }
}

impl<'a> From<&'a TenantSpec> for Given<'a> {
    fn from(spec: &'a TenantSpec) -> Self {
        Self {
            data_residency: spec.data_residency.as_ref(),
            allowed_tools: spec.allowed_tools.as_deref(),
            denied_tools: &spec.denied_tools,
            model_tier: spec.model_tier.as_deref(),
            outage: spec.outage.as_ref(),
            audit_retention_days: spec.audit_retention_days,
            payload_retention_days: spec.payload_retention_days,
            review_retention_days: spec.review_retention_days,
            run_retention_days: spec.run_retention_days,
            legal_hold: spec.legal_hold,
            replan_approval: spec.replan_approval,
        }
    }
}

impl Given<'_> {
    pub(crate) fn read(&self, check: &mut Check) -> Rules {
        let allowed = self.allowed_tools.map(|given| tools(check, "/allowed_tools", given));
        for (days, field) in [
            (self.audit_retention_days, "/audit_retention_days"),
            (self.payload_retention_days, "/payload_retention_days"),
            (self.review_retention_days, "/review_retention_days"),
            (self.run_retention_days, "/run_retention_days"),
        ] {
            if let Some(days) = days {
                check.keep(crate::wire::between(days.into(), [1, RETENTION_DAYS_MAX], field));
            }
        }
        let model_tier =
            self.model_tier.and_then(|tier| check.keep(name::<TierName>(tier, "/model_tier")));
        Rules {
            data_residency: self.data_residency.map(|given| residency(check, given)),
            allowed_tools: allowed,
            denied_tools: tools(check, "/denied_tools", self.denied_tools),
            model_tier,
            outage: self.outage.map(|given| outage(check, given)),
            audit_retention_days: self.audit_retention_days,
            payload_retention_days: self.payload_retention_days,
            review_retention_days: self.review_retention_days,
            run_retention_days: self.run_retention_days,
            legal_hold: self.legal_hold,
            replan_approval: self.replan_approval,
        }
    }

    /// The refusal for a region that is not declared, at the one that is meant.
    pub(crate) fn placed(&self, refused: Refused) -> Refused {
        let regions = self.data_residency.map_or(&[][..], |residency| &residency.regions);
        at_region(refused, "/data_residency/regions", regions)
    }
}

/// The refusal of a list of regions for one of them, at its place in the list.
pub(crate) fn at_region(refused: Refused, pointer: &str, given: &[String]) -> Refused {
    let problem = &refused.0;
    if problem.code() != Some(Code::UnknownRegion) || problem.pointer.as_deref() != Some(pointer) {
        return refused;
    }
    let facts = problem.facts.as_ref();
    let facts: Option<serde_json::Value> =
        facts.and_then(|facts| serde_json::from_str(facts.get()).ok());
    let unknown = facts.as_ref().and_then(|facts| facts["region"].as_str());
    match given.iter().position(|region| Some(region.as_str()) == unknown) {
        Some(at) => refused.at(format!("{pointer}/{at}")),
        None => refused,
    }
}

pub(crate) fn country(text: &str, pointer: &str) -> Result<Country, Refused> {
    Country::parse(text).map_err(|unknown| {
        Refused::new(Code::InvalidValue)
            .detail(format!("`{text}` is no country"))
            .at(pointer)
            .expected(unknown.expected())
    })
}

pub(crate) fn countries(check: &mut Check, pointer: &str, given: &[String]) -> BTreeSet<Country> {
    set(check, (pointer, PLACES_MAX), given, country)
}

pub(crate) fn regions(check: &mut Check, pointer: &str, given: &[String]) -> BTreeSet<RegionName> {
    set(check, (pointer, PLACES_MAX), given, name)
}

fn tools(check: &mut Check, pointer: &str, given: &[String]) -> BTreeSet<ToolName> {
    set(check, (pointer, TOOLS_NAMED_MAX), given, name)
}

/// All that can be read, each mistake at its place.
fn set<T: Ord>(
    check: &mut Check,
    (pointer, max): (&str, usize),
    given: &[String],
    read: impl Fn(&str, &str) -> Result<T, Refused>,
) -> BTreeSet<T> {
    if given.len() > max {
        check.wrong(
            Refused::new(Code::TooMany)
                .detail(format!("there are {}", given.len()))
                .at(pointer)
                .expected(format!("at most {max}")),
        );
        return BTreeSet::new();
    }
    let read = |(text, at): (&String, usize)| read(text, &format!("{pointer}/{at}"));
    given.iter().zip(0..).filter_map(|one| check.keep(read(one))).collect()
}

fn residency(check: &mut Check, given: &wire::Residency) -> Residency {
    let zone = given.zone.as_deref();
    Residency {
        zone: zone.and_then(|zone| check.keep(name(zone, "/data_residency/zone"))),
        regions: regions(check, "/data_residency/regions", &given.regions),
        adequate: countries(check, "/data_residency/adequate", &given.adequate),
    }
}

fn outage(check: &mut Check, given: &wire::Outage) -> Outage {
    let wait = given.wait.as_deref();
    Outage {
        alternative: given.alternative,
        wait: wait.and_then(|wait| check.span("/outage/wait", wait, WAIT_MAX)),
        then: match given.then {
            wire::AfterOutage::Fail => AfterOutage::Fail,
            wire::AfterOutage::Escalate => AfterOutage::Escalate,
        },
    }
}

/// Where a tool is.
pub(crate) fn location(check: &mut Check, spec: &ToolSpec) -> Location {
    let ToolSpec { region, storage_region, certificates, .. } = spec;
    let storage = storage_region.as_deref().and_then(|storage| match storage {
        NOTHING_KEPT => Some(Storage::Nothing),
        region => check.keep(name(region, "/storage_region")).map(Storage::Region),
    });
    Location {
        region: region.as_deref().and_then(|region| check.keep(name(region, "/region"))),
        storage,
        certificates: set(check, ("/certificates", PLACES_MAX), certificates, name),
    }
}

/// The region, where things are kept, and the certificates.
pub(crate) fn location_out(location: &Location) -> (Option<String>, Option<String>, Vec<String>) {
    let storage = location.storage.as_ref().map(|storage| match storage {
        Storage::Nothing => NOTHING_KEPT.to_owned(),
        Storage::Region(region) => region.to_string(),
    });
    let certificates = location.certificates.iter().map(ToString::to_string).collect();
    (location.region.as_ref().map(ToString::to_string), storage, certificates)
}

impl From<&Rules> for Shown {
    fn from(rules: &Rules) -> Self {
        let names = |tools: &BTreeSet<ToolName>| tools.iter().map(ToString::to_string).collect();
        Self {
            data_residency: rules.data_residency.as_ref().map(residency_out),
            allowed_tools: rules.allowed_tools.as_ref().map(names),
            denied_tools: names(&rules.denied_tools),
            model_tier: rules.model_tier.as_ref().map(ToString::to_string),
            outage: rules.outage.map(outage_out),
            audit_retention_days: rules.audit_retention_days,
            payload_retention_days: rules.payload_retention_days,
            review_retention_days: rules.review_retention_days,
            run_retention_days: rules.run_retention_days,
            legal_hold: rules.legal_hold,
            replan_approval: rules.replan_approval,
        }
    }
}

pub(crate) fn residency_out(residency: &Residency) -> wire::Residency {
    wire::Residency {
        zone: residency.zone.as_ref().map(ToString::to_string),
        regions: residency.regions.iter().map(ToString::to_string).collect(),
        adequate: residency.adequate.iter().map(ToString::to_string).collect(),
    }
}

fn outage_out(outage: Outage) -> wire::Outage {
    wire::Outage {
        alternative: outage.alternative,
        wait: outage.wait.map(show_span),
        then: match outage.then {
            AfterOutage::Fail => wire::AfterOutage::Fail,
            AfterOutage::Escalate => wire::AfterOutage::Escalate,
        },
    }
}
