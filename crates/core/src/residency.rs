//! Where data may be: regions with their countries, zones, and dated decisions that add a country to a zone.
//!
//! One question is answered here: *may data of a tenant with this constraint be at that place now, and on what does that
//! rest?* It is asked with the time, so that an answer which rests on a decision ends with it. A place that does not say
//! where it is counts as outside of every zone (P10), and so does a region whose country nobody has declared.
//!
//! Pure, on what was declared. What follows from an answer (another endpoint, a wait, a refusal) is decided elsewhere.

mod country;
mod known;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{CertificateName, RegionName, ZoneName};
use crate::time::Time;

/// Most regions or countries of one zone, one constraint or one adequacy.
pub const PLACES_MAX: usize = 1_000;
/// Most decisions on one country.
pub const DECISIONS_MAX: usize = 64;
/// Longest name or scope of a decision, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;

/// A country, as ISO 3166-1 alpha-2 has it. One that was stored is read as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// Why a text names no country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no country; expected {}", self.expected())]
pub struct UnknownCountry {
    /// The code of the one that is meant, if that can be told.
    pub meant: Option<&'static str>,
}

impl UnknownCountry {
    /// What would be right.
    pub fn expected(self) -> String {
        match self.meant {
            Some(code) => format!("`{code}`, as ISO 3166-1 has it"),
            None => "two capital letters as in ISO 3166-1, such as `DE`".to_owned(),
        }
    }
}

/// What the operator declares of places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declaration {
    Region(Region),
    Zone(Zone),
    Adequacy(Adequacy),
}

impl Declaration {
    /// What it declares, and under which name.
    pub fn key(&self) -> (&'static str, &str) {
        match self {
            Self::Region(region) => ("region", region.name.as_str()),
            Self::Zone(zone) => ("zone", zone.name.as_str()),
            Self::Adequacy(adequacy) => ("adequacy", adequacy.country.as_str()),
        }
    }
}

/// A place where data rests or is worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub name: RegionName,
    pub country: Country,
    /// For people: the provider and the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
}

/// A named set of countries and regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    pub name: ZoneName,
    #[serde(default)]
    pub countries: BTreeSet<Country>,
    #[serde(default)]
    pub regions: BTreeSet<RegionName>,
    /// Whether every country belongs to it for which an adequacy decision is in force.
    #[serde(default)]
    pub adequate: bool,
}

/// Decisions that a country protects data as well as the zones that take adequate ones in, in order of their beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adequacy {
    pub country: Country,
    /// The switch that puts all of them out of force at once.
    #[serde(default)]
    pub suspended: bool,
    pub decisions: Vec<Decision>,
}

/// One decision, in force from its beginning until its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its number, such as `(EU) 2019/419`.
    pub name: Arc<str>,
    pub from: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// It holds only for those that have this certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateName>,
    /// For people: whom it covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Arc<str>>,
}

/// Where a tenant's data may be: in one of the regions, in the zone, or in one of the countries as long as it is adequate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residency {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<RegionName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub adequate: BTreeSet<Country>,
}

/// Where a tool or an endpoint works on what it is sent, and where it keeps that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// `None`: nobody knows, which is outside of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// `None`: nobody knows, which is outside of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub certificates: BTreeSet<CertificateName>,
}

/// What becomes of data after it was worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Nothing is kept.
    Nothing,
    Region(RegionName),
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// Nobody asks where it is.
    Unbound,
    /// The constraint names the region, or its zone has the country.
    Zone,
    /// A decision on the country, until it ends.
    Adequacy { country: Country, until: Option<Time> },
}

/// Why a place is outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Whether data would be worked on there, or kept.
    pub of: Part,
    pub region: Option<RegionName>,
    pub country: Option<Country>,
    pub because: Because,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Processing,
    Storage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It does not say where it is.
    Unknown,
    /// The catalog does not say in which country the region is.
    Undeclared,
    /// Neither the zone nor the regions have it.
    NotInZone,
    /// No decision on the country has ever been in force.
    NotAdequate,
    /// The last decision on it has ended.
    Lapsed { at: Time },
    /// The first decision on it begins later.
    NotYet { from: Time },
    /// The operator has put the decisions on it out of force.
    Suspended,
    /// The decision covers only who has this certificate.
    NotCertified { certificate: CertificateName },
}

