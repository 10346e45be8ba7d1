//! The published JSON Schema, the reference and the examples against the reader of the format.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Code, Evaluator, Format, Known, Mistake, SCHEMA, Source, no_files, parse, tree};

mod fuzzed;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn examples() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["examples/loan", "examples/workflows"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "yaml" || ending == "json") {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn read(text: &str, file: &str) -> Result<Value, Vec<Mistake>> {
    let source = Source { text, format: Format::Auto, file };
    parse(&source, &Known::default(), &no_files)
        .map(|workflow| serde_json::to_value(workflow).unwrap())
}

/// Whether the schema can see the mistake: it knows each value, and not what values have to do with each other.
fn is_structural(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownField
            | Code::MissingField
            | Code::WrongField
            | Code::WrongType
            | Code::BadName
            | Code::OutOfRange
            | Code::BadDuration
            | Code::NotAvailable
            | Code::Duplicate
            | Code::TooManySteps
    )
}

#[test]
fn every_example_is_read_and_fits_the_schema() {
    let examples = examples();
    assert!(examples.len() >= 7, "the examples are found");
    for (file, text) in examples {
        if let Err(mistakes) = read(&text, &file) {
            panic!("{file}: {mistakes:#?}");
        }
        let (tree, _) = tree::read(&text, Format::Auto, &file);
        let json = tree.unwrap().to_json().to_string();
        let outcome = Evaluator::new().check_schema(&Arc::from(SCHEMA), json.as_bytes());
        assert_eq!(outcome, Ok(()), "{file}");
    }
}

/// A definition with every field that the format has.
fn complete() -> Value {
    json!({
        "workflow": "complete", "version": 3, "timeout": "2h",
        "input": {"schema": {"type": "object"}, "subject": "applicant.id"},
        "steps": {
            "first": {
                "task": "a", "pool": "gpu", "when": "input.ok", "with": {"x": "input.x", "n": 1},
                "map": {"over": "input.list", "parallel": 3, "max": 50},
                "retry": {"attempts": 5, "backoff": "250ms..1m", "jitter": 0.25},
                "timeout": {"queue": "1m", "attempt": "30s", "step": "1h"},
                "expect": "20s", "cost": 0.02, "tool": "bureau/v2", "optional": true,
                "output": {"schema": {"type": "integer"}},
                "compensate": {
                    "task": "undo", "pool": "gpu", "with": {"id": "steps.first.output"},
                    "retry": {"attempts": 2}, "timeout": "5s"
                }
            },
            "ask": {
                "model": "reasoner/v1", "prompt": "Check {{ x }}", "system": "Be short.",
                "max_tokens": 800, "min_tokens": 5, "with": {"x": "input.x"},
                "output": {"schema": {"type": "object"}}, "retry": {"attempts": 2}, "expect": "5s"
            },
            "sure": {
                "task": "s", "output": {
                    "check": "steps.sure.output.ok", "confidence": "steps.sure.output.sure", "threshold": 0.8
                }
            },
            "look": {"tool": "bureau/v2", "with": {"x": "input.x"}, "cost": 0.05, "timeout": "5s"},
            "second": {"after": "first", "task": "b", "timeout": "1m"},
            "pause": {"after": ["first", "second"], "wait": {"for": "5m"}},
            "due": {"after": "first", "wait": {"until": "steps.first.output.due"}},
            "signal": {"after": [], "wait": {"signal": "approved"}, "timeout": {"step": "1d"}},
            "manual": {
                "with": {"x": "input.x"}, "timeout": "3d",
                "review": {
                    "form": {"type": "object"}, "due": "4h", "persons": 2, "pool": "underwriters",
                    "kind": "approval", "skills": ["credit"], "certifications": ["gdpr"],
                    "exclude": ["requester", "eve"], "on_overdue": "rejected",
                    "outcomes": [{"name": "ok", "approves": true}, {"name": "rejected", "approves": false}],
                    "escalate": [{"pool": "seniors", "class": 0, "notify": true, "within": "2h"}]
                }
            },
            "child": {"call": {"workflow": "w", "version": 2}, "with": {"x": "input"}, "timeout": "1h"}
        },
        "replan": {
            "on": ["failed", "budget"], "scope": "all", "max": 3,
            "by": {
                "task": "plan", "pool": "gpu", "tool": "bureau/v2", "cost": 0.08, "expect": "5s",
                "with": {"first": "steps.first.output"}, "retry": {"attempts": 2}, "timeout": "1m"
            },
            "allow": {
                "tasks": ["bank", {"task": "ask", "pool": "gpu"}], "tools": ["bank/v1"],
                "models": ["reasoner/v1"], "workflows": ["child"]
            },
            "approval": {"persons": 2}
        },
        "schedules": {
            "nightly": {"tenant": "acme", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "overlap": "queue", "input": {}}
        }
    })
}

/// Pointers to all values of the document, but not into schemas and inputs, which are of any form.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    if pointer.ends_with("/schema")
        || pointer.ends_with("/with")
        || pointer.ends_with("/form")
        || pointer.contains("/nightly/input")
    {
        return;
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                places(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                places(value, &format!("{pointer}/{at}"), found);
            }
        }
        _ => {}
    }
}

