//! What the core says of tenants and of the platform, as it goes over the wire.

use fairlane_api::reading::{
    Attainment, CommitReadings, DecisionCount, Diagnosis, Fairness, Held, Holder, Interference,
    Latency, Overview, PoolReadings, Readings, ReviewerReadings, SharedReason, SlowReason, Spread,
    Target, TierReadings, Wellness, WindowReadings, WorkReadings,
};
use fairlane_core::cell::effect::TenantView;
use fairlane_core::cell::view as core;
use fairlane_core::reading::Percentiles;
use fairlane_core::reading::diagnosis::{State, burn_permille};
use fairlane_core::tenant::Sla;

use super::words;
use crate::pools::valve_out;
use crate::wire::timestamp;

pub(super) fn readings(view: &TenantView, cross_tenant_attempts: Option<u64>) -> Readings {
    let window = |window: &core::WindowView| window_readings(window, view.sla);
    Readings {
        tenant: view.tenant.to_string(),
        org: view.org.to_string(),
        tier: view.tier.to_string(),
        weight: view.weight,
        cap: view.cap,
        suspended: view.suspended,
        slots: view.slots,
        burst_slots: view.burst_slots,
        waiting: view.waiting,
        live_runs: view.live_runs,
        completed: view.completed,
        failed: view.failed,
        service_us: view.service.0,
        debt_us: view.debt.0,
        latency: view.latency.map(latency),
        queue_wait: view.queue_wait.map(latency),
        share_permille: view.share_permille,
        budget_used_permille: view.budget_used_permille,
        sla: view.sla.map(target),
        sla_violations: view.sla_violations,
        diagnosis: Diagnosis {
            state: wellness(view.diagnosis.state),
            reason: view.diagnosis.reason.as_ref().map(reason),
            says: words::of_tenant(view),
            held_us: view.diagnosis.held.0,
            held_in_all_us: view.diagnosis.held_in_all.0,
        },
        windows: view.windows.iter().map(window).collect(),
        cross_tenant_attempts,
    }
}

pub(super) fn overview(
    platform: &core::PlatformView,
    (region, regions): (String, Vec<String>),
    cross_tenant_attempts: u64,
) -> Overview {
    Overview {
        region,
        regions,
        at: timestamp(platform.at),
        state: wellness(platform.state),
        says: words::of_platform(platform),
        reasons: platform.reasons.iter().map(shared_reason).collect(),
        tenants: platform.tenants,
        active: platform.active,
        slow_expected: platform.slow_expected,
        slow: platform.slow,
        pools: platform.pools.iter().map(pool).collect(),
        tiers: platform.tiers.iter().map(tier).collect(),
        work: platform.work.iter().map(work).collect(),
        commits: platform.commits.iter().map(commits).collect(),
        reviewers: platform.reviewers.iter().map(reviewers).collect(),
        interference: platform.interference.iter().map(interference).collect(),
        valve: valve_out(&platform.valve),
        cross_tenant_attempts,
        decisions: platform
            .decisions
            .iter()
            .map(|(code, count)| DecisionCount { code: code.clone(), count: *count })
            .collect(),
    }
}

fn shared_reason(shared: &core::SharedReason) -> SharedReason {
    SharedReason {
        reason: reason(&shared.reason),
        says: words::of_shared(shared),
        tenants: shared.tenants,
        examples: shared.examples.iter().map(ToString::to_string).collect(),
    }
}

fn pool(readings: &core::PoolReadings) -> PoolReadings {
    let fairness = |fairness: &core::FairnessView| Fairness {
        window: fairness.window.to_owned(),
        contenders: fairness.contenders,
        jain_permille: fairness.jain_permille,
        orgs: fairness.orgs,
        orgs_jain_permille: fairness.orgs_jain_permille,
    };
    let holder = |holder: &core::HolderView| Holder {
        tenant: holder.tenant.to_string(),
        org: holder.org.to_string(),
        slots: holder.slots,
        waiting: holder.waiting,
        cap: holder.cap,
    };
    PoolReadings {
        pool: readings.pool.pool.to_string(),
        slots: readings.pool.slots,
        dispatchable: readings.pool.dispatchable,
        in_flight: readings.pool.in_flight,
        waiting: readings.pool.waiting,
        workers: readings.pool.workers,
        offered: readings.pool.offered,
        fairness: readings.fairness.iter().map(fairness).collect(),
        full_permille: readings.full_permille,
        top: readings.top.iter().map(holder).collect(),
        other_slots: readings.other_slots,
        other_waiting: readings.other_waiting,
    }
}

