//! Endpoints, models and prices: declared from files, shown, and brought up to date from a list.

use expect_test::expect;
use serde_json::json;

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
        TOOL         REGION  LIMITS        ENDPOINT
        provider/eu  -       50 under way  chat http://127.0.0.1:9/v1

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
          hint: `fairlane price list` shows the prices
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

fn list(currency: &str, models: &serde_json::Value) -> String {
    json!({ "currency": currency, "unit": "per 1,000,000 tokens", "models": models }).to_string()
}

fn row(key: &str, output: f64) -> serde_json::Value {
    json!({
        "key": key, "mode": "chat", "input_usd_per_mtok": 2.0, "cached_input_usd_per_mtok": 0.1,
        "output_usd_per_mtok": output, "context_tokens": 922_000, "max_output_tokens": 128_000,
        "provider": "x", "deprecates": null,
    })
}

#[tokio::test]
async fn a_list_of_prices_adds_versions_beside_those_that_are_there() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let from = ["--from", "2026-12-01"];
    let import = |file: &'static str| [&["catalog", "import-prices", file][..], &from].concat();
    let embedding = json!({
        "key": "embed", "mode": "embedding", "input_usd_per_mtok": 0.000_125,
        "output_usd_per_mtok": null,
    });
    let mut unknown = row("half", 1.0);
    unknown["output_usd_per_mtok"] = json!(null);
    let image = json!({ "key": "draw", "mode": "image", "input_usd_per_mtok": 1 });
    let models = json!([
        row("azure/eu/large", 10.0),
        row("small", 5.0),
        embedding,
        unknown,
        image,
        row("a b", 1.0)
    ]);
    binary.write("list.json", &list("USD", &models));
    binary.write("old.yaml", "prices: { small: { versions: [{ input: 3, output: 4, long: { above: 9, input: 6, output: 8 } }] } }\n");
    binary.ok(&["apply", "-f", "old.yaml"]).await;

    let dry = [&import("list.json")[..], &["--dry-run"]].concat();
    let said = binary.run(&dry).await;
    expect![[r#"
        exit code 0
        --- stdout
        PRICE           BECAME      INPUT  CACHED  OUTPUT  NOTE
        azure/eu/large  new          2.00    0.10   10.00
        small           changed      2.00    0.10    5.00  was 3.00, -, 4.00; rates of long inputs stay
        embed           new      0.000125       -    0.00
        half            skipped         -       -       -  no price of output
        draw            skipped         -       -       -  the mode is image, and not chat or embedding
        a b             skipped         -       -       -  the key can be no name: it has ' ' at byte 1; allowed are a-z A-Z 0-9 - _ . : /
        --- stderr
        2 new, 1 changed, 0 the same, 3 skipped; nothing was written
    "#]].assert_eq(&said.show(&[]));
    assert_eq!(binary.json(&["price", "list"]).await.as_array().unwrap().len(), 1);

    let said = binary.json(&import("list.json")).await;
    let became: Vec<_> = said.as_array().unwrap().iter().map(|told| &told["became"]).collect();
    assert_eq!(json!(became), json!(["new", "changed", "new", "skipped", "skipped", "skipped"]));
    let shown = binary.ok(&["price", "get", "small"]).await;
    expect![[r#"
        price small, for a million tokens

        FROM                  ABOVE  INPUT  CACHED  OUTPUT  CONTEXT  OUTPUT MAX  CURRENCY
        ever                      -   3.00       -    4.00        -           -  USD
                                  9   6.00       -    8.00
        2026-12-01T00:00:00Z      -   2.00    0.10    5.00   922000      128000  USD
                                  9   6.00       -    8.00
    "#]]
    .assert_eq(&shown);
    let said = binary.run(&import("list.json")).await;
    assert_eq!(said.stderr, "0 new, 0 changed, 3 the same, 3 skipped\n");
    let one = [&["catalog", "import-prices", "list.json", "--only", "azure/*"][..], &from].concat();
    assert_eq!(binary.run(&one).await.stderr, "0 new, 0 changed, 1 the same, 0 skipped\n");
    let none = binary.run(&["catalog", "import-prices", "list.json", "--only", "x*"]).await;
    assert_eq!((none.code, none.stderr.as_str()), (2, "error: no key in list.json is like x*\n"));
}

#[tokio::test]
async fn a_list_in_another_currency_needs_a_rate() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let model = json!({
        "key": "m", "mode": "chat", "input_eur_per_mtok": 1, "output_eur_per_mtok": 3,
    });
    let other = json!({
        "key": "n", "mode": "chat", "input_eur_per_mtok": 1, "output_eur_per_mtok": 3,
    });
    binary.write("euro.json", &list("EUR", &json!([model, other])));
    let command = ["catalog", "import-prices", "euro.json"];
    let refused = expect![[r#"
        exit code 1
        --- stderr
        euro.json:1:13: the list is in EUR, and the platform counts in USD; expected --rate with what one EUR is in USD [wrong-currency]
        error: 1 mistake
    "#]];
    refused.assert_eq(&binary.run(&command).await.show(&[]));
    let rated = [&command[..], &["--rate", "1.1", "--only", "m"]].concat();
    binary.ok(&rated).await;
    let price = binary.json(&["price", "get", "m"]).await;
    let version = &price["versions"][0];
    assert_eq!((&version["input"], &version["output"]), (&json!("1.10"), &json!("3.30")));
    refused.assert_eq(&binary.run(&command).await.show(&[]));
    for rate in ["0", "-1", "x"] {
        let said = binary.run(&[&command[..], &["--rate", rate]].concat()).await;
        assert_eq!(said.code, 2, "{}", said.stderr);
    }
}

#[tokio::test]
async fn all_mistakes_of_a_list_are_said_and_nothing_is_written() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "bad.json",
        r#"{
  "currency": "dollar",
  "unit": "per token",
  "models": [
    { "key": "a", "mode": "chat" },
    { "key": "a", "mode": "chat" },
    { "name": "b" },
    7
  ]
}"#,
    );
    let said = binary.run(&["catalog", "import-prices", "bad.json"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        bad.json:2:15: the currency is "dollar"; expected three capital letters such as "USD" [invalid-value]
        bad.json:3:11: the unit is "per token"; expected "per 1,000,000 tokens" [invalid-value]
        bad.json:6:5: `a` is there twice, first in line 5; expected each key once [invalid-value]
        bad.json:7:5: this has no `key`; expected an object with a `key` [invalid-value]
        bad.json:8:5: this has no `key`; expected an object with a `key` [invalid-value]
        error: 5 mistakes
    "#]].assert_eq(&said.show(&[]));
    binary.write(
        "worse.json",
        r#"{
  "currency": "USD", "unit": "per 1,000,000 tokens",
  "models": [
    { "key": "good", "mode": "chat", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2 },
    { "key": "b", "mode": "chat", "input_usd_per_mtok": -1, "output_usd_per_mtok": "free" },
    { "key": "c", "mode": "chat", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1000001,
      "context_tokens": 0, "max_output_tokens": 1.5 }
  ]
}"#,
    );
    let said = binary.run(&["catalog", "import-prices", "worse.json"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        worse.json:5:57: a million tokens cost -1; expected 0 to 1000000.00 with at most 9 decimal places, or null if it is not known [invalid-value]
        worse.json:5:84: a million tokens cost "free"; expected 0 to 1000000.00 with at most 9 decimal places, or null if it is not known [invalid-value]
        worse.json:6:83: a million tokens cost 1000001; expected 0 to 1000000.00 with at most 9 decimal places, or null if it is not known [invalid-value]
        worse.json:7:25: the number of tokens is 0; expected 1 to 100000000, or null if it is not known [invalid-value]
        worse.json:7:49: the number of tokens is 1.5; expected 1 to 100000000, or null if it is not known [invalid-value]
        error: 5 mistakes
    "#]].assert_eq(&said.show(&[]));
    assert_eq!(binary.json(&["price", "list"]).await, json!([]));
    binary.write("no.json", "{");
    assert_eq!(binary.run(&["catalog", "import-prices", "no.json"]).await.code, 1);
    assert_eq!(binary.run(&["catalog", "import-prices", "none.json"]).await.code, 5);
}

#[tokio::test]
async fn the_example_is_declared_as_it_is() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/models");
    binary.ok(&["apply", "-f", example]).await;
    let model = binary.json(&["model", "get", "reasoner"]).await;
    assert_eq!(model["candidates"][1]["endpoint"], "models-local");
}

/// A real list, if the environment names one.
#[tokio::test]
async fn a_real_list_is_imported_whole() {
    let Ok(file) = std::env::var("FAIRLANE_TEST_PRICES") else { return };
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let rows: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let rows = rows["models"].as_array().unwrap().len();
    let said = binary.json(&["catalog", "import-prices", &file]).await;
    assert_eq!(said.as_array().unwrap().len(), rows);
    let prices = binary.json(&["price", "list"]).await;
    assert!(prices.as_array().unwrap().len() > rows / 2);
}
