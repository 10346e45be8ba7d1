//! Rows of text in, mistakes or workflow out.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::{Known, Source, no_files, parse};
use crate::tree::Format;

mod fields;
mod graph;
mod inline;
mod models;
mod replan;
mod text;

/// Either the mistakes, one in each line, or the workflow in brief.
fn outcome(text: &str, format: Format, known: &Known) -> String {
    let source = Source { text, format, file: "w.yaml" };
    match parse(&source, known, &no_files) {
        Err(mistakes) => mistakes.iter().fold(String::new(), |mut out, mistake| {
            writeln!(out, "{mistake}").unwrap();
            out
        }),
        Ok(workflow) => {
            let mut out = format!("{} version {}\n", workflow.name, workflow.version);
            for (_, step) in workflow.indexed() {
                let after: Vec<&str> =
                    step.after.iter().map(|at| workflow.step(*at).name.as_str()).collect();
                writeln!(out, "{} after {after:?}: {:?}", step.name, step.kind).unwrap();
            }
            out
        }
    }
}

fn check(text: &str, expect: &Expect) {
    expect.assert_eq(&outcome(text, Format::Yaml, &Known::default()));
}

fn check_json(text: &str, expect: &Expect) {
    expect.assert_eq(&outcome(text, Format::Json, &Known::default()));
}

/// Checks the steps of a workflow whose head is right.
fn check_steps(steps: &str, expect: &Expect) {
    check(&format!("workflow: w\nversion: 1\nsteps:\n{steps}"), expect);
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    check(
        "workflow: Loan\nversion: 0\nstps: {}\nsteps:\n  a:\n    tsk: x\n    timeout: 30\n  b:\n    task: y\n    after: [c]\n    when: input.x >\n",
        &expect![[r#"
            w.yaml:1:11: "Loan" is no name of a workflow: it has 'L' at byte 0; allowed are a-z 0-9 - _; expected a name of 1 to 64 of the allowed characters [bad-name]
            w.yaml:2:10: 0 is out of range; expected a whole number from 1 to 1000000 [out-of-range]
            w.yaml:3:1: a workflow has no field "stps"; expected steps (did you mean that?) [unknown-field]
            w.yaml:6:5: a step has no field "tsk"; expected task (did you mean that?) [unknown-field]
            w.yaml:6:5: the step does not say what it does; expected exactly one of task, model, wait, call, review; or a tool alone [missing-field]
            w.yaml:7:14: this is the number 30; expected a duration such as 30s, 1h30m, 250ms or 5d [wrong-type]
            w.yaml:10:13: there is no step "c"; expected a (did you mean that?) [unknown-step]
            w.yaml:11:20: the expression ends too early; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
        "#]],
    );
}
