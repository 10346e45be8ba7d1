//! What workers report, changed: names of leases that mean one lease each, and failures within their bounds.

use fairlane_fuzz::Target;

use super::*;
use crate::body::fuzzed::leads_somewhere;
use crate::body::parse;

const WORDS: &[&str] =
    &["-1", "-2", "-0", "+1", "007", "4294967295", "18446744073709551615", "acme", "."];

#[test]
fn every_lease_has_one_name() {
    let seeds = [
        "acme.01234567-89ab-7cde-8f01-23456789abcd.0.-1.1",
        "bank-1_x.ffffffff-ffff-ffff-ffff-ffffffffffff.499.-2.18446744073709551615",
        "a.00000000-0000-0000-0000-000000000000.65535.9999.281474976710657",
    ];
    Target::new("lease", 40_000).seeds(seeds).words(WORDS.iter().copied()).run(|input| {
        let text = String::from_utf8_lossy(input);
        let Some(lease) = parse_lease(&text) else { return text.split('.').count().min(8) };
        let name = LeaseName(&lease).to_string();
        assert_eq!(name, text, "a name that is read is the one that the lease has");
        let stem = IdempotencyKey(&lease).to_string();
        assert_eq!(name, format!("{stem}.{}", lease.fence));
        9 + usize::from(lease.instance.part.code() == -1)
    });
}

#[test]
fn every_report_is_an_outcome_within_its_bounds_or_refused_with_the_place() {
    let seeds = [
        r#"{"worker": "w", "pool": "main", "slots": 10, "want": 10000, "wait_ms": 60000, "report": [
            {"lease": "l", "failed": {"class": "", "message": "m", "cost": "0.05", "retry_after_ms": 86400000}},
            {"lease": "m", "failed": {"class": "bureau-unavailable", "contradicts": ["credit"], "provider_down": true}},
            {"lease": "n", "completed": {"output": [1], "cost": 0.000000001}}]}"#
            .to_owned(),
        format!(
            r#"{{"worker": "w", "pool": "p", "slots": 1, "report": [{{"lease": "l", "failed": {{"class": "{}",
                "message": "{}", "cost": "1000000000"}}}}]}}"#,
            "é".repeat(40),
            "€".repeat(1_500)
        ),
    ];
    Target::new("report", 10_000).seeds(seeds).words(WORDS.iter().copied()).run(|input| {
        let Ok(body) = parse::<wire::Exchange>(input) else { return vec!["not read".to_owned()] };
        let mut met = vec![match Asker::of(&body, None) {
            Ok(asker) => {
                assert_eq!(
                    (asker.worker.as_str(), asker.pool.as_str()),
                    (&*body.worker, &*body.pool)
                );
                "asked".to_owned()
            }
            Err(refused) => placed(input, &refused),
        }];
        for (at, report) in body.report.iter().enumerate() {
            let place = format!("/report/{at}/failed");
            met.extend(report.failed.as_ref().map(|failed| match failure(failed, &place) {
                Ok(outcome) => is_bounded(failed, &outcome),
                Err(refused) => placed(input, &refused),
            }));
            let cost = report.completed.as_ref().and_then(|completed| completed.cost.as_ref());
            met.extend(cost.map(|given| {
                match self::cost(Some(given), &format!("/report/{at}/completed")) {
                    Ok(cost) => is_exact(cost),
                    Err(refused) => placed(input, &refused),
                }
            }));
        }
        met
    });
}

/// The place of a refusal is one that was sent.
fn placed(input: &[u8], refused: &Refused) -> String {
    let problem = &refused.0;
    let pointer = problem.pointer.as_deref().expect("it says where");
    let sent = serde_json::from_slice(input).expect("it was read");
    assert!(leads_somewhere(sent, pointer), "{pointer:?} leads nowhere");
    assert_eq!(problem.status, 422, "{problem:?}");
    format!(
        "{} {}",
        problem.code,
        pointer.rsplit('/').find(|part| part.parse::<u32>().is_err()).unwrap_or_default()
    )
}

fn is_bounded(failed: &wire::Failed, outcome: &Outcome) -> String {
    let (kind, failure, cost) = match outcome {
        Outcome::Failed { failure, cost, .. } => {
            assert!(failed.contradicts.is_empty());
            ("failed", failure, cost)
        }
        Outcome::Contradicted { failure, steps, cost } => {
            assert_eq!(steps.len(), failed.contradicts.len(), "all steps are named");
            assert_eq!(&*failure.class, CONTRADICTION);
            ("contradicted", failure, cost)
        }
        other => panic!("a failure is {other:?}"),
    };
    assert!((1..=CLASS_BYTES_MAX).contains(&failure.class.len()), "{}", failure.class);
    assert!(failure.message.len() <= Failure::MESSAGE_BYTES_MAX, "{}", failure.message.len());
    assert!(failed.message.starts_with(&*failure.message), "it is cut at its end only");
    format!("{kind} {}", is_exact(*cost))
}

/// An amount that is read is shown as the same amount.
fn is_exact(cost: Option<Nano>) -> String {
    let Some(cost) = cost else { return "for nothing".to_owned() };
    assert!(cost <= Nano::MAX, "{cost}");
    assert_eq!(cost.to_string().parse::<Nano>().ok(), Some(cost), "{cost}");
    "for money".to_owned()
}
