//! The text itself: syntax, places, bounds, and YAML beside JSON.

use std::fmt::Write as _;

use super::{Format, Known, check, check_json, expect, outcome};

#[test]
fn yaml_that_cannot_be_read_is_reported_at_its_place() {
    check(
        "workflow: w\n  version: [1\nsteps: {}\n",
        &expect![[r#"
        w.yaml:2:10: this is not YAML: mapping values are not allowed in this context; expected YAML 1.2 [syntax]
    "#]],
    );
    check(
        "workflow: w\nversion: 1\nsteps:\n\ta: b\n",
        &expect![[r#"
        w.yaml:4:2: this is not YAML: tabs disallowed within this context (block indentation); expected YAML 1.2 [syntax]
    "#]],
    );
    check(
        "workflow: \"w\nversion: 1\n",
        &expect![[r#"
        w.yaml:1:11: this is not YAML: unclosed quote; expected YAML 1.2 [syntax]
    "#]],
    );
    check(
        "",
        &expect![[r#"
        w.yaml:1:1: the file is empty; expected a workflow, or sections such as `tenants` [syntax]
    "#]],
    );
    check(
        "# only a comment\n",
        &expect![[r#"
        w.yaml:1:1: the file is empty; expected a workflow, or sections such as `tenants` [syntax]
    "#]],
    );
    check(
        "- a\n- b\n",
        &expect![[r#"
            w.yaml:1:1: this is a list; expected an object with the fields workflow, version, input, timeout, steps, schedules, replan [wrong-type]
        "#]],
    );
    check(
        "just a text",
        &expect![[r#"
            w.yaml:1:1: this is the text "just a text"; expected an object with the fields workflow, version, input, timeout, steps, schedules, replan [wrong-type]
        "#]],
    );
}

#[test]
fn json_that_cannot_be_read_is_reported_at_its_place() {
    check_json(
        "{\"workflow\": \"w\",\n \"version\": 1,}",
        &expect![[r#"
        w.yaml:2:15: '}' cannot stand here; expected a key in double quotes [syntax]
    "#]],
    );
    check_json(
        "{\"workflow\": 'w'}",
        &expect![[r#"
        w.yaml:1:14: '\'' cannot stand here; expected a value [syntax]
    "#]],
    );
    check_json(
        "{\"workflow\": \"w\" \"version\": 1}",
        &expect![[r#"
        w.yaml:1:18: '"' cannot stand here; expected a comma or a closing brace [syntax]
    "#]],
    );
    check_json(
        "{\"workflow\": \"\\x\"}",
        &expect![[r#"
        w.yaml:1:14: the text holds an escape that JSON does not have; expected an escape such as \n or \u00e9 [syntax]
    "#]],
    );
    check_json(
        "{\"workflow\": \"open",
        &expect![[r#"
        w.yaml:1:14: the text has no end; expected a closing double quote [syntax]
    "#]],
    );
    check_json(
        "{\"workflow\": \"a\tb\"}",
        &expect![[r#"
        w.yaml:1:14: the text holds a control character; expected an escape such as \n [syntax]
    "#]],
    );
}

#[test]
fn json_has_its_own_numbers_and_one_value() {
    check_json(
        "{\"version\": 01}",
        &expect![[r#"
        w.yaml:1:13: 01 is not a number of JSON; expected a number such as 12 or 0.5 [syntax]
    "#]],
    );
    check_json(
        "{\"version\": 1e999}",
        &expect![[r#"
        w.yaml:1:13: 1e999 is not a number of JSON; expected a number such as 12 or 0.5 [syntax]
    "#]],
    );
    check_json(
        "{\"version\": Infinity}",
        &expect![[r#"
        w.yaml:1:13: 'I' cannot stand here; expected a value [syntax]
    "#]],
    );
    check_json(
        "{} {}",
        &expect![[r#"
        w.yaml:1:4: '{' follows the value; expected the end of the text [syntax]
    "#]],
    );
    check_json(
        "",
        &expect![[r#"
        w.yaml:1:1: the text ends here; expected a value [syntax]
    "#]],
    );
    check_json(
        "{workflow: 1}",
        &expect![[r#"
        w.yaml:1:2: 'w' cannot stand here; expected a key in double quotes [syntax]
    "#]],
    );
}

#[test]
fn json_mistakes_have_the_same_form_with_escapes_and_places() {
    check_json(
        "{\"workflow\": \"w\", \"version\": 1, \"version\": 2,\n \"st\\u0065ps\": {\"a\": {\"task\": \"t\", \"when\": \"input.a >\\n nope\"},\n  \"b/c\": {\"task\": 1}}}",
        &expect![[r#"
            w.yaml:1:33: "version" is given twice, first on line 1; expected each key once [duplicate]
            w.yaml:2:57: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
            w.yaml:3:3: "b/c" is no name of a step: it has '/' at byte 1; allowed are a-z A-Z 0-9 _; expected 1 to 64 letters, digits and _, because expressions say steps.NAME.output [bad-name]
            w.yaml:3:19: this is the number 1; expected the name of a task, a text [wrong-type]
        "#]],
    );
}

#[test]
fn what_json_cannot_say_is_refused_in_yaml() {
    check(
        "workflow: &name w\nversion: !!int 1\nsteps:\n  a: &a { task: t }\n  b: *a\n  ? [c]\n  : { task: t }\n",
        &expect![[r#"
            w.yaml:2:16: a tag cannot be used here; expected a plain value without a tag [yaml-feature]
            w.yaml:5:6: an alias cannot be used here; expected the value itself [yaml-feature]
            w.yaml:5:6: there is no value; expected an object with the fields task, wait, call, review, model, prompt, system, max_tokens, min_tokens, pool, after, when, with, map, retry, timeout, expect, cost, tool, optional, output, compensate [wrong-type]
            w.yaml:6:5: a key that is not a text cannot be used here; expected a text as key [yaml-feature]
        "#]],
    );
    check(
        "workflow: w\nversion: 1\nsteps: { a: { task: t } }\n---\nworkflow: x\n",
        &expect![[r#"
        w.yaml:4:1: a second document begins here; expected one workflow in each file [yaml-feature]
    "#]],
    );
    check(
        "workflow: w\nversion: 1\nsteps:\n  a: *nowhere\n",
        &expect![[r#"
        w.yaml:4:6: an alias cannot be used here; expected the value itself [yaml-feature]
    "#]],
    );
    check(
        "%YAML 1.2\n---\nworkflow: w\n",
        &expect![[r#"
        w.yaml:1:1: this is not YAML: YAML directives are disallowed; expected YAML 1.2 [syntax]
    "#]],
    );
}

#[test]
fn duplicate_keys_are_refused_in_both() {
    check(
        "workflow: w\nversion: 1\nversion: 2\nsteps:\n  a: { task: t }\n  a: { task: u }\n",
        &expect![[r#"
            w.yaml:3:1: "version" is given twice, first on line 2; expected each key once [duplicate]
            w.yaml:6:3: "a" is given twice, first on line 5; expected each key once [duplicate]
        "#]],
    );
}

#[test]
fn plain_values_of_yaml_are_those_of_json() {
    check(
        "workflow: no\nversion: 0x10\nsteps: { on: { task: yes, cost: .5, optional: True, retry: { attempts: +3 } } }\n",
        &expect![[r#"
            no version 16
            on after []: Task { task: "yes", pool: "default" }
        "#]],
    );
    check(
        "workflow: ~\nversion: 1_000\nsteps: { a: { task: t, cost: .inf } }\n",
        &expect![[r#"
            w.yaml:1:11: there is no value; expected the name of a workflow, a text [wrong-type]
            w.yaml:2:10: this is the text "1_000"; expected a whole number from 1 to 1000000 [wrong-type]
            w.yaml:3:30: this is the text ".inf"; expected an amount from 0 to 1000000000 with at most 9 decimals [wrong-type]
        "#]],
    );
}

#[test]
fn a_file_that_is_too_large_or_too_deep_is_refused_at_once() {
    check(
        &format!("workflow: w # {}", "x".repeat(1024 * 1024)),
        &expect![[r#"
        w.yaml:1:1: the file has 1048590 bytes; expected at most 1048576 [too-large]
    "#]],
    );
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [65, 100_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for format in [Format::Yaml, Format::Json] {
                let out = outcome(&text, format, &Known::default());
                assert!(out.contains("[too-deep]"), "{open} {depth} {format:?}: {out}");
            }
        }
    }
    let block: String = (0..200).fold(String::new(), |mut text, depth| {
        writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
        text
    });
    assert!(outcome(&block, Format::Yaml, &Known::default()).contains("[too-deep]"));
}

#[test]
fn the_number_of_reported_mistakes_is_bounded() {
    let mut text = "workflow: w\nversion: 1\nsteps:\n".to_owned();
    for at in 0..400 {
        writeln!(
            text,
            "  s{at}: {{ task: t, after: [x{at}], tsk: 1, with: {{ a: steps.y{at}.output }} }}"
        )
        .unwrap();
    }
    let out = outcome(&text, Format::Yaml, &Known::default());
    assert_eq!(out.lines().count(), crate::MISTAKES_MAX);
}

#[test]
fn expressions_in_every_style_of_text_are_reported_at_their_own_place() {
    super::check_steps(
        "  a:\n    task: t\n    when: >-\n      input.a\n      && nope\n    with:\n      plain: input.b + nope\n      single: 'input.b + nope'\n      double: \"input.b + \\\n        nope\"\n      block: |\n        input.b\n          + nope\n      list: [1, nope, \"'text'\"]\n",
        &expect![[r#"
            w.yaml:7:7: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
            w.yaml:10:24: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
            w.yaml:11:26: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
            w.yaml:12:15: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
            w.yaml:16:13: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
            w.yaml:17:17: there is no variable nope; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"nope"' [unknown-variable]
        "#]],
    );
}

#[test]
fn every_cut_of_a_good_file_is_answered_without_a_panic() {
    let yaml = include_str!("../../../../../examples/loan/loan.yaml");
    let known = Known::default();
    for (at, _) in yaml.char_indices().step_by(7) {
        outcome(&yaml[..at], Format::Yaml, &known);
        outcome(&yaml[at..], Format::Yaml, &known);
        outcome(&yaml[..at], Format::Json, &known);
    }
}
