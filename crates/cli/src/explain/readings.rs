//! Why a tenant is slow, and whether the platform is well.

use fairlane_api::reading::{
    Attainment, Held, Latency, Overview, PoolReadings, Readings, Target, TierReadings,
    WindowReadings,
};

use crate::table::Table;
use crate::text;

/// Causes that are printed.
const HELD_SHOWN: usize = 6;

pub(super) fn tenant(readings: &Readings) -> String {
    let Readings { tenant, tier, slots, cap, waiting, live_runs, diagnosis, .. } = readings;
    let mut text = format!("{tenant}, tier {tier}: {}\n", text::word(&diagnosis.state));
    text.push_str(&format!("{}\n\n", diagnosis.says));
    text.push_str(&format!(
        "Now it holds {slots} of at most {cap} slots in each pool, {waiting} steps are ready and wait, and {live_runs} runs are live.\n"
    ));
    if let Some(target) = readings.sla {
        text.push_str(&format!("{}\n", target_words(target, &readings.windows)));
    }
    if readings.windows.iter().all(is_empty) {
        text.push_str("Nothing of it was done in the last day.\n");
        return text;
    }
    text.push('\n');
    text.push_str(&windows(&readings.windows));
    for window in &readings.windows {
        if !window.held.is_empty() {
            text.push_str(&format!(
                "\nWhat its steps waited for, in the last {}:\n",
                words(window)
            ));
            text.push_str(&held(&window.held));
            break;
        }
    }
    text
}

pub(super) fn platform(overview: &Overview) -> String {
    let mut text = format!("{}: {}\n", overview.region, text::word(&overview.state));
    match overview.reasons.as_slice() {
        [] => text.push_str(&format!("{}\n", overview.says)),
        reasons => {
            for reason in reasons {
                text.push_str(&format!("- {}\n", reason.says));
            }
            if overview.slow_expected > 0 {
                let count = overview.slow_expected;
                text.push_str(&match count {
                    1 => "1 more is slow for a reason of its own.\n".to_owned(),
                    _ => format!("{count} more are slow for reasons of their own.\n"),
                });
            }
        }
    }
    text.push('\n');
    text.push_str(&pools(&overview.pools));
    if !overview.tiers.is_empty() {
        text.push('\n');
        text.push_str(&tiers(&overview.tiers));
    }
    let significant: Vec<_> = overview.interference.iter().filter(|one| one.significant).collect();
    if !significant.is_empty() {
        text.push_str("\nIsolation is incomplete:\n");
    }
    for one in significant {
        let place = one.place.as_ref().map_or_else(String::new, |place| format!(" {place}"));
        let chance = match one.probability {
            small if small < 0.000_1 => "less than 1 in 10,000".to_owned(),
            other => format!("{:.2} %", other * 100.0),
        };
        text.push_str(&format!(
            "- at {}{place}: a quiet tenant's step waits {:.1} ms longer for each slot that {} wants, {} in its busiest time (correlation {:.2}, by chance {chance})\n",
            one.at, one.ms_per_slot, one.tenant, text::span_us(one.effect_us), one.correlation
        ));
    }
    let short = overview.reviewers.iter().filter(|pool| pool.short);
    for pool in short {
        text.push_str(&format!(
            "\nReviewers {}, class {}: {} open, {} came in the last hour and {} were decided.\n",
            pool.pool, pool.class, pool.open, pool.opened, pool.ended
        ));
    }
    if overview.cross_tenant_attempts > 0 {
        let count = overview.cross_tenant_attempts;
        text.push_str(&format!(
            "\n{count} requests named another tenant than their key's: it should be none.\n"
        ));
    }
    text.push_str("\n`fairlane explain TENANT` says why one of them is slow, `fairlane top` shows all of them.\n");
    text
}

fn is_empty(window: &WindowReadings) -> bool {
    window.queue_wait.is_none() && window.latency.is_none() && window.held.is_empty()
}

fn words(window: &WindowReadings) -> &str {
    match window.window.as_str() {
        "1m" => "minute",
        "10m" => "ten minutes",
        "1h" => "hour",
        "1d" => "day",
        other => other,
    }
}

fn target_words(target: Target, windows: &[WindowReadings]) -> String {
    let percent = f64::from(target.percentile_permille) / 10.0;
    let mut text =
        format!("Its target is {percent} % of runs within {}", text::span_us(target.latency_us));
    let hour = windows.iter().find(|window| window.window == "1h").and_then(|window| window.sla);
    if let Some(Attainment { ended, late, attained_permille: Some(attained), .. }) = hour {
        text.push_str(&format!(
            "; in the last hour it is {}.{} % ({late} of {ended} took longer)",
            attained / 10,
            attained % 10
        ));
    }
    if let Some(burn) = hour.and_then(|hour| hour.burn_rate_permille) {
        text.push_str(&format!(", {} % of what may", burn / 10));
    }
    text.push('.');
    text
}

