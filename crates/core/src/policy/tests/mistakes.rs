//! What is refused as a policy, and where it says that the mistake is.

use expect_test::{Expect, expect};

use super::*;

fn check(sources: &[(&str, &str)], expected: &Expect) {
    let sources: Vec<Source> = sources.iter().map(|(name, text)| source(name, text)).collect();
    let said: String = match compile(&sources) {
        Ok(_) => "right\n".to_owned(),
        Err(mistakes) => mistakes
            .into_iter()
            .map(|Mistake { policy, line, column, message, help }| {
                let help = help.map(|help| format!("\n  {help}")).unwrap_or_default();
                format!("{policy}:{line}:{column} {message}{help}\n")
            })
            .collect(),
    };
    expected.assert_eq(&said);
}

#[test]
fn a_text_that_does_not_parse_is_refused_with_its_place() {
    check(
        &[("a", "forbid (principal, action, resource)\nwhen { principal.tier = \"free\" };")],
        &expect![[r#"
            a:2:8 '=' is not a valid operator in Cedar
              try using '==' instead
        "#]],
    );
    check(
        &[("a", "// Ä\nforbid (principal, action, resurce);")],
        &expect![[r#"
        a:2:28 found an invalid variable in the policy scope: resurce
          policy scopes must contain a `principal`, `action`, and `resource` element in that order
    "#]],
    );
    check(
        &[("a", "forbid (principal, action, resource)")],
        &expect![[r#"
        a:1:37 unexpected end of input
          expected `;` or identifier
    "#]],
    );
    check(
        &[("a", "")],
        &expect![[r#"
        a:1:1 has no statement
          a statement looks like `forbid (principal, action, resource is Tool) when { principal.tier == "free" };`
    "#]],
    );
    check(
        &[("a", "permit (principal == ?principal, action, resource);")],
        &expect![[r#"
        a:1:1 is a template
          write whom and what it is about in place of `?principal` and `?resource`
    "#]],
    );
}

#[test]
fn names_that_the_schema_has_not_are_refused_with_their_place() {
    check(
        &[("a", "forbid (principal, action, resource is Toool);")],
        &expect![[r#"
            a:1:40 unrecognized entity type `Toool`
              did you mean `Tool`?
        "#]],
    );
    check(
        &[("a", r#"forbid (principal, action == Action::"call_tol", resource);"#)],
        &expect![[r#"
            a:1:30 unrecognized action `Action::"call_tol"`
              did you mean `Action::"call_tool"`?
        "#]],
    );
    check(
        &[(
            "a",
            "forbid (principal is Tenant, action, resource)\n  when { principal.tire == \"free\" };",
        )],
        &expect![[r#"
            a:2:10 attribute `tire` on entity type `Tenant` not found
              did you mean `tier`?
        "#]],
    );
    check(
        &[(
            "a",
            r#"forbid (principal is Key, action, resource) when { principal.role == Role::"boss" };"#,
        )],
        &expect![[r#"
            a:1:70 entity `Role::"boss"` is of an enumerated entity type, but `"boss"` is not declared as a valid eid
              valid entity eids: "reviewer"
        "#]],
    );
}

#[test]
fn nobody_asks_policies_about_reading_and_writing() {
    check(
        &[("a", r#"forbid (principal, action == Action::"read", resource);"#)],
        &expect![[r#"
            a:1:30 unrecognized action `Action::"read"`
              did you mean `Action::"use_model"`?
        "#]],
    );
}

#[test]
fn what_may_not_be_there_is_asked_for_first() {
    check(
        &[(
            "a",
            "forbid (principal is Tenant, action, resource)\n  when { principal.getTag(\"telemetry\") == \"off\" };",
        )],
        &expect![[r#"
            a:2:10 unable to guarantee safety of access to tag `"telemetry"` on entity type `Tenant`
              try testing for the tag's presence with `.hasTag("telemetry") && ..`
        "#]],
    );
    check(
        &[(
            "a",
            "forbid (principal is Tenant, action, resource)\n  when { principal.region == \"eu\" };",
        )],
        &expect![[r#"
            a:2:10 unable to guarantee safety of access to optional attribute `region` on entity type `Tenant`
              try testing for the attribute's presence with `e has region && ..`
        "#]],
    );
    check(
        &[("a", r#"forbid (principal is Tenant, action, resource) when { principal.tier > 3 };"#)],
        &expect![[r#"
            a:1:55 unexpected type: expected Long but saw String
        "#]],
    );
}

#[test]
fn a_statement_that_never_applies_is_refused() {
    check(
        &[("a", "\n  forbid (principal is Key, action == Action::\"call_tool\", resource);")],
        &expect![[r#"
            a:2:3 never applies: its conditions are never met, or no action goes with whom and what it names
              `call_tool`, `use_model` and `start_run` are what a Tenant does to a Tool, a ModelEndpoint or a Workflow; `claim_review` and `decide_review` are what a Key does to a Review
        "#]],
    );
    check(
        &[("a", "forbid (principal, action, resource is Tool) when { false };")],
        &expect![[r#"
            a:1:1 never applies: its conditions are never met, or no action goes with whom and what it names
              `call_tool`, `use_model` and `start_run` are what a Tenant does to a Tool, a ModelEndpoint or a Workflow; `claim_review` and `decide_review` are what a Key does to a Review
        "#]],
    );
}

#[test]
fn two_statements_with_one_id_are_refused() {
    check(
        &[(
            "a",
            "@id(\"x\") forbid (principal, action, resource is Tool) when { resource.name == \"a\" };\n\
             @id(\"x\") forbid (principal, action, resource is Tool) when { resource.name == \"b\" };",
        )],
        &expect![[r#"
            a:2:1 another statement has the id `x`
              give each statement an `@id` of its own, or none
        "#]],
    );
}

#[test]
fn the_base_policy_can_be_declared_by_nobody() {
    check(
        &[("base", "permit (principal, action, resource);")],
        &expect![[r#"
        base:1:1 the policy `base` is part of the product and always in force
          give this policy another name: it is asked besides
    "#]],
    );
}

#[test]
fn all_mistakes_of_all_policies_are_told_at_once() {
    check(
        &[
            (
                "b",
                "forbid (principal is Tenant, action, resource) when { principal.tire == \"x\" };\nforbid (principal, action, resource is Toool);",
            ),
            ("a", "forbid (principal, action resource);"),
            (
                "right",
                "forbid (principal, action, resource is Tool) when { principal.tier == \"x\" };",
            ),
        ],
        &expect![[r#"
            a:1:27 unexpected token `resource`
              expected `!=`, `)`, `,`, `:`, `<`, `<=`, `==`, `>`, `>=`, `in`, or `is`
            b:1:55 attribute `tire` on entity type `Tenant` not found
              did you mean `tier`?
            b:2:40 unrecognized entity type `Toool`
              did you mean `Tool`?
        "#]],
    );
}

#[test]
fn a_policy_that_denies_everything_is_refused_with_the_reason() {
    check(
        &[("a", "forbid (principal, action, resource);")],
        &expect![[r#"
        a:1:1 forbids every tenant every tool, every model and every workflow: nothing could run
          say whom or what it forbids, as in `forbid (principal, action == Action::"call_tool", resource == Tool::"NAME") when { principal.tier == "free" };`
    "#]],
    );
    let forms = [
        "forbid (principal is Tenant, action, resource);",
        "forbid (principal, action, resource) when { true };",
        "forbid (principal, action, resource) unless { false };",
        "forbid (principal, action, resource) when { 1 == 1 } unless { principal is Key };",
        "forbid (principal, action in [Action::\"call_tool\", Action::\"use_model\", Action::\"start_run\"], resource);",
        "forbid (principal, action, resource) when { principal has tier || true };",
    ];
    for form in forms {
        let mistakes = compile(&[source("a", form)]).unwrap_err();
        assert!(mistakes[0].message.contains("nothing could run"), "{form}: {mistakes:?}");
    }
}

#[test]
fn policies_that_together_leave_steps_nothing_are_refused() {
    check(
        &[
            ("models", r#"forbid (principal, action == Action::"use_model", resource);"#),
            ("runs", r#"forbid (principal, action == Action::"start_run", resource);"#),
            ("tools", "forbid (principal, action, resource is Tool);"),
        ],
        &expect![[r#"
            models:1:1 with the other policies, no step could call a tool or use a model, and no run could start
              say whom or what it forbids, as in `forbid (principal, action == Action::"call_tool", resource == Tool::"NAME") when { principal.tier == "free" };`
            runs:1:1 with the other policies, no step could call a tool or use a model, and no run could start
              say whom or what it forbids, as in `forbid (principal, action == Action::"call_tool", resource == Tool::"NAME") when { principal.tier == "free" };`
            tools:1:1 with the other policies, no step could call a tool or use a model, and no run could start
              say whom or what it forbids, as in `forbid (principal, action == Action::"call_tool", resource == Tool::"NAME") when { principal.tier == "free" };`
        "#]],
    );
    check(
        &[("default", "permit (principal is Key, action, resource);")],
        &expect![[r#"
        default:1:1 permits no step anything, and no other policy does: nothing could run
          permit something, as in `permit (principal is Tenant, action, resource);`
    "#]],
    );
}

#[test]
fn closing_one_action_or_one_tenant_is_no_mistake() {
    let right = [
        r#"forbid (principal, action == Action::"call_tool", resource);"#,
        r#"forbid (principal == Tenant::"acme", action, resource);"#,
        r#"forbid (principal is Tenant, action, resource) when { principal.tier == "free" };"#,
        "forbid (principal is Key, action, resource);",
        "forbid (principal is Tenant, action, resource) unless { principal.tenant == principal };",
    ];
    for text in right {
        compile(&[source("a", text)]).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"));
    }
}
