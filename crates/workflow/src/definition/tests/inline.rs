//! Schemas from files, put in place.

use super::{Format, Known, expect};
use crate::definition::{Source, inline, no_files, parse};

const FILE: &str = "{\n  \"type\": \"object\",\n  \"properties\": { \"a\": { \"pattern\": \"^\\\\d: #x$\" } }\n}\n";

fn files(name: &str) -> Result<String, String> {
    match name {
        "s.json" => Ok(FILE.to_owned()),
        "bad.json" => Ok("{".to_owned()),
        other => Err(format!("{other} cannot be read: no such file")),
    }
}

#[test]
fn schemas_come_into_the_text_and_all_else_stays() {
    let yaml = "# head\nworkflow: w\nversion: 1\ninput:\n  schema: s.json # the input\n  subject: a\nsteps:\n  a: { task: t, output: { schema: 's.json' } }\n  b:\n    task: t\n    output:\n      schema: \"s.json\"\n  c: { task: t, output: { schema: {} } }\n";
    let json = "{\"workflow\": \"w\", \"version\": 1, \"input\": {\"schema\": \"s.json\"}, \"steps\": {\"a\": {\"task\": \"t\"}}}";
    for (text, file, expected) in [
        (
            yaml,
            "w.yaml",
            expect![[r##"
                # head
                workflow: w
                version: 1
                input:
                  schema: {"type":"object","properties":{"a":{"pattern":"^\\d: #x$"}}} # the input
                  subject: a
                steps:
                  a: { task: t, output: { schema: {"type":"object","properties":{"a":{"pattern":"^\\d: #x$"}}} } }
                  b:
                    task: t
                    output:
                      schema: {"type":"object","properties":{"a":{"pattern":"^\\d: #x$"}}}
                  c: { task: t, output: { schema: {} } }
            "##]],
        ),
        (
            json,
            "w.json",
            expect![[
                r#"{"workflow": "w", "version": 1, "input": {"schema": {"type":"object","properties":{"a":{"pattern":"^\\d: #x$"}}}}, "steps": {"a": {"task": "t"}}}"#
            ]],
        ),
    ] {
        let source = Source { text, format: Format::Auto, file };
        let inlined = inline(&source, &files).unwrap();
        expected.assert_eq(&inlined);
        let from_files = parse(&source, &Known::default(), &files).unwrap();
        let in_place = Source { text: &inlined, ..source };
        let mut from_text = parse(&in_place, &Known::default(), &no_files).unwrap();
        from_text.source = from_files.source.clone();
        assert_eq!(from_text, from_files);
    }
}

#[test]
fn files_that_cannot_be_used_are_all_reported() {
    let text = "input: { schema: none.json }\nsteps: { a: { output: { schema: bad.json } } }\n";
    let source = Source { text, format: Format::Yaml, file: "w.yaml" };
    let mistakes = inline(&source, &files).unwrap_err();
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    expect![[r#"
        w.yaml:1:18: none.json cannot be read: no such file; expected a file that can be read [bad-file]
        w.yaml:2:33: "bad.json" is not JSON: EOF while parsing an object at line 1 column 1; expected a JSON Schema [bad-schema]"#]].assert_eq(&lines.join("\n"));
    let broken = Source { text: "a: [", ..source };
    assert_eq!(inline(&broken, &files).unwrap(), "a: [");
}

#[test]
fn templates_come_into_the_text_from_their_files() {
    let files = |name: &str| match name {
        "p.md" => Ok("Check {{ x }}:\n\"now\" # here\n".to_owned()),
        other => Err(format!("{other} cannot be read: no such file")),
    };
    let text = "workflow: w\nversion: 1\nsteps:\n  a: { model: m, prompt: p.md, with: { x: input } }\n  b:\n    model: m\n    prompt: p.md # the file\n    system: Be brief.\n    with: { x: input }\n";
    let source = Source { text, format: Format::Auto, file: "w.yaml" };
    let inlined = inline(&source, &files).unwrap();
    let here = Source { text: &inlined, ..source };
    let workflow = parse(&here, &Known::default(), &no_files).unwrap();
    for step in &workflow.steps {
        let fairlane_core::plan::StepKind::Model(call) = &step.kind else { panic!("{step:?}") };
        assert_eq!(&*call.prompt, "Check {{ x }}:\n\"now\" # here\n");
    }
    let missing = Source { text: &text.replace("p.md", "q.md"), ..source };
    assert_eq!(inline(&missing, &files).unwrap_err().len(), 2);
}
