//! Bodies that nobody would send, for every type that a request has: what is taken is what `serde` takes, and what is
//! refused says where it is wrong.

use fairlane_api::{
    catalog, erasure, key, notice, policy, quota, residency, resource, review, run, worker,
};
use fairlane_fuzz::Target;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// Fields whose values are handed on as their text: nothing is asked of what is in them.
const RAW: &[&str] = &["input", "output", "attributes", "data"];
/// What a refusal says besides what was sent, of which it says the name or the text that is wrong, and where that is.
const SAID_BYTES_MAX: usize = 4_000;

struct Kind {
    name: &'static str,
    read: fn(&[u8]) -> String,
    example: &'static str,
}

macro_rules! kinds {
    ($($type:ty = $example:literal;)*) => {
        &[$(Kind { name: stringify!($type), read: read::<$type>, example: $example },)*]
    };
}

const KINDS: &[Kind] = kinds! {
    resource::OrgSpec = r#"{"weight": 3, "cap": 40, "budget": {"month": "12.50", "time_zone": "UTC"}}"#;
    resource::TierSpec = r#"{"weight": 4, "cap": 10, "burst": {"extra_slots": 2, "credit_ms": 60000}, "runs_max": 100,
        "sla": {"percentile_permille": 950, "latency_ms": 60000}, "data_residency": {"zone": "eea", "regions": ["de"]},
        "allowed_tools": ["bank/v1"], "denied_tools": ["mail"], "outage": {"alternative": false, "wait": "5m", "then": "fail"},
        "legal_hold": true, "audit_retention_days": 400}"#;
    resource::TenantSpec = r#"{"org": "o", "tier": "t", "attributes": {"limit": 7, "a": [1.50, {"x": null}]}, "suspended": false}"#;
    resource::PoolSpec = r#"{"slots": 10, "policy": "round_robin", "long": {"over_ms": 5, "share_permille": 200}, "tasks": ["a"]}"#;
    resource::ValveSpec = r#"{"runs_soft": 10, "runs_hard": 20, "bytes_soft": 1, "bytes_hard": 2}"#;
    quota::ToolSpec = r#"{"limits": [{"window": {"units": 10, "every": "day"}}, {"bucket": {"units": 5, "per": "1s", "burst": 9}},
        {"concurrent": {"calls": 3}}], "breaker": {"failures": 5, "open_for": "30s"}, "endpoint": {"protocol": "http",
        "url": "https://x.example/{{ id }}", "request": {"method": "POST", "headers": {"x-a": "b", "x-b": {"env": "K"}}}}}"#;
    quota::BudgetClassSpec = r#"{"quotas": {"bank/v1": [{"concurrent": {"calls": 3}}], "mail": []}, "budget": {"run": "0.05",
        "reserve": 1.5, "day": 10, "short": []}}"#;
    quota::AccountSpec = r#"{"topped_up": "10.00", "forgiven": 0.25}"#;
    quota::RunBudget = r#"{"limit": "0.000000001"}"#;
    catalog::ModelSpec = r#"{"candidates": [{"endpoint": "e/v1", "model": "m", "price": "p", "tiers": ["gold"]}]}"#;
    catalog::PriceSpec = r#"{"versions": [{"from": "2026-01-01T00:00:00Z", "currency": "USD", "input": "1.2", "output": 3}]}"#;
    residency::RegionSpec = r#"{"country": "DE", "label": "Frankfurt"}"#;
    residency::ZoneSpec = r#"{"countries": ["DE", "FR"], "regions": ["own-1"], "adequate": true}"#;
    residency::AdequacySpec = r#"{"suspended": false, "decisions": [{"name": "(EU) 2019/419", "from": "2019-01-23T00:00:00Z"}]}"#;
    review::ReviewerPoolSpec = r#"{"tenant": "a", "lease_ms": 5, "pick": true, "members": [{"person": "eve", "skills": ["s"]}]}"#;
    review::NextReview = r#"{"pool": "underwriters"}"#;
    review::WithFence = r#"{"fence": "1.2"}"#;
    review::Reassign = r#"{"to": "eve", "fence": "1.2"}"#;
    review::ReviewComment = r#"{"text": "why?"}"#;
    review::Decide = r#"{"fence": "1.2", "digest": "00", "outcome": "ok", "data": {"a": 1}}"#;
    review::DecideAll = r#"{"decisions": [{"review": "r", "fence": "1", "digest": "00", "outcome": "ok", "data": {}}]}"#;
    review::BreakGlass = r#"{"person": "eve", "reason": "fire", "digest": "00", "outcome": "ok"}"#;
    notice::ChannelSpec = r#"{"webhook": {"url": "https://x.example/", "allow_private": true}, "events": ["run.failed"]}"#;
    key::NewKey = r#"{"role": "worker", "pools": ["main"], "expires_at": "2030-01-01T00:00:00Z", "label": "x"}"#;
    erasure::ErasureSpec = r#"{"subject": "person-7", "all": false}"#;
    policy::PolicySpec = r#"{"text": "permit (principal, action, resource);"}"#;
    run::Submission = r#"{"workflow": "w", "version": 2, "lane": "urgent", "input": {"a": [1, 2.0, "\u00e9"]}}"#;
    run::BatchEntry = r#"{"workflow": "w", "input": null, "idempotency_key": "k"}"#;
    run::Batch = r#"{"runs": [{"workflow": "w"}, {"workflow": "v", "lane": "background"}]}"#;
    run::Retry = r#"{"from": "step"}"#;
    run::Resolve = r#"{"step": "s", "output": null, "cheaper_model": true}"#;
    worker::Exchange = r#"{"worker": "w", "pool": "main", "region": "home", "slots": 10, "want": 2, "wait_ms": 5, "report": [
        {"lease": "a.b.1.-1.7", "completed": {"output": {"x": [1.50, "y"]}, "cost": "0.05"}}, {"lease": "l", "heartbeat": {}},
        {"lease": "m", "failed": {"class": "c", "message": "m", "retryable": false, "cost": 0.1, "contradicts": ["a"]}}]}"#;
};

