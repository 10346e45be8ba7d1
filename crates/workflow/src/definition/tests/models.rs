//! Steps that the server does itself.

use super::{check_steps, expect};

#[test]
fn a_model_and_a_tool_alone_are_steps() {
    check_steps(
        "  a: { model: reasoner, prompt: 'Check {{ x.y }}', with: { x: input } }\n  b: { tool: bureau, cost: 0.05, after: a }\n  c: { model: m, prompt: 'Say {{ n }}', system: Be brief., max_tokens: 7, min_tokens: 3, with: { n: 1 } }\n",
        &expect![[r#"
            w version 1
            a after []: Model(ModelCall { model: "reasoner", system: None, prompt: "Check {{ x.y }}", max_tokens: 1024, min_tokens: 256 })
            b after ["a"]: Tool
            c after []: Model(ModelCall { model: "m", system: Some("Be brief."), prompt: "Say {{ n }}", max_tokens: 7, min_tokens: 3 })
        "#]],
    );
}

#[test]
fn a_template_reads_what_the_step_is_given_and_nothing_else() {
    check_steps(
        "  a: { model: m, prompt: 'Check {{ credits }} {{ steps }}', with: { credit: input } }\n  b: { model: m, prompt: 'Check {{ x', with: { x: input } }\n  c: { model: m, prompt: ' ' }\n  d: { model: m }\n",
        &expect![[r#"
            w.yaml:4:26: the template reads "credits", which the step is not given; expected credit (did you mean that?) [unknown-variable]
            w.yaml:4:26: the template reads "steps", which the step is not given; expected steps in the with of the step [unknown-variable]
            w.yaml:5:26: the template cannot be read: line 1: syntax error: unexpected end of input, expected end of variable block; expected a text with {{ name }} for each value [bad-template]
            w.yaml:6:26: " " asks nothing; expected a text in place, or a file such as prompts/check.md [out-of-range]
            w.yaml:7:6: the field prompt is missing; expected the template of what the model is asked [missing-field]
        "#]],
    );
}

#[test]
fn the_catalog_says_where_a_model_is_called_and_what_it_costs() {
    check_steps(
        "  a: { model: m, prompt: hi, pool: p, tool: t, cost: 1 }\n  b: { task: t, prompt: hi, max_tokens: 5 }\n  c: { tool: t, pool: p, system: hi }\n  d: { model: m, prompt: hi, max_tokens: 0 }\n  e: { model: m, prompt: hi, max_tokens: 5, min_tokens: 6 }\n",
        &expect![[r#"
            w.yaml:4:36: a step that is a model has no pool; expected the step without pool [wrong-field]
            w.yaml:4:45: a step that is a model has no tool; expected the step without tool [wrong-field]
            w.yaml:4:54: a step that is a model has no cost; expected the step without cost [wrong-field]
            w.yaml:5:25: a step that is a task has no prompt; expected the step without prompt [wrong-field]
            w.yaml:5:41: a step that is a task has no max_tokens; expected the step without max_tokens [wrong-field]
            w.yaml:6:23: a step that is a tool has no pool; expected the step without pool [wrong-field]
            w.yaml:6:34: a step that is a tool has no system; expected the step without system [wrong-field]
            w.yaml:7:42: 0 is out of range; expected a whole number from 1 to 100000000 [out-of-range]
            w.yaml:8:57: 6 tokens are more than may come out; expected at most 5 [too-large]
        "#]],
    );
}
