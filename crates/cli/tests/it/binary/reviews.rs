//! `fairlane review` against a real server: what a reviewer sees, does and is refused.

use expect_test::{Expect, expect};
use serde_json::json;

use super::process::{Binary, Said};
use crate::harness::{Harness, TENANT};
use fairlane_client::Submit;

const POOLS: &str = "
reviewer_pools:
  underwriters:
    pick: true
    members: [{ person: ada }, { person: bob }]
  turns:
    members: [{ person: ada }, { person: eve }]
  hasty:
    pick: true
    lease_ms: 1000
    members: [{ person: ada }]
";

/// A workflow with one review in a pool, and what its terms are besides.
fn workflow(name: &str, pool: &str, terms: &str) -> String {
    format!(
        "
workflow: {name}
version: 1
steps:
  manual:
    with: {{ amount: input.amount }}
    review:
      pool: {pool}
      form: {{ type: object, required: [limit], properties: {{ limit: {{ type: integer }} }} }}
{terms}"
    )
}

/// A server, its operator and its reviewers, each with a binary of their own.
struct Office {
    harness: Harness,
    operator: Binary,
    ada: Binary,
    bob: Binary,
    eve: Binary,
}

impl Office {
    async fn open() -> Self {
        let harness = Harness::start().await;
        let operator = Binary::of(&harness);
        operator.write("pools.yaml", POOLS);
        operator.write("loan.yaml", &workflow("loan", "underwriters", "      due: 4h\n"));
        let four_eyes = workflow("four-eyes", "underwriters", "      persons: 2\n");
        operator.write("four-eyes.yaml", &four_eyes);
        let ladder = "      escalate: [{ pool: turns, class: 0, within: 1h }]\n";
        operator.write("ladder.yaml", &workflow("ladder", "underwriters", ladder));
        operator.write("queue.yaml", &workflow("queue", "turns", ""));
        operator.write("hasty.yaml", &workflow("hasty", "hasty", ""));
        operator.ok(&["apply", "-f", "."]).await;
        let mut keys = Vec::new();
        for person in ["ada", "bob", "eve"] {
            let key = operator.ok(&["key", "create", "reviewer", person]).await;
            keys.push(Binary::at(&harness.url(), key.trim()));
        }
        let [ada, bob, eve] = <[Binary; 3]>::try_from(keys).ok().unwrap();
        Self { harness, operator, ada, bob, eve }
    }

    /// The review of a new run, once it is open.
    async fn asked(&self, workflow: &str) -> String {
        let submit = Submit::new(workflow).input(&json!({ "amount": 7 }));
        let run = self.harness.client.submit(TENANT, submit).await.unwrap().run;
        loop {
            let open = self.harness.client.reviews().await.unwrap();
            if let Some(found) = open.into_iter().find(|review| review.run == run) {
                return found.id;
            }
        }
    }

    /// The run of a review.
    async fn run_of(&self, review: &str) -> String {
        self.harness.client.review(review).await.unwrap().review.run
    }

    async fn claimed(&self, workflow: &str) -> String {
        let review = self.asked(workflow).await;
        self.ada.ok(&["review", "claim", &review]).await;
        review
    }

    async fn digest(&self, review: &str) -> String {
        self.harness.client.review(review).await.unwrap().review.digest
    }
}

/// What was said, with the review's id replaced.
fn shown(said: &Said, review: &str, expected: &Expect) {
    expected.assert_eq(&said.show(&[(review, "REVIEW")]));
}

/// A table's cells of the row of a review, without the due time.
fn row(table: &str, review: &str) -> Option<Vec<String>> {
    let line = table.lines().find(|line| line.starts_with(review))?;
    let mut cells: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
    cells.remove(3);
    Some(cells)
}

