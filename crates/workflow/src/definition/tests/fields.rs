//! The fields of steps, schedules and the rest, right and wrong.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::id::{PoolName, TaskName};

use super::{Format, Known, check, check_steps, expect, outcome};
use crate::definition::{Source, no_files, parse};

#[test]
fn every_field_of_a_task_is_read() {
    let text = "workflow: w
version: 7
timeout: 2h
input: { schema: { type: object }, subject: applicant.id }
steps:
  first: { task: a }
  second:
    task: b
    pool: gpu
    after: first
    when: steps.first.output.ok
    with: { text: steps.first.output, number: 1, list: [1, \"'x'\", input.a], object: { k: 1.5, 'q\"': true }, none: , whole: 18446744073709551615, item: item.id }
    map: { over: input.list, parallel: 3, max: 50 }
    retry: { attempts: 5, backoff: 250ms..1m, jitter: 0.25 }
    timeout: { queue: 1m, attempt: 30s, step: 1h }
    expect: 20s
    cost: 0.02
    tool: bureau/v2
    optional: true
    output: { schema: { type: integer } }
    compensate: { task: undo, pool: gpu, with: { id: steps.second.output, x: 1 }, retry: { attempts: 2 }, timeout: 5s }
";
    let source = Source { text, format: Format::Yaml, file: "w.yaml" };
    let workflow = parse(&source, &Known::default(), &no_files).unwrap();
    let serde_json::Value::Object(step) = serde_json::to_value(&workflow.steps[1]).unwrap() else {
        panic!("a step is an object");
    };
    let lines: Vec<String> =
        step.iter().map(|(field, value)| format!("{field}: {value}")).collect();
    expect![[r#"
        name: "second"
        kind: {"task":{"task":"b","pool":"gpu"}}
        after: [0]
        when: "steps.first.output.ok"
        with: [["text","steps.first.output"],["number","1"],["list","[1, ('x'), (input.a)]"],["object","{\"k\": 1.5, \"q\\\"\": true}"],["none","null"],["whole","18446744073709551615u"],["item","item.id"]]
        retry: {"attempts":5,"backoff_min":250000,"backoff_max":60000000,"jitter_permille":250}
        timeout: {"queue":60000000,"attempt":30000000,"step":3600000000}
        optional: true
        map: {"over":"input.list","parallel":3,"items_max":50}
        compensate: {"task":"undo","pool":"gpu","with":[["id","steps.second.output"],["x","1"]],"retry":{"attempts":2,"backoff_min":1000000,"backoff_max":30000000,"jitter_permille":500},"attempt_timeout":5000000}
        tool: "bureau/v2"
        cost_nano: 20000000
        expected: 20000000
        output_schema: "{\"type\":\"integer\"}""#]].assert_eq(&lines.join("\n"));
    expect![[r#"Some(Span(7200000000)) Some("{\"type\":\"object\"}")"#]]
        .assert_eq(&format!("{:?} {:?}", workflow.timeout, workflow.input_schema));
    assert_eq!(&*workflow.source, text);
}

#[test]
fn waits_and_calls_are_read() {
    check_steps(
        "  a: { wait: { for: 1h } }\n  b: { wait: { until: input.due } }\n  c: { wait: { signal: approved }, timeout: 3d }\n  d: { call: { workflow: child }, with: { a: input } }\n  e: { call: { workflow: child, version: 3 }, map: { over: input.l }, with: { a: item } }\n",
        &expect![[r#"
            w version 1
            a after []: Wait(For(Span(3600000000)))
            b after []: Wait(Until(Expr("input.due")))
            c after []: Wait(Signal("approved"))
            d after []: Call { workflow: "child", version: None }
            e after []: Call { workflow: "child", version: Some(3) }
        "#]],
    );
}

#[test]
fn a_step_does_exactly_one_thing() {
    check_steps(
        "  a: {}\n  b: { task: t, wait: { for: 1s } }\n  c: { task: t, call: { workflow: x }, wait: { for: 1s } }\n  d: { wait: { for: 1s, until: input.x } }\n  e: { wait: {} }\n  f: { wait: { fr: 1s } }\n  g: { call: {} }\n  h: 1\n  i:\n",
        &expect![[r#"
            w.yaml:4:6: the step does not say what it does; expected exactly one of task, model, wait, call, review; or a tool alone [missing-field]
            w.yaml:5:23: the step has task and wait; wait is one too many; expected exactly one of task, model, wait, call, review; or a tool alone [wrong-field]
            w.yaml:6:46: the step has task and wait and call; wait is one too many; expected exactly one of task, model, wait, call, review; or a tool alone [wrong-field]
            w.yaml:7:14: the wait has 2 conditions; expected exactly one of for, until, signal [wrong-field]
            w.yaml:8:14: the wait has 0 conditions; expected exactly one of for, until, signal [wrong-field]
            w.yaml:9:16: a wait has no field "fr"; expected for (did you mean that?) [unknown-field]
            w.yaml:10:14: the field workflow is missing; expected the name of the child workflow [missing-field]
            w.yaml:11:6: this is the number 1; expected an object with the fields task, wait, call, review, model, prompt, system, max_tokens, min_tokens, pool, after, when, with, map, retry, timeout, expect, cost, tool, optional, output, compensate [wrong-type]
            w.yaml:12:4: there is no value; expected an object with the fields task, wait, call, review, model, prompt, system, max_tokens, min_tokens, pool, after, when, with, map, retry, timeout, expect, cost, tool, optional, output, compensate [wrong-type]
        "#]],
    );
}

#[test]
fn fields_that_a_kind_of_step_does_not_have_are_refused() {
    check_steps(
        "  a: { wait: { for: 1s }, retry: { attempts: 2 }, with: { x: 1 }, cost: 1 }\n  b: { call: { workflow: x }, pool: p, timeout: { queue: 1s, step: 1s } }\n",
        &expect![[r#"
            w.yaml:4:34: a step that is a wait has no retry; expected the step without retry [wrong-field]
            w.yaml:4:57: a step that is a wait has no with; expected the step without with [wrong-field]
            w.yaml:4:73: a step that is a wait has no cost; expected the step without cost [wrong-field]
            w.yaml:5:37: a step that is a call has no pool; expected the step without pool [wrong-field]
            w.yaml:5:51: the timeout of this step has no field "queue"; expected one of step [unknown-field]
        "#]],
    );
}

#[test]
fn what_this_release_does_not_run_is_refused_by_name() {
    check(
        "workflow: w\nversion: 1\nreplan: { on: [failed] }\nsteps:\n  a: { model: m, prompt: p.md, max_tokens: 800 }\n  b: { after: a, review: { form: f.json }, with: { x: steps.a.output } }\n",
        &expect![[r#"
            w.yaml:5:26: "p.md" is the name of a file, and files cannot be read here; expected a text in place, or a file such as prompts/check.md [bad-file]
            w.yaml:6:34: "f.json" is the name of a file, and files cannot be read here; expected a schema in place, or a file that can be read [bad-file]
        "#]],
    );
}

#[test]
fn wrong_values_say_what_would_be_right() {
    check_steps(
        "  a:\n    task: 'with space'\n    pool: Default\n    after: 5\n    when: [1]\n    with: [1]\n    retry: { attempts: 0, backoff: 30s..1s, jitter: 2, tries: 1 }\n    timeout: { attempt: 0s, step: 1x, total: 1s }\n    expect: fast\n    cost: -1\n    tool: ''\n    optional: yes\n    map: { parallel: 0, max: 10001 }\n    output: { schema: 5 }\n    compensate: { with: { x: 1 } }\n",
        &expect![[r#"
            w.yaml:5:11: "with space" is no name of a task: it has ' ' at byte 4; allowed are a-z A-Z 0-9 - _ . : /; expected a name of 1 to 64 of the allowed characters [bad-name]
            w.yaml:6:11: "Default" is no name of a pool: it has 'D' at byte 0; allowed are a-z 0-9 - _; expected a name of 1 to 64 of the allowed characters [bad-name]
            w.yaml:7:12: this is the number 5; expected the name of a step, or a list of names [wrong-type]
            w.yaml:8:11: this is a list; expected a condition such as steps.credit.output.score > 600 [wrong-type]
            w.yaml:9:11: this is a list; expected an object of names and expressions [wrong-type]
            w.yaml:10:24: 0 is out of range; expected a whole number from 1 to 100 [out-of-range]
            w.yaml:10:36: the range "30s..1s" ends before it begins; expected the shorter wait first, as in 1s..30s [out-of-range]
            w.yaml:10:53: 2 is out of range; expected a number from 0 to 1 with at most 3 decimals [out-of-range]
            w.yaml:10:56: a retry has no field "tries"; expected one of attempts, backoff, jitter [unknown-field]
            w.yaml:11:25: the duration is zero; expected a duration above zero [out-of-range]
            w.yaml:11:35: "1x" is not a duration; expected a duration such as 30s, 1h30m, 250ms or 5d, at most 3660d [bad-duration]
            w.yaml:11:39: the timeout of this step has no field "total"; expected one of queue, attempt, step [unknown-field]
            w.yaml:12:13: "fast" is not a duration; expected a duration such as 30s, 1h30m, 250ms or 5d, at most 3660d [bad-duration]
            w.yaml:13:11: -1 is out of range; expected an amount from 0 to 1000000000 with at most 9 decimals [out-of-range]
            w.yaml:14:11: "" is no name of a tool: it must not be empty; expected a name of 1 to 64 of the allowed characters [bad-name]
            w.yaml:15:15: this is the text "yes"; expected true or false [wrong-type]
            w.yaml:16:10: the field over is missing; expected an expression for a list, such as input.items [missing-field]
            w.yaml:16:22: 0 is out of range; expected a whole number from 1 to 10000 [out-of-range]
            w.yaml:16:30: 10001 is out of range; expected a whole number from 1 to 10000 [out-of-range]
            w.yaml:17:23: this is the number 5; expected a JSON Schema in place, or the name of a file [wrong-type]
            w.yaml:18:17: the field task is missing; expected the task that undoes the step [missing-field]
        "#]],
    );
    check_steps(
        "  a: { task: t, cost: 0.0000000001, timeout: 4000d, retry: { backoff: 5, attempts: 101, jitter: 0.0001 } }\n  b: { task: t, cost: 99999999999, retry: { attempts: 1.5, backoff: 1s.. } }\n  c: { task: t, cost: '1', after: [a, a, [b]] }\n",
        &expect![[r#"
            w.yaml:4:23: 0.0000000001 is out of range; expected an amount from 0 to 1000000000 with at most 9 decimals [out-of-range]
            w.yaml:4:46: "4000d" is not a duration; expected a duration such as 30s, 1h30m, 250ms or 5d, at most 3660d [bad-duration]
            w.yaml:4:71: this is the number 5; expected a duration such as 1s, or a range such as 1s..30s [wrong-type]
            w.yaml:4:84: 101 is out of range; expected a whole number from 1 to 100 [out-of-range]
            w.yaml:4:97: 0.0001 is out of range; expected a number from 0 to 1 with at most 3 decimals [out-of-range]
            w.yaml:5:23: 99999999999 is out of range; expected an amount from 0 to 1000000000 with at most 9 decimals [out-of-range]
            w.yaml:5:55: 1.5 is out of range; expected a whole number from 1 to 100 [out-of-range]
            w.yaml:5:69: "1s.." is not a range of durations; expected a duration such as 1s, or a range such as 1s..30s [bad-duration]
            w.yaml:6:23: this is the text "1"; expected an amount from 0 to 1000000000 with at most 9 decimals [wrong-type]
            w.yaml:6:39: "a" is named twice; expected each step once [duplicate]
            w.yaml:6:42: this is a list; expected the name of a step, or a list of names [wrong-type]
        "#]],
    );
}

#[test]
fn names_are_checked_where_they_stand() {
    check_steps(
        "  1a: { task: t }\n  in: { task: t }\n  a-b: { task: t }\n  '': { task: t }\n  aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg: { task: t }\n",
        &expect![[r#"
            w.yaml:4:3: "1a" is no name of a step: it must not begin with a digit; expected 1 to 64 letters, digits and _, because expressions say steps.NAME.output [bad-name]
            w.yaml:5:3: "in" is no name of a step: it is a word of the expressions; expected 1 to 64 letters, digits and _, because expressions say steps.NAME.output [bad-name]
            w.yaml:6:3: "a-b" is no name of a step: it has '-' at byte 1; allowed are a-z A-Z 0-9 _; expected 1 to 64 letters, digits and _, because expressions say steps.NAME.output [bad-name]
            w.yaml:7:3: "" is no name of a step: it must not be empty; expected 1 to 64 letters, digits and _, because expressions say steps.NAME.output [bad-name]
            w.yaml:8:3: "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"... is no name of a step: it is 65 bytes long, at most 64 are allowed; expected 1 to 64 letters, digits and _, because expressions say steps.NAME.output [bad-name]
        "#]],
    );
    check(
        "workflow: Loan Application\nversion: 1000001\nsteps: {}\n",
        &expect![[r#"
        w.yaml:1:11: "Loan Application" is no name of a workflow: it has 'L' at byte 0; allowed are a-z 0-9 - _; expected a name of 1 to 64 of the allowed characters [bad-name]
        w.yaml:2:10: 1000001 is out of range; expected a whole number from 1 to 1000000 [out-of-range]
        w.yaml:3:8: the workflow has no steps; expected at least one step [missing-field]
    "#]],
    );
    check(
        "workflow: 5\nversion: 99999999999999999999\nsteps: []\n",
        &expect![[r#"
        w.yaml:1:11: this is the number 5; expected the name of a workflow, a text [wrong-type]
        w.yaml:2:10: 99999999999999999999 is out of range; expected a whole number from 1 to 1000000 [out-of-range]
        w.yaml:3:8: this is a list; expected an object with one entry for each step [wrong-type]
    "#]],
    );
    check(
        "workflow: w\nversion: -1\nsteps: { a: { task: t } }\n",
        &expect![[r#"
        w.yaml:2:10: -1 is out of range; expected a whole number from 1 to 1000000 [out-of-range]
    "#]],
    );
}

#[test]
fn pools_and_tasks_are_checked_where_they_are_known() {
    let pool = |name: &str| PoolName::parse(name).unwrap();
    let tasks: BTreeSet<TaskName> =
        ["pull_credit", "decide"].map(|name| TaskName::parse(name).unwrap()).into();
    let known = Known {
        pools: Some(BTreeMap::from([(pool("default"), Some(tasks)), (pool("gpu"), None)])),
    };
    let text = "workflow: w\nversion: 1\nsteps:\n  a: { task: pull_credt }\n  b: { task: other }\n  c: { task: anything, pool: gpu }\n  d: { task: x, pool: gpus }\n  e: { task: x, pool: something }\n  f: { task: decide, compensate: { task: undo } }\n";
    expect![[r#"
        w.yaml:4:14: the pool default has no task pull_credt; expected pull_credit (did you mean that?) [unknown-task]
        w.yaml:5:14: the pool default has no task other; expected one of decide, pull_credit [unknown-task]
        w.yaml:7:23: there is no pool gpus; expected gpu (did you mean that?) [unknown-pool]
        w.yaml:8:23: there is no pool something; expected one of default, gpu [unknown-pool]
        w.yaml:9:42: the pool default has no task undo; expected one of decide, pull_credit [unknown-task]
    "#]].assert_eq(&outcome(text, Format::Yaml, &known));
    let none = Known { pools: Some(BTreeMap::new()) };
    expect![[r#"
        w.yaml:4:14: there is no pool default; expected one of the pools that are declared (there are none) [unknown-pool]
    "#]].assert_eq(&outcome(
        "workflow: w\nversion: 1\nsteps:\n  a: { task: t }\n",
        Format::Yaml,
        &none,
    ));
}

#[test]
fn schedules_are_read_and_checked() {
    let head = "workflow: w\nversion: 1\ninput: { schema: { type: object, required: [day], properties: { day: { type: integer } } } }\nsteps: { a: { task: t } }\nschedules:\n";
    let good = format!(
        "{head}  nightly: {{ tenant: acme, cron: 30 2 * * *, time_zone: Europe/Berlin, overlap: queue, input: {{ day: 1 }} }}\n"
    );
    let source = Source { text: &good, format: Format::Yaml, file: "w.yaml" };
    let workflow = parse(&source, &Known::default(), &no_files).unwrap();
    expect![[r#"[Schedule { name: "nightly", tenant: "acme", cron: "30 2 * * *", time_zone: "Europe/Berlin", overlap: Queue, input: "{\"day\":1}" }]"#]].assert_eq(&format!("{:?}", workflow.schedules));
    check(
        &format!(
            "{head}  a: {{ tenant: Acme, cron: 61 * * * *, time_zone: Europe/Berln, overlap: never, input: {{ day: x }} }}\n  b: {{}}\n  c: {{ tenant: t, cron: 0 0 30 2 *, time_zone: Nowhere, input: {{ day: 1 }}, zone: UTC }}\n  d-e: {{ tenant: t, cron: 0 0 * * *, input: {{ day: 1 }} }}\n"
        ),
        &expect![[r#"
            w.yaml:6:16: "Acme" is no name of a tenant: it has 'A' at byte 0; allowed are a-z 0-9 - _; expected a name of 1 to 64 of the allowed characters [bad-name]
            w.yaml:6:28: "61 * * * *" is not a cron pattern: Component error: Number out of bounds.; expected five fields (minute hour day month weekday) or six with seconds first [bad-cron]
            w.yaml:6:51: there is no time zone "Europe/Berln"; expected Europe/Berlin (did you mean that?) [unknown-time-zone]
            w.yaml:6:74: there is no overlap "never"; expected skip, queue or allow [out-of-range]
            w.yaml:6:88: the input does not fit input.schema: /day: "x" is not of type "integer"; expected an input that the schema allows [input-mismatch]
            w.yaml:7:6: the field tenant is missing; expected the id of the tenant whose runs it starts [missing-field]
            w.yaml:7:6: the field cron is missing; expected a pattern such as 30 2 * * 1-5 [missing-field]
            w.yaml:7:6: the input does not fit input.schema: /: "day" is a required property; expected an input that the schema allows [input-mismatch]
            w.yaml:8:25: "0 0 30 2 *" never fires; expected a pattern of days that there are [bad-cron]
            w.yaml:8:48: there is no time zone "Nowhere"; expected a name of the IANA database such as Europe/Berlin [unknown-time-zone]
            w.yaml:8:76: a schedule has no field "zone"; expected one of tenant, cron, time_zone, overlap, input [unknown-field]
            w.yaml:9:3: "d-e" is no name of a schedule: it has '-' at byte 1; allowed are a-z A-Z 0-9 _; expected 1 to 64 letters, digits and _ [bad-name]
        "#]],
    );
}

#[test]
fn schemas_are_checked_and_read_from_files_where_there_are_any() {
    check(
        "workflow: w\nversion: 1\ninput: { schema: { type: objekt }, subject: 'a b', shema: 1 }\nsteps: { a: { task: t, output: { schema: { $ref: 'https://example.com/x' } } }, b: { task: t, output: { schema: b.json } } }\n",
        &expect![[r#"
            w.yaml:3:18: this is not a JSON Schema: /type: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword; expected a JSON Schema of draft 2020-12 that refers to itself at most [bad-schema]
            w.yaml:3:45: "a b" is not a path; expected a path into the input, such as applicant.id [bad-name]
            w.yaml:3:52: the input has no field "shema"; expected schema (did you mean that?) [unknown-field]
            w.yaml:4:42: this is not a JSON Schema: there is nothing at "https://example.com/x"; references begin with #; expected a JSON Schema of draft 2020-12 that refers to itself at most [bad-schema]
            w.yaml:4:113: "b.json" is the name of a file, and files cannot be read here; expected a schema in place, or a file that can be read [bad-file]
        "#]],
    );
    let files = |name: &str| match name {
        "good.json" => Ok("{\"type\": \"string\"}".to_owned()),
        "bad.json" => Ok("{".to_owned()),
        other => Err(format!("{other} cannot be read: no such file")),
    };
    let text = "workflow: w\nversion: 1\ninput: { schema: good.json }\nsteps: { a: { task: t, output: { schema: bad.json } }, b: { task: t, output: { schema: none.json } } }\n";
    let source = Source { text, format: Format::Yaml, file: "w.yaml" };
    let mistakes = parse(&source, &Known::default(), &files).unwrap_err();
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    expect![[r#"
        w.yaml:4:42: "bad.json" is not JSON: EOF while parsing an object at line 1 column 1; expected a JSON Schema [bad-schema]
        w.yaml:4:88: none.json cannot be read: no such file; expected a schema in place, or a file that can be read [bad-file]"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn a_definition_without_its_schedules_names_no_tenant_and_keeps_the_rest() {
    let yaml = "# for acme\nworkflow: w\nversion: 1\nschedules: { nightly: { tenant: acme, cron: 30 2 * * *, input: { n: 1 } } }\nsteps:\n  b: { task: t, with: { n: '1.50' } }\n  a: { after: [b], task: t, timeout: { attempt: 5s } }\n";
    expect![[r#"
        {
          "workflow": "w",
          "version": 1,
          "steps": {
            "b": {
              "task": "t",
              "with": {
                "n": "1.50"
              }
            },
            "a": {
              "after": [
                "b"
              ],
              "task": "t",
              "timeout": {
                "attempt": "5s"
              }
            }
          }
        }"#]]
    .assert_eq(&crate::without_schedules(yaml).unwrap());
    let flow = "{workflow: w, version: 1, steps: {a: {task: t}}, schedules: {}}";
    assert!(!crate::without_schedules(flow).unwrap().contains("schedules"), "YAML in braces");
    assert_eq!(crate::without_schedules("{"), None);
}
