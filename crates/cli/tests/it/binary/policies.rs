//! Policies from files: checked, declared, shown, and what they do to the example's tenants.

use expect_test::expect;

use super::process::Binary;
use crate::harness::Harness;

fn example(file: &str) -> String {
    format!("{}/../../examples/policies{file}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn mistakes_in_files_are_told_with_their_places_without_a_server() {
    let binary = Binary::alone();
    binary.write(
        "tiers.cedar",
        "forbid (principal is Tenant, action, resource)\nwhen { principal.tire == \"x\" };\n",
    );
    binary.write("all.cedar", "forbid (principal, action, resource)");
    let said = binary.run(&["policy", "check", "tiers.cedar", "all.cedar"]).await;
    expect![[r#"
        exit code 1
        --- stderr
        all.cedar:1:37: unexpected end of input; expected `;` or identifier [invalid-policy]
        tiers.cedar:2:8: attribute `tire` on entity type `Tenant` not found; expected `tier` [invalid-policy]
        error: 2 mistakes
    "#]]
    .assert_eq(&said.show(&[]));
    let (first, second) = (example("/data-abroad.cedar"), example("/products.cedar"));
    let good = binary.ok(&["policy", "check", &first, &second]).await;
    assert!(good.contains("products, no mistakes"), "{good}");
}

#[tokio::test]
async fn the_guides_example_does_what_the_guide_says() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let applied = binary.ok(&["apply", "-f", &example("")]).await;
    assert!(applied.contains("policy data-abroad changed"), "{applied}");
    expect![[r#"
        POLICY       VERSION  DECLARED              SAYS
        base         shipped  -                     forbid (principal, action, resource)
        data-abroad  v1       NOW  forbid (principal, action == Action::"call_tool", resource == Tool::"bureau-abroad")
        default      shipped  -                     permit (principal, action, resource);
        products     v1       NOW  @id("mortgages")
    "#]]
    .assert_eq(&binary.ok(&["policy", "list"]).await.replace(&now(&binary).await, "NOW"));
    let refused = binary.run(&["run", "policies-mortgage", "--tenant", "web-lender"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: Policy does not allow this: policy `products#mortgages` does not allow the tenant to start workflow `policies-mortgage` [policy-denied]
    "#]]
    .assert_eq(&refused.show(&[]));
    let run = binary.ok(&["run", "policies-loan", "--tenant", "home-bank"]).await;
    let _ = run;
    let dry = binary.ok(&["policy", "remove", "data-abroad", "--dry-run"]).await;
    assert!(dry.contains("would be allowed"), "{dry}");
    let removed = binary.ok(&["policy", "remove", "data-abroad"]).await;
    assert_eq!(removed, "policy data-abroad removed\n");
}

/// When the policies were declared, as the list shows it.
async fn now(binary: &Binary) -> String {
    let list = binary.ok(&["policy", "list"]).await;
    let line = list.lines().find(|line| line.starts_with("data-abroad")).unwrap();
    line.split_whitespace().nth(2).unwrap().to_owned()
}