fn windows(windows: &[WindowReadings]) -> String {
    let mut table = Table::new(&[
        "LAST",
        ">STEPS",
        ">WAIT P50",
        ">P95",
        ">WORK P50",
        ">P95",
        ">RUNS",
        ">TOOK P50",
        ">P95",
        ">LATE",
        ">OF ITS PART",
    ]);
    let span = |latency: Option<Latency>, of: fn(&Latency) -> u64| {
        text::or_dash(latency.as_ref().map(|latency| text::span_us(of(latency))))
    };
    for window in windows {
        let count =
            |latency: Option<Latency>| latency.map_or(0, |latency| latency.count).to_string();
        let part = window.share_permille.map(|part| format!("{}.{} %", part / 10, part % 10));
        table.row([
            words(window).to_owned(),
            count(window.queue_wait),
            span(window.queue_wait, |latency| latency.p50_us),
            span(window.queue_wait, |latency| latency.p95_us),
            span(window.work, |latency| latency.p50_us),
            span(window.work, |latency| latency.p95_us),
            count(window.latency),
            span(window.latency, |latency| latency.p50_us),
            span(window.latency, |latency| latency.p95_us),
            text::or_dash(window.sla.map(|sla| sla.late)),
            text::or_dash(part),
        ]);
    }
    table.render()
}

fn held(held: &[Held]) -> String {
    let all: u64 = held.iter().map(|one| one.time_us).sum();
    let mut table = Table::new(&["CAUSE", "AT", ">STEP TIME", ">PART", "WHOSE"]);
    for one in held.iter().take(HELD_SHOWN) {
        table.row([
            one.cause.clone(),
            text::or_dash(one.place.as_ref()),
            text::span_us(one.time_us),
            format!("{} %", one.time_us.saturating_mul(100) / all.max(1)),
            if one.own { "its own" } else { "shared" }.to_owned(),
        ]);
    }
    table.render()
}

fn pools(pools: &[PoolReadings]) -> String {
    let mut table = Table::new(&[
        "POOL",
        ">SLOTS",
        ">WAITING",
        ">WORKERS",
        ">FULL",
        ">CONTEND",
        ">JAIN 1m",
        ">10m",
        ">1h",
        ">ORGS 10m",
        "MOST SLOTS",
    ]);
    let jain = |permille: Option<u32>| {
        text::or_dash(
            permille.map(|permille| format!("{}.{:03}", permille / 1_000, permille % 1_000)),
        )
    };
    for pool in pools {
        let of = |window: &str| pool.fairness.iter().find(|one| one.window == window);
        let tenants = |window| jain(of(window).and_then(|one| one.jain_permille));
        let most = pool.top.first().filter(|holder| holder.slots > 0);
        table.row([
            pool.pool.clone(),
            format!("{}/{}", pool.in_flight, pool.slots),
            pool.waiting.to_string(),
            pool.workers.to_string(),
            format!("{} %", pool.full_permille / 10),
            of("10m").map_or(0, |one| one.contenders).to_string(),
            tenants("1m"),
            tenants("10m"),
            tenants("1h"),
            jain(of("10m").and_then(|one| one.orgs_jain_permille)),
            text::or_dash(most.map(|holder| format!("{} ({})", holder.tenant, holder.slots))),
        ]);
    }
    table.render()
}

/// A tier's numbers are of all its tenants, so how far these are apart stands beside them.
fn tiers(tiers: &[TierReadings]) -> String {
    let mut table = Table::new(&[
        "TIER",
        ">RUNS 1m",
        ">P50",
        ">P95",
        ">TENANTS",
        ">P95 LEAST",
        ">MIDDLE",
        ">MOST",
        "OF",
        ">LATE 1h",
    ]);
    for tier in tiers {
        let of = |window: &str| tier.windows.iter().find(|one| one.window == window);
        let minute = of("1m").and_then(|window| window.latency);
        let spread = tier.spread.as_ref();
        let span = |of: fn(&fairlane_api::reading::Spread) -> u64| {
            text::or_dash(spread.map(|spread| text::span_us(of(spread))))
        };
        table.row([
            tier.tier.clone(),
            minute.map_or(0, |minute| minute.count).to_string(),
            text::or_dash(minute.map(|minute| text::span_us(minute.p50_us))),
            text::or_dash(minute.map(|minute| text::span_us(minute.p95_us))),
            text::or_dash(spread.map(|spread| spread.tenants)),
            span(|spread| spread.lowest_us),
            span(|spread| spread.median_us),
            span(|spread| spread.highest_us),
            text::or_dash(spread.map(|spread| spread.highest_of.clone())),
            text::or_dash(of("1h").and_then(|window| window.sla).map(|sla| sla.late)),
        ]);
    }
    table.render()
}