/// The document with one thing changed, in every place.
fn variants() -> Vec<(String, Value)> {
    let good = complete();
    let mut found = Vec::new();
    places(&good, "", &mut found);
    let mut variants = vec![("as it is".to_owned(), good.clone())];
    for place in found {
        let others = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(7),
            json!(20_000),
            json!(""),
            json!("A b"),
            json!("input.x"),
            json!("0s"),
            json!("1m1h"),
            json!("5 s"),
            json!([]),
            json!(["first", "first"]),
            json!([1]),
            json!({}),
            json!({"x": 1}),
        ];
        for other in others {
            let mut variant = good.clone();
            let text = format!("{place} = {other}");
            *variant.pointer_mut(&place).unwrap() = other;
            variants.push((text, variant));
        }
        let mut larger = good.clone();
        if let Some(Value::Object(object)) = larger.pointer_mut(&place) {
            for key in [
                "unknown", "model", "1a", "in", "wait", "call", "task", "cost", "with", "map",
                "queue", "prompt", "tool", "review",
            ] {
                let mut variant = good.clone();
                let Some(Value::Object(with_key)) = variant.pointer_mut(&place) else {
                    unreachable!()
                };
                with_key.entry(key).or_insert_with(|| json!({"task": "t"}));
                variants.push((format!("{place} with {key}"), variant));
            }
            for key in object.keys() {
                let mut variant = good.clone();
                let Some(Value::Object(without)) = variant.pointer_mut(&place) else {
                    unreachable!()
                };
                without.remove(key);
                variants.push((format!("{place} without {key}"), variant));
            }
        }
    }
    variants
}

#[test]
fn the_schema_and_the_reader_agree_on_the_form_of_every_variant() {
    let schema: Arc<str> = Arc::from(SCHEMA);
    let evaluator = Evaluator::new();
    let mut differences = Vec::new();
    let variants = variants();
    for (change, variant) in &variants {
        let text = variant.to_string();
        let mistakes = read(&text, "variant.json").err().unwrap_or_default();
        let refused: Vec<String> = mistakes
            .iter()
            .filter(|mistake| is_structural(mistake.code))
            .map(ToString::to_string)
            .collect();
        let violations = evaluator.check_schema(&schema, text.as_bytes()).err().unwrap_or_default();
        if refused.is_empty() != violations.is_empty() {
            differences.push(format!("{change}: reader {refused:?}, schema {violations:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        variants.len(),
        differences.join("\n")
    );
}

#[test]
fn the_complete_document_has_every_field_of_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let text = complete().to_string();
    let mut fields = BTreeSet::new();
    let mut left = vec![&schema];
    while let Some(value) = left.pop() {
        if let Some(Value::Object(properties)) = value.get("properties") {
            fields.extend(properties.keys().cloned());
        }
        match value {
            Value::Object(object) => left.extend(object.values()),
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    let missing: Vec<&String> =
        fields.iter().filter(|field| !text.contains(&format!("\"{field}\":"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_reference_names_every_field_code_and_bound() {
    let reference = std::fs::read_to_string(root().join("docs/reference/workflow.md")).unwrap();
    for code in Code::ALL {
        assert!(
            reference.contains(&format!("`{}`", code.as_str())),
            "{} is missing",
            code.as_str()
        );
    }
    for status in ["done", "failed", "skipped", "cancelled"] {
        assert!(reference.contains(&format!("`{status}`")), "the status {status} is missing");
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for part in [
        "",
        "/$defs/step",
        "/$defs/schedule",
        "/$defs/retry",
        "/$defs/map",
        "/$defs/wait",
        "/$defs/call",
        "/$defs/review",
        "/$defs/rung",
        "/$defs/compensation",
        "/$defs/timeouts",
    ] {
        let Some(Value::Object(properties)) = schema.pointer(&format!("{part}/properties")) else {
            panic!("{part}")
        };
        for field in properties.keys() {
            assert!(reference.contains(&format!("`{field}`")), "{part}: {field} is missing");
        }
    }
    let bounds = [
        crate::SOURCE_BYTES_MAX as u64,
        crate::SCHEMA_BYTES_MAX as u64,
        crate::expr::OPERATIONS_MAX,
        crate::expr::TEXT_BYTES_MAX as u64,
        crate::expr::DATA_BYTES_MAX as u64,
        crate::expr::TERMS_MAX as u64,
    ];
    for bound in bounds {
        assert!(reference.replace(',', "").contains(&bound.to_string()), "{bound} is missing");
    }
}

#[test]
fn every_yaml_block_of_the_reference_that_is_a_workflow_is_one() {
    let reference = std::fs::read_to_string(root().join("docs/reference/workflow.md")).unwrap();
    let blocks: Vec<&str> = reference
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.contains("workflow:") && block.contains("version:"))
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let source = Source { text: block, format: Format::Yaml, file: "reference.yaml" };
        if let Err(mistakes) = parse(&source, &Known::default(), &|_| Ok("{}".to_owned())) {
            panic!("{block}\n{mistakes:#?}");
        }
    }
}
