//! Where data may be: declared from files, imported from lists, kept to, and reported.

use expect_test::expect;
use serde_json::{Value, json};

use super::process::Binary;
use crate::harness::Harness;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/residency");

/// A run of the example's workflow that has ended, whichever way.
async fn checked(binary: &Binary, tenant: &str) -> String {
    let input = json!({ "amount": 5_000 }).to_string();
    let arguments = ["run", "residency-check", "--tenant", tenant, "--input", &input, "--wait"];
    let said = binary.run(&arguments).await;
    assert_eq!(said.code, 1, "nobody serves the model: {}", said.stderr);
    let runs = binary.json(&["runs", "--tenant", tenant, "--limit", "1"]).await;
    runs[0]["id"].as_str().unwrap().to_owned()
}

/// What of a tenant is said about where it may go.
fn rules_of(tenant: &str) -> String {
    let fields = ["data", "tools", "denied", "models", "outage", "kept"];
    let is_one = |line: &&str| fields.iter().any(|field| line.split(' ').next() == Some(field));
    tenant.lines().filter(is_one).collect::<Vec<_>>().join("\n")
}

fn example(file: &str) -> String {
    format!("{EXAMPLE}/{file}")
}

#[tokio::test]
async fn the_guide_s_tenants_go_where_their_data_may_be() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    expect![[r"
        region local changed
        tool models-eu changed
        tool models-us changed
        price compliance-1 changed
        org residency changed
        tier residency-adequate changed
        tier residency-eea changed
        tenant bank-dublin changed
        tenant bank-oslo changed
        model compliance changed
        workflow residency-check changed
    "]]
    .assert_eq(&binary.ok(&["apply", "-f", EXAMPLE]).await);
    let tools = binary.ok(&["tool", "list"]).await;
    expect![[r"
        TOOL       REGION     LIMITS  ENDPOINT
        models-eu  eu-west-1  -       chat http://127.0.0.1:8002/v1
        models-us  us-east-1  -       chat http://127.0.0.1:8001/v1
    "]]
    .assert_eq(&tools);
    let tenant = binary.ok(&["tenant", "get", "bank-dublin"]).await;
    expect![[r#"
        data        in the zone eea
        tools       all
        denied      -
        models      -
        outage      goes elsewhere, waits 10m, then: escalate
        kept        for ever"#]]
    .assert_eq(&rules_of(&tenant));

    let explained = async |tenant: &str| {
        let run = checked(&binary, tenant).await;
        let text = binary.ok(&["explain", &run, "--tenant", tenant]).await;
        let at = text.find("Its last call").unwrap_or_else(|| panic!("{text}"));
        text[at..].to_owned()
    };
    let dublin = explained("bank-dublin").await;
    assert!(dublin.contains("at `models-eu` in eu-west-1"), "{dublin}");
    let not = "  not `compliance-1` at `models-us`: it works in `us-east-1` (US), where the tenant's data may not be \
               [not-in-zone]\n";
    assert!(dublin.contains(not), "{dublin}");
    let oslo = explained("bank-oslo").await;
    assert!(oslo.contains("no adequacy decision on US is declared [not-adequate]"), "{oslo}");

    binary.ok(&["apply", "-f", &example("later/us-adequate.yaml")]).await;
    let oslo = explained("bank-oslo").await;
    assert!(oslo.contains("at `models-us` in us-east-1, by the adequacy of US"), "{oslo}");
    let report = binary.ok(&["report", "residency"]).await;
    assert!(
        report.contains("US       (EU) 2023/1795  -            1     0  bank-oslo"),
        "{report}"
    );
    let dublin = explained("bank-dublin").await;
    assert!(
        dublin.contains("at `models-eu` in eu-west-1,"),
        "its zone takes no others in: {dublin}"
    );

    binary.ok(&["apply", "-f", &example("later/us-suspended.yaml")]).await;
    let oslo = explained("bank-oslo").await;
    assert!(oslo.contains("the adequacy of US is suspended [adequacy-suspended]"), "{oslo}");
    let usage = binary.ok(&["usage", "--tenant", "bank-oslo"]).await;
    assert!(usage.contains("us-east-1") && usage.contains("eu-west-1"), "{usage}");
    let zones = binary.ok(&["catalog", "zones"]).await;
    assert!(zones.contains("eea+adequate") && zones.contains("built in"), "{zones}");
    let adequacy = binary.ok(&["catalog", "adequacy"]).await;
    assert!(adequacy.contains("suspended"), "{adequacy}");
}

#[tokio::test]
async fn places_that_are_nowhere_are_said_where_they_stand() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "wrong.yaml",
        "regions:\n  own-1: { country: DE }\n  own-2: { country: Germany }\n\
         zones:\n  own+: { countries: [DE, XX1], regions: [own-1, moon-1] }\n\
         adequacy:\n  Japan: { decisions: [] }\n\
         \x20 KR: { decisions: [{ name: a, from: 2022-01-01T00:00:00Z, until: 2021-01-01T00:00:00Z }] }\n\
         tools:\n  t: { region: moon-1, storage_region: none }\n  u: { region: own-1, storage_region: moon-2 }\n\
         tiers:\n  strict: { weight: 1, cap: 1, data_residency: { zone: mars, regions: [own-2, moon-1] } }\n\
         tenants:\n  bank: { org: org, tier: standard, data_residency: { zone: own+ }, denied_tools: [fax] }\n",
    );
    let said = binary.run(&["apply", "-f", "wrong.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        wrong.yaml:3:21: `Germany` is no country; expected two capital letters as in ISO 3166-1, such as `DE` [invalid-value]
        wrong.yaml:5:27: `XX1` is no country; expected two capital letters as in ISO 3166-1, such as `DE` [invalid-value]
        wrong.yaml:5:50: no region is named `moon-1`; expected region in the files or on the server [unknown-region]
        wrong.yaml:7:3: "Japan" is no country; expected two capital letters as in ISO 3166-1, such as `DE` [bad-name]
        wrong.yaml:8:67: this decision ends no later than it begins; expected an end after the beginning [invalid-value]
        wrong.yaml:10:16: no region is named `moon-1`; expected region in the files or on the server [unknown-region]
        wrong.yaml:11:39: no region is named `moon-2`; expected region in the files or on the server [unknown-region]
        wrong.yaml:13:56: no zone is named `mars`; expected zone in the files or on the server [unknown-zone]
        wrong.yaml:13:79: no region is named `moon-1`; expected region in the files or on the server [unknown-region]
        error: 9 mistakes
    "#]].assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn zones_models_and_tenants_that_need_each_other_are_declared_from_one_file() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "all.yaml",
        "models:\n  m: { candidates: [{ endpoint: t, model: p, tiers: [strict] }] }\n\
         prices:\n  p: { versions: [{ input: 1, output: 1 }] }\n\
         tenants:\n  bank: { org: org, tier: own, model_tier: strict }\n\
         tiers:\n  own: { weight: 1, cap: 1, data_residency: { zone: own+ }, denied_tools: [fax] }\n\
         zones:\n  own+: { regions: [own-1, local] }\n\
         regions:\n  own-1: { country: DE }\n  local: { country: FR }\n\
         adequacy:\n  JP: { decisions: [{ name: a, from: 2019-01-23T00:00:00Z }] }\n\
         tools:\n  t: { region: own-1, storage_region: none, endpoint: { protocol: chat, url: 'http://127.0.0.1:9/v1' } }\n",
    );
    let said = binary.run(&["apply", "-f", "all.yaml"]).await;
    expect![[r#"
        exit code 0
        --- stdout
        region local changed
        region own-1 changed
        zone own+ changed
        adequacy JP changed
        tool t changed
        price p changed
        tier own changed
        tenant bank changed
        model m changed
        --- stderr
        all.yaml:8:76: no tool is named `fax` yet; it says nothing until there is one
    "#]]
    .assert_eq(&said.show(&[]));
}

fn regions() -> Value {
    json!({ "sources": ["somebody"], "eu": ["DE"], "regions": [
        { "cloud": "aws", "region": "eu-west-1", "place": "Europe (Ireland)", "country": "IE", "jurisdiction": "EU/EEA" },
        { "cloud": "own", "region": "own-1", "place": "the cellar", "country": "DE" },
        { "cloud": "own", "region": "Own 2", "country": "DE" },
        { "cloud": "own", "region": "sea-1", "country": "INT" },
    ] })
}

fn adequacy() -> Value {
    let listed = "only organisations on the EU-US Data Privacy Framework list";
    json!({
        "decisions": [
            { "code": "CH", "decision": "2000/518/EC", "adopted": "2000-07-26", "scope": "whole territory",
              "status": "in force", "reviewed": "2024-01-15" },
            { "code": "GB", "decision": "(EU) 2021/1772", "adopted": "2021-06-28", "expires": "2090-12-27",
              "scope": "whole territory", "status": "in force" },
            { "code": "US", "decision": "(EU) 2023/1795", "adopted": "2023-07-10", "scope": listed,
              "status": "in force, contested" },
            { "code": "EPO", "decision": "(EU) 2025/1382", "adopted": "2025-07-15", "status": "in force" },
            { "code": "VA", "decision": "a", "adopted": "2001-01-01", "expires": "2002-01-01", "status": "in force" },
            { "code": "MC", "decision": "b", "adopted": "2001-01-01", "status": "repealed" },
        ],
        "former": [{ "code": "US", "decision": "2000/520/EC", "adopted": "2000-07-26", "ended": "2015-10-06",
                     "by": "CJEU C-362/14 Schrems I" }],
    })
}

#[tokio::test]
async fn regions_and_decisions_are_imported_with_what_cannot_be_said() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    std::fs::create_dir(binary.path("lists")).unwrap();
    binary.write("lists/cloud_regions.json", &regions().to_string());
    binary.write("lists/eu_adequacy.json", &adequacy().to_string());
    let command = ["catalog", "import-residency", "lists"];
    let dry = [&command[..], &["--dry-run"]].concat();
    let said = binary.run(&dry).await;
    expect![[r#"
        exit code 0
        --- stdout
        KIND      NAME                BECAME   NOTE
        region    eu-west-1           changed  in IE, Amazon Web Services: Europe (Ireland); was in IE, Amazon Web Services
        region    own-1               new      in DE, own: the cellar
        adequacy  CH                  new      2000/518/EC from 2000-07-26
        adequacy  GB                  new      (EU) 2021/1772 from 2021-06-28 until 2090-12-27
        adequacy  US                  new      (EU) 2023/1795 from 2023-07-10, needs eu-us-dpf, contested
        region    Own 2               skipped  the region can be no name: it has 'O' at byte 0; allowed are a-z 0-9 - _
        region    sea-1               skipped  `INT` is no country
        adequacy  EPO (EU) 2025/1382  skipped  `EPO` is no country
        adequacy  VA a                skipped  it ended on 2002-01-01
        adequacy  MC b                skipped  it is repealed
        adequacy  US 2000/520/EC      skipped  history: ended on 2015-10-06, by CJEU C-362/14 Schrems I
        --- stderr
        4 new, 1 changed, 0 the same, 6 skipped; nothing was written
    "#]].assert_eq(&said.show(&[]));
    assert_eq!(binary.json(&["catalog", "adequacy"]).await, json!([]), "nothing was written");

    binary.ok(&command).await;
    expect![[r#"
        COUNTRY  DECISION        FROM        UNTIL       STATE     NEEDS      SCOPE
        CH       2000/518/EC     2000-07-26  -           in force  -          whole territory
        GB       (EU) 2021/1772  2021-06-28  2090-12-27  in force  -          whole territory
        US       (EU) 2023/1795  2023-07-10  -           in force  eu-us-dpf  only organisations on the EU-US Data Privacy Framework list; contested
    "#]].assert_eq(&binary.ok(&["catalog", "adequacy"]).await);
    let again = binary.run(&command).await;
    assert_eq!(again.stderr, "0 new, 0 changed, 5 the same, 6 skipped\n");

    // The switch stays as it is, and so does a decision of the operator's own, which is not made to end earlier.
    let own = |suspended, decision| {
        format!("adequacy: {{ US: {{ suspended: {suspended}, decisions: [{decision}] }} }}\n")
    };
    let renamed = "{ name: (EU) 2023/1795, from: 2090-01-01T00:00:00Z }";
    binary.write("own.yaml", &own(true, renamed));
    binary.ok(&["apply", "-f", "own.yaml"]).await;
    let import = ["catalog", "import-residency", "lists/eu_adequacy.json"];
    expect![[r#"
        KIND      NAME                BECAME   NOTE
        adequacy  US                  changed  (EU) 2023/1795 from 2023-07-10, needs eu-us-dpf, contested; stays suspended
        adequacy  EPO (EU) 2025/1382  skipped  `EPO` is no country
        adequacy  VA a                skipped  it ended on 2002-01-01
        adequacy  MC b                skipped  it is repealed
        adequacy  US 2000/520/EC      skipped  history: ended on 2015-10-06, by CJEU C-362/14 Schrems I
    "#]].assert_eq(&binary.ok(&import).await);
    assert_eq!(binary.json(&["catalog", "adequacy"]).await[2]["suspended"], true);
    binary.write("own.yaml", &own(false, "{ name: own, from: 2020-01-01T00:00:00Z }"));
    binary.ok(&["apply", "-f", "own.yaml"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        lists/eu_adequacy.json:1:281: this decision begins before the one before it ends; expected decisions in the order of their beginning, each after the end of the last [invalid-value]
        error: 1 mistake
    "#]].assert_eq(&binary.run(&import).await.show(&[]));
}

#[tokio::test]
async fn all_mistakes_of_lists_of_places_are_said_and_nothing_is_written() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write(
        "regions.json",
        r#"{ "regions": [
  { "region": "own-1", "country": "DE" },
  { "region": "own-1", "country": "DE" },
  { "country": "DE" },
  { "region": "own-2" }
] }"#,
    );
    binary.write(
        "decisions.json",
        r#"{ "decisions": [
  { "code": "CH", "adopted": "2000-07-26" },
  { "code": "CA", "decision": "a", "adopted": "in 2001" },
  { "code": "AR", "decision": "b" }
] }"#,
    );
    let said = binary.run(&["catalog", "import-residency", "regions.json", "decisions.json"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        decisions.json:2:3: this has no `decision`; expected its number in `decision` [invalid-value]
        decisions.json:3:47: `adopted` is "in 2001"; expected a day such as 2026-12-01 [invalid-value]
        decisions.json:4:3: this does not say since when; expected a day in `adopted` [invalid-value]
        regions.json:3:3: `own-1` is there twice, first in line 2; expected each region once [invalid-value]
        regions.json:4:3: this has no `region`; expected the name of a region in `region` [invalid-value]
        regions.json:5:3: this has no `country`; expected its country in `country` [invalid-value]
        error: 6 mistakes
    "#]].assert_eq(&said.show(&[]));
    binary.write("other.json", "{}");
    std::fs::create_dir(binary.path("empty")).unwrap();
    for (path, code) in [("other.json", 2), ("empty", 2), ("none.json", 5)] {
        assert_eq!(binary.run(&["catalog", "import-residency", path]).await.code, code, "{path}");
    }
}

#[tokio::test]
async fn what_a_set_puts_right_itself_is_no_mistake_of_it() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let file = |zone: &str, more: &str| {
        format!(
            "regions: {{ local: {{ country: DE }} }}\norgs: {{ north: }}\n\
             tiers: {{ bound: {{ weight: 1, cap: 1, data_residency: {{ zone: {zone} }} }} }}\n{more}"
        )
    };
    let tenant = "tenants: { bank: { org: north, tier: bound } }\n";
    binary.write("all.yaml", &file("us", ""));
    binary.ok(&["apply", "-f", "all.yaml"]).await;
    // The tier that the server has would leave the tenant outside; the one of the file does not.
    binary.write("tenant.yaml", tenant);
    let said = binary.run(&["apply", "-f", "tenant.yaml"]).await;
    assert!(said.stderr.contains("[store-outside]"), "{}", said.stderr);
    binary.write("all.yaml", &file("eu", tenant));
    binary.ok(&["apply", "-f", "all.yaml"]).await;
    // What is still wrong is said before the tenant is written.
    binary.write("all.yaml", &file("us", tenant));
    let said = binary.run(&["apply", "-f", "all.yaml"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("tenant `bank` would have its data"), "{}", said.stderr);
}

#[tokio::test]
async fn whom_a_decision_covers_is_never_guessed() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let import = |scope: &str, more: &str| {
        let us = format!(
            r#"{{ "decisions": [{{ "code": "US", "decision": "(EU) 2023/1795", "adopted": "2023-07-10"{scope}{more} }}] }}"#
        );
        binary.write("us.json", &us);
        ["catalog", "import-residency", "us.json"]
    };
    let known = [
        "EU-U.S. Data Privacy Framework",
        "EU-US DPF",
        "Only organisations on the EU-US Data Privacy Framework list",
        "EU\u{2013}US Data-Privacy Framework participants",
    ];
    for scope in known {
        let command = import(&format!(r#", "scope": "{scope}""#), "");
        binary.ok(&command).await;
        let us = binary.json(&["catalog", "adequacy"]).await;
        assert_eq!(us[0]["decisions"][0]["certificate"], "eu-us-dpf", "{scope}");
    }
    let shield = binary.run(&import(r#", "scope": "self-certified organisations""#, "")).await;
    let silent = binary.run(&import("", "")).await;
    let swiss = binary.run(&import(r#", "scope": "Swiss-U.S. Data Privacy Framework""#, "")).await;
    let bad = binary.run(&import(r#", "scope": "whole territory""#, r#", "certificate": 5"#)).await;
    expect![[r#"
        exit code 1
        --- stderr
        us.json:1:97: nobody knows whom the scope `self-certified organisations` covers; expected `whole territory`, or a `certificate` beside it: its name, or null if everybody is covered [invalid-value]
        error: 1 mistake
        exit code 1
        --- stderr
        us.json:1:17: this does not say whom it covers; expected `whole territory`, or a `certificate` beside it: its name, or null if everybody is covered [invalid-value]
        error: 1 mistake
        exit code 1
        --- stderr
        us.json:1:97: nobody knows whom the scope `Swiss-U.S. Data Privacy Framework` covers; expected `whole territory`, or a `certificate` beside it: its name, or null if everybody is covered [invalid-value]
        error: 1 mistake
        exit code 1
        --- stderr
        us.json:1:131: `certificate` is 5; expected the name of a certificate such as `eu-us-dpf`, or null [invalid-value]
        error: 1 mistake
    "#]].assert_eq(&[shield, silent, swiss, bad].map(|said| said.show(&[])).concat());
    // What it needs stays until a file says in so many words that it needs nothing.
    let keeps = binary.ok(&import(r#", "scope": "Whole territory.""#, "")).await;
    let loses =
        binary.ok(&import(r#", "scope": "whole territory""#, r#", "certificate": null"#)).await;
    expect![[r#"
        KIND      NAME  BECAME   NOTE
        adequacy  US    changed  (EU) 2023/1795 from 2023-07-10, needs eu-us-dpf
        KIND      NAME  BECAME   NOTE
        adequacy  US    changed  (EU) 2023/1795 from 2023-07-10; needs eu-us-dpf no more
    "#]]
    .assert_eq(&format!("{keeps}{loses}"));
    binary.ok(&import(r#", "scope": "anybody""#, r#", "certificate": "own-list""#)).await;
    let us = binary.json(&["catalog", "adequacy"]).await;
    assert_eq!(us[0]["decisions"][0]["certificate"], "own-list");
}

/// Real lists, if the environment names their folder.
#[tokio::test]
async fn real_lists_are_imported_whole() {
    let Ok(folder) = std::env::var("FAIRLANE_TEST_RESIDENCY") else {
        eprintln!("FAIRLANE_TEST_RESIDENCY names no folder: no real lists are imported");
        return;
    };
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let said = binary.json(&["catalog", "import-residency", &folder]).await;
    let told = said.as_array().unwrap();
    let skipped = told.iter().filter(|one| one["became"] == "skipped");
    let skipped: Vec<&str> = skipped.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["EPO (EU) 2025/1382", "US 2000/520/EC", "US (EU) 2016/1250"]);
    let adequacy = binary.json(&["catalog", "adequacy"]).await;
    let us = adequacy.as_array().unwrap().iter().find(|of| of["country"] == "US").unwrap();
    assert_eq!(us["decisions"][0]["certificate"], "eu-us-dpf");
    let again = binary.json(&["catalog", "import-residency", &folder]).await;
    let is_left = |one: &Value| one["became"] == "same" || one["became"] == "skipped";
    assert!(again.as_array().unwrap().iter().all(is_left), "{again}");
}
