//! The `cel` crate's own interpreter as the second opinion on what an expression means.

use cel::{Context, Env, Value as Cel};
use serde_json::Value as Json;

use super::{INPUT, value};

/// What the crate's interpreter says; `None` for a fault.
fn second_opinion(text: &str) -> Option<Json> {
    second_opinion_on(text, INPUT)
}

pub(super) fn second_opinion_on(text: &str, input: &str) -> Option<Json> {
    let program = Env::stdlib().compile(text).ok()?;
    let mut context = Context::default();
    let input: Json = serde_json::from_str(input).ok()?;
    context.add_variable_from_value("input", to_cel(&input));
    program.execute(&context).ok()?.json().ok()
}

/// Whole numbers as `int`, as payloads are read here (the crate's conversion makes them `uint`).
fn to_cel(json: &Json) -> Cel {
    match json {
        Json::Null => Cel::Null,
        Json::Bool(value) => Cel::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Cel::Int(value),
            (None, Some(value)) => Cel::UInt(value),
            (None, None) => Cel::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Cel::String(text.clone().into()),
        Json::Array(items) => Cel::List(items.iter().map(to_cel).collect::<Vec<_>>().into()),
        Json::Object(object) => {
            let map: std::collections::HashMap<String, Cel> =
                object.iter().map(|(key, value)| (key.clone(), to_cel(value))).collect();
            Cel::Map(map.into())
        }
    }
}

const OPERANDS: &str = "1; 2u; -3; 1.5; 0; 0.0; 'a'; ''; true; false; null; [1, 2]; ['a']; {'a': 1}; input.amount; \
    input.rate; input.big; input.none; input.tags; input.missing; input.nested; 9223372036854775807; \
    -9223372036854775808";

/// Every operand in every place.
fn rows() -> Vec<String> {
    let operands: Vec<&str> = OPERANDS.split("; ").collect();
    let mut rows = Vec::new();
    for left in &operands {
        for function in ["size", "int", "uint", "double", "string", "bool"] {
            rows.push(format!("{function}({left})"));
        }
        for shape in
            ["!@", "-(@)", "@[0]", "@['a']", "@ ? 1 : 2", "[@, @]", "{'k': @}", "has(@.x)", "@.x"]
        {
            rows.push(shape.replace('@', left));
        }
        for body in ["x == 1", "x > 1", "1 / x > 0", "x"] {
            for looped in ["all", "exists", "exists_one", "map", "filter"] {
                rows.push(format!("{left}.{looped}(x, {body})"));
                rows.push(format!("[{left}, 0, 1].{looped}(x, {body})"));
            }
        }
        for right in &operands {
            for operator in
                ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"]
            {
                rows.push(format!("{left} {operator} {right}"));
            }
            for function in ["contains", "startsWith", "endsWith"] {
                rows.push(format!("{left}.{function}({right})"));
            }
        }
    }
    rows
}

#[test]
fn the_interpreter_of_the_cel_crate_agrees() {
    let rows = rows();
    let mut differences = Vec::new();
    for row in &rows {
        let ours: Option<Json> = value(row, INPUT)
            .ok()
            .map(|text| serde_json::from_str(&text).expect("values are JSON"));
        let theirs = second_opinion(row);
        if ours != theirs && !is_known(row, theirs.as_ref()) {
            differences.push(format!("{row}: {ours:?} here, {theirs:?} there"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        rows.len(),
        differences.join("\n")
    );
}

/// Where the crate is not CEL, JSON has no such value, or we differ on purpose.
fn is_known(row: &str, theirs: Option<&Json>) -> bool {
    let adds_keys_to_a_list = row.contains(" + {") || row.contains(" + input.nested");
    let not_finite = theirs == Some(&Json::Null) && row.ends_with(" / 0.0");
    // The output of a step that was skipped is null, and has no fields.
    let has_of_null = row == "has(null.x)" || row == "has(input.none.x)";
    adds_keys_to_a_list || not_finite || has_of_null
}
