//! Who takes part where people decide: banks of each tier, their reviewers, and when they send what.

use std::sync::Arc;
use std::time::Duration;

use fairlane_client::Client;
use fairlane_client::api::residency::Residency;
use fairlane_client::api::resource::{OrgSpec, TenantSpec};

use super::super::desk::{self, Person};
use super::super::town::{self, TIERS, Town};
use crate::load::declare;
use crate::load::drive::Arrival;

/// The regions of the demo's server: home, and the one in the EU.
pub(crate) const HOME: &str = "us-east-1";
pub(crate) const REGION: &str = "eu-west-1";
/// Where the data of European banks may be.
pub(crate) const ZONE: &str = "eu";
const ORG: &str = "group-eu";
/// Whom the reviews of all tiers go to, and those of the bank with people of its own.
pub(crate) const SHARED: &str = "underwriters";
pub(crate) const DEDICATED: &str = "own-underwriters";
const SHARED_US: usize = 8;
const SHARED_EU: usize = 4;
const DEDICATED_US: usize = 2;
/// Banks of a tier that take part, the European one not counted.
const OF_TIER: usize = 8;
/// One in ten applications of the burst.
const BURST_PART: u32 = 10;
/// A bank sends one application in each of these.
const EVERY: Duration = Duration::from_millis(500);
/// How long they come, and when in that time the burst does.
const LENGTH: Duration = Duration::from_millis(2_500);
const BURST_AT: Duration = Duration::from_millis(300);

/// A bank that takes part.
#[derive(Clone, Debug)]
pub(crate) struct Bank {
    pub(crate) id: String,
    /// Position in [`TIERS`].
    pub(crate) tier: usize,
    pub(crate) is_european: bool,
}

/// All banks that take part: the European ones first, one of each tier, and the burst bank last.
#[derive(Debug)]
pub(crate) struct Cast {
    banks: Vec<Bank>,
    /// Position of the bank with reviewers of its own, and its tenant's context but for them.
    dedicated: Option<(usize, TenantSpec)>,
}

/// Whether the bank at that position is European.
pub(crate) const fn is_european(bank: u32) -> bool {
    (bank as usize) < TIERS.len()
}

impl Cast {
    pub(crate) fn new(town: &Town) -> Self {
        let european = TIERS.iter().enumerate().map(|(tier, declared)| Bank {
            id: format!("eu-{}", declared.name),
            tier,
            is_european: true,
        });
        let mut banks: Vec<Bank> = european.collect();
        let mut dedicated = None;
        for tier in 0..TIERS.len() {
            let takes_part = |(at, one): &(usize, &town::Institution)| {
                *at != town.burst() && Some(*at) != town.broke() && one.tier == tier
            };
            let all = town.institutions.iter().enumerate().filter(takes_part);
            for (_, one) in all.take(OF_TIER) {
                if dedicated.is_none() {
                    dedicated = Some((banks.len(), one.spec()));
                }
                banks.push(Bank { id: one.id.clone(), tier, is_european: false });
            }
        }
        let burst = &town.institutions[town.burst()];
        banks.push(Bank { id: burst.id.clone(), tier: burst.tier, is_european: false });
        Self { banks, dedicated }
    }

    pub(crate) fn banks(&self) -> &[Bank] {
        &self.banks
    }

    /// Position of the bank that asks for hundreds of reviews at once.
    pub(crate) fn burst(&self) -> usize {
        self.banks.len() - 1
    }

    pub(crate) fn ids(&self) -> Arc<[String]> {
        self.banks.iter().map(|bank| bank.id.clone()).collect()
    }

    /// Reviewers, where they work, and the European banks.
    pub(crate) async fn declare(&self, client: &Client, zone: Option<&str>) -> anyhow::Result<()> {
        desk::declare(client, SHARED, None, &shared()).await?;
        town::set_reviewers(client, SHARED).await?;
        let org = OrgSpec { weight: 1, cap: None, budget: None };
        declare::orgs(client, [(ORG.to_owned(), org)].into_iter()).await?;
        let european = self.banks.iter().filter(|bank| bank.is_european).map(|bank| {
            let residency =
                zone.map(|zone| Residency { zone: Some(zone.to_owned()), ..Residency::default() });
            let spec = declare::tenant(ORG, TIERS[bank.tier].name);
            (bank.id.clone(), TenantSpec { data_residency: residency, ..spec })
        });
        declare::tenants(client, european).await?;
        let Some((at, spec)) = &self.dedicated else { return Ok(()) };
        let id = &self.banks[*at].id;
        desk::declare(client, DEDICATED, Some(id), &dedicated()).await?;
        let spec = TenantSpec { reviewer_pool: Some(DEDICATED.to_owned()), ..spec.clone() };
        declare::tenants(client, [(id.clone(), spec)].into_iter()).await
    }

    /// All reviewers.
    pub(crate) fn people(&self) -> Vec<Person> {
        let own = self.dedicated.iter().flat_map(|_| dedicated());
        shared().into_iter().chain(own).collect()
    }

    /// A few applications of each bank, and the burst: one application in ten of the one that the phases before had.
    pub(crate) fn arrivals(&self, burst: u32) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut add = |due, tenant: usize| {
            let tenant = u32::try_from(tenant).unwrap_or(u32::MAX);
            arrivals.push(Arrival { due, tenant, work_us: 0 });
        };
        let count = self.burst().max(1);
        for bank in 0..self.burst() {
            let mut due =
                EVERY * u32::try_from(bank).unwrap_or(0) / u32::try_from(count).unwrap_or(1);
            while due < LENGTH {
                add(due, bank);
                due += EVERY;
            }
        }
        for number in 0..burst.div_ceil(BURST_PART) {
            add(BURST_AT + Duration::from_micros(number.into()), self.burst());
        }
        arrivals.sort_by_key(|arrival| (arrival.due, arrival.tenant));
        arrivals
    }
}

fn shared() -> Vec<Person> {
    let there = people(HOME, SHARED_US);
    there.into_iter().chain(people(REGION, SHARED_EU)).collect()
}

fn dedicated() -> Vec<Person> {
    let own = |number| Person { name: format!("own-{number}"), region: HOME };
    (1..=DEDICATED_US).map(own).collect()
}

fn people(region: &'static str, count: usize) -> Vec<Person> {
    (1..=count).map(|number| Person { name: format!("{region}-{number}"), region }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banks_of_each_tier_take_part_and_the_one_without_money_does_not() {
        let town = Town::new(200, 100);
        let cast = Cast::new(&town);
        assert_eq!(cast.banks().len(), 3 + 3 * OF_TIER + 1);
        assert!(cast.banks().iter().take(3).all(|bank| bank.is_european));
        let broke = &town.institutions[town.broke().unwrap()].id;
        assert!(cast.banks().iter().all(|bank| bank.id != *broke));
        assert_eq!(cast.banks()[cast.burst()].id, town::BURST_BANK);
    }

    #[test]
    fn each_application_of_a_bank_has_a_name_of_its_own() {
        let cast = Cast::new(&Town::new(20, 10));
        let arrivals = cast.arrivals(5_000);
        let names = arrivals.iter().map(|arrival| (arrival.tenant, arrival.due));
        assert_eq!(names.collect::<std::collections::BTreeSet<_>>().len(), arrivals.len());
        let of_burst = arrivals.iter().filter(|one| one.tenant as usize == cast.burst());
        assert_eq!(of_burst.count(), 500);
    }
}
