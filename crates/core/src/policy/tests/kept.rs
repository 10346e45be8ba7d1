//! Answers that are kept: when they are looked up, and when they are forgotten.

use super::*;

fn bureau() -> Policies {
    policies(&[(
        "no-bureau",
        r#"forbid (principal, action, resource == Tool::"bureau") when { principal.tier == "free" };"#,
    )])
}

#[test]
fn a_question_is_evaluated_once_for_each_version_of_a_context() {
    let mut decisions = Decisions::new(bureau());
    let mut acme = tenant("acme", "free", "{}");
    for _ in 0..1_000 {
        let answer = decisions.decide(3, &subject(&acme), &tool("bureau"));
        assert_eq!(said(answer), "no-bureau Forbidden");
        assert_eq!(said(decisions.decide(3, &subject(&acme), &tool("mail"))), "yes");
    }
    assert_eq!((decisions.evaluations(), decisions.held()), (2, 2));
    acme.version = 2;
    acme.tier = TierName::parse("enterprise").unwrap();
    assert_eq!(said(decisions.decide(3, &subject(&acme), &tool("bureau"))), "yes");
    assert_eq!((decisions.evaluations(), decisions.held()), (3, 1));
}

#[test]
fn tenants_do_not_share_answers() {
    let mut decisions = Decisions::new(bureau());
    let (acme, big) = (tenant("acme", "free", "{}"), tenant("big", "enterprise", "{}"));
    let ask = tool("bureau");
    assert_eq!(said(decisions.decide(0, &subject(&acme), &ask)), "no-bureau Forbidden");
    assert_eq!(said(decisions.decide(1, &subject(&big), &ask)), "yes");
    assert_eq!(said(decisions.decide(0, &subject(&acme), &ask)), "no-bureau Forbidden");
    assert_eq!(decisions.evaluations(), 2);
}

#[test]
fn a_tool_in_another_region_is_another_question() {
    let text = r#"forbid (principal, action, resource is Tool)
                  when { resource has region && resource.region == "us-east-1" };"#;
    let mut decisions = Decisions::new(policies(&[("eu-only", text)]));
    let acme = tenant("acme", "free", "{}");
    let moved = Ask::CallTool { tool: ToolName::parse("bureau").unwrap(), region: None };
    assert_eq!(said(decisions.decide(0, &subject(&acme), &tool("bureau"))), "eu-only Forbidden");
    assert_eq!(said(decisions.decide(0, &subject(&acme), &moved)), "yes");
}

#[test]
fn other_policies_answer_anew() {
    let mut decisions = Decisions::default();
    let acme = tenant("acme", "free", "{}");
    assert_eq!(said(decisions.decide(0, &subject(&acme), &tool("bureau"))), "yes");
    decisions.replace(bureau());
    let answer = decisions.decide(0, &subject(&acme), &tool("bureau"));
    assert_eq!(said(answer), "no-bureau Forbidden");
    assert_eq!(decisions.evaluations(), 2);
}

#[test]
fn who_only_looks_leaves_nothing_behind() {
    let mut decisions = Decisions::new(bureau());
    let acme = tenant("acme", "free", "{}");
    let ask = tool("bureau");
    assert_eq!(said(decisions.peek(7, &subject(&acme), &ask)), "no-bureau Forbidden");
    assert_eq!(decisions.held(), 0);
    decisions.decide(7, &subject(&acme), &ask).unwrap_err();
    assert_eq!(said(decisions.peek(7, &subject(&acme), &ask)), "no-bureau Forbidden");
    assert_eq!((decisions.evaluations(), decisions.held()), (1, 1));
}

#[test]
fn the_answers_that_are_kept_are_bounded_and_forgotten_ones_are_found_again() {
    let mut decisions = Decisions::bounded(bureau(), 10);
    let contexts: Vec<Tenant> = (0..8).map(|at| tenant(&format!("t{at}"), "free", "{}")).collect();
    let asks: Vec<Ask> =
        (0..6).map(|at| tool(&format!("tool{at}"))).chain([tool("bureau")]).collect();
    for _ in 0..3 {
        for (at, context) in (0..).zip(&contexts) {
            for ask in &asks {
                let expected = if *ask == tool("bureau") { "no-bureau Forbidden" } else { "yes" };
                assert_eq!(said(decisions.decide(at, &subject(context), ask)), expected);
                assert!(decisions.held() <= 10);
            }
        }
    }
}
