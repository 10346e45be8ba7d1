//! Definitions and templates that nobody would write: each is taken or refused, and means one thing.

use std::collections::BTreeSet;

use fairlane_core::plan::Workflow;
use fairlane_fuzz::Target;

use super::*;
use crate::{MISTAKES_MAX, Mode, Template, definition_of, inline, without_schedules};

/// What is said of one mistake. Texts of the file are quoted in part only, so that a long one is not said again.
const MESSAGE_BYTES_MAX: usize = 4_000;

#[test]
fn every_definition_is_taken_or_refused_with_the_places() {
    let schema: Arc<str> = Arc::from(SCHEMA);
    let evaluator = Evaluator::new();
    let words = SCHEMA.split(|c: char| !c.is_alphanumeric() && c != '_').collect::<BTreeSet<_>>();
    let target = Target::new("definition", 2_500)
        .seeds(examples().into_iter().map(|(_, text)| text))
        .folder(root().join("crates/cli/src/demo"), &[".yaml"])
        .seed(complete().to_string());
    target.words(words).run(|input| {
        let text = String::from_utf8_lossy(input);
        match parse(&source(&text), &Known::default(), &no_files) {
            Ok(workflow) => {
                is_the_same_as_json(&text, &workflow);
                let (tree, _) = tree::read(&text, Format::Auto, "");
                let json = tree.expect("what was taken is a tree").to_json().to_string();
                let outcome = evaluator.check_schema(&schema, json.as_bytes());
                assert_eq!(outcome, Ok(()), "what the reader takes, the published schema takes");
                shape(&definition_of(&text))
            }
            Err(mistakes) => {
                are_in_the_text(&text, &mistakes);
                let brief = |mistake: &Mistake| {
                    format!("{} {}", mistake.code.as_str(), mistake.path.matches('/').count())
                };
                mistakes.iter().map(brief).collect()
            }
        }
    });
}

fn source(text: &str) -> Source<'_> {
    Source { text, format: Format::Auto, file: "" }
}

/// Written as JSON it is the same workflow, with its schedules and without.
fn is_the_same_as_json(text: &str, workflow: &Workflow) {
    let (tree, flaws) = tree::read(text, Format::Auto, "");
    assert!(flaws.is_empty(), "what was taken has no flaw");
    let read = |json: &str| {
        let source = Source { text: json, format: Format::Json, file: "" };
        let read = parse(&source, &Known::default(), &no_files).expect("it was taken before");
        Workflow { source: workflow.source.clone(), ..read }
    };
    let json = tree.expect("what was taken is a tree").to_json().to_string();
    assert_eq!(&read(&json), workflow, "as JSON");
    let without = without_schedules(text).expect("what was taken can be read");
    let wanted = Workflow { schedules: Vec::new(), ..workflow.clone() };
    assert_eq!(read(&without), wanted, "without schedules");
    let inlined = inline(&source(text), &no_files).expect("it names no files");
    let inlined = parse(&source(&inlined), &Known::default(), &no_files);
    let inlined = inlined.map(|found| Workflow { source: workflow.source.clone(), ..found });
    assert_eq!(inlined.as_ref(), Ok(workflow), "with its files in place");
    // As the store keeps it.
    let stored = serde_json::to_string(workflow).expect("a workflow can be written");
    assert_eq!(&serde_json::from_str::<Workflow>(&stored).expect("and read"), workflow);
}

