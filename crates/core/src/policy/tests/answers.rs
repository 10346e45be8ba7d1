//! Who is let do what.

use super::*;
use crate::id::{PersonId, ReviewerPoolName};

fn ask(policies: &Policies, context: &Tenant, ask: &Ask) -> String {
    said(policies.decide(&subject(context), ask))
}

fn person_id(text: &str) -> PersonId {
    PersonId::parse(text).unwrap()
}

fn pool(text: &str) -> ReviewerPoolName {
    ReviewerPoolName::parse(text).unwrap()
}

#[test]
fn without_policies_a_step_may_do_everything() {
    let all = Policies::default();
    let acme = tenant("acme", "free", "{}");
    for question in [tool("bureau"), model("reasoner", "openai"), workflow("loan", 1)] {
        assert_eq!(ask(&all, &acme, &question), "yes");
    }
}

#[test]
fn a_step_is_forbidden_what_a_policy_forbids_and_is_told_which() {
    let policies = policies(&[
        ("no-bureau", r#"forbid (principal, action, resource == Tool::"bureau");"#),
        (
            "premium",
            r#"forbid (principal, action == Action::"use_model", resource in Model::"reasoner")
               unless { principal.tier == "enterprise" };"#,
        ),
    ]);
    let (free, big) = (tenant("acme", "free", "{}"), tenant("big", "enterprise", "{}"));
    assert_eq!(ask(&policies, &free, &tool("bureau")), "no-bureau Forbidden");
    assert_eq!(ask(&policies, &free, &tool("other")), "yes");
    assert_eq!(ask(&policies, &free, &model("reasoner", "openai")), "premium Forbidden");
    assert_eq!(ask(&policies, &free, &model("small", "openai")), "yes");
    assert_eq!(ask(&policies, &big, &model("reasoner", "openai")), "yes");
}

#[test]
fn an_endpoint_can_be_named_by_its_tool_its_model_and_its_region() {
    let abroad = policies(&[(
        "at-home",
        r#"forbid (principal, action, resource is ModelEndpoint) when {
             principal has region && !(resource has region && resource.region == principal.region)
           };"#,
    )]);
    let by_tool =
        policies(&[("not-there", r#"forbid (principal, action, resource in Tool::"openai");"#)]);
    let acme = tenant("acme", "free", "{}");
    let at = |region: Option<&str>| match model("reasoner", "openai") {
        Ask::UseModel { model, endpoint, upstream, .. } => {
            Ask::UseModel { model, endpoint, upstream, region: region.map(super::region) }
        }
        other => other,
    };
    assert_eq!(ask(&abroad, &acme, &at(Some("eu-west-1"))), "yes");
    assert_eq!(ask(&abroad, &acme, &at(Some("us-east-1"))), "at-home Forbidden");
    assert_eq!(ask(&abroad, &acme, &at(None)), "at-home Forbidden");
    assert_eq!(ask(&by_tool, &acme, &at(None)), "not-there Forbidden");
}

#[test]
fn of_several_statements_the_one_that_decided_is_named_by_its_id_or_its_number() {
    let policies = policies(&[(
        "tools",
        r#"
        @id("bureau") forbid (principal, action, resource == Tool::"bureau");
        forbid (principal, action, resource == Tool::"mail");
        "#,
    )]);
    let acme = tenant("acme", "free", "{}");
    assert_eq!(ask(&policies, &acme, &tool("bureau")), "tools#bureau Forbidden");
    assert_eq!(ask(&policies, &acme, &tool("mail")), "tools#2 Forbidden");
}

#[test]
fn of_several_policies_that_forbid_the_first_by_name_is_named() {
    let forbids = r#"forbid (principal, action, resource == Tool::"bureau");"#;
    let names: Vec<String> = (0..40).map(|at| format!("p{:02}", (at * 7 + 3) % 40)).collect();
    let sources: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), forbids)).collect();
    let acme = tenant("acme", "free", "{}");
    assert_eq!(ask(&policies(&sources), &acme, &tool("bureau")), "p00 Forbidden");
}

