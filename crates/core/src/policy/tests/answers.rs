//! Who is let do what.

use super::*;
use crate::id::{KeyId, RunId};

fn ask(policies: &Policies, context: &Tenant, ask: &Ask) -> String {
    said(policies.decide(&subject(context), ask))
}

fn person<'a>(id: &'a KeyId, role: Role, tenant: Option<Subject<'a>>) -> Person<'a> {
    Person { id, role, tenant, region: None }
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
        ("wide", r#"permit (principal, action == Action::"read", resource is Run);"#),
    ]);
    let (acme, other) = (tenant("acme", "free", "{}"), tenant("other", "free", "{}"));
    let (id, name) = (KeyId::parse("key").unwrap(), WorkflowName::parse("loan").unwrap());
    let mine = person(&id, Role::Tenant, Some(subject(&acme)));
    let theirs = Thing::Run { tenant: subject(&other), run: RunId(1), workflow: &name };
    let own = Thing::Run { tenant: subject(&acme), run: RunId(1), workflow: &name };
    let review = Thing::Review { tenant: subject(&other), id: "1", kind: "approval", pool: "p" };
    let all = Thing::Tenant(subject(&other));
    let say = |person: &Person<'_>, deed, thing| said(wide.decide_deed(person, deed, thing));
    assert_eq!(say(&mine, Deed::Read, &theirs), "base Forbidden");
    assert_eq!(say(&mine, Deed::Write, &all), "base Forbidden");
    assert_eq!(say(&mine, Deed::ClaimReview, &review), "base Forbidden");
    assert_eq!(say(&mine, Deed::Read, &own), "yes");
    // Whoever belongs to the platform crosses no line.
    assert_eq!(say(&person(&id, Role::Operator, None), Deed::Read, &theirs), "yes");
}

#[test]
fn people_are_told_apart_by_role_and_place() {
    let policies = policies(&[
        (
            "auditors-read",
            r#"forbid (principal, action in [Action::"write", Action::"decide_review"], resource)
               when { principal.role == Role::"auditor" };"#,
        ),
        (
            "reviewers-at-home",
            r#"forbid (principal, action in [Action::"claim_review", Action::"decide_review"], resource)
               unless { principal has region && resource.tenant has region
                        && principal.region == resource.tenant.region };"#,
        ),
    ]);
    let acme = tenant("acme", "free", "{}");
    let id = KeyId::parse("key").unwrap();
    let review = Thing::Review { tenant: subject(&acme), id: "1", kind: "approval", pool: "p" };
    let say = |role, region: Option<&str>, deed| {
        let region = region.map(super::region);
        let person = Person { region: region.as_ref(), ..person(&id, role, None) };
        said(policies.decide_deed(&person, deed, &review))
    };
    assert_eq!(say(Role::Auditor, Some("eu-west-1"), Deed::Read), "yes");
    assert_eq!(
        say(Role::Auditor, Some("eu-west-1"), Deed::DecideReview),
        "auditors-read Forbidden"
    );
    assert_eq!(say(Role::Reviewer, Some("eu-west-1"), Deed::DecideReview), "yes");
    let abroad = say(Role::Reviewer, Some("us-east-1"), Deed::ClaimReview);
    assert_eq!(abroad, "reviewers-at-home Forbidden");
    assert_eq!(say(Role::Reviewer, None, Deed::ClaimReview), "reviewers-at-home Forbidden");
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
