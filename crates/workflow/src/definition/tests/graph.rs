//! Order, cycles, and what expressions may read.

use std::fmt::Write as _;

use super::{Format, Known, check, check_steps, expect};
use crate::definition::{Source, no_files, parse};

#[test]
fn steps_come_in_topological_order_and_else_in_the_order_of_the_file() {
    check_steps(
        "  c: { task: t, after: [a, b] }\n  b: { task: t }\n  a: { task: t, after: b }\n",
        &expect![[r#"
        w version 1
        b after []: Task { task: "t", pool: "default" }
        a after ["b"]: Task { task: "t", pool: "default" }
        c after ["b", "a"]: Task { task: "t", pool: "default" }
    "#]],
    );
}

#[test]
fn a_cycle_is_named() {
    check_steps(
        "  a: { task: t, after: c }\n  b: { task: t, after: a }\n  c: { task: t, after: b }\n  d: { task: t, after: c }\n  e: { task: t, after: e }\n",
        &expect![[r#"
            w.yaml:4:3: these steps wait for each other: a after c after b after a; expected steps that can run one after another [cycle]
            w.yaml:8:3: these steps wait for each other: e after e; expected steps that can run one after another [cycle]
        "#]],
    );
}

#[test]
fn an_expression_reads_only_what_is_upstream() {
    check_steps(
        "  a: { task: t }\n  b: { task: t, after: a }\n  c:\n    task: t\n    after: b\n    with: { x: steps.a.output, y: steps.d.output, z: steps.bb.output, w: steps.c.output }\n    when: 'item == 1'\n  d: { task: t }\n",
        &expect![[r#"
            w.yaml:9:41: d need not have run when c begins; expected d in the after of c, or of a step before it [not-upstream]
            w.yaml:9:60: there is no step "bb"; expected b (did you mean that?) [unknown-step]
            w.yaml:9:80: c cannot read its own result; expected a step before it [not-upstream]
            w.yaml:10:12: there is no item here; expected item and index only in the with of a step that has a map [unknown-variable]
        "#]],
    );
}

#[test]
fn compensation_reads_every_step_and_a_map_its_item() {
    check_steps(
        "  a: { task: t, compensate: { task: u, with: { own: steps.a.output, later: steps.b.output, item: item } } }\n  b: { task: t, after: a, map: { over: item }, when: index == 0, with: { x: item.id, y: index } }\n  c: { wait: { until: steps.b.output.at } }\n",
        &expect![[r#"
            w.yaml:4:98: there is no item here; expected item and index only in the with of a step that has a map [unknown-variable]
            w.yaml:5:40: there is no item here; expected item and index only in the with of a step that has a map [unknown-variable]
            w.yaml:5:54: there is no item here; expected item and index only in the with of a step that has a map [unknown-variable]
            w.yaml:6:29: b need not have run when c begins; expected b in the after of c, or of a step before it [not-upstream]
        "#]],
    );
}

#[test]
fn a_status_is_compared_only_with_words_that_a_status_can_be() {
    check_steps(
        "  a: { task: t, optional: true }\n  b:\n    task: t\n    after: a\n    when: steps.a.status == 'completed'\n    with:\n      x: \"'dnoe' != steps.a.status\"\n      y: steps.a.status in ['done', 'gone']\n      z: steps.a.status in ['failed', 'skipped', 'cancelled']\n",
        &expect![[r#"
            w.yaml:8:29: the status of a step is never "completed"; expected one of done, failed, skipped, cancelled, pending [out-of-range]
            w.yaml:10:11: the status of a step is never "dnoe"; expected done (did you mean that?) [out-of-range]
            w.yaml:11:37: the status of a step is never "gone"; expected done (did you mean that?) [out-of-range]
        "#]],
    );
}

#[test]
fn a_plan_of_ten_thousand_steps_is_refused_without_reading_it() {
    let mut text = "workflow: w\nversion: 1\nsteps:\n".to_owned();
    for at in 0..10_000 {
        writeln!(text, "  s{at}: {{ task: t, after: [s{}] }}", at + 1).unwrap();
    }
    check(
        &text,
        &expect![[r#"
        w.yaml:4:3: the workflow has 10000 steps; expected at most 500; a list of many like items is one step with a map [too-many-steps]
    "#]],
    );
}

#[test]
fn the_largest_plan_is_a_chain_of_500_steps() {
    let mut steps = String::new();
    for at in (0..500).rev() {
        let after = if at == 0 { "[]".to_owned() } else { format!("[s{}]", at - 1) };
        writeln!(
            steps,
            "  s{at}: {{ task: t, after: {after}, with: {{ first: steps.s{}.output }} }}",
            0
        )
        .unwrap();
    }
    check_steps(
        &steps,
        &expect![[r#"
        w.yaml:503:50: s0 cannot read its own result; expected a step before it [not-upstream]
    "#]],
    );
    let steps = steps.replace("with: { first: steps.s0.output } }\n", "}\n");
    let text = format!("workflow: w\nversion: 1\nsteps:\n{steps}");
    let source = Source { text: &text, format: Format::Yaml, file: "w" };
    let workflow = parse(&source, &Known::default(), &no_files).unwrap();
    assert_eq!(workflow.steps.len(), 500);
    assert!(workflow.indexed().all(|(at, step)| step.name.as_str() == format!("s{}", at.0)));
    assert!(workflow.indexed().all(|(at, step)| step.after.iter().all(|before| *before < at)));
}

#[test]
fn cycles_that_share_steps_are_each_named_once() {
    check_steps(
        "  a: { task: t, after: [b, c] }\n  b: { task: t, after: a }\n  c: { task: t, after: [a, d] }\n  d: { task: t, after: [e] }\n  e: { task: t, after: [d, nowhere] }\n  f: { task: t, after: [e], with: { x: steps.a.output } }\n",
        &expect![[r#"
            w.yaml:4:3: these steps wait for each other: a after b after a; expected steps that can run one after another [cycle]
            w.yaml:7:3: these steps wait for each other: d after e after d; expected steps that can run one after another [cycle]
            w.yaml:8:28: there is no step "nowhere"; expected the name of a step of this workflow [unknown-step]
        "#]],
    );
}
