//! What workers, conditions, maps and waits get from the payloads of a run.

use std::sync::Arc;

use expect_test::{Expect, expect};
use fairlane_core::id::{RunId, StepName};
use fairlane_core::plan::{Expr, Workflow};
use fairlane_core::time::Time;

use super::{EvalError, Evaluator};
use crate::expr::Fault;
use crate::scope::{Item, Scope, StepResult};
use crate::{Format, Known, Source, no_files, parse};

fn expression(text: &str) -> Expr {
    Expr(Arc::from(text))
}

fn with_scope<T>(input: &str, work: impl FnOnce(&Scope<'_>) -> T) -> T {
    let names = ["credit", "fraud"].map(|name| StepName::parse(name).unwrap());
    let steps = [
        StepResult {
            name: &names[0],
            status: "completed",
            output: Some(b" {\"score\" : 640, \"list\":[1, {\"a\" : 2}]} "),
        },
        StepResult { name: &names[1], status: "skipped", output: None },
    ];
    let item = Some(Item { value: br#"{"id": 9}"#, index: 2 });
    work(&Scope {
        input: input.as_bytes(),
        steps: &steps,
        tenant: br#"{"id":"acme"}"#,
        run: RunId(1),
        item,
    })
}

fn workflow() -> Workflow {
    let text = "{\"workflow\": \"w\", \"version\": 1, \"steps\": {\"a\": {\"task\": \"t\"}}}";
    let source = Source { text, format: Format::Auto, file: "w" };
    parse(&source, &Known::default(), &no_files).unwrap()
}

fn check_assembled(with: &[(&str, &str)], input: &str, expect: &Expect) {
    let with: Vec<(String, Expr)> =
        with.iter().map(|(name, text)| ((*name).to_owned(), expression(text))).collect();
    let outcome = with_scope(input, |scope| Evaluator::new().assemble(&workflow(), &with, scope));
    expect.assert_eq(&match outcome {
        Ok(bytes) => {
            serde_json::from_slice::<serde_json::Value>(&bytes).expect("the input is JSON");
            String::from_utf8(bytes).unwrap()
        }
        Err(error) => error.to_string(),
    });
}

#[test]
fn plain_paths_are_copied_as_they_stand_in_the_payload() {
    check_assembled(
        &[
            ("whole", "input"),
            ("field", "input.applicant"),
            ("out", "steps.credit.output"),
            ("deep", "steps.credit.output.list"),
            ("skipped", "steps.fraud.output"),
            ("tenant", "tenant.id"),
            ("item", "item.id"),
        ],
        r#"{"applicant" : {"n" : 1.00, "s": "\u0041"}, "x":1e2}"#,
        &expect![[
            r#"{"whole":{"applicant" : {"n" : 1.00, "s": "\u0041"}, "x":1e2},"field":{"n" : 1.00, "s": "\u0041"},"out":{"score" : 640, "list":[1, {"a" : 2}]},"deep":[1, {"a" : 2}],"skipped":null,"tenant":"acme","item":9}"#
        ]],
    );
}

#[test]
fn a_path_and_the_same_path_computed_agree() {
    let input = r#"{"a": {"b": 1}, "a\u002eb": 2, "\u0061c": 3, "t": "x", "d": 1, "d": 2}"#;
    for path in [
        "input.a.b",
        "input.ac",
        "input.missing",
        "input.t.x",
        "input.a.b.c",
        "input.d",
        "steps.fraud.output.x",
        "steps.credit.output.score",
    ] {
        let evaluator = Evaluator::new();
        let run = |text: String| {
            let with = [("v".to_owned(), expression(&text))];
            with_scope(input, |scope| evaluator.assemble(&workflow(), &with, scope))
                .map_err(|error| matches!(error.fault, Fault::NoField { .. }))
        };
        assert_eq!(run(path.to_owned()), run(format!("true ? {path} : null")), "{path}");
    }
}

#[test]
fn computed_entries_stand_beside_plain_ones() {
    check_assembled(
        &[
            ("sum", "input.amount + 1"),
            ("both", "[input.amount, steps.credit.output.score]"),
            ("quote\"d", "{'a': index}"),
        ],
        r#"{"amount": 41}"#,
        &expect![[r#"{"sum":42,"both":[41,640],"quote\"d":{"a":2}}"#]],
    );
    check_assembled(&[], "{}", &expect!["{}"]);
}

#[test]
fn a_failure_names_the_field_the_expression_and_the_cause() {
    check_assembled(
        &[("ok", "input"), ("bad", "input.amount.x")],
        r#"{"amount": 41}"#,
        &expect![[r#"with.bad: input.amount.x: there is no field "x" in number"#]],
    );
    check_assembled(
        &[("bad", "input.amount + 'a'")],
        r#"{"amount": 41}"#,
        &expect!["with.bad: input.amount + 'a': + cannot be used on int and string"],
    );
    check_assembled(
        &[("bad", "not an expression")],
        "{}",
        &expect![
            "with.bad: not an expression: it is not a valid expression: the expression cannot be read: mismatched input 'an'"
        ],
    );
}

#[test]
fn a_condition_is_true_or_false_and_nothing_else() {
    let evaluator = Evaluator::new();
    let condition = |text: &str| {
        with_scope(r#"{"ok": true, "n": 1}"#, |scope| evaluator.condition(&expression(text), scope))
    };
    assert_eq!(condition("steps.credit.output.score > 600"), Ok(true));
    assert_eq!(condition("input.ok"), Ok(true));
    assert_eq!(condition("steps.fraud.output != null && steps.fraud.output.x"), Ok(false));
    let error = condition("input.n").unwrap_err();
    expect!["when: input.n: the result is int, not true or false"].assert_eq(&error.to_string());
}

#[test]
fn a_list_comes_as_its_items() {
    let evaluator = Evaluator::new();
    let list = |text: &str, input: &str| {
        with_scope(input, |scope| evaluator.list(&expression(text), scope))
            .map(|items| {
                items.into_iter().map(|item| String::from_utf8(item).unwrap()).collect::<Vec<_>>()
            })
            .map_err(|error| error.fault)
    };
    assert_eq!(list("steps.credit.output.list", "{}").unwrap(), ["1", "{\"a\" : 2}"]);
    assert_eq!(list("input.list.filter(x, x > 1)", r#"{"list": [1, 2, 3]}"#).unwrap(), ["2", "3"]);
    assert_eq!(list("input", "[]").unwrap(), Vec::<String>::new());
    assert_eq!(list("input", "{}"), Err(Fault::Result { found: "map", wanted: "a list" }));
    assert_eq!(list("1 + 1", "{}"), Err(Fault::Result { found: "int", wanted: "a list" }));
    let long = format!("[{}]", vec!["1"; 10_001].join(","));
    assert_eq!(list("input", &long), Err(Fault::TooManyItems { items: 10_001, max: 10_000 }));
    assert_eq!(
        list("input.map(x, x)", &long),
        Err(Fault::TooManyItems { items: 10_001, max: 10_000 })
    );
}

#[test]
fn a_time_is_rfc_3339_with_any_offset() {
    let evaluator = Evaluator::new();
    let time = |text: &str| {
        let input = r#"{"due": "2026-03-01T12:00:00.5+01:00", "old": "1960-01-01T00:00:00Z"}"#;
        with_scope(input, |scope| evaluator.time(&expression(text), scope))
    };
    assert_eq!(time("input.due"), Ok(Time(1_772_362_800_500_000)));
    assert_eq!(time("timestamp(input.due) - duration('500ms')"), Ok(Time(1_772_362_800_000_000)));
    assert_eq!(time("input.old"), Ok(Time(0)));
    assert!(matches!(time("'tomorrow'"), Err(EvalError { fault: Fault::Unreadable { .. }, .. })));
    assert!(matches!(time("12"), Err(EvalError { fault: Fault::Result { .. }, .. })));
}

#[test]
fn references_of_a_with_are_those_of_its_entries_together() {
    let with = [
        ("a".to_owned(), expression("steps.b.output + steps.a.output")),
        ("b".to_owned(), expression("steps.a.output.x")),
        ("c".to_owned(), expression("item")),
    ];
    let refs = Evaluator::new().references_of(&with).unwrap();
    expect![[r#"Refs { input: false, steps: ["a", "b"], statuses: [], tenant: false, run: false, item: true }"#]].assert_eq(&format!("{refs:?}"));
}

#[test]
fn one_evaluator_serves_many_threads() {
    let evaluator = Evaluator::new();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let evaluator = &evaluator;
            threads.spawn(move || {
                for n in 0..50 {
                    let text = format!("{thread} + {n} + input");
                    let with = [("v".to_owned(), expression(&text))];
                    let out =
                        with_scope("1", |scope| evaluator.assemble(&workflow(), &with, scope))
                            .unwrap();
                    assert_eq!(out, format!("{{\"v\":{}}}", thread + n + 1).into_bytes());
                }
            });
        }
    });
}
