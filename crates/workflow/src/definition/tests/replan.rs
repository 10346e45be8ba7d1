//! What a workflow says of its plan's changes, and of its outputs.

use super::{check, check_steps, expect};

/// Checks the `replan` of a workflow that is right else.
fn check_replan(replan: &str, expect: &expect_test::Expect) {
    let steps = "steps:\n  a: { task: a }\n  b: { task: b, after: a }\n";
    check(&format!("workflow: w\nversion: 1\n{steps}replan:\n{replan}"), expect);
}

#[test]
fn every_mistake_of_a_replan_is_reported_at_its_place() {
    check_replan(
        "  on: [failed, broken]\n  by: { wait: { for: 5m } }\n  scope: [a, c]\n  max: 21\n  allow: { tasks: [a b], tols: [] }\n  approval: 1\n  who: me\n",
        &expect![[r#"
            w.yaml:7:16: "broken" makes no plan be looked at again; expected one of failed, rejected, low_confidence, contradiction, budget [bad-name]
            w.yaml:8:7: the step does not say what it does; expected exactly one of task, model, wait, call, review; or a tool alone [missing-field]
            w.yaml:8:9: a step that plans has no field "wait"; expected with (did you mean that?) [unknown-field]
            w.yaml:9:14: there is no step "c"; expected the name of a step of this workflow [unknown-step]
            w.yaml:10:8: 21 is out of range; expected a whole number from 1 to 20 [out-of-range]
            w.yaml:11:20: "a b" is no name of a task: it has ' ' at byte 1; allowed are a-z A-Z 0-9 - _ . : /; expected a name of 1 to 64 of the allowed characters [bad-name]
            w.yaml:11:26: what a revision may use besides has no field "tols"; expected tools (did you mean that?) [unknown-field]
            w.yaml:12:13: this is the number 1; expected an object with the fields form, due, persons, pool, kind, skills, certifications, exclude, escalate, outcomes, on_overdue [wrong-type]
            w.yaml:13:3: a replan has no field "who"; expected one of on, by, scope, max, allow, approval [unknown-field]
        "#]],
    );
    check_replan(
        "  on: []\n",
        &expect![[r#"
        w.yaml:7:3: the field by is missing; expected the task that plans, or a step that does: a task, a model or a review [missing-field]
        w.yaml:7:7: the list is empty; expected some of failed, rejected, low_confidence, contradiction, budget [out-of-range]
    "#]],
    );
    check_replan(
        "  on: [failed]\n  by: { task: p, with: { replan: 1, x: steps.c.output, y: steps.b.output } }\n",
        &expect![[r#"
            w.yaml:8:24: replan is given to every step that plans; expected another name [duplicate]
            w.yaml:8:46: there is no step "c"; expected a (did you mean that?) [unknown-step]
        "#]],
    );
    check_replan(
        "  on: [failed]\n  by: { model: m, prompt: 'Plan {{ replan }} for {{ who }}' }\n",
        &expect![[r#"
            w.yaml:8:27: the template reads "who", which the step is not given; expected who in the with of the step [unknown-variable]
        "#]],
    );
    check_replan(
        "  on: [failed]\n  by: { review: { persons: 0 } }\n  scope: some\n",
        &expect![[r#"
            w.yaml:8:28: 0 is out of range; expected a whole number from 1 to 16 [out-of-range]
            w.yaml:9:10: "some" is no scope; expected downstream, all, or a list of steps [bad-name]
        "#]],
    );
}

#[test]
fn a_planner_is_a_task_a_model_or_a_person() {
    check_replan(
        "  on: [failed]\n  by: p\n",
        &expect![[r#"
        w version 1
        a after []: Task { task: "a", pool: "default" }
        b after ["a"]: Task { task: "b", pool: "default" }
    "#]],
    );
    check_replan(
        "  on: [failed, budget]\n  by: { model: m, prompt: 'Plan {{ replan.step }}' }\n  scope: all\n  max: 1\n",
        &expect![[r#"
            w version 1
            a after []: Task { task: "a", pool: "default" }
            b after ["a"]: Task { task: "b", pool: "default" }
        "#]],
    );
    check_replan(
        "  on: [contradiction]\n  by: { review: { pool: people } }\n  approval: { persons: 2 }\n  allow: { tasks: [c, { task: d, pool: gpu }] }\n",
        &expect![[r#"
            w version 1
            a after []: Task { task: "a", pool: "default" }
            b after ["a"]: Task { task: "b", pool: "default" }
        "#]],
    );
}

#[test]
fn steps_are_not_called_as_planners_are_where_there_are_some() {
    check(
        "workflow: w\nversion: 1\nsteps:\n  replan_1: { task: a }\nreplan: { on: [failed], by: p }\n",
        &expect![[r#"
            w.yaml:5:9: "replan_1" is what a step is called that plans; expected another name for that step [bad-name]
        "#]],
    );
    check(
        "workflow: w\nversion: 1\nsteps:\n  replan_1: { task: a }\n",
        &expect![[r#"
        w version 1
        replan_1 after []: Task { task: "a", pool: "default" }
    "#]],
    );
}

#[test]
fn an_output_is_judged_by_what_its_step_may_read() {
    check_steps(
        "  a: { task: a, output: { check: steps.a.output.ok && steps.b.output.ok, confidence: 1.5, threshold: x } }\n  b: { task: b, after: a, output: { check: 7, threshold: 0.5 } }\n  c: { task: c, map: { over: input.list }, output: { check: steps.c.output.ok } }\n",
        &expect![[r#"
            w.yaml:4:61: b need not have run when a begins; expected b in the after of a, or of a step before it [not-upstream]
            w.yaml:4:86: 1.5 is out of range; expected a number from 0 to 1 [out-of-range]
            w.yaml:4:102: there is no variable x; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"x"' [unknown-variable]
            w.yaml:5:44: this is the number 7; expected a condition [wrong-type]
            w.yaml:5:58: a threshold for something that is not said; expected confidence beside it [missing-field]
            w.yaml:6:61: the output of a step that has a map has no check; expected a step behind it that looks at the list [wrong-field]
        "#]],
    );
}