#[test]
fn every_body_is_taken_as_serde_takes_it_or_refused_with_the_place() {
    let seeds = KINDS.iter().map(|kind| format!("{}\n{}", kind.name, kind.example));
    let words =
        ["null", "true", "{}", "[]", "\"\"", "0", "1e400", "-1", "\"x\":", "\\ud800", "\\u0000"];
    Target::new("body", 15_000).seeds(seeds).words(words).run(|input| {
        // The first line names the type, so that changes to what one type takes are tried on the others.
        let (name, body) =
            input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(0));
        let number = name.iter().fold(0, |sum, byte| sum + usize::from(*byte));
        let named = KINDS.iter().find(|kind| kind.name.as_bytes() == name);
        let kind = named.unwrap_or(&KINDS[number % KINDS.len()]);
        (kind.name, (kind.read)(body))
    });
}

#[test]
fn every_example_is_taken() {
    let refused = KINDS.iter().map(|kind| (kind.name, (kind.read)(kind.example.as_bytes())));
    let refused: Vec<_> = refused.filter(|(_, outcome)| !outcome.starts_with("taken")).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// What becomes of it, in brief.
fn read<T: DeserializeOwned + Serialize>(body: &[u8]) -> String {
    let plain = serde_json::from_slice::<T>(body);
    match parse::<T>(body) {
        Ok(value) => is_taken(body, &value, plain),
        Err(refused) => is_refused(body, &refused.0, plain.is_ok()),
    }
}

fn is_taken<T: DeserializeOwned + Serialize>(
    body: &[u8],
    value: &T,
    plain: serde_json::Result<T>,
) -> String {
    let written = serde_json::to_string(value).expect("a body can be written");
    let plain = plain.map(|plain| serde_json::to_string(&plain).expect("it can be written"));
    assert_eq!(plain.as_ref().ok(), Some(&written), "what the strict reader takes, serde takes");
    let again = parse::<T>(written.as_bytes()).expect("what was taken is taken again");
    assert_eq!(serde_json::to_string(&again).expect("it can be written"), written);
    let text: &RawValue = serde_json::from_slice(body).expect("it is JSON");
    assert!(text.get().starts_with('{'), "a body is an object");
    assert_eq!(keys_given_twice(text), 0, "no key is given twice");
    // What is handed on as its text may have numbers that no `Value` can hold.
    let values =
        serde_json::from_slice(body).and_then(|sent| Ok((sent, serde_json::from_str(&written)?)));
    if let Ok((sent, kept)) = values {
        nothing_is_lost(&sent, &kept, "");
    }
    format!("taken {}", written.matches(':').count())
}

/// Keys that stand twice in one object, other than inside of what is handed on.
fn keys_given_twice(text: &RawValue) -> usize {
    let Ok(object) = serde_json::from_str::<Members<'_>>(text.get()) else {
        let items = serde_json::from_str::<Vec<&RawValue>>(text.get()).unwrap_or_default();
        return items.into_iter().map(keys_given_twice).sum();
    };
    let mut names: Vec<&str> = object.0.iter().map(|(name, _)| &**name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    let inner = object.0.iter().filter(|(name, _)| !RAW.contains(&&**name));
    all - names.len() + inner.map(|(_, value)| keys_given_twice(value)).sum::<usize>()
}

/// Whether a JSON pointer leads to a value.
pub(crate) fn leads_somewhere(text: &RawValue, pointer: &str) -> bool {
    let Some(rest) = pointer.strip_prefix('/') else { return pointer.is_empty() };
    let (segment, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let name = segment.replace("~1", "/").replace("~0", "~");
    if let Ok(Members(members)) = serde_json::from_str(text.get()) {
        let mut named = members.into_iter().filter(|(member, _)| *member == name);
        return named.any(|(_, value)| leads_somewhere(value, rest));
    }
    let items = serde_json::from_str::<Vec<&RawValue>>(text.get()).unwrap_or_default();
    let item = name.parse::<usize>().ok().and_then(|at| items.get(at).copied());
    item.is_some_and(|value| leads_somewhere(value, rest))
}

/// The members of an object as they stand.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> serde::de::Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Each field that was sent is one that was read; those that say nothing need not be written again.
fn nothing_is_lost(sent: &Value, kept: &Value, name: &str) {
    match (sent, kept) {
        _ if RAW.contains(&name) => {}
        (Value::Object(sent), Value::Object(kept)) => {
            for (name, value) in sent {
                let says_nothing = match value {
                    Value::Null | Value::Bool(false) => true,
                    Value::Array(items) => items.is_empty(),
                    Value::Object(fields) => fields.is_empty(),
                    Value::String(text) => text == "calls",
                    _ => false,
                };
                match kept.get(name) {
                    Some(kept) => nothing_is_lost(value, kept, name),
                    None => assert!(says_nothing, "{name} is lost: {value}"),
                }
            }
        }
        (Value::Array(sent), Value::Array(kept)) => {
            assert_eq!(sent.len(), kept.len(), "items are lost");
            sent.iter().zip(kept).for_each(|(sent, kept)| nothing_is_lost(sent, kept, ""));
        }
        _ => {}
    }
}

fn is_refused(body: &[u8], problem: &fairlane_api::Problem, serde_takes_it: bool) -> String {
    let code = problem.code.as_str();
    let json = serde_json::from_slice::<&RawValue>(body).ok();
    match code {
        "malformed-json" | "too-deep" => assert_eq!(problem.pointer, None),
        "invalid-value" | "unknown-field" => {
            let pointer = problem.pointer.as_deref().unwrap_or_default();
            // Of what is passed over, such as half a surrogate in an unknown field, no value can be made.
            if let Some(json) =
                json.filter(|json| serde_json::from_str::<Value>(json.get()).is_ok())
            {
                assert!(leads_somewhere(json, pointer), "{pointer:?} leads nowhere");
            }
        }
        _ => panic!("refused as {code}"),
    }
    if serde_takes_it {
        let because = (code, problem.detail.as_deref().unwrap_or_default());
        let is_strict = match because {
            ("too-deep", _) => true,
            ("invalid-value", detail) => {
                detail == "this is a list"
                    || detail.starts_with("the key ") && detail.ends_with(" is given twice")
            }
            _ => false,
        };
        assert!(is_strict, "serde takes it, and it is refused: {because:?}");
    }
    let said = serde_json::to_string(problem).expect("a problem can be written").len();
    // Each byte that was sent may come back as an escape, in two places.
    assert!(said <= SAID_BYTES_MAX + 20 * body.len(), "a refusal of {said} bytes");
    let depth = problem.pointer.as_deref().unwrap_or_default().matches('/').count();
    format!("{code} {depth} {}", problem.expected.as_deref().unwrap_or_default())
}
