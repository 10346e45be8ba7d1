//! Tools and budget classes: declared from files, shown, and met by runs.

use expect_test::expect;

use super::process::Binary;
use crate::harness::Harness;

const FILE: &str = "\
tools:
  bureau: { limits: [{ window: { units: 500, every: hour, time_zone: Europe/Berlin } }] }
budget_classes:
  basic:
    quotas:
      bureau: [{ bucket: { units: 100, per: 90s, burst: 20 } }, { concurrent: { calls: 2 } }]
    budget: { run: 0.06, reserve: 0.02, short: [skip_optional, fail] }
tiers:
  thrifty: { weight: 1, cap: 1, budget_class: basic }
orgs:
  south: { budget: { month: '9.5' } }
tenants:
  bank-9: { org: south, tier: thrifty }
";

const DEAR: &str = "\
workflow: dear
version: 1
steps:
  look: { task: look, tool: bureau, cost: 0.05 }
";

#[tokio::test]
async fn what_files_declare_is_shown_and_bounds_runs() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write("money.yaml", FILE);
    binary.write("dear.yaml", DEAR);
    let said = binary.ok(&["apply", "-f", "money.yaml", "-f", "dear.yaml"]).await;
    expect![[r#"
        tool bureau changed
        budget class basic changed
        org south changed
        tier thrifty changed
        tenant bank-9 changed
        workflow dear changed
    "#]]
    .assert_eq(&said);
    let again = binary.ok(&["apply", "-f", "money.yaml"]).await;
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    expect![[r#"
        TOOL    REGION  LIMITS                        ENDPOINT
        bureau  -       500 per hour (Europe/Berlin)  -
    "#]]
    .assert_eq(&binary.ok(&["tool", "list"]).await);
    expect![[r#"
        CLASS   RUN  DAY  MONTH  TOOLS
        basic  0.06    -      -  bureau
    "#]]
    .assert_eq(&binary.ok(&["class", "list"]).await);
    expect![[r#"
        class       basic
        run         0.06, of it 0.02 kept back
        day         -
        month       -
        time zone   UTC
        when short  skip_optional, then fail
        quota       bureau: 100 per 1m30s, 20 at once, 2 under way
    "#]]
    .assert_eq(&binary.ok(&["class", "get", "basic"]).await);
    let tool = binary.json(&["tool", "get", "bureau"]).await;
    assert_eq!(tool["limits"][0]["window"]["units"], 500);

    let said = binary.run(&["run", "dear", "--tenant", "bank-9"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: There is not enough money left: it takes at least 0.05 of the run's budget, which has 0.04 left [budget-exhausted]
    "#]].assert_eq(&said.show(&[]));
    let said = binary.run(&["class", "get", "none"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: There is no such budget class: no budget class is named `none` [unknown-budget-class]
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_its_place() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "wrong.yaml",
        "tools:\n  a: { limits: [{ window: { units: 0, every: day, time_zone: Mars } }] }\n\
         budget_classes:\n  b:\n    quotas: { a: [{ bucket: { units: 1, per: soon, burst: 0 } }] }\n\
         \x20   budget: { run: -1, day: lots }\n  fine: {}\n\
         tiers:\n  t: { weight: 1, cap: 1, budget_class: nil }\n  u: { weight: 1, cap: 1, budget_class: fine }\n\
         tenants:\n  x: { org: o, tier: t, budget_class: none }\norgs: { o: { budget: { month: -2 } } }\n",
    );
    let said = binary.run(&["apply", "-f", "wrong.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        wrong.yaml:2:36: the value is 0; expected 1 to 1000000000000 [out-of-range]
        wrong.yaml:2:62: `Mars` is no time zone; expected an IANA name such as `Europe/Berlin` or `UTC` [invalid-value]
        wrong.yaml:5:46: `soon` is no duration; expected a duration such as 30s, 1h30m, 250ms or 5d [invalid-value]
        wrong.yaml:5:59: the value is 0; expected 1 to 1000000000000 [out-of-range]
        wrong.yaml:6:20: the amount is "-1"; expected 0 to 1000000000.00 with at most 9 decimal places, such as 0.05 [out-of-range]
        wrong.yaml:6:29: the amount is "lots"; expected 0 to 1000000000.00 with at most 9 decimal places, such as 0.05 [invalid-value]
        wrong.yaml:9:41: no budget class is named `nil`; expected budget class in the files or on the server [unknown-budget-class]
        wrong.yaml:12:39: no budget class is named `none`; expected budget class in the files or on the server [unknown-budget-class]
        wrong.yaml:13:31: the amount is "-2"; expected 0 to 1000000000.00 with at most 9 decimal places, such as 0.05 [out-of-range]
        error: 9 mistakes
    "#]].assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn an_account_is_changed_in_what_is_given_and_no_more() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let with_budget = "budget_classes: { c: { budget: { month: 2 } } }\n\
                       tenants: { acme: { org: org, tier: standard, budget_class: c } }\n";
    binary.write("a.yaml", with_budget);
    binary.ok(&["apply", "-f", "a.yaml"]).await;
    let account = async || {
        let accounts = binary.json(&["budget", "get"]).await;
        let month = accounts.as_array().unwrap().iter().find(|of| of["every"] == "month").unwrap();
        (month["topped_up"].clone(), month["forgiven"].clone())
    };
    binary.ok(&["budget", "set", "--topped-up", "0.7"]).await;
    binary.ok(&["budget", "set", "--forgiven", "0.1"]).await;
    assert_eq!(account().await, ("0.70".into(), "0.10".into()));
    let said = binary.run(&["budget", "set"]).await;
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert_eq!(account().await, ("0.70".into(), "0.10".into()));
    assert!(binary.ok(&["budget", "get"]).await.contains("TOPPED UP"));
}

#[tokio::test]
async fn names_that_are_nowhere_are_said_and_not_refused() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let rule = "[{ concurrent: { calls: 1 } }]";
    binary.write("a.yaml", &format!("budget_classes:\n  c:\n    quotas: {{ bureauu: {rule} }}\n"));
    binary.write("w.yaml", "workflow: w\nversion: 1\nsteps:\n  a: { task: x, tool: bureauu }\n");
    let said = binary.run(&["apply", "-f", "a.yaml", "-f", "w.yaml"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    for line in [
        "a.yaml:3:24: no tool is named `bureauu` yet; the quota bounds nothing until",
        "w.yaml:4:23: no tool is named `bureauu` yet; nothing limits these calls until",
    ] {
        assert!(said.stderr.contains(line), "{}", said.stderr);
    }
}
