//! That all metrics are documented, that what is deployed beside the server uses no others, and that their number is
//! bounded.

use std::collections::BTreeSet;
use std::path::Path;

use fairlane_core::cell::effect::{PoolView, ValveView};
use fairlane_core::cell::view::{
    FairnessView, PlatformView, PoolReadings, ReasonView, ReviewersView, SharedReason, Spread,
    TierReadings, WindowView, WorkView,
};
use fairlane_core::pool::Policy;
use fairlane_core::reading::Percentiles;
use fairlane_core::reading::{Window, diagnosis::State};
use fairlane_core::tenant::Sla;
use fairlane_core::time::{Span, Time};

use super::sheet::{Kind, METRICS, Sheet};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

fn names() -> BTreeSet<String> {
    let name = |(name, kind, _): &(&str, Kind, &str)| match kind {
        Kind::Gauge => (*name).to_owned(),
        Kind::Counter => format!("{name}_total"),
    };
    METRICS.iter().map(name).collect()
}

/// All words of the text that begin as metrics do.
fn used(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("fairlane_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let text = read("docs/reference/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), names());
}

#[test]
fn alerts_and_dashboards_use_metrics_that_there_are() {
    for path in ["deploy/prometheus/alerts.yaml", "deploy/grafana/fairlane.json"] {
        let used = used(&read(path));
        assert!(used.len() > 5, "{path}");
        let known = names();
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} uses {unknown:?}");
    }
}

const SPAN: Span = Span(1_500_000);
const SOME: Percentiles = Percentiles { count: 3, p50: SPAN, p95: SPAN, p99: SPAN, max: SPAN };

fn pool(at: usize) -> PoolReadings {
    PoolReadings {
        pool: PoolView {
            pool: format!("pool-{at}").parse().unwrap(),
            policy: Policy::Fair,
            slots: 4,
            dispatchable: 4,
            in_flight: 1,
            waiting: 2,
            workers: 1,
            offered: 4,
        },
        fairness: Window::ALL
            .map(|window| FairnessView {
                window: fairlane_core::cell::view::code_of(window),
                contenders: 2,
                jain_permille: Some(950),
                orgs: 2,
                orgs_jain_permille: Some(1_000),
            })
            .into(),
        full_permille: 500,
        top: Vec::new(),
        other_slots: 0,
        other_waiting: 0,
    }
}

fn tier(at: usize) -> TierReadings {
    let window = |window| WindowView {
        window,
        queue: Some(SOME),
        start: Some(SOME),
        end: Some(SOME),
        work: Some(SOME),
        aimed: 100,
        late: 10,
        service: Span::ZERO,
        share_permille: None,
        held: Vec::new(),
    };
    TierReadings {
        tier: format!("tier-{at}").parse().unwrap(),
        sla: Some(Sla { percentile_permille: 950, latency: Span::from_secs(1) }),
        windows: Window::ALL.map(window).into(),
        spread: Some(Spread {
            tenants: 3,
            lowest: Span(1),
            median: Span(2),
            highest: Span(3),
            highest_of: "bank-1".parse().unwrap(),
        }),
    }
}

/// More of everything than is told.
fn platform() -> PlatformView {
    let reason = |at: usize| SharedReason {
        reason: ReasonView { code: "slots", place: Some(format!("pool-{at}")), is_own: false },
        tenants: 3,
        examples: Vec::new(),
    };
    let work = |at: usize| WorkView {
        kind: "tool",
        name: format!("tool-{at}"),
        minute: Some(SOME),
        hour: Some(SOME),
        is_slow: at == 0,
    };
    let reviewers = |at: usize| ReviewersView {
        pool: format!("people-{at}").parse().unwrap(),
        class: 4,
        open: 1,
        claimed: 1,
        oldest: Some(Span(1)),
        opened: 1,
        ended: 1,
        is_short: false,
    };
    PlatformView {
        at: Time(0),
        tenants: 100_000,
        active: 100_000,
        slow_expected: 1,
        slow: 300,
        state: State::Degrading,
        reasons: (0..1_000).map(reason).collect(),
        pools: (0..1_000).map(pool).collect(),
        tiers: (0..1_000).map(tier).collect(),
        work: (0..1_000).map(work).collect(),
        commits: vec![("1m", SOME), ("1h", SOME)],
        reviewers: (0..1_000).map(reviewers).collect(),
        interference: Vec::new(),
        valve: ValveView {
            open: true,
            live_runs: 1,
            runs_soft: 1,
            runs_hard: 1,
            waiting_bytes: 1,
            bytes_soft: 1,
            bytes_hard: 1,
            refused: 7,
        },
        decisions: (0..200).map(|at| (format!("code-{at}"), at)).collect(),
    }
}

#[test]
fn the_number_of_series_is_bounded_whatever_there_is() {
    for regions in [1, 3] {
        let sheet = Sheet::new(regions);
        for region in 0..regions {
            sheet.platform(&format!("region-{region}"), &platform());
        }
        let text = sheet.text().unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        // 70 tenants with four series each come to that: those that hold most, and those that are named.
        assert!(series + 70 * 4 <= 2_000, "{regions}: {series}");
        assert!(series > 500, "{regions}: {series}");
    }
}

#[test]
fn what_is_told_is_what_was_seen() {
    let sheet = Sheet::new(1);
    sheet.platform("home", &platform());
    let text = sheet.text().unwrap();
    for line in [
        r#"fairlane_pool_jain{region="home",pool="pool-0",level="tenant"} 0.95"#,
        r#"fairlane_tier_latency_seconds{region="home",tier="tier-0",quantile="0.95"} 1.5"#,
        r#"fairlane_tier_burn_rate{region="home",tier="tier-0",window="1h"} 2.0"#,
        r#"fairlane_valve_refused_total{region="home"} 7.0"#,
        r#"fairlane_state{region="home"} 1.0"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
}