/// Mistakes are in the order of the text, each at a place that the text has.
fn are_in_the_text(text: &str, mistakes: &[Mistake]) {
    assert!((1..=MISTAKES_MAX).contains(&mistakes.len()), "{} mistakes", mistakes.len());
    assert!(mistakes.is_sorted_by_key(|mistake| (mistake.line, mistake.column)), "in order");
    // Of YAML a return alone ends a line too; what a line has in characters is then not known here.
    let counts = !text.contains('\r');
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for mistake in mistakes {
        let Mistake { line, column, path, message, expected, .. } = mistake;
        let (line, column) = (*line as usize, *column as usize);
        assert!(line >= 1 && column >= 1, "{mistake}");
        if counts {
            let length = lines.get(line - 1).copied();
            assert!(
                length.is_some_and(|length| column <= length + 1),
                "not in the text: {mistake}"
            );
        }
        assert!(path.is_empty() || path.starts_with('/'), "{path} is no pointer");
        assert!(!message.is_empty() && !expected.is_empty(), "{mistake:?}");
        let length = message.len() + expected.len();
        assert!(length <= MESSAGE_BYTES_MAX, "a message of {length} bytes");
    }
}

/// The fields of each step.
fn shape(steps: &Value) -> BTreeSet<String> {
    let fields = |step: &Value| match step {
        Value::Object(fields) => fields.keys().map(|key| format!("{key} ")).collect(),
        _ => String::new(),
    };
    steps.as_object().into_iter().flatten().map(|(_, step)| fields(step)).collect()
}

#[test]
fn every_template_makes_a_bounded_text_or_says_what_is_wrong() {
    let inputs = json!({
        "name": "Ada \"x\" </p>", "n": 7, "rate": 0.5, "list": [1, "b", null], "object": {"a": {"b": [true]}},
        "none": null, "ok": true, "long": "é".repeat(500)
    });
    let Value::Object(inputs) = inputs else { unreachable!("it is an object") };
    let seeds = [
        "Check {{ name }} for {{ n }}.",
        r#"{"name": {{ name }}, "list": {{ list }}, "deep": {{ object.a.b[0] }}}"#,
        "{% for x in list %}{{ loop.index }}: {{ x }}{% endfor %}",
        "{% if ok and n > 3 %}{{ name|upper }}{% else %}{{ none }}{% endif %}",
        "{% set x = n * 2 %}{{ x ~ long|length }}{{ long[:10] }}",
        "{{ list|join(', ') }}{{ object|tojson }}{{ name|replace('a', 'b')|trim }}",
        "{{ '%s'|format(n) }}{{ range(3)|list }}{{ [1, 2]|sum }}{{ name|default('x') }}",
    ];
    let words = [
        "{{",
        "}}",
        "{%",
        "%}",
        "for",
        "in",
        "endfor",
        "if",
        "endif",
        "set",
        "name",
        "list",
        "object",
        "long",
        "loop",
        "range(100000)",
        "|join",
        "|length",
        "|tojson",
        "|replace",
        "|reverse",
        "|sort",
        "|batch(2)",
        "|slice(3)",
        "|indent(9999)",
        "is defined",
        "*",
        "~",
        "recursive",
    ];
    Target::new("template", 3_000).seeds(seeds).words(words).run(|input| {
        let text = String::from_utf8_lossy(input);
        [Mode::Text, Mode::Json, Mode::Url].map(|mode| rendered(&text, mode, &inputs))
    });
}

/// What becomes of the template, in brief.
fn rendered(text: &str, mode: Mode, inputs: &serde_json::Map<String, Value>) -> String {
    const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
    let template = match Template::parse(text, mode) {
        Ok(template) => template,
        Err(mistake) => {
            let lines = text.split('\n').count() + text.matches('\r').count();
            assert!((1..=lines).contains(&mistake.line), "not in the text: {mistake}");
            return "not read".to_owned();
        }
    };
    let outcome = template.render(inputs);
    assert_eq!(outcome, template.render(inputs), "a template is a function of its inputs");
    match outcome {
        Ok(made) => {
            assert!(made.len() <= OUTPUT_BYTES_MAX, "{} bytes", made.len());
            if mode == Mode::Json {
                serde_json::from_str::<serde::de::IgnoredAny>(&made).expect("it is JSON");
            }
            format!("made {}", made.len().checked_ilog2().unwrap_or(0))
        }
        Err(error) => error.to_string().chars().filter(char::is_ascii_lowercase).take(30).collect(),
    }
}
