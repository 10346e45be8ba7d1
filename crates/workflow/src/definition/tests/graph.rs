//! Order, cycles, and what expressions may read.

use super::{check_steps, expect};

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