/// All that was declared of places.
#[derive(Clone, Debug)]
pub struct Atlas {
    regions: BTreeMap<RegionName, Region>,
    zones: BTreeMap<ZoneName, Zone>,
    adequacies: BTreeMap<Country, Adequacy>,
}

impl Default for Atlas {
    /// The regions and zones that everybody knows, and no decisions: those are the operator's to rely on.
    fn default() -> Self {
        Self {
            regions: known::regions().map(|region| (region.name.clone(), region)).collect(),
            zones: known::zones().map(|zone| (zone.name.clone(), zone)).collect(),
            adequacies: BTreeMap::new(),
        }
    }
}

impl Atlas {
    /// Puts a declaration in force; whether it is another one than before.
    pub fn declare(&mut self, declaration: Declaration) -> bool {
        match declaration {
            Declaration::Region(region) => {
                self.regions.insert(region.name.clone(), region.clone()) != Some(region)
            }
            Declaration::Zone(zone) => {
                self.zones.insert(zone.name.clone(), zone.clone()) != Some(zone)
            }
            Declaration::Adequacy(adequacy) => {
                self.adequacies.insert(adequacy.country, adequacy.clone()) != Some(adequacy)
            }
        }
    }

    /// Whether exactly this is declared.
    pub fn has(&self, declaration: &Declaration) -> bool {
        match declaration {
            Declaration::Region(region) => self.regions.get(&region.name) == Some(region),
            Declaration::Zone(zone) => self.zones.get(&zone.name) == Some(zone),
            Declaration::Adequacy(adequacy) => {
                self.adequacies.get(&adequacy.country) == Some(adequacy)
            }
        }
    }

    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.get(name)
    }

    pub fn zone(&self, name: &ZoneName) -> Option<&Zone> {
        self.zones.get(name)
    }

    pub fn adequacy(&self, country: Country) -> Option<&Adequacy> {
        self.adequacies.get(&country)
    }

    pub const fn regions(&self) -> &BTreeMap<RegionName, Region> {
        &self.regions
    }

    pub const fn zones(&self) -> &BTreeMap<ZoneName, Zone> {
        &self.zones
    }

    pub const fn adequacies(&self) -> &BTreeMap<Country, Adequacy> {
        &self.adequacies
    }

    /// Whether data may go to a tool or an endpoint: both where it is worked on and where it is kept. Of two answers that
    /// end, the one that ends first.
    ///
    /// # Errors
    /// Why not, for the first of the two that is outside.
    pub fn admits(
        &self,
        residency: Option<&Residency>,
        location: &Location,
        now: Time,
    ) -> Result<Inside, Outside> {
        let Some(residency) = residency else { return Ok(Inside::Unbound) };
        let Location { region, storage, certificates } = location;
        let at = |region, part| self.at((residency, now), (region, certificates, part));
        let processed = at(region.as_ref(), Part::Processing)?;
        let kept = match storage {
            Some(Storage::Nothing) => return Ok(processed),
            Some(Storage::Region(kept)) if Some(kept) == region.as_ref() => return Ok(processed),
            Some(Storage::Region(kept)) => at(Some(kept), Part::Storage)?,
            None => at(None, Part::Storage)?,
        };
        Ok(processed.and(kept))
    }

    /// Whether data may be in a region: that of a store, a worker or a person, which have no certificates.
    ///
    /// # Errors
    /// Why not.
    pub fn admits_region(
        &self,
        residency: Option<&Residency>,
        region: Option<&RegionName>,
        now: Time,
    ) -> Result<Inside, Outside> {
        let Some(residency) = residency else { return Ok(Inside::Unbound) };
        self.at((residency, now), (region, &BTreeSet::new(), Part::Processing))
    }

    fn at(
        &self,
        (residency, now): (&Residency, Time),
        (region, certificates, of): (Option<&RegionName>, &BTreeSet<CertificateName>, Part),
    ) -> Result<Inside, Outside> {
        let outside = |country, because| Outside { of, region: region.cloned(), country, because };
        let Some(region) = region else { return Err(outside(None, Because::Unknown)) };
        if residency.regions.contains(region) {
            return Ok(Inside::Zone);
        }
        let zone = residency.zone.as_ref().and_then(|zone| self.zones.get(zone));
        if zone.is_some_and(|zone| zone.regions.contains(region)) {
            return Ok(Inside::Zone);
        }
        let Some(Region { country, .. }) = self.regions.get(region) else {
            return Err(outside(None, Because::Undeclared));
        };
        if zone.is_some_and(|zone| zone.countries.contains(country)) {
            return Ok(Inside::Zone);
        }
        let by_adequacy = zone.is_some_and(|zone| zone.adequate);
        if !by_adequacy && !residency.adequate.contains(country) {
            return Err(outside(Some(*country), Because::NotInZone));
        }
        match self.adequacies.get(country) {
            None => Err(Because::NotAdequate),
            Some(adequacy) => adequacy.at(certificates, now),
        }
        .map(|until| Inside::Adequacy { country: *country, until })
        .map_err(|because| outside(Some(*country), because))
    }

    /// When the next decision begins or ends.
    pub fn next_change(&self, now: Time) -> Option<Time> {
        let decisions = self.adequacies.values().flat_map(|adequacy| &adequacy.decisions);
        let bounds = decisions.flat_map(|decision| [Some(decision.from), decision.until]);
        bounds.flatten().filter(|at| *at > now).min()
    }
}