#[test]
fn no_policy_undoes_the_line_between_tenants() {
    let wide = policies(&[
        ("default", "permit (principal, action, resource);"),
        ("wide", r#"permit (principal, action == Action::"claim_review", resource is Review);"#),
    ]);
    let (acme, other) = (tenant("acme", "free", "{}"), tenant("other", "free", "{}"));
    let (id, pool) = (person_id("ada"), pool("people"));
    let of = |home: Option<&Tenant>, whose, deed| {
        let person = Person { id: &id, tenant: home.map(subject), region: None };
        let review = Review { tenant: subject(whose), kind: "approval", pool: &pool };
        said(wide.decide_deed(&person, deed, &review))
    };
    assert_eq!(of(Some(&acme), &other, Deed::ClaimReview), "base Forbidden");
    assert_eq!(of(Some(&acme), &other, Deed::DecideReview), "base Forbidden");
    assert_eq!(of(Some(&acme), &acme, Deed::ClaimReview), "yes");
    // Whoever works for all crosses no line.
    assert_eq!(of(None, &other, Deed::ClaimReview), "yes");
}

#[test]
fn people_are_told_apart_by_who_and_where_they_are() {
    let policies = policies(&[
        (
            "not-bob",
            r#"forbid (principal == Key::"bob", action == Action::"decide_review",
                       resource) when { resource.kind == "approval" };"#,
        ),
        (
            "reviewers-at-home",
            r#"forbid (principal, action in [Action::"claim_review", Action::"decide_review"], resource)
               unless { principal has region && resource.tenant has region
                        && principal.region == resource.tenant.region };"#,
        ),
    ]);
    let (acme, pool) = (tenant("acme", "free", "{}"), pool("people"));
    let say = |id: &str, region: Option<&str>, deed| {
        let (id, region) = (person_id(id), region.map(super::region));
        let person = Person { id: &id, tenant: None, region: region.as_ref() };
        let review = Review { tenant: subject(&acme), kind: "approval", pool: &pool };
        said(policies.decide_deed(&person, deed, &review))
    };
    assert_eq!(say("bob", Some("eu-west-1"), Deed::ClaimReview), "yes");
    assert_eq!(say("bob", Some("eu-west-1"), Deed::DecideReview), "not-bob Forbidden");
    assert_eq!(say("ada", Some("eu-west-1"), Deed::DecideReview), "yes");
    let abroad = say("ada", Some("us-east-1"), Deed::ClaimReview);
    assert_eq!(abroad, "reviewers-at-home Forbidden");
    assert_eq!(say("ada", None, Deed::ClaimReview), "reviewers-at-home Forbidden");
}

#[test]
fn what_nothing_permits_is_denied_once_the_default_is_declared() {
    let policies = policies(&[(
        "default",
        r#"permit (principal, action == Action::"call_tool", resource)
           when { ["bureau", "mail"].contains(resource.name) };"#,
    )]);
    let acme = tenant("acme", "free", "{}");
    assert_eq!(ask(&policies, &acme, &tool("mail")), "yes");
    assert_eq!(ask(&policies, &acme, &tool("other")), "default NotPermitted");
    assert_eq!(ask(&policies, &acme, &workflow("loan", 1)), "default NotPermitted");
}

#[test]
fn an_error_while_deciding_denies_and_names_the_policy() {
    // The sum is too large from version 8 on.
    let sum = "resource.version + 9223372036854775800 > 0";
    for statement in ["forbid", "permit"] {
        let text = format!(
            "{statement} (principal, action == Action::\"start_run\", resource) when {{ !({sum}) }};"
        );
        let policies = policies(&[("sums", &text)]);
        let acme = tenant("acme", "free", "{}");
        assert_eq!(ask(&policies, &acme, &workflow("loan", 7)), "yes");
        assert_eq!(ask(&policies, &acme, &workflow("loan", 8)), "sums Failed", "{statement}");
    }
}

#[test]
fn attributes_that_cannot_be_read_deny() {
    let acme = tenant("acme", "free", "not json");
    assert_eq!(ask(&Policies::default(), &acme, &tool("bureau")), "base Failed");
}

#[test]
fn a_missing_attribute_denies_only_where_the_policy_says_so() {
    let lenient = policies(&[(
        "telemetry",
        r#"forbid (principal, action, resource == Tool::"telemetry")
           when { principal.hasTag("telemetry") && principal.getTag("telemetry") == "off" };"#,
    )]);
    let strict = policies(&[(
        "telemetry",
        r#"forbid (principal, action, resource == Tool::"telemetry")
           unless { principal.hasTag("telemetry") && principal.getTag("telemetry") == "on" };"#,
    )]);
    let with = |attributes: &str| {
        let acme = tenant("acme", "free", attributes);
        [&lenient, &strict].map(|policies| ask(policies, &acme, &tool("telemetry")))
    };
    assert_eq!(with("{}"), ["yes", "telemetry Forbidden"]);
    assert_eq!(with(r#"{"telemetry": "off"}"#), ["telemetry Forbidden", "telemetry Forbidden"]);
    assert_eq!(with(r#"{"telemetry": "on"}"#), ["yes", "yes"]);
}
