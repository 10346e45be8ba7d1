//! All metrics with their names, and how they are filled.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;

use fairlane_core::cell::effect::TenantView;
use fairlane_core::cell::view::{
    PlatformView, PoolReadings, ReviewersView, TierReadings, WindowView, WorkView, code_of,
};
use fairlane_core::reading::Percentiles;
use fairlane_core::reading::diagnosis::{State, burn_permille};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Pools, tiers, tools and classes of reviews of all regions that are told at most; those with most in them first.
const POOLS_MAX: usize = 48;
const TIERS_MAX: usize = 16;
const WORK_MAX: usize = 48;
const REVIEWERS_MAX: usize = 32;
const REASONS_MAX: usize = 16;
const DECISIONS_MAX: usize = 96;
/// Windows in which a tier's and a pool's numbers are told.
const SHORT: &str = "1m";
const LONG: &str = "1h";

type Labels = Vec<(&'static str, String)>;
type Numbers = Family<Labels, Gauge<f64, AtomicU64>>;
type Counts = Family<Labels, Counter<f64, AtomicU64>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Its name goes on with `_total`.
    Counter,
}

/// Name, kind, and what it says.
pub const METRICS: [(&str, Kind, &str); 43] = [
    ("fairlane_build", Kind::Gauge, "1, with the version as a label"),
    (
        "fairlane_state",
        Kind::Gauge,
        "Whether the platform is well: 0 healthy, 1 degrading, 2 broken",
    ),
    (
        "fairlane_shared_reasons",
        Kind::Gauge,
        "Tenants that are slow for a reason that they share, by reason",
    ),
    ("fairlane_tenants", Kind::Gauge, "Tenants declared"),
    (
        "fairlane_active_tenants",
        Kind::Gauge,
        "Tenants of which something was seen in the last minute",
    ),
    (
        "fairlane_slow_tenants",
        Kind::Gauge,
        "Tenants that are slow, and whether that is their own and expected",
    ),
    ("fairlane_pool_slots", Kind::Gauge, "Slots of a pool as declared"),
    (
        "fairlane_pool_dispatchable_slots",
        Kind::Gauge,
        "Slots that are given out, fewer while the store is slow",
    ),
    ("fairlane_pool_offered_slots", Kind::Gauge, "Slots that connected workers offer"),
    ("fairlane_pool_slots_held", Kind::Gauge, "Slots that are held"),
    ("fairlane_pool_waiting_steps", Kind::Gauge, "Steps that are ready and wait"),
    ("fairlane_pool_workers", Kind::Gauge, "Workers that are connected"),
    (
        "fairlane_pool_full_ratio",
        Kind::Gauge,
        "Part of the last minute in which all slots were taken and somebody waited",
    ),
    (
        "fairlane_pool_contenders",
        Kind::Gauge,
        "Tenants that wanted more than they held in the window",
    ),
    (
        "fairlane_pool_jain",
        Kind::Gauge,
        "Jain's index over service / min(demand, entitlement) of those that contend, of tenants or organisations",
    ),
    (
        "fairlane_tier_queue_wait_seconds",
        Kind::Gauge,
        "Quantiles of the wait of an attempt from ready to dispatched",
    ),
    (
        "fairlane_tier_start_seconds",
        Kind::Gauge,
        "Quantiles of the time of a run from submission to its first dispatch",
    ),
    (
        "fairlane_tier_latency_seconds",
        Kind::Gauge,
        "Quantiles of the time of a run from submission to its end",
    ),
    (
        "fairlane_tier_work_seconds",
        Kind::Gauge,
        "Quantiles of the time of an attempt from dispatch to report",
    ),
    (
        "fairlane_tier_latency_spread_seconds",
        Kind::Gauge,
        "The lowest, median and highest 95th percentile of the tenants of a tier",
    ),
    ("fairlane_tier_runs", Kind::Gauge, "Runs that ended in the window with a target in force"),
    ("fairlane_tier_late_runs", Kind::Gauge, "Those of them that missed it"),
    (
        "fairlane_tier_burn_rate",
        Kind::Gauge,
        "How fast the error budget of the tier's target is used: 1 lasts just as long as it must",
    ),
    (
        "fairlane_work_seconds",
        Kind::Gauge,
        "Quantiles of the time of an attempt at a tool, or in a pool where no tool is called",
    ),
    (
        "fairlane_work_slow",
        Kind::Gauge,
        "1 if half of the attempts of the last minute took twice as long as usual",
    ),
    ("fairlane_reviews_open", Kind::Gauge, "Reviews that nobody has claimed"),
    (
        "fairlane_reviews_claimed",
        Kind::Gauge,
        "Reviews that somebody has claimed and nobody has decided",
    ),
    (
        "fairlane_reviews_oldest_seconds",
        Kind::Gauge,
        "Age of the oldest review that nobody has decided",
    ),
    ("fairlane_reviews_opened", Kind::Gauge, "Reviews that came in the last hour"),
    ("fairlane_reviews_ended", Kind::Gauge, "Reviews that ended in the last hour"),
    ("fairlane_reviews_short", Kind::Gauge, "1 if a pool of reviewers has too few people"),
    (
        "fairlane_interference",
        Kind::Gauge,
        "Loud tenants whose load the waits of quiet ones follow significantly, by where",
    ),
    (
        "fairlane_commit_seconds",
        Kind::Gauge,
        "Quantiles of the time that the store takes for a commit",
    ),
    ("fairlane_live_runs", Kind::Gauge, "Runs that have not ended"),
    ("fairlane_waiting_bytes", Kind::Gauge, "Bytes of inputs of runs that have not ended"),
    ("fairlane_valve_open", Kind::Gauge, "0 while submissions are refused for want of room"),
    ("fairlane_valve_refused", Kind::Counter, "Submissions that the valve refused"),
    (
        "fairlane_cross_tenant_attempts",
        Kind::Counter,
        "Requests with keys of tenants that named another tenant: 0 if all is well",
    ),
    ("fairlane_decisions", Kind::Counter, "Entries of the decision log, by code"),
    (
        "fairlane_tenant_slots",
        Kind::Gauge,
        "Slots that a tenant holds, of those that hold or want most and of those that are named",
    ),
    ("fairlane_tenant_waiting_steps", Kind::Gauge, "Its steps that are ready and wait"),
    (
        "fairlane_tenant_latency_seconds",
        Kind::Gauge,
        "Its 95th percentile from submission to end over the last minute",
    ),
    ("fairlane_tenant_state", Kind::Gauge, "Whether it is slow: 0 healthy, 1 degrading, 2 broken"),
];