impl Adequacy {
    /// Until when a decision is in force that covers who has these certificates.
    fn at(
        &self,
        certificates: &BTreeSet<CertificateName>,
        now: Time,
    ) -> Result<Option<Time>, Because> {
        if self.suspended {
            return Err(Because::Suspended);
        }
        let begun = self.decisions.iter().rev().find(|decision| decision.from <= now);
        let Some(decision) = begun else {
            let first = self.decisions.first();
            return Err(
                first.map_or(Because::NotAdequate, |first| Because::NotYet { from: first.from })
            );
        };
        if let Some(at) = decision.until.filter(|until| *until <= now) {
            return Err(Because::Lapsed { at });
        }
        match &decision.certificate {
            Some(certificate) if !certificates.contains(certificate) => {
                Err(Because::NotCertified { certificate: certificate.clone() })
            }
            _ => Ok(decision.until),
        }
    }
}

impl Inside {
    /// What two answers rest on together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Adequacy { until: a, .. }, Self::Adequacy { until: b, .. }) => {
                if b.is_some_and(|b| a.is_none_or(|a| b < a)) { other } else { self }
            }
            (adequacy @ Self::Adequacy { .. }, _) | (_, adequacy @ Self::Adequacy { .. }) => {
                adequacy
            }
            _ => self,
        }
    }
}

impl Location {
    /// Nobody knows where it is.
    pub const fn unknown() -> Self {
        Self { region: None, storage: None, certificates: BTreeSet::new() }
    }

    /// In a region, where it is kept too.
    pub const fn within(region: RegionName, kept: RegionName) -> Self {
        Self {
            region: Some(region),
            storage: Some(Storage::Region(kept)),
            certificates: BTreeSet::new(),
        }
    }

    pub fn is_unknown(&self) -> bool {
        *self == Self::unknown()
    }
}

impl Country {
    /// # Errors
    /// If the text is not the code of a country.
    pub fn parse(text: &str) -> Result<Self, UnknownCountry> {
        let letters = Self::of_letters(text).filter(|_| country::is_assigned(text));
        letters.ok_or_else(|| UnknownCountry { meant: country::meant(text) })
    }

    fn of_letters(text: &str) -> Option<Self> {
        match *text.as_bytes() {
            [first @ b'A'..=b'Z', second @ b'A'..=b'Z'] => Some(Self([first, second])),
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a country is two letters")
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        Self::parse(text)
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of_letters(&text)
            .ok_or_else(|| serde::de::Error::custom(UnknownCountry { meant: None }))
    }
}

#[cfg(test)]
mod tests;
