//! What policies can read of a tenant.

use std::str::FromStr as _;

use cedar_policy::{Entities, Request, Schema};
use expect_test::expect;

use super::super::attributes::Attributes;
use super::super::entity::{Names, of_deed, of_step};
use super::*;
use crate::id::{PersonId, ReviewerPoolName};

const ATTRIBUTES: &str = r#"{
    "telemetry": "off",
    "ip_indemnity": true,
    "confidence_threshold": 0.8,
    "seats": 12,
    "fine": 0.12345,
    "big": 922337203685477.5808,
    "negative": -922337203685477.5808,
    "huge": 1e20,
    "allowed_repositories": ["core", "web", 7, true, {"a": null}],
    "filter": {"level": "strict", "by": {"whom": "us"}},
    "filter.level": "lax",
    "nothing": null
}"#;

#[test]
fn attributes_come_out_as_texts_numbers_and_lists() {
    let attributes = Attributes::read(ATTRIBUTES).unwrap();
    expect![[r#"
        Attributes {
            texts: {
                "big": "922337203685477.6",
                "confidence_threshold": "0.8",
                "filter.by.whom": "us",
                "filter.level": "lax",
                "fine": "0.12345",
                "huge": "1e+20",
                "ip_indemnity": "true",
                "negative": "-922337203685477.6",
                "seats": "12",
                "telemetry": "off",
            },
            numbers: {
                "confidence_threshold": "0.8",
                "seats": "12.0",
            },
            lists: {
                "allowed_repositories": [
                    "core",
                    "web",
                    "7",
                    "true",
                    "{\"a\":null}",
                ],
            },
        }
    "#]]
    .assert_debug_eq(&attributes);
}

#[test]
fn what_is_no_object_has_no_attributes() {
    for text in ["", "[]", "1", "null"] {
        assert_eq!(Attributes::read(text), None, "{text}");
    }
}

#[test]
fn policies_compare_texts_numbers_and_lists() {
    let acme = tenant("acme", "free", ATTRIBUTES);
    let holds = [
        r#"principal.hasTag("telemetry") && principal.getTag("telemetry") == "off""#,
        r#"principal.hasTag("ip_indemnity") && principal.getTag("ip_indemnity") == "true""#,
        r#"principal.hasTag("filter.by.whom") && principal.getTag("filter.by.whom") == "us""#,
        r#"principal.numbers.hasTag("seats")
           && principal.numbers.getTag("seats").greaterThanOrEqual(decimal("12.0"))"#,
        r#"principal.numbers.hasTag("confidence_threshold")
           && principal.numbers.getTag("confidence_threshold").lessThan(decimal("0.9"))"#,
        r#"principal.lists.hasTag("allowed_repositories")
           && principal.lists.getTag("allowed_repositories").contains("core")"#,
        r#"principal.id == "acme" && principal.org == "org" && principal.tier == "free""#,
        r#"principal has budget_class && principal.budget_class == "high-volume""#,
        r#"principal has region && principal.region == "eu-west-1""#,
        r#"principal == Tenant::"acme" && resource.name == "bureau""#,
    ];
    for condition in holds {
        let text = format!(
            "forbid (principal, action == Action::\"call_tool\", resource) when {{ {condition} }};"
        );
        let policies = policies(&[("it", &text)]);
        let answer = said(policies.decide(&subject(&acme), &tool("bureau")));
        assert_eq!(answer, "it Forbidden", "{condition}");
    }
}

#[test]
fn every_question_is_as_the_schema_says() {
    let schema = Schema::from_str(SCHEMA).unwrap();
    let names = Names::new();
    let (acme, other) = (tenant("acme", "free", ATTRIBUTES), tenant("other", "free", "{}"));
    let (id, pool) = (PersonId::parse("ada").unwrap(), ReviewerPoolName::parse("p").unwrap());
    let asks = [tool("bureau"), model("reasoner", "openai"), workflow("loan", 3)];
    let mut questions: Vec<Question> =
        asks.iter().map(|ask| of_step(&names, &subject(&acme), ask).unwrap()).collect();
    for home in [None, Some(&acme), Some(&other)] {
        let there = region("eu-west-1");
        let person = Person { id: &id, tenant: home.map(subject), region: Some(&there) };
        let review = Review { tenant: subject(&acme), kind: "approval", pool: &pool };
        for deed in [Deed::ClaimReview, Deed::DecideReview] {
            questions.push(of_deed(&names, &person, deed, &review).unwrap());
        }
    }
    for Question { principal, action, resource, entities } in questions {
        let said = format!("{principal} {action} {resource}");
        Request::new(principal, action, resource, cedar_policy::Context::empty(), Some(&schema))
            .unwrap_or_else(|error| panic!("{said}: {error}"));
        Entities::from_entities(entities, Some(&schema))
            .unwrap_or_else(|error| panic!("{said}: {error:?}"));
    }
}
