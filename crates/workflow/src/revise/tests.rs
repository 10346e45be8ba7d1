//! Answers in, plans or sentences out.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

const LOAN: &str = "
workflow: loan
version: 1
steps:
  verify: { task: verify }
  credit: { after: [verify], task: credit }
  comply: { after: [credit], task: comply, with: { credit: steps.credit.output } }
  decide: { after: [comply], task: decide, with: { comply: steps.comply.output } }
replan: { on: [failed], by: plan }
";

fn loan() -> Workflow {
    let source = Source { text: LOAN, format: Format::Yaml, file: "loan.yaml" };
    parse(&source, &Known::default(), &no_files).unwrap()
}

fn outcome(plan: &Workflow, answer: &str) -> String {
    match revise(plan, answer.as_bytes(), [0; 32]) {
        Err(problem) => problem,
        Ok(revision) => {
            let mut out = String::new();
            for (index, step) in revision.plan.indexed().filter(|(at, _)| revision.plan.has(*at)) {
                let after: Vec<&str> =
                    step.after.iter().map(|at| revision.plan.step(*at).name.as_str()).collect();
                writeln!(out, "{} {} after {after:?}", index.0, step.name).unwrap();
            }
            let Revision { added, changed, dropped, redo, distrust, .. } = revision;
            for (what, steps) in [
                ("added", added),
                ("changed", changed),
                ("dropped", dropped),
                ("redo", redo),
                ("distrust", distrust),
            ] {
                let places: Vec<u16> = steps.iter().map(|step| step.0).collect();
                if !places.is_empty() {
                    writeln!(out, "{what} {places:?}").unwrap();
                }
            }
            out
        }
    }
}

fn check(answer: &str, expect: &Expect) {
    expect.assert_eq(&outcome(&loan(), answer));
}

#[test]
fn a_step_is_put_before_one_that_is_there() {
    check(
        r#"{"reason":"no file","drop":["credit"],
            "steps":{"bank":{"after":["verify"],"task":"credit"},
                     "comply":{"after":["bank"],"task":"comply","with":{"credit":"steps.bank.output"}}}}"#,
        &expect![[r#"
            0 verify after []
            2 comply after ["bank"]
            3 decide after ["comply"]
            4 bank after ["verify"]
            added [4]
            changed [2]
            dropped [1]
        "#]],
    );
}

#[test]
fn a_definition_that_is_the_same_changes_nothing() {
    check(
        r#"{"reason":"again","redo":["credit"],"steps":{"verify":{"task":"verify"}}}"#,
        &expect![[r#"
            0 verify after []
            1 credit after ["verify"]
            2 comply after ["credit"]
            3 decide after ["comply"]
            redo [1]
        "#]],
    );
}

#[test]
fn a_cycle_is_no_plan() {
    check(
        r#"{"reason":"x","steps":{"a":{"after":["b"],"task":"credit"},"b":{"after":["a"],"task":"credit"}}}"#,
        &expect![
            "the plan that it makes is none: /steps/a: these steps wait for each other: a after b after a; expected steps that can run one after another"
        ],
    );
}

#[test]
fn a_step_that_is_needed_is_not_dropped() {
    check(
        r#"{"reason":"x","drop":["credit"]}"#,
        &expect![
            "the plan that it makes is none: /steps/comply/after/0: there is no step \"credit\"; expected the name of a step of this workflow; /steps/comply/with/credit: there is no step \"credit\"; expected the name of a step of this workflow"
        ],
    );
}

#[test]
fn an_answer_that_is_none_is_said_to_be_none() {
    check(
        "[]",
        &expect![
            "the answer is no revision: invalid length 0, expected struct Answer with 5 elements at line 1 column 2"
        ],
    );
    check(
        r#"{"reason":"x","undo":[]}"#,
        &expect![
            "the answer is no revision: unknown field `undo`, expected one of `reason`, `steps`, `drop`, `redo`, `distrust` at line 1 column 20"
        ],
    );
    check(
        r#"{"reason":"x","redo":["pay"]}"#,
        &expect!["`redo` names \"pay\", which is no step of the plan"],
    );
    check(
        r#"{"reason":"x","drop":["verify","credit","comply","decide"]}"#,
        &expect!["the plan would have no steps"],
    );
    check(
        r#"{"reason":"x","steps":{"replan_7":{"task":"credit"}}}"#,
        &expect!["\"replan_7\" is what a step is called that plans"],
    );
    check(
        r#"{"reason":"x","drop":["decide"],"steps":{"decide":{"task":"decide"}}}"#,
        &expect!["\"decide\" is both dropped and given in `steps`"],
    );
}

#[test]
fn a_revised_plan_is_revised_again_and_names_are_not_used_twice() {
    let plan = loan();
    let answer =
        r#"{"reason":"x","drop":["decide"],"steps":{"ask":{"after":["comply"],"task":"decide"}}}"#;
    let plan = revise(&plan, answer.as_bytes(), [0; 32]).unwrap().plan;
    expect!["\"decide\" was the name of a step that is no more"]
        .assert_eq(&outcome(&plan, r#"{"reason":"y","steps":{"decide":{"task":"decide"}}}"#));
    expect![[r#"
        0 verify after []
        1 credit after ["verify"]
        2 comply after ["credit"]
        5 tell after ["comply"]
        added [5]
        dropped [4]
    "#]]
    .assert_eq(&outcome(
        &plan,
        r#"{"reason":"y","drop":["ask"],"steps":{"tell":{"after":["comply"],"task":"decide"}}}"#,
    ));
}