#[tokio::test]
async fn a_reviewer_lists_claims_reads_and_decides() {
    let office = Office::open().await;
    let review = office.asked("loan").await;
    let run = office.run_of(&review).await;
    let list = office.ada.ok(&["review", "list"]).await;
    assert_eq!(row(&list, &review).unwrap(), ["acme", "manual", "open", "4", "-"]);
    let claimed = office.ada.ok(&["review", "claim"]).await;
    assert_eq!(row(&claimed, &review).unwrap(), ["acme", "manual", "claimed", "4", "ada"]);
    let open = office.ada.ok(&["review", "list"]).await;
    assert_eq!(row(&open, &review), None, "what is claimed is not open");
    let mine = office.ada.ok(&["review", "list", "--claimed"]).await;
    assert!(row(&mine, &review).is_some(), "{mine}");
    assert_eq!(row(&office.bob.ok(&["review", "list", "--claimed"]).await, &review), None);

    let said = office.ada.run(&["review", "comment", &review, "the income is missing"]).await;
    shown(
        &said,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW commented
    "#]],
    );
    let show = office.ada.ok(&["review", "show", &review]).await;
    for part in ["outcomes: approved, rejected", "on: {\"amount\":7}", "the income is missing"] {
        assert!(show.contains(part), "{part} in {show}");
    }
    let opened = show.lines().find(|line| line.contains(" opened ")).unwrap();
    let due = opened.split("\"due\":").nth(1).unwrap();
    assert!(due.starts_with("\"20"), "a time as everywhere: {opened}");

    let said = office
        .ada
        .run(&["review", "decide", &review, "approved", "--data", "{\"limit\": 5}"])
        .await;
    shown(
        &said,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW decided
    "#]],
    );
    let output = office.harness.output(&run).await;
    assert_eq!(
        (&output["manual"]["outcome"], &output["manual"]["data"]["limit"]),
        (&json!("approved"), &json!(5))
    );
    let said = office.ada.run(&["review", "claim"]).await;
    shown(
        &said,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        nothing to review
    "#]],
    );
}