fn tier(readings: &core::TierReadings) -> TierReadings {
    let window = |window: &core::WindowView| window_readings(window, readings.sla);
    TierReadings {
        tier: readings.tier.to_string(),
        sla: readings.sla.map(target),
        windows: readings.windows.iter().map(window).collect(),
        spread: readings.spread.as_ref().map(|spread| Spread {
            tenants: spread.tenants,
            lowest_us: spread.lowest.0,
            median_us: spread.median.0,
            highest_us: spread.highest.0,
            highest_of: spread.highest_of.to_string(),
        }),
    }
}

fn work(readings: &core::WorkView) -> WorkReadings {
    WorkReadings {
        kind: readings.kind.to_owned(),
        name: readings.name.clone(),
        minute: readings.minute.map(latency),
        hour: readings.hour.map(latency),
        slow: readings.is_slow,
    }
}

fn commits((window, took): &(core::WindowName, Percentiles)) -> CommitReadings {
    CommitReadings { window: (*window).to_owned(), took: latency(*took) }
}

fn reviewers(readings: &core::ReviewersView) -> ReviewerReadings {
    ReviewerReadings {
        pool: readings.pool.to_string(),
        class: readings.class,
        open: readings.open,
        claimed: readings.claimed,
        oldest_us: readings.oldest.map(|age| age.0),
        opened: readings.opened,
        ended: readings.ended,
        short: readings.is_short,
    }
}

fn interference(view: &core::InterferenceView) -> Interference {
    Interference {
        tenant: view.tenant.to_string(),
        at: view.at.to_owned(),
        place: view.place.clone(),
        correlation: view.found.correlation,
        lag_us: view.found.lag.0,
        probability: view.found.probability,
        ms_per_slot: view.found.ms_per_slot,
        slots: view.found.slots,
        effect_us: view.found.effect.0,
        buckets: view.found.buckets,
        significant: view.found.is_significant,
    }
}

fn window_readings(view: &core::WindowView, sla: Option<Sla>) -> WindowReadings {
    WindowReadings {
        window: core::code_of(view.window).to_owned(),
        queue_wait: view.queue.map(latency),
        start: view.start.map(latency),
        latency: view.end.map(latency),
        work: view.work.map(latency),
        sla: sla.map(|sla| attainment((view.aimed, view.late), sla)),
        service_us: view.service.0,
        share_permille: view.share_permille,
        held: view.held.iter().map(held).collect(),
    }
}

fn attainment((ended, late): (u64, u64), sla: Sla) -> Attainment {
    let burn = burn_permille((ended, late), sla);
    let left = |burn| 1_000_i64.saturating_sub(i64::try_from(burn).unwrap_or(i64::MAX));
    Attainment {
        ended,
        late,
        attained_permille: ((ended - late) * 1_000).checked_div(ended),
        budget_left_permille: burn.map(left),
        burn_rate_permille: burn,
    }
}

fn held(held: &core::HeldView) -> Held {
    Held {
        cause: held.cause.to_owned(),
        place: held.place.clone(),
        time_us: held.time.0,
        own: held.is_own,
    }
}

fn reason(reason: &core::ReasonView) -> SlowReason {
    SlowReason { code: reason.code.to_owned(), place: reason.place.clone(), own: reason.is_own }
}

const fn wellness(state: State) -> Wellness {
    match state {
        State::Healthy => Wellness::Healthy,
        State::Degrading => Wellness::Degrading,
        State::Broken => Wellness::Broken,
    }
}

const fn target(sla: Sla) -> Target {
    Target { percentile_permille: sla.percentile_permille, latency_us: sla.latency.0 }
}

const fn latency(latency: Percentiles) -> Latency {
    Latency {
        count: latency.count,
        p50_us: latency.p50.0,
        p95_us: latency.p95.0,
        p99_us: latency.p99.0,
        max_us: latency.max.0,
    }
}
