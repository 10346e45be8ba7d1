//! Rows of expressions in, values or mistakes out; and the same rows against the `cel` crate's interpreter.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use fairlane_core::id::{RunId, StepName};

use super::{Budget, Fault, compile, run, write};
use crate::scope::{Item, Scope, Session, StepResult};

mod fuzzed;
mod hostile;
mod oracle;

/// What the rows read as `input`.
const INPUT: &str = r#"{
    "amount": 1200, "rate": 0.5, "big": 18446744073709551615, "name": "Ada", "none": null, "ok": true,
    "tags": ["a", "b", "a"], "items": [{"id": 1, "price": 10}, {"id": 2, "price": 30}], "nested": {"x": {"y": [7]}},
    "due": "2026-03-01T12:00:00Z"
}"#;

/// The value as JSON, or the fault.
fn value(text: &str, input: &str) -> Result<String, Fault> {
    with_scope(input, |scope| {
        let compiled =
            compile(text).map_err(|wrongs| Fault::Invalid { detail: format!("{wrongs:?}") })?;
        let (session, budget) = (Session::new(scope), Budget::new());
        let mut out = Vec::new();
        write(&mut out, &run(&compiled, &session, &budget)?)?;
        Ok(String::from_utf8(out).unwrap())
    })
}

/// With what the rows read besides the input.
fn with_scope<T>(input: &str, work: impl FnOnce(Scope<'_>) -> T) -> T {
    let credit = StepName::parse("credit").unwrap();
    let skipped = StepName::parse("skipped").unwrap();
    let steps = [
        StepResult { name: &credit, status: "completed", output: Some(br#"{"score": 640}"#) },
        StepResult { name: &skipped, status: "skipped", output: None },
    ];
    work(Scope {
        input: input.as_bytes(),
        steps: &steps,
        tenant: br#"{"id": "acme", "tier": "standard", "attributes": {"limit": 600}}"#,
        run: RunId(7),
        item: Some(Item { value: br#"{"n": 3}"#, index: 4 }),
    })
}

fn check(rows: &[&str], expect: &Expect) {
    let mut out = String::new();
    for row in rows {
        match value(row, INPUT) {
            Ok(value) => writeln!(out, "{row} = {value}").unwrap(),
            Err(fault) => writeln!(out, "{row} fails: {fault}").unwrap(),
        }
    }
    expect.assert_eq(&out);
}

/// Rows that are refused when they are compiled.
fn check_refused(rows: &[&str], expect: &Expect) {
    let mut out = String::new();
    for row in rows {
        match compile(row) {
            Ok(_) => writeln!(out, "{row}\n  is accepted").unwrap(),
            Err(wrongs) => {
                writeln!(out, "{row}").unwrap();
                for wrong in wrongs {
                    let (code, expected) = (wrong.code.as_str(), wrong.expected);
                    writeln!(
                        out,
                        "  at {}: {}; expected {expected} [{code}]",
                        wrong.offset, wrong.message
                    )
                    .unwrap();
                }
            }
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn every_root_reads_its_payload() {
    check(
        &[
            "input.amount",
            "steps.credit.output.score",
            "steps.credit.status",
            "steps.skipped.output",
            "steps.unknown.output",
            "tenant.id",
            "tenant.attributes.limit",
            "run.id",
            "item.n",
            "index",
            "has(steps.credit.output)",
            "has(steps.skipped.output)",
            "has(steps.skipped.output.score)",
            "has(input.none)",
            "has(input.nothing)",
        ],
        &expect![[r#"
            input.amount = 1200
            steps.credit.output.score = 640
            steps.credit.status = "completed"
            steps.skipped.output = null
            steps.unknown.output = null
            tenant.id = "acme"
            tenant.attributes.limit = 600
            run.id = "00000000-0000-0000-0000-000000000007"
            item.n = 3
            index = 4
            has(steps.credit.output) = true
            has(steps.skipped.output) = false
            has(steps.skipped.output.score) = false
            has(input.none) = true
            has(input.nothing) = false
        "#]],
    );
}

#[test]
fn arithmetic_is_checked_and_does_not_mix_kinds() {
    check(
        &[
            "1 + 2 * 3 - 4 / 2 % 2",
            "7 / 2",
            "-7 / 2",
            "-7 % 3",
            "7.0 / 2.0",
            "0.1 + 0.2",
            "1 + 1.0",
            "9223372036854775807 + 1",
            "-9223372036854775808 - 1",
            "9223372036854775807 * 2",
            "-9223372036854775808 / -1",
            "-9223372036854775808 % -1",
            "-(-9223372036854775808)",
            "1 / 0",
            "1 % 0",
            "0u - 1u",
            "1.0 / 0.0",
            "input.big",
            "input.big + 1u",
            "double(input.amount) * input.rate",
            "int(2.9)",
            "int(-2.9)",
            "int(1e30)",
            "uint(-1)",
            "int('12')",
            "int('x')",
            "string(1.0)",
            "string(1.5)",
            "bool('true')",
        ],
        &expect![[r#"
            1 + 2 * 3 - 4 / 2 % 2 = 7
            7 / 2 = 3
            -7 / 2 = -3
            -7 % 3 = -1
            7.0 / 2.0 = 3.5
            0.1 + 0.2 = 0.30000000000000004
            1 + 1.0 fails: + cannot be used on int and double
            9223372036854775807 + 1 fails: +: the result is out of range
            -9223372036854775808 - 1 fails: -: the result is out of range
            9223372036854775807 * 2 fails: *: the result is out of range
            -9223372036854775808 / -1 fails: /: the result is out of range
            -9223372036854775808 % -1 fails: %: the result is out of range
            -(-9223372036854775808) fails: -: the result is out of range
            1 / 0 fails: division by zero
            1 % 0 fails: division by zero
            0u - 1u fails: -: the result is out of range
            1.0 / 0.0 fails: the result holds a number that JSON cannot: inf
            input.big = 18446744073709551615
            input.big + 1u fails: +: the result is out of range
            double(input.amount) * input.rate = 600.0
            int(2.9) = 2
            int(-2.9) = -2
            int(1e30) fails: int: the result is out of range
            uint(-1) fails: uint: the result is out of range
            int('12') = 12
            int('x') fails: int cannot read "x"
            string(1.0) = "1"
            string(1.5) = "1.5"
            bool('true') = true
        "#]],
    );
}

#[test]
fn comparison_is_exact_across_kinds_of_numbers() {
    check(
        &[
            "1 == 1.0",
            "1u == 1",
            "1 < 1.5",
            "2 > 1.5",
            "9007199254740993 == 9007199254740992.0",
            "9007199254740993 > 9007199254740992.0",
            "18446744073709551615u == 18446744073709551616.0",
            "-1 < 0u",
            "'a' < 'b'",
            "false < true",
            "1 == '1'",
            "1 < '1'",
            "null == null",
            "[1, 2] == [1.0, 2]",
            "{'a': 1} == {'a': 1.0}",
            "{'a': 1} == {'b': 1}",
            "0.0 / 0.0 == 0.0 / 0.0",
            "0.0 / 0.0 < 1",
            "input.tags == ['a', 'b', 'a']",
            "null < null",
        ],
        &expect![[r#"
            1 == 1.0 = true
            1u == 1 = true
            1 < 1.5 = true
            2 > 1.5 = true
            9007199254740993 == 9007199254740992.0 = false
            9007199254740993 > 9007199254740992.0 = true
            18446744073709551615u == 18446744073709551616.0 = false
            -1 < 0u = true
            'a' < 'b' = true
            false < true = true
            1 == '1' = false
            1 < '1' fails: < cannot be used on int and string
            null == null = true
            [1, 2] == [1.0, 2] = true
            {'a': 1} == {'a': 1.0} = true
            {'a': 1} == {'b': 1} = false
            0.0 / 0.0 == 0.0 / 0.0 = false
            0.0 / 0.0 < 1 = false
            input.tags == ['a', 'b', 'a'] = true
            null < null fails: < cannot be used on null and null
        "#]],
    );
}

#[test]
fn logic_decides_beside_a_fault_if_one_side_is_decisive() {
    check(
        &[
            "true || 1 / 0 == 1",
            "1 / 0 == 1 || true",
            "false && 1 / 0 == 1",
            "1 / 0 == 1 && false",
            "1 / 0 == 1 || false",
            "true && 1",
            "!true",
            "!1",
            "true ? 1 : 1 / 0",
            "1 ? 2 : 3",
            "[0, 1].exists(x, 1 / x == 1)",
            "[0, 1].all(x, 1 / x == 2)",
            "[0, 1].all(x, 1 / x == 1)",
        ],
        &expect![[r#"
            true || 1 / 0 == 1 = true
            1 / 0 == 1 || true = true
            false && 1 / 0 == 1 = false
            1 / 0 == 1 && false = false
            1 / 0 == 1 || false fails: division by zero
            true && 1 fails: && cannot be used on int
            !true = false
            !1 fails: ! cannot be used on int
            true ? 1 : 1 / 0 = 1
            1 ? 2 : 3 fails: ?: cannot be used on int
            [0, 1].exists(x, 1 / x == 1) = true
            [0, 1].all(x, 1 / x == 2) = false
            [0, 1].all(x, 1 / x == 1) fails: division by zero
        "#]],
    );
}

#[test]
fn loops_run_over_lists_and_the_keys_of_objects() {
    check(
        &[
            "input.items.map(i, i.price)",
            "input.items.filter(i, i.price > 10)",
            "input.items.map(i, i.price > 10, i.id)",
            "input.tags.exists(t, t == 'b')",
            "input.tags.all(t, size(t) == 1)",
            "input.tags.exists_one(t, t == 'b')",
            "input.tags.existsOne(t, t == 'a')",
            "{'a': 1, 'b': 2}.map(k, k)",
            "input.nested.exists(k, k == 'x')",
            "[1, 2].map(x, [10, 20].map(y, x * y))",
            "[1, 2].map(x, [x].map(x, x + 1))",
            "[].all(x, false)",
            "[].exists(x, true)",
            "1.map(x, x)",
            "[1].filter(x, 1)",
        ],
        &expect![[r#"
            input.items.map(i, i.price) = [10,30]
            input.items.filter(i, i.price > 10) = [{"id":2,"price":30}]
            input.items.map(i, i.price > 10, i.id) = [2]
            input.tags.exists(t, t == 'b') = true
            input.tags.all(t, size(t) == 1) = true
            input.tags.exists_one(t, t == 'b') = true
            input.tags.existsOne(t, t == 'a') = false
            {'a': 1, 'b': 2}.map(k, k) = ["a","b"]
            input.nested.exists(k, k == 'x') = true
            [1, 2].map(x, [10, 20].map(y, x * y)) = [[10,20],[20,40]]
            [1, 2].map(x, [x].map(x, x + 1)) = [[2],[3]]
            [].all(x, false) = true
            [].exists(x, true) = false
            1.map(x, x) fails: a loop cannot be used on int
            [1].filter(x, 1) fails: filter() cannot be used on int
        "#]],
    );
}

#[test]
fn texts_lists_and_objects_have_their_functions() {
    check(
        &[
            "size('héllo')",
            "'abc'.size()",
            "size(input.items)",
            "input.name + '!'",
            "[1] + [2]",
            "'abc'.contains('b')",
            "'abc'.startsWith('ab')",
            "'abc'.endsWith('bc')",
            "'b' in input.tags",
            "'x' in input.nested",
            "'a' in 'abc'",
            "input.tags[0]",
            "input.tags[3]",
            "input.tags[-1]",
            "input['amount']",
            "input.nested.x.y[0]",
            "input.name.first",
            "input.none.x",
            "input.missing",
            "'AB12'.matches('^[A-Z]{2}[0-9]+$')",
            "matches('ab', '^b')",
            "{'a': 1, 'a': 2}",
            "{1: 2}",
            "{'k': input.name, 'l': [1, 2.5, null]}",
        ],
        &expect![[r#"
            size('héllo') = 5
            'abc'.size() = 3
            size(input.items) = 2
            input.name + '!' = "Ada!"
            [1] + [2] = [1,2]
            'abc'.contains('b') = true
            'abc'.startsWith('ab') = true
            'abc'.endsWith('bc') = true
            'b' in input.tags = true
            'x' in input.nested = true
            'a' in 'abc' fails: in cannot be used on string and string
            input.tags[0] = "a"
            input.tags[3] fails: there is no index 3 in a list of 3
            input.tags[-1] fails: there is no index -1 in a list of 3
            input['amount'] = 1200
            input.nested.x.y[0] = 7
            input.name.first fails: there is no field "first" in string
            input.none.x fails: there is no field "x" in null
            input.missing fails: there is no field "missing" in map
            'AB12'.matches('^[A-Z]{2}[0-9]+$') = true
            matches('ab', '^b') = false
            {'a': 1, 'a': 2} fails: the object literal has the key "a" twice
            {1: 2} fails: a key cannot be used on int
            {'k': input.name, 'l': [1, 2.5, null]} = {"k":"Ada","l":[1,2.5,null]}
        "#]],
    );
}

#[test]
fn times_and_durations_add_up() {
    check(
        &[
            "timestamp(input.due) - duration('1h30m')",
            "timestamp(input.due) < timestamp('2026-03-02T00:00:00+01:00')",
            "timestamp('2026-03-02T00:00:00Z') - timestamp(input.due)",
            "duration('1m') + duration('-30s')",
            "timestamp('tomorrow')",
            "duration('1 hour')",
            "int(timestamp('1970-01-01T00:01:00Z'))",
            "timestamp('9999-12-30T22:00:00Z') + duration('3660d')",
        ],
        &expect![[r#"
            timestamp(input.due) - duration('1h30m') = "2026-03-01T10:30:00Z"
            timestamp(input.due) < timestamp('2026-03-02T00:00:00+01:00') = true
            timestamp('2026-03-02T00:00:00Z') - timestamp(input.due) = "43200s"
            duration('1m') + duration('-30s') = "30s"
            timestamp('tomorrow') fails: timestamp cannot read "tomorrow"
            duration('1 hour') fails: duration cannot read "1 hour"
            int(timestamp('1970-01-01T00:01:00Z')) = 60
            timestamp('9999-12-30T22:00:00Z') + duration('3660d') fails: +: the result is out of range
        "#]],
    );
}

#[test]
fn names_that_there_are_not_are_refused_with_a_suggestion() {
    check_refused(
        &[
            "inpt.amount",
            "input.amount > limit",
            "steps.credit",
            "steps",
            "steps.credit.result",
            "steps['credit'].output",
            "tenant.atributes.x",
            "run",
            "run.name",
            "has(run.name)",
            "has(tenant.tir)",
            "approved",
            "x + [1].map(x, x)[0]",
        ],
        &expect![[r#"
            inpt.amount
              at 0: there is no variable inpt; expected input (did you mean that?), or another of input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index [unknown-variable]
            input.amount > limit
              at 15: there is no variable limit; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"limit"' [unknown-variable]
            steps.credit
              at 6: steps.credit cannot be used as a whole; expected steps.credit.output or steps.credit.status [unknown-variable]
            steps
              at 0: steps cannot be used as a whole; expected steps.NAME.output or steps.NAME.status [unknown-variable]
            steps.credit.result
              at 13: a step has no field result; expected steps.credit.output or steps.credit.status [unknown-variable]
            steps['credit'].output
              at 0: steps cannot be used as a whole; expected steps.NAME.output or steps.NAME.status [unknown-variable]
            tenant.atributes.x
              at 7: tenant has no field atributes; expected tenant.attributes (did you mean that?) [unknown-variable]
            run
              at 0: run cannot be used as a whole; expected run.id [unknown-variable]
            run.name
              at 4: run has no field name; expected one of id [unknown-variable]
            has(run.name)
              at 8: run has no field name; expected one of id [unknown-variable]
            has(tenant.tir)
              at 11: tenant has no field tir; expected tenant.tier (did you mean that?) [unknown-variable]
            approved
              at 0: there is no variable approved; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"approved"' [unknown-variable]
            x + [1].map(x, x)[0]
              at 0: there is no variable x; expected input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index; a text is written in quotes, as in '"x"' [unknown-variable]
        "#]],
    );
}

#[test]
fn functions_that_there_are_not_or_not_so_are_refused() {
    check_refused(
        &[
            "contain('a', 'b')",
            "'a'.contain('b')",
            "contains('a', 'b')",
            "size()",
            "size(1, 2)",
            "now()",
            "input.items.map(1, 2)",
            "[1].map(x)",
            "has(input)",
            "b'ab'",
            "Point{x: 1}",
            "'a'.matches(input.pattern)",
            "'a'.matches('(')",
            "'a'.matches('(?=a)')",
            "'a'.matches('(a{1000}){1000}')",
        ],
        &expect![[r#"
            contain('a', 'b')
              at 0: there is no function contain; expected contains (did you mean that?) [unknown-function]
            'a'.contain('b')
              at 4: there is no function contain; expected contains (did you mean that?) [unknown-function]
            contains('a', 'b')
              at 0: contains is not called like this; expected text.contains('text') [unknown-function]
            size()
              at 0: size is not called like this; expected size(value) or value.size() [unknown-function]
            size(1, 2)
              at 0: size is not called like this; expected size(value) or value.size() [unknown-function]
            now()
              at 0: there is no function now; expected one of size, contains, startsWith, endsWith, int, uint, double, string, bool, timestamp, duration, has, matches, all, exists, exists_one, existsOne, map, filter [unknown-function]
            input.items.map(1, 2)
              at 16: the first argument of map() is not a name; expected list.map(x, value) or list.map(x, condition, value) [expression]
            [1].map(x)
              at 4: map is not called like this; expected list.map(x, value) or list.map(x, condition, value) [unknown-function]
            has(input)
              at 0: has() tests a field; expected has(input.field) [expression]
            b'ab'
              at 0: bytes cannot be used; expected a text in quotes [expression]
            Point{x: 1}
              at 5: messages cannot be made; expected an object such as {"key": value} [expression]
            'a'.matches(input.pattern)
              at 18: the pattern of matches() is not a text in quotes; expected a literal such as '^[A-Z]{2}$' [expression]
            'a'.matches('(')
              at 12: the pattern "(" cannot be used: unclosed group; expected a regular expression in the syntax of RE2 [expression]
            'a'.matches('(?=a)')
              at 12: the pattern "(?=a)" cannot be used: look-around, including look-ahead and look-behind, is not supported; expected a regular expression in the syntax of RE2 [expression]
            'a'.matches('(a{1000}){1000}')
              at 12: the pattern "(a{1000}){1000}" cannot be used: Compiled regex exceeds size limit of 262144 bytes.; expected a regular expression in the syntax of RE2 [expression]
        "#]],
    );
}

#[test]
fn what_is_not_cel_is_refused_at_its_place() {
    check_refused(
        &[
            "",
            "input.amount >",
            "1 +\n  * 2",
            "'open",
            "a b",
            "input.?amount",
            "input..x",
            "for",
            "99999999999999999999",
            "é =",
        ],
        &expect![[r#"

              at 0: the expression ends too early; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            input.amount >
              at 14: the expression ends too early; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            1 +
              * 2
              at 6: the expression cannot be read: extraneous input '*'; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            'open
              at 0: the expression cannot be read: token recognition error at: ''open'; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            a b
              at 2: the expression cannot be read: extraneous input 'b'; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            input.?amount
              at 5: the expression cannot be read: unsupported syntax '.?'; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            input..x
              at 6: the expression cannot be read: no viable alternative at input '..'; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            for
              at 0: the expression cannot be read: reserved identifier: for; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            99999999999999999999
              at 0: the expression cannot be read: invalid int literal; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
            é =
              at 0: the expression cannot be read: token recognition error at: 'é'; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
        "#]],
    );
}

#[test]
fn references_name_each_payload_that_is_read() {
    let refs = compile("[input.a].map(input, input + steps.b.output + steps.a.status)[0] == tenant.tier && run.id == '' && index == 1")
        .unwrap()
        .refs;
    expect![[r#"Refs { input: true, steps: ["b"], statuses: ["a"], tenant: true, run: true, item: true }"#]].assert_eq(&format!("{refs:?}"));
    let refs = compile("[1].map(input, input)").unwrap().refs;
    assert!(!refs.input, "a loop's variable hides the payload of the same name");
}
