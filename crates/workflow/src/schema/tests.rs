//! Payloads against schemas, and schemas that are meant to do harm.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::Schemas;

fn check(schema: &str, payload: &str, expect: &Expect) {
    let out = match Schemas::default().check(&Arc::from(schema), payload.as_bytes()) {
        Ok(()) => "ok".to_owned(),
        Err(violations) => {
            violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
    };
    expect.assert_eq(&out);
}

const PERSON: &str = r#"{
    "type": "object", "required": ["name"], "additionalProperties": false,
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}, "mail": {"format": "email"}}
}"#;

#[test]
fn all_violations_are_named_with_their_place() {
    check(PERSON, r#"{"name": "Ada", "age": 36}"#, &expect!["ok"]);
    check(
        PERSON,
        r#"{"age": -1, "x": 1}"#,
        &expect![[r#"
        /age: -1 is less than the minimum of 0
        /: Additional properties are not allowed ('x' was unexpected)
        /: "name" is a required property"#]],
    );
    check(
        PERSON,
        "[",
        &expect!["/: this is not JSON: EOF while parsing a list at line 1 column 1"],
    );
}

#[test]
fn a_schema_refers_to_itself_and_to_nothing_else() {
    let list = r##"{"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}"##;
    check(list, "[1, 2]", &expect!["ok"]);
    check(list, "[1, \"a\"]", &expect![[r#"/1: "a" is not of type "integer""#]]);
    check(
        r#"{"$ref": "https://example.com/schema.json"}"#,
        "1",
        &expect![[
            r#"/: there is nothing at "https://example.com/schema.json"; references begin with #"#
        ]],
    );
    check(
        r#"{"$ref": "file:///etc/passwd"}"#,
        "1",
        &expect![[r#"/: there is nothing at "file:///etc/passwd"; references begin with #"#]],
    );
    check(
        r##"{"$ref": "#/nowhere"}"##,
        "1",
        &expect![[r##"/: there is nothing at "#/nowhere"; references begin with #"##]],
    );
}

#[test]
fn what_is_not_a_schema_is_refused() {
    check(
        r#"{"type": "strin"}"#,
        "1",
        &expect![[
            r#"/: /type: "strin" is not valid under any of the schemas listed in the 'anyOf' keyword"#
        ]],
    );
    check("[]", "1", &expect!["/: a schema is an object"]);
    check(r#"{"pattern": "("}"#, "\"a\"", &expect![[r#"/: /pattern: "(" is not a "regex""#]]);
    check(
        r#"{"pattern": "(?=a)"}"#,
        "\"a\"",
        &expect![[r#"/: /pattern: "(?=a)" is not a "regex""#]],
    );
}

/// Definitions `a0` to `a{count}`, each the next one twice.
fn doubling(count: usize) -> String {
    let mut defs = format!("\"a{count}\": {{\"type\": \"integer\"}}");
    for at in 0..count {
        let next = format!("{{\"$ref\": \"#/$defs/a{}\"}}", at + 1);
        write!(defs, ", \"a{at}\": {{\"allOf\": [{next}, {next}]}}").unwrap();
    }
    format!("{{\"$defs\": {{{defs}}}, \"$ref\": \"#/$defs/a0\"}}")
}

#[test]
fn a_schema_that_takes_for_ever_is_refused() {
    check(&doubling(5), "1", &expect!["ok"]);
    check(
        &doubling(60),
        "1",
        &expect!["/: its references and branches look at one value too often"],
    );
    check(
        r##"{"$ref": "#"}"##,
        "1",
        &expect!["/: it refers to itself without descending into the value"],
    );
    check(
        r##"{"$defs": {"a": {"$ref": "#b"}, "b": {"$anchor": "b", "not": {"$ref": "#/$defs/a"}}}}"##,
        "1",
        &expect!["/: it refers to itself without descending into the value"],
    );
}

#[test]
fn a_schema_that_doubles_at_each_level_bounds_the_depth_of_payloads() {
    let twice = r##"{"allOf": [{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}}]}"##;
    let nested = |depth: usize| format!("{}1{}", "{\"x\":".repeat(depth), "}".repeat(depth));
    check(twice, &nested(5), &expect!["ok"]);
    check(
        twice,
        &nested(60),
        &expect!["/: the value nests 60 levels; this schema branches too often for more than 7"],
    );
}

#[test]
fn a_recursive_schema_whose_branches_differ_takes_payloads_of_any_depth() {
    let tree = r##"{"anyOf": [{"type": "integer"}, {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
        {"properties": {"not": {"$ref": "#"}}, "additionalProperties": false}], "$defs": {"a/b": {"items": {"$ref": "#/$defs/a~1b"}}}}"##;
    let nested = |depth: usize| format!("{}1{}", "{\"left\":".repeat(depth), "}".repeat(depth));
    check(tree, &nested(100), &expect!["ok"]);
}