#[tokio::test]
async fn what_another_has_claimed_is_theirs() {
    let office = Office::open().await;
    let review = office.claimed("loan").await;
    let data = ["--data", "{\"limit\": 5}"];
    let decide = [&["review", "decide", &review, "approved"][..], &data].concat();
    let (claim, release) = (["review", "claim", &review], ["review", "release", &review]);
    for command in [&decide[..], &claim, &release] {
        shown(
            &office.bob.run(command).await,
            &review,
            &expect![[r#"
                exit code 3
                --- stderr
                error: Another person has the review: `REVIEW` is theirs until they decide it, give it up or let their claim end [review-claimed]
            "#]],
        );
    }
    // Who is no member of the pool does not see that it is there, and an operator decides as nobody.
    shown(
        &office.eve.run(&decide).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: There is no such review: there is no open review `REVIEW` that you may decide [unknown-review]
          hint: `fairlane review list` shows what you may decide
    "#]],
    );
    shown(
        &office.operator.run(&decide).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The API key does not allow this; expected a reviewer's key: nobody decides as somebody else [forbidden]
    "#]],
    );
}

#[tokio::test]
async fn a_claim_is_given_up_or_given_to_another() {
    let office = Office::open().await;
    let review = office.claimed("loan").await;
    shown(
        &office.ada.run(&["review", "release", &review]).await,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW released
    "#]],
    );
    let data = ["--data", "{\"limit\": 5}"];
    let decide = [&["review", "decide", &review, "approved"][..], &data].concat();
    let release = ["review", "release", &review];
    for command in [&release[..], &decide] {
        shown(
            &office.ada.run(command).await,
            &review,
            &expect![[r#"
                exit code 3
                --- stderr
                error: Nobody has claimed the review: `REVIEW` is open; expected a claim of it [review-not-claimed]
                  hint: `fairlane review claim REVIEW` claims it
            "#]],
        );
    }

    office.ada.ok(&["review", "claim", &review]).await;
    shown(
        &office.ada.run(&["review", "reassign", &review, "eve"]).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The person may not decide this review: no member of the pool [not-eligible]
    "#]],
    );
    shown(
        &office.ada.run(&["review", "reassign", &review, "bob"]).await,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW reassigned
    "#]],
    );
    let mine = office.bob.ok(&["review", "list", "--claimed"]).await;
    assert_eq!(row(&mine, &review).unwrap().last().unwrap(), "bob");
    let back = office.operator.run(&["review", "reassign", &review, "ada"]).await;
    assert_eq!(back.code, 0, "an operator gives it to whom they want: {}", back.stderr);
    office.ada.ok(&decide).await;
}

#[tokio::test]
async fn a_decision_that_does_not_fit_has_no_effect_and_says_why() {
    let office = Office::open().await;
    let review = office.claimed("loan").await;
    let decide = async |rest: &[&str]| {
        office.ada.run(&[&["review", "decide", &review][..], rest].concat()).await
    };
    shown(
        &decide(&["approved"]).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The data does not match the form: /: null is not of type "object" (at /data); expected data that the review's form allows [invalid-form]
    "#]],
    );
    shown(
        &decide(&["approved", "--data", "{\"limit\": \"5\"}"]).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The data does not match the form: /limit: "5" is not of type "integer" (at /data); expected data that the review's form allows [invalid-form]
    "#]],
    );
    shown(
        &decide(&["approved", "--data", "{\"limit\": "]).await,
        &review,
        &expect![[r#"
        exit code 2
        --- stderr
        error: --data is not JSON: EOF while parsing a value at line 1 column 9
    "#]],
    );
    shown(
        &decide(&["maybe", "--data", "{\"limit\": 5}"]).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The review has no such outcome: none is named `maybe` (at /outcome); expected `approved` or `rejected` [unknown-outcome]
    "#]],
    );
}

#[tokio::test]
async fn a_decision_on_something_else_and_a_second_one_have_no_effect() {
    let office = Office::open().await;
    let review = office.claimed("loan").await;
    let decide = async |rest: &[&str]| {
        office.ada.run(&[&["review", "decide", &review][..], rest].concat()).await
    };
    let wrong = "0".repeat(64);
    let stale = ["approved", "--data", "{\"limit\": 5}", "--digest", &wrong];
    shown(
        &decide(&stale).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: What was decided on is not what is there: the decision is on something else than what is there now (at /digest); expected the `digest` of the review as it is now [wrong-digest]
    "#]],
    );
    shown(
        &office.ada.run(&["review", "decide", &review]).await,
        &review,
        &expect![[r#"
        exit code 2
        --- stderr
        error: the following required arguments were not provided:
          <OUTCOME>

        Usage: fairlane review decide --url <URL> --key <KEY> <REVIEW> <OUTCOME>

        For more information, try '--help'.
    "#]],
    );
    let digest = office.digest(&review).await;
    let right = ["approved", "--data", "{\"limit\": 5}", "--digest", &digest];
    assert_eq!(decide(&right).await.code, 0);
    let twice = decide(&right).await;
    shown(
        &twice,
        &review,
        &expect![[r#"
            exit code 3
            --- stderr
            error: The review has ended: `REVIEW` was decided by `ada`: `approved` [review-ended]
        "#]],
    );
}

#[tokio::test]
async fn a_batch_decides_each_by_itself_and_says_if_one_had_no_effect() {
    let office = Office::open().await;
    let first = office.claimed("loan").await;
    let second = office.claimed("loan").await;
    let open = office.asked("loan").await;
    let data = ["--data", "{\"limit\": 0}"];
    let batch = [&["review", "batch", "rejected", &first, &open][..], &data].concat();
    let said = office.ada.run(&batch).await;
    let replaced = [(first.as_str(), "FIRST"), (open.as_str(), "OPEN")];
    expect![[r#"
        exit code 1
        --- stdout
        FIRST decided
        OPEN refused: Nobody has claimed the review: `OPEN` is open; expected a claim of it [review-not-claimed]
        --- stderr
        error: 1 of 2 had no effect
    "#]].assert_eq(&said.show(&replaced));
    office.ada.ok(&["review", "claim", &open]).await;
    let batch = [&["review", "batch", "rejected", &second, &open][..], &data].concat();
    let said = office.ada.run(&batch).await;
    expect![[r#"
        exit code 0
        --- stdout
        SECOND decided
        OPEN decided
    "#]]
    .assert_eq(&said.show(&[(second.as_str(), "SECOND"), (open.as_str(), "OPEN")]));
    // One that is decided, one that is not there, and one that is not claimed: each is told, and none stops the others.
    let third = office.claimed("loan").await;
    let batch = [&["review", "batch", "rejected", &second, "nosuch", &third][..], &data].concat();
    let said = office.ada.run(&batch).await;
    expect![[r#"
        exit code 1
        --- stdout
        SECOND refused: The review has ended: `SECOND` was decided by `ada`: `rejected` [review-ended]
        nosuch refused: There is no such review: there is no open review `nosuch` that you may decide [unknown-review]
        THIRD decided
        --- stderr
        error: 2 of 3 had no effect
    "#]]
    .assert_eq(&said.show(&[(second.as_str(), "SECOND"), (third.as_str(), "THIRD")]));
}

#[tokio::test]
async fn two_persons_approve_the_same_and_an_edit_begins_anew() {
    let office = Office::open().await;
    let review = office.claimed("four-eyes").await;
    let run = office.run_of(&review).await;
    let decide = |limit: &str| format!("{{\"limit\": {limit}}}");
    let vote = ["review", "decide", &review, "approved", "--data", &decide("5")];
    shown(
        &office.ada.run(&vote).await,
        &review,
        &expect![[r#"
            exit code 0
            --- stdout
            REVIEW recorded; 1 more person is needed
        "#]],
    );
    shown(
        &office.ada.run(&["review", "claim", &review]).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The person may not decide this review: already decided [not-eligible]
    "#]],
    );
    office.bob.ok(&["review", "claim", &review]).await;
    let edited = ["review", "decide", &review, "approved", "--data", &decide("4")];
    shown(
        &office.bob.run(&edited).await,
        &review,
        &expect![[r#"
            exit code 0
            --- stdout
            REVIEW recorded; 1 more person is needed
        "#]],
    );
    // What ada has said is of no use any more: she may say what she thinks of the edit, and agrees.
    office.ada.ok(&["review", "claim", &review]).await;
    let agreed = office.ada.run(&["review", "decide", &review, "approved"]).await;
    shown(
        &agreed,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW decided
    "#]],
    );
    let output = office.harness.output(&run).await;
    assert_eq!(output["manual"]["data"]["limit"], 4);
    assert_eq!(output["manual"]["by"], json!(["bob", "ada"]));
}

#[tokio::test]
async fn in_a_pool_with_turns_nobody_picks() {
    let office = Office::open().await;
    let first = office.asked("queue").await;
    let later = office.asked("queue").await;
    let said = office.eve.run(&["review", "claim", &later]).await;
    shown(
        &said,
        &later,
        &expect![[r#"
        exit code 3
        --- stderr
        error: Another review comes first: it is not the turn of `REVIEW` in its pool; expected the review whose turn it is [review-not-next]
          hint: `fairlane review claim` claims the one whose turn it is
    "#]],
    );
    let said = office.eve.ok(&["review", "claim", "--pool", "turns"]).await;
    assert!(row(&said, &first).is_some(), "{said}");
}

#[tokio::test]
async fn a_review_goes_up_its_ladder_until_no_rung_is_left() {
    let office = Office::open().await;
    let review = office.claimed("ladder").await;
    let escalate = ["review", "escalate", &review];
    shown(
        &office.ada.run(&escalate).await,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW escalated
    "#]],
    );
    // It is in another pool, where nobody has it; and bob is no member there.
    let list = office.eve.ok(&["review", "list"]).await;
    assert_eq!(row(&list, &review).unwrap(), ["acme", "manual", "open", "0", "-"]);
    shown(
        &office.bob.run(&escalate).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: There is no such review: there is no open review `REVIEW` that you may decide [unknown-review]
          hint: `fairlane review list` shows what you may decide
    "#]],
    );
    shown(
        &office.operator.run(&escalate).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: The review cannot be escalated any more: its ladder has no rung left [no-rung]
    "#]],
    );
}

#[tokio::test]
async fn a_claim_that_is_over_decides_nothing() {
    let office = Office::open().await;
    let review = office.claimed("hasty").await;
    // The shortest that there is, a second.
    while office.harness.client.review(&review).await.unwrap().review.claim.is_some() {
        tokio::task::yield_now().await;
    }
    let decide = ["review", "decide", &review, "approved", "--data", "{\"limit\": 5}"];
    shown(
        &office.ada.run(&decide).await,
        &review,
        &expect![[r#"
        exit code 3
        --- stderr
        error: Nobody has claimed the review: `REVIEW` is open; expected a claim of it [review-not-claimed]
          hint: `fairlane review claim REVIEW` claims it
    "#]],
    );
    let show = office.ada.ok(&["review", "show", &review]).await;
    assert!(show.contains(" expired {\"by\":\"ada\"}"), "{show}");
}

#[tokio::test]
async fn programs_get_json_and_the_servers_problem() {
    let office = Office::open().await;
    let review = office.claimed("loan").await;
    let mine = office.ada.json(&["review", "list", "--claimed"]).await;
    assert_eq!((&mine[0]["id"], &mine[0]["claim"]["person"]), (&json!(review), &json!("ada")));
    let refused = office.bob.run(&["review", "claim", &review, "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!((refused.code, &error["problem"]["code"]), (3, &json!("review-claimed")));
    let released = office.ada.json(&["review", "release", &review]).await;
    assert_eq!(released, json!({ "review": review, "done": "released" }));
    let nothing = office.eve.run(&["review", "list"]).await;
    shown(
        &nothing,
        &review,
        &expect![[r#"
        exit code 0
        --- stdout
        REVIEW  TENANT  STEP  STATE  DUE  CLASS  HELD BY
    "#]],
    );
}

#[tokio::test]
async fn pools_and_what_names_them_are_declared_together_and_a_pool_that_is_nowhere_is_a_mistake() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write("pools.yaml", POOLS);
    let terms = "      escalate: [{ pool: seniors, within: 1h }]\n";
    binary.write("loan.yaml", &workflow("loan", "underwriter", terms));
    binary.write("tier.yaml", "tiers: { gold: { weight: 1, cap: 1, reviewer_pool: nobody } }\n");
    expect![[r#"
        exit code 1
        --- stderr
        ./loan.yaml:8:13: no reviewer pool is named `underwriter`; expected reviewer pool in the files or on the server [unknown-reviewer-pool]
        ./loan.yaml:10:26: no reviewer pool is named `seniors`; expected reviewer pool in the files or on the server [unknown-reviewer-pool]
        ./tier.yaml:1:52: no reviewer pool is named `nobody`; expected reviewer pool in the files or on the server [unknown-reviewer-pool]
        error: 3 mistakes
    "#]].assert_eq(&binary.run(&["apply", "-f", "."]).await.show(&[]));
    let terms = "      escalate: [{ pool: turns, within: 1h }]\n";
    binary.write("loan.yaml", &workflow("loan", "underwriters", terms));
    binary.write("tier.yaml", "tiers: { gold: { weight: 1, cap: 1, reviewer_pool: turns } }\n");
    binary.ok(&["apply", "-f", "."]).await;
}

#[tokio::test]
async fn a_pool_of_a_tenant_is_declared_together_with_it_and_names_what_there_is() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let file = |tenant: &str, region: &str| {
        format!(
            "reviewer_pools:\n  own:\n    tenant: {tenant}\n    members:\n      - {{ person: ada, region: {region}, tenants: [{tenant}] }}\n\
             orgs: {{ north: }}\ntiers: {{ gold: {{ weight: 1, cap: 1 }} }}\n\
             tenants: {{ bank: {{ org: north, tier: gold, reviewer_pool: own }} }}\n"
        )
    };
    binary.write("all.yaml", &file("nosuch", "mars-1"));
    expect![[r#"
        exit code 1
        --- stderr
        all.yaml:3:13: no tenant is named `nosuch`; expected tenant in the files or on the server [unknown-tenant]
        all.yaml:5:32: no region is named `mars-1`; expected region in the files or on the server [unknown-region]
        all.yaml:5:50: no tenant is named `nosuch`; expected tenant in the files or on the server [unknown-tenant]
        error: 3 mistakes
    "#]].assert_eq(&binary.run(&["apply", "-f", "all.yaml"]).await.show(&[]));
    binary.write("all.yaml", &file("bank", "eu-west-1"));
    for _ in 0..2 {
        binary.ok(&["apply", "-f", "all.yaml"]).await;
        let pools = harness.client.reviewer_pools().await.unwrap();
        let own = &pools.iter().find(|pool| pool.name == "own").unwrap().spec;
        let person = own.members[0].person.as_str();
        assert_eq!((own.tenant.as_deref(), person), (Some("bank"), "ada"));
    }
}
