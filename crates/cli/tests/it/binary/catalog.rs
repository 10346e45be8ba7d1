//! Endpoints, models and prices: declared from files, shown, and brought up to date from a list.

use expect_test::expect;

use super::process::Binary;
use crate::harness::Harness;

const FILE: &str = "\
tools:
  provider/eu:
    limits: [{ concurrent: { calls: 50 } }]
    endpoint: { protocol: chat, url: 'http://127.0.0.1:9/v1', allow_private: true, surcharge: 0.1 }
prices:
  large: { versions: [{ input: 2, cached_input: 0.2, output: 10, context: 200000 }] }
tiers:
  gold: { weight: 1, cap: 1 }
models:
  reasoner:
    candidates:
      - { endpoint: provider/eu, model: large, tiers: [gold] }
      - { endpoint: provider/eu, model: 'large latest', price: large }
";

#[tokio::test]
async fn models_and_what_they_need_are_declared_from_one_file() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write("models.yaml", FILE);
    let checked = binary.ok(&["apply", "-f", "models.yaml", "--dry-run"]).await;
    assert_eq!(checked.lines().filter(|line| line.ends_with(" checked")).count(), 4, "{checked}");
    expect![[r#"
        tool provider/eu changed
        price large changed
        tier gold changed
        model reasoner changed
    "#]]
    .assert_eq(&binary.ok(&["apply", "-f", "models.yaml"]).await);
    let again = binary.ok(&["apply", "-f", "models.yaml"]).await;
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    let shown = [
        binary.ok(&["tool", "list"]).await,
        binary.ok(&["model", "list"]).await,
        binary.ok(&["model", "get", "reasoner"]).await,
        binary.ok(&["price", "list"]).await,
        binary.ok(&["price", "get", "large"]).await,
    ];
    expect![[r#"
        TOOL         LIMITS        ENDPOINT
        provider/eu  50 under way  chat http://127.0.0.1:9/v1

        MODEL     CANDIDATES
        reasoner  large at provider/eu, large latest at provider/eu

        model reasoner, best first

        MODEL         ENDPOINT     PRICE  TIERS
        large         provider/eu  large  gold
        large latest  provider/eu  large  all

        PRICE  INPUT  CACHED  OUTPUT  CONTEXT  CURRENCY  SINCE
        large   2.00    0.20   10.00   200000  USD       ever

        price large, for a million tokens

        FROM  ABOVE  INPUT  CACHED  OUTPUT  CONTEXT  OUTPUT MAX  CURRENCY
        ever      -   2.00    0.20   10.00   200000           -  USD
    "#]]
    .assert_eq(&shown.join("\n"));
    let tool = binary.json(&["tool", "get", "provider/eu"]).await;
    assert_eq!(tool["endpoint"]["surcharge"], "0.10");
    expect![[r#"
        exit code 3
        --- stderr
        error: There is no such price: no price is named `none/of:it` [unknown-price]
    "#]]
    .assert_eq(&binary.run(&["price", "get", "none/of:it"]).await.show(&[]));
}

#[tokio::test]
async fn what_a_candidate_names_and_is_nowhere_is_said_at_its_place() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "wrong.yaml",
        "tools:\n  worked: {}\n  bad: { endpoint: { protocol: chat, url: 'https://{{ a }}/b', key_env: KEY } }\n\
         prices:\n  a b: {}\n  p: { versions: [{ input: -1, output: lots, currency: EUR }] }\n\
         models:\n  m:\n    candidates:\n\
         \x20     - { endpoint: none, model: m, tiers: [gold] }\n\
         \x20     - { endpoint: worked, model: p }\n\
         \x20     - { endpoint: bad, model: p, prize: p }\n",
    );
    let said = binary.run(&["apply", "-f", "wrong.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        wrong.yaml:3:43: the host or the port is a template; expected a fixed host: templates may stand in the path and the query [invalid-value]
        wrong.yaml:3:73: the server does not read such a variable; expected `FAIRLANE_SECRET_` and A-Z 0-9 _, at most 128 bytes [invalid-value]
        wrong.yaml:5:3: the name "a b" has ' ' at byte 1; allowed are a-z A-Z 0-9 - _ . : /; expected 1 to 64 of a-z A-Z 0-9 - _ . : / [bad-name]
        wrong.yaml:6:28: the amount is "-1"; expected 0 to 1000000000.00 with at most 9 decimal places, such as 0.05 [out-of-range]
        wrong.yaml:6:40: the amount is "lots"; expected 0 to 1000000000.00 with at most 9 decimal places, such as 0.05 [invalid-value]
        wrong.yaml:6:56: the price is in `EUR`, and the platform counts in USD; expected `USD`, or nothing [wrong-currency]
        wrong.yaml:10:21: no tool is named `none`; expected tool in the files or on the server [unknown-tool]
        wrong.yaml:10:34: no price is named `m`; expected price in the files or on the server [unknown-price]
        wrong.yaml:10:45: no tier is named `gold`; expected tier in the files or on the server [unknown-tier]
        wrong.yaml:11:21: tool `worked` has no endpoint for chat completions; expected a tool that has an endpoint with `protocol: chat` [no-endpoint]
        wrong.yaml:12:36: unknown field `prize`; expected one of `endpoint`, `model`, `price`, `tiers` [unknown-field]
        error: 11 mistakes
    "#]].assert_eq(&said.show(&[]));
}
