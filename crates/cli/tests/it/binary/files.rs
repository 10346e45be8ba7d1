//! `apply` and `workflow check`: good files, and every mistake of bad ones.

use expect_test::expect;

use super::process::Binary;
use crate::harness::Harness;

const PLATFORM: &str = "
tiers:
  gold: { weight: 10, cap: 50, sla: { percentile_permille: 950, latency_ms: 60000 } }
orgs:
  south:
pools:
  fast: { slots: 7 }
tenants:
  bank-1: { org: south, tier: gold, attributes: { limit: 3 } }
  bank-2: { org: south, tier: standard, cap: 5 }
";

const LOAN: &str = "
workflow: loan
version: 1
input: { schema: loan.schema.json }
steps:
  verify: { task: verify, pool: fast }
";

fn with_platform(harness: &Harness) -> Binary {
    let binary = Binary::of(harness);
    std::fs::create_dir(binary.path("platform")).unwrap();
    binary.write("platform/a.yaml", PLATFORM);
    binary.write("platform/loan.yaml", LOAN);
    binary.write("platform/loan.schema.json", r#"{ "type": "object" }"#);
    binary
}

#[tokio::test]
async fn a_folder_is_declared_and_the_second_time_nothing_changes() {
    let harness = Harness::start().await;
    let binary = with_platform(&harness);
    let dry = binary.run(&["apply", "-f", "platform", "--dry-run"]).await;
    expect![[r#"
        exit code 0
        --- stdout
        tier gold checked
        org south checked
        pool fast checked
        tenant bank-1 checked
        tenant bank-2 checked
        workflow loan checked
    "#]]
    .assert_eq(&dry.show(&[]));
    assert_eq!(harness.client.tenants().await.unwrap().len(), 1, "nothing was written");
    let first = binary.run(&["apply", "-f", "platform"]).await;
    expect![[r#"
        exit code 0
        --- stdout
        org south changed
        pool fast changed
        tier gold changed
        tenant bank-1 changed
        tenant bank-2 changed
        workflow loan changed
    "#]]
    .assert_eq(&first.show(&[]));
    let second = binary.json(&["apply", "-f", "platform"]).await;
    assert!(second.as_array().unwrap().iter().all(|one| one["changed"] == false), "{second}");
    let tenant = harness.client.tenant("bank-1").await.unwrap();
    assert_eq!((tenant.cap, tenant.attributes.get()), (50, r#"{"limit":3}"#));
}

#[tokio::test]
async fn mistakes_are_all_shown_before_anything_is_written() {
    let harness = Harness::start().await;
    let binary = with_platform(&harness);
    binary.write(
        "platform/z.yaml",
        "tenants:\n  bank-3: { org: none, tier: gold, weight: 0 }\npools: { p: }\n",
    );
    let said = binary.run(&["apply", "-f", "platform"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        platform/z.yaml:2:18: no organisation is named `none`; expected organisation in the files or on the server [unknown-org]
        platform/z.yaml:2:44: the value is 0; expected 1 to 1000000 [out-of-range]
        platform/z.yaml:3:11: missing field `slots` [missing-field]
        error: 3 mistakes
    "#]]
    .assert_eq(&said.show(&[]));
    binary.write(
        "platform/z.yaml",
        "tenants:\n  bank-3: { org: none, tier: gold }\n  bank-4: { org: south, tier: none }\n\
         tiers:\n  lead: { weight: 0, cap: 1 }\n",
    );
    let said = binary.run(&["apply", "-f", "platform"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        platform/z.yaml:2:18: no organisation is named `none`; expected organisation in the files or on the server [unknown-org]
        platform/z.yaml:3:31: no tier is named `none`; expected tier in the files or on the server [unknown-tier]
        platform/z.yaml:5:19: the value is 0; expected 1 to 1000000 [out-of-range]
        error: 3 mistakes
    "#]]
    .assert_eq(&said.show(&[]));
    assert_eq!(harness.client.tenants().await.unwrap().len(), 1, "nothing was written");
}

#[tokio::test]
async fn a_definition_is_checked_without_a_server() {
    let binary = Binary::alone();
    binary.write("good.yaml", "workflow: good\nversion: 1\nsteps:\n  a: { task: a }\n");
    binary.write(
        "bad.yaml",
        "workflow: bad\nversion: 0\nsteps:\n  a: { task: a, after: [b], retry: { atempts: 2 } }\n\
         \x20 b: { after: [a], when: 'steps.c.output >' }\n",
    );
    binary.write("broken.yaml", "workflow: [\n");
    let said = binary.run(&["workflow", "check", "good.yaml"]).await;
    expect![[r#"
        exit code 0
        --- stdout
        good.yaml: good v1, 1 steps, no mistakes
    "#]]
    .assert_eq(&said.show(&[]));
    let said = binary.run(&["workflow", "check", "good.yaml", "bad.yaml", "broken.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        bad.yaml:2:10: 0 is out of range; expected a whole number from 1 to 1000000 [out-of-range]
        bad.yaml:4:3: these steps wait for each other: a after b after a; expected steps that can run one after another [cycle]
        bad.yaml:4:38: a retry has no field "atempts"; expected attempts (did you mean that?) [unknown-field]
        bad.yaml:5:6: the step does not say what it does; expected exactly one of task, model, wait, call, review; or a tool alone [missing-field]
        bad.yaml:5:43: the expression ends too early; expected an expression of CEL such as input.amount > 1000; a text is written '"in quotes"' [expression]
        broken.yaml:1:11: this is not YAML: unclosed bracket '['; expected YAML 1.2 [syntax]
        error: 6 mistakes
    "#]]
    .assert_eq(&said.show(&[]));
    let said = binary.run(&["workflow", "check", "bad.yaml", "--json"]).await;
    let mistakes: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &mistakes["mistakes"][0]["line"]), (1, &2.into()));
}

#[tokio::test]
async fn a_version_that_exists_with_other_content_is_a_mistake_in_the_file() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write("one.yaml", "workflow: one\nversion: 1\nsteps:\n  other: { task: other }\n");
    let said = binary.run(&["apply", "-f", "one.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        one.yaml:2:10: version 1 of `one` exists with other content; expected a new version number: versions never change [version-exists]
        error: 1 mistake
    "#]].assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_key_that_may_not_declare_is_refused_with_code_3() {
    let harness = Harness::start().await;
    let key = Binary::of(&harness).ok(&["key", "create", "tenant", "acme"]).await;
    let binary = Binary::at(&harness.url(), key.trim());
    binary.write("a.yaml", PLATFORM);
    let said = binary.run(&["apply", "-f", "a.yaml"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: The API key does not allow this; expected an operator's key [forbidden]
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_folder_without_files_is_code_5() {
    let binary = Binary::at("http://127.0.0.1:1", "fl_x");
    std::fs::create_dir(binary.path("empty")).unwrap();
    let said = binary.run(&["apply", "-f", "empty"]).await;
    expect![[r#"
        exit code 5
        --- stderr
        error: the folder empty has no .yaml, .yml, .json or .cedar file
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn apply_finds_what_check_finds() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let deep = "[".repeat(65);
    for (file, text) in [
        ("twice.yaml", "workflow: w\nversion: 0\nsteps:\n  a: { task: x, task: y, pol: z }\n"),
        ("anchor.yaml", "workflow: w\nversion: 1\nsteps:\n  a: &x { task: x }\n  b: *x\n"),
        ("two.yaml", "workflow: w\nversion: 1\nsteps: { a: { task: x } }\n---\na: 1\n"),
        ("deep.yaml", deep.as_str()),
        ("cut.json", "{\"workflow\": "),
    ] {
        binary.write(file, text);
        let checked = binary.run(&["workflow", "check", file]).await;
        let applied = binary.run(&["apply", "-f", file]).await;
        assert_eq!((checked.code, applied.code), (1, 1), "{file}");
        assert_eq!(checked.stderr, applied.stderr, "{file}");
    }
    binary.write("twice.yaml", "orgs:\n  a: { weight: 1, weight: 2, wieght: 3 }\norgs: {}\n");
    let said = binary.run(&["apply", "-f", "twice.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        twice.yaml:2:19: "weight" is given twice, first on line 2; expected each key once [duplicate]
        twice.yaml:2:30: unknown field `wieght`; expected one of `weight`, `cap`, `budget` [unknown-field]
        twice.yaml:3:1: "orgs" is given twice, first on line 1; expected each key once [duplicate]
        error: 3 mistakes
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn all_that_is_wrong_with_one_declaration_is_shown() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "a.yaml",
        "orgs:\n  o: { weight: 0, bogus: 1 }\n  p: [5, 7]\nvalve: { bytes_soft: many }\n\
         tiers:\n  t: { weight: 0, cap: 0, sla: { percentile_permille: 1001, latency_ms: 1 } }\n",
    );
    let said = binary.run(&["apply", "-f", "a.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        a.yaml:2:16: the value is 0; expected 1 to 1000000 [out-of-range]
        a.yaml:2:19: unknown field `bogus`; expected one of `weight`, `cap`, `budget` [unknown-field]
        a.yaml:3:6: this is a list; expected an object [invalid-value]
        a.yaml:4:8: missing field `bytes_hard` [missing-field]
        a.yaml:4:8: missing field `runs_hard` [missing-field]
        a.yaml:4:8: missing field `runs_soft` [missing-field]
        a.yaml:4:22: this is the text "many"; expected a whole number from 0 to 18446744073709551615 [invalid-value]
        a.yaml:6:16: the value is 0; expected 1 to 1000000 [out-of-range]
        a.yaml:6:24: the value is 0; expected 1 to 1000000 [out-of-range]
        a.yaml:6:55: the value is 1001; expected 1 to 1000 [out-of-range]
        error: 10 mistakes
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_schedule_for_a_tenant_that_is_nowhere_is_a_mistake_with_its_place() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let text = "workflow: w\nversion: 1\nsteps: { a: { task: x } }\nschedules:\n  \
        day: { tenant: acme, cron: 0 6 * * * }\n  night: { tenant: none, cron: 0 2 * * * }\n";
    binary.write("w.yaml", text);
    let said = binary.run(&["apply", "-f", "w.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        w.yaml:6:20: no tenant is named `none`; expected tenant in the files or on the server [unknown-tenant]
        error: 1 mistake
    "#]]
    .assert_eq(&said.show(&[]));
    binary.write("t.yaml", "tenants:\n  none: { org: org, tier: standard }\n");
    binary.ok(&["apply", "-f", "w.yaml", "-f", "t.yaml"]).await;
}

#[tokio::test]
async fn what_is_likely_a_slip_is_said_and_done() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "w.yaml",
        "workflow: w\nversion: 1\nsteps:\n  a: { call: { workflow: one, version: 9 } }\n  \
         b: { call: { workflow: nil } }\n  c: { call: { workflow: w } }\n",
    );
    let said = binary.run(&["apply", "-f", "w.yaml"]).await;
    expect![[r#"
        exit code 0
        --- stdout
        workflow w changed
        --- stderr
        w.yaml:5:26: no workflow is named `nil` yet; a run that comes to this step fails until there is one
    "#]]
    .assert_eq(&said.show(&[]));
    let said = binary.run(&["key", "create", "worker", "--pool", "nil"]).await;
    assert_eq!(said.code, 0);
    assert!(said.stderr.starts_with("No pool is named `nil` yet.\n"), "{}", said.stderr);
}

#[tokio::test]
async fn a_definition_with_a_schema_file_is_kept_as_it_was_written() {
    let harness = Harness::start().await;
    let binary = with_platform(&harness);
    binary.ok(&["apply", "-f", "platform"]).await;
    let source = binary.ok(&["workflow", "get", "loan", "--source"]).await;
    assert_eq!(source, LOAN.replace("loan.schema.json", r#"{"type":"object"}"#));
}