/// One answer to one scrape.
pub(super) struct Sheet {
    registry: Registry,
    numbers: BTreeMap<&'static str, Numbers>,
    counts: BTreeMap<&'static str, Counts>,
    regions: usize,
}

impl Sheet {
    pub(super) fn new(regions: usize) -> Self {
        let mut sheet = Self {
            registry: Registry::default(),
            numbers: BTreeMap::new(),
            counts: BTreeMap::new(),
            regions: regions.max(1),
        };
        for (name, kind, help) in METRICS {
            match kind {
                Kind::Gauge => {
                    let family = Numbers::default();
                    sheet.registry.register(name, help, family.clone());
                    sheet.numbers.insert(name, family);
                }
                Kind::Counter => {
                    let family = Counts::default();
                    sheet.registry.register(name, help, family.clone());
                    sheet.counts.insert(name, family);
                }
            }
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        sheet.set("fairlane_build", vec![("version", version)], 1.0);
        sheet
    }

    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn set(&self, name: &str, labels: impl Into<Labels>, value: f64) {
        let family = self.numbers.get(name).expect("it stands in the list of metrics");
        family.get_or_create(&labels.into()).set(value);
    }

    fn count(&self, name: &str, labels: impl Into<Labels>, value: u64) {
        let family = self.counts.get(name).expect("it stands in the list of metrics");
        family.get_or_create(&labels.into()).inc_by(whole(value));
    }

    fn quantiles(&self, name: &str, labels: &Labels, of: Option<Percentiles>) {
        let Some(of) = of else { return };
        for (quantile, value) in [("0.5", of.p50), ("0.95", of.p95), ("0.99", of.p99)] {
            let labels = labels.iter().cloned().chain([("quantile", quantile.to_owned())]);
            self.set(name, labels.collect::<Labels>(), seconds(value.0));
        }
    }

    pub(super) fn attempts(&self, attempts: u64) {
        self.count("fairlane_cross_tenant_attempts", Labels::new(), attempts);
    }

    pub(super) fn platform(&self, region: &str, platform: &PlatformView) {
        let here = || -> Labels { vec![("region", region.to_owned())] };
        self.set("fairlane_state", here(), state(platform.state));
        for shared in platform.reasons.iter().take(self.part(REASONS_MAX)) {
            let code = shared.reason.code.to_owned();
            let place = shared.reason.place.clone().unwrap_or_default();
            let labels = with(here(), [("reason", code), ("place", place)]);
            self.set("fairlane_shared_reasons", labels, whole(shared.tenants));
        }
        self.set("fairlane_tenants", here(), whole(platform.tenants));
        self.set("fairlane_active_tenants", here(), whole(platform.active));
        for (expected, count) in [("true", platform.slow_expected), ("false", platform.slow)] {
            let labels = with(here(), [("expected", expected.to_owned())]);
            self.set("fairlane_slow_tenants", labels, whole(count));
        }
        let mut pools: Vec<&PoolReadings> = platform.pools.iter().collect();
        pools.sort_by_key(|pool| std::cmp::Reverse((pool.pool.in_flight, pool.pool.waiting)));
        pools.iter().take(self.part(POOLS_MAX)).for_each(|pool| self.pool(&here(), pool));
        let mut tiers: Vec<&TierReadings> = platform.tiers.iter().collect();
        tiers.sort_by_key(|tier| std::cmp::Reverse(runs(tier)));
        tiers.iter().take(self.part(TIERS_MAX)).for_each(|tier| self.tier(&here(), tier));
        let mut work: Vec<&WorkView> = platform.work.iter().collect();
        work.sort_by_key(|work| std::cmp::Reverse(work.minute.map_or(0, |minute| minute.count)));
        work.iter().take(self.part(WORK_MAX)).for_each(|work| self.work(&here(), work));
        let mut reviewers: Vec<&ReviewersView> = platform.reviewers.iter().collect();
        reviewers.sort_by_key(|class| std::cmp::Reverse(class.open));
        reviewers
            .iter()
            .take(self.part(REVIEWERS_MAX))
            .for_each(|class| self.reviewers(&here(), class));
        for at in ["slots", "limit", "reviewers", "store"] {
            let found = platform.interference.iter();
            let found = found.filter(|found| found.at == at && found.found.is_significant).count();
            self.set(
                "fairlane_interference",
                with(here(), [("at", at.to_owned())]),
                whole(found as u64),
            );
        }
        for (window, took) in
            platform.commits.iter().filter(|(window, _)| *window == SHORT || *window == LONG)
        {
            let labels = with(here(), [("window", (*window).to_owned())]);
            self.quantiles("fairlane_commit_seconds", &labels, Some(*took));
        }
        let valve = &platform.valve;
        self.set("fairlane_live_runs", here(), whole(valve.live_runs));
        self.set("fairlane_waiting_bytes", here(), whole(valve.waiting_bytes));
        self.set("fairlane_valve_open", here(), f64::from(u8::from(valve.open)));
        self.count("fairlane_valve_refused", here(), valve.refused);
        for (code, count) in platform.decisions.iter().take(self.part(DECISIONS_MAX)) {
            self.count("fairlane_decisions", with(here(), [("code", code.clone())]), *count);
        }
    }

    /// A region's part of a bound for all.
    fn part(&self, of: usize) -> usize {
        (of / self.regions).max(1)
    }

    fn pool(&self, here: &Labels, readings: &PoolReadings) {
        let pool = &readings.pool;
        let labels = || with(here.clone(), [("pool", pool.pool.to_string())]);
        self.set("fairlane_pool_slots", labels(), pool.slots.into());
        self.set("fairlane_pool_dispatchable_slots", labels(), pool.dispatchable.into());
        self.set("fairlane_pool_offered_slots", labels(), pool.offered.into());
        self.set("fairlane_pool_slots_held", labels(), pool.in_flight.into());
        self.set("fairlane_pool_waiting_steps", labels(), whole(pool.waiting));
        self.set("fairlane_pool_workers", labels(), pool.workers.into());
        self.set("fairlane_pool_full_ratio", labels(), permille(readings.full_permille.into()));
        for fairness in readings.fairness.iter().filter(|fairness| fairness.window == "10m") {
            self.set("fairlane_pool_contenders", labels(), fairness.contenders.into());
            for (level, jain) in
                [("tenant", fairness.jain_permille), ("org", fairness.orgs_jain_permille)]
            {
                let Some(jain) = jain else { continue };
                let labels = with(labels(), [("level", level.to_owned())]);
                self.set("fairlane_pool_jain", labels, permille(jain.into()));
            }
        }
    }

    fn tier(&self, here: &Labels, tier: &TierReadings) {
        let labels = || with(here.clone(), [("tier", tier.tier.to_string())]);
        for view in &tier.windows {
            let window = code_of(view.window);
            if window == SHORT {
                self.quantiles("fairlane_tier_queue_wait_seconds", &labels(), view.queue);
                self.quantiles("fairlane_tier_start_seconds", &labels(), view.start);
                self.quantiles("fairlane_tier_latency_seconds", &labels(), view.end);
                self.quantiles("fairlane_tier_work_seconds", &labels(), view.work);
            }
            let Some(sla) = tier.sla else { continue };
            let labels = || with(labels(), [("window", window.to_owned())]);
            self.set("fairlane_tier_runs", labels(), whole(view.aimed));
            self.set("fairlane_tier_late_runs", labels(), whole(view.late));
            if let Some(burn) = burn_permille((view.aimed, view.late), sla) {
                self.set("fairlane_tier_burn_rate", labels(), permille(burn));
            }
        }
        let Some(spread) = &tier.spread else { return };
        let of =
            [("lowest", spread.lowest), ("median", spread.median), ("highest", spread.highest)];
        for (of, value) in of {
            let labels = with(labels(), [("of", of.to_owned())]);
            self.set("fairlane_tier_latency_spread_seconds", labels, seconds(value.0));
        }
    }

    fn work(&self, here: &Labels, work: &WorkView) {
        let place = [("kind", work.kind.to_owned()), ("name", work.name.clone())];
        let labels = with(here.clone(), place);
        self.quantiles("fairlane_work_seconds", &labels, work.minute);
        self.set("fairlane_work_slow", labels, f64::from(u8::from(work.is_slow)));
    }

    fn reviewers(&self, here: &Labels, class: &ReviewersView) {
        let place = [("pool", class.pool.to_string()), ("class", class.class.to_string())];
        let labels = || with(here.clone(), place.clone());
        self.set("fairlane_reviews_open", labels(), whole(class.open));
        self.set("fairlane_reviews_claimed", labels(), whole(class.claimed));
        self.set(
            "fairlane_reviews_oldest_seconds",
            labels(),
            seconds(class.oldest.map_or(0, |age| age.0)),
        );
        self.set("fairlane_reviews_opened", labels(), whole(class.opened));
        self.set("fairlane_reviews_ended", labels(), whole(class.ended));
        self.set("fairlane_reviews_short", labels(), f64::from(u8::from(class.is_short)));
    }

    pub(super) fn tenant(&self, region: &str, tenant: &TenantView) {
        let place = [("region", region.to_owned()), ("tenant", tenant.tenant.to_string())];
        let labels = || Labels::from(place.clone());
        self.set("fairlane_tenant_slots", labels(), tenant.slots.into());
        self.set("fairlane_tenant_waiting_steps", labels(), tenant.waiting.into());
        if let Some(latency) = tenant.latency {
            self.set("fairlane_tenant_latency_seconds", labels(), seconds(latency.p95.0));
        }
        self.set("fairlane_tenant_state", labels(), state(tenant.diagnosis.state));
    }
}

fn runs(tier: &TierReadings) -> u64 {
    let minute = tier.windows.first().and_then(|window: &WindowView| window.end);
    minute.map_or(0, |minute| minute.count)
}

fn with<const N: usize>(mut labels: Labels, more: [(&'static str, String); N]) -> Labels {
    labels.extend(more);
    labels
}

const fn state(state: State) -> f64 {
    match state {
        State::Healthy => 0.0,
        State::Degrading => 1.0,
        State::Broken => 2.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floats only")]
const fn whole(count: u64) -> f64 {
    count as f64
}

const fn permille(value: u64) -> f64 {
    whole(value) / 1_000.0
}

const fn seconds(micros: u64) -> f64 {
    whole(micros) / 1_000_000.0
}
