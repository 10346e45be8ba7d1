//! Where data may be: declared, shown, refused, and kept to by calls of models.

use fairlane_fake_provider::{Answer, Provider, Reply, Usage};
use fairlane_server::StoreKind;
use serde_json::{Value, json};

use crate::harness::{Harness, LONG_MS};

const ASK: &str = "
workflow: ask
version: 1
steps:
  think:
    model: compliance
    prompt: Hello
    max_tokens: 100
    retry: { attempts: 1 }
";

/// A server that keeps its rows in Ireland.
async fn irish() -> Harness {
    let change = |config: &mut fairlane_server::Config| {
        "eu-west-1".clone_into(&mut config.region);
        config.store = StoreKind::Memory;
    };
    let harness = Harness::start_with(change).await;
    harness.declare().await;
    harness
}

/// The same with a model of two candidates: one in the US, which is tried first, and one in the EU.
async fn with_model(us: &Provider, eu: &Provider) -> Harness {
    let harness = irish().await;
    let operator = &harness.operator;
    for (name, provider, region) in [("us", us, "us-east-1"), ("eu", eu, "eu-west-1")] {
        let url = provider.url("/v1");
        let endpoint = json!({ "protocol": "chat", "url": url, "allow_private": true });
        let tool = json!({ "endpoint": endpoint, "region": region, "storage_region": "none" });
        operator.put(&format!("/v1/catalog/tools/{name}"), tool).await.ok();
    }
    let price = json!({ "versions": [{ "input": "1", "output": "2" }] });
    operator.put("/v1/catalog/prices/large", price).await.ok();
    let candidates =
        json!([{ "endpoint": "us", "model": "large" }, { "endpoint": "eu", "model": "large" }]);
    operator.put("/v1/catalog/models/compliance", json!({ "candidates": candidates })).await.ok();
    harness.workflow("ask", ASK).await;
    harness
}

async fn bind(harness: &Harness, residency: Value) {
    let tenant = json!({ "org": "org", "tier": "standard", "data_residency": residency });
    harness.operator.put("/v1/tenants/a", tenant).await.ok();
}

fn answer() -> Reply {
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5 });
    Reply::Answer(Answer::new("yes").with_usage(Usage::Json(usage)))
}

#[tokio::test]
async fn places_are_declared_and_listed_with_those_that_are_built_in() {
    let harness = irish().await;
    let operator = &harness.operator;
    let path = "/v1/catalog/regions/own-1";
    let spec = json!({ "country": "DE", "label": "the cellar" });
    let dry = operator.put(&format!("{path}?dry_run=true"), spec.clone()).await.ok();
    assert_eq!(dry, json!({ "changed": false, "dry_run": true }));
    assert_eq!(operator.get(path).await.refusal().1, "unknown-region");
    assert_eq!(operator.put(path, spec.clone()).await.ok()["changed"], true);
    assert_eq!(operator.put(path, spec).await.ok()["changed"], false);
    let region =
        json!({ "name": "own-1", "country": "DE", "label": "the cellar", "built_in": false });
    assert_eq!(operator.get(path).await.ok(), region);
    let known = operator.get("/v1/catalog/regions/eu-west-1").await.ok();
    assert_eq!((&known["country"], &known["built_in"]), (&json!("IE"), &json!(true)));
    let moved = json!({ "country": "FR" });
    operator.put("/v1/catalog/regions/eu-west-1", moved).await.ok();
    let known = operator.get("/v1/catalog/regions/eu-west-1").await.ok();
    assert_eq!((&known["country"], &known["built_in"]), (&json!("FR"), &json!(false)));

    let zone = json!({ "countries": ["DE", "AT"], "regions": ["own-1"], "adequate": true });
    operator.put("/v1/catalog/zones/dach+", zone).await.ok();
    let zone = operator.get("/v1/catalog/zones/dach+").await.ok();
    let expected = json!({
        "name": "dach+", "countries": ["AT", "DE"], "regions": ["own-1"], "adequate": true,
        "built_in": false,
    });
    assert_eq!(zone, expected);
    let first = operator.get("/v1/catalog/zones?limit=2").await.ok();
    let cursor = first["next"].as_str().unwrap();
    let rest = operator.get(&format!("/v1/catalog/zones?cursor={cursor}")).await.ok();
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| format!("{} {}", item["name"], item["built_in"])).collect()
    };
    assert_eq!(names(&first), ["\"dach+\" false", "\"eea\" true"]);
    assert_eq!(names(&rest), ["\"eea+adequate\" true", "\"eu\" true", "\"us\" true"]);

    let decision = json!({
        "name": "(EU) 2019/419", "from": "2019-01-23T00:00:00.000000Z", "scope": "under the APPI",
    });
    let spec = json!({ "decisions": [decision] });
    operator.put("/v1/catalog/adequacy/JP", spec).await.ok();
    let expected = json!({ "country": "JP", "suspended": false, "decisions": [decision] });
    assert_eq!(operator.get("/v1/catalog/adequacy/JP").await.ok(), expected);
    assert_eq!(operator.get("/v1/catalog/adequacy").await.ok()["items"], json!([expected]));
    assert_eq!(operator.get("/v1/catalog/adequacy/KR").await.refusal().1, "unknown-adequacy");
}

#[tokio::test]
async fn all_mistakes_of_a_place_are_told_at_once_with_their_pointers() {
    let harness = irish().await;
    let operator = &harness.operator;
    let pointers = |problem: &Value| -> Vec<String> {
        let mistakes = problem["mistakes"].as_array().unwrap().iter();
        mistakes.map(|mistake| format!("{} {}", mistake["code"], mistake["pointer"])).collect()
    };
    let zone = json!({ "countries": ["DE", "de", "Germany"], "regions": ["Own 1"] });
    let problem = operator.put("/v1/catalog/zones/own", zone).await.problem();
    let expected = [
        "\"invalid-value\" \"/countries/1\"",
        "\"invalid-value\" \"/countries/2\"",
        "\"invalid-name\" \"/regions/0\"",
    ];
    assert_eq!(pointers(&problem), expected);
    let from = "2019-01-23T00:00:00Z";
    let decisions =
        json!([{ "name": "", "from": from, "certificate": "A", "scope": "x".repeat(600) }]);
    let problem = operator.put("/v1/catalog/adequacy/JP", json!({ "decisions": decisions })).await;
    let expected = [
        "\"invalid-name\" \"/decisions/0/certificate\"",
        "\"invalid-value\" \"/decisions/0/name\"",
        "\"too-long\" \"/decisions/0/scope\"",
    ];
    assert_eq!(pointers(&problem.problem()), expected);
    let tier = json!({
        "weight": 1, "cap": 1, "denied_tools": ["a b"], "model_tier": "Gold",
        "data_residency": { "zone": "E U", "adequate": ["jp"] },
        "outage": { "wait": "soon" }, "audit_retention_days": 0,
    });
    let problem = operator.put("/v1/tiers/gold", tier).await.problem();
    let expected = [
        "\"out-of-range\" \"/audit_retention_days\"",
        "\"invalid-name\" \"/model_tier\"",
        "\"invalid-name\" \"/data_residency/zone\"",
        "\"invalid-value\" \"/data_residency/adequate/0\"",
        "\"invalid-name\" \"/denied_tools/0\"",
        "\"invalid-value\" \"/outage/wait\"",
    ];
    assert_eq!(pointers(&problem), expected);
}

#[tokio::test]
async fn what_the_cell_refuses_of_places_is_told_where_it_stands() {
    let harness = irish().await;
    let operator = &harness.operator;
    let decision = |from: &str, until: &str| json!({ "name": "a", "from": from, "until": until });
    let (then, later) = ("2019-01-01T00:00:00Z", "2090-01-01T00:00:00Z");
    let latest = "2091-01-01T00:00:00Z";
    let adequacy = |decisions: Value| json!({ "decisions": decisions });
    let tool = |field: &str| json!({ "region": "eu-west-1", field: "moon-1" });
    let tenant =
        |residency: Value| json!({ "org": "org", "tier": "standard", "data_residency": residency });
    for (path, body, code, pointer) in [
        ("regions/none", json!({ "country": "DE" }), "invalid-name", ""),
        ("regions/own-1", json!({ "country": "D" }), "invalid-value", "/country"),
        (
            "zones/own",
            json!({ "regions": ["eu-west-1", "moon-1"] }),
            "unknown-region",
            "/regions/1",
        ),
        ("adequacy/Japan", adequacy(json!([decision(then, later)])), "invalid-name", ""),
        ("adequacy/JP", adequacy(json!([])), "out-of-range", "/decisions"),
        (
            "adequacy/JP",
            adequacy(json!([decision(then, then)])),
            "invalid-value",
            "/decisions/0/until",
        ),
        (
            "adequacy/JP",
            adequacy(json!([decision("2018-01-01T00:00:00Z", then)])),
            "invalid-value",
            "/decisions/0/until",
        ),
        (
            "adequacy/JP",
            adequacy(json!([decision(then, later), decision(then, latest)])),
            "invalid-value",
            "/decisions/1/from",
        ),
        ("tools/t", tool("storage_region"), "unknown-region", "/storage_region"),
        ("tools/t", json!({ "region": "moon-1" }), "unknown-region", "/region"),
        ("../tenants/c", tenant(json!({ "zone": "moon" })), "unknown-zone", "/data_residency/zone"),
        (
            "../tenants/c",
            tenant(json!({ "regions": ["eu-west-1", "moon-1"] })),
            "unknown-region",
            "/data_residency/regions/1",
        ),
        ("../tenants/c", tenant(json!({ "zone": "us" })), "store-outside", "/data_residency"),
    ] {
        let path = match path.strip_prefix("../") {
            Some(path) => format!("/v1/{path}"),
            None => format!("/v1/catalog/{path}"),
        };
        for path in [path.clone(), format!("{path}?dry_run=true")] {
            let refusal = operator.put(&path, body.clone()).await.refusal();
            assert_eq!((refusal.1.as_str(), refusal.2.as_str()), (code, pointer), "{path} {body}");
        }
    }
}

#[tokio::test]
async fn a_tool_says_where_it_is() {
    let harness = irish().await;
    let operator = &harness.operator;
    let spec =
        json!({ "region": "us-east-1", "storage_region": "none", "certificates": ["eu-us-dpf"] });
    operator.put("/v1/catalog/tools/bureau", spec).await.ok();
    let shown = operator.get("/v1/catalog/tools/bureau").await.ok();
    let expected = json!({
        "name": "bureau", "limits": [], "region": "us-east-1", "storage_region": "none",
        "certificates": ["eu-us-dpf"],
    });
    assert_eq!(shown, expected);
    let kept = json!({ "region": "us-east-1", "storage_region": "eu-west-1" });
    operator.put("/v1/catalog/tools/bureau", kept).await.ok();
    let shown = operator.get("/v1/catalog/tools/bureau").await.ok();
    assert_eq!(shown["storage_region"], "eu-west-1");
}

#[tokio::test]
async fn a_tenant_shows_what_its_tier_fills_in_and_what_either_denies() {
    let harness = irish().await;
    let operator = &harness.operator;
    let outage = json!({ "alternative": false, "wait": "10m", "then": "escalate" });
    let tier = json!({
        "weight": 4, "cap": 10, "data_residency": { "zone": "eea", "adequate": ["JP"] },
        "denied_tools": ["mail"], "allowed_tools": ["bureau", "mail"], "outage": outage,
        "audit_retention_days": 3_650,
    });
    operator.put("/v1/tiers/bank", tier.clone()).await.ok();
    let shown = operator.get("/v1/tiers/bank").await.ok();
    assert_eq!(shown["outage"], outage);
    assert_eq!(shown["data_residency"], tier["data_residency"]);
    let tenant = json!({
        "org": "org", "tier": "bank", "denied_tools": ["fax"], "model_tier": "compliance",
        "audit_retention_days": 30,
    });
    operator.put("/v1/tenants/c", tenant).await.ok();
    let shown = operator.get("/v1/tenants/c").await.ok();
    for (field, expected) in [
        ("data_residency", tier["data_residency"].clone()),
        ("allowed_tools", json!(["bureau", "mail"])),
        ("denied_tools", json!(["fax", "mail"])),
        ("model_tier", json!("compliance")),
        ("outage", outage),
        ("audit_retention_days", json!(30)),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
}

#[tokio::test]
async fn candidates_may_name_the_model_tier_of_a_tenant() {
    let (us, eu) = (Provider::start().await.unwrap(), Provider::start().await.unwrap());
    let harness = with_model(&us, &eu).await;
    let operator = &harness.operator;
    let model =
        json!({ "candidates": [{ "endpoint": "eu", "model": "large", "tiers": ["strict"] }] });
    for path in ["/v1/catalog/models/strict", "/v1/catalog/models/strict?dry_run=true"] {
        let refusal = operator.put(path, model.clone()).await.refusal();
        assert_eq!(
            (refusal.1.as_str(), refusal.2.as_str()),
            ("unknown-tier", "/candidates/0/tiers")
        );
    }
    let tenant = json!({ "org": "org", "tier": "standard", "model_tier": "strict" });
    operator.put("/v1/tenants/a", tenant).await.ok();
    operator.put("/v1/catalog/models/strict?dry_run=true", model.clone()).await.ok();
    operator.put("/v1/catalog/models/strict", model).await.ok();
}

#[tokio::test]
async fn a_call_stays_in_the_zone_and_tells_what_it_passed_over() {
    let (us, eu) = (Provider::start().await.unwrap(), Provider::start().await.unwrap());
    let harness = with_model(&us, &eu).await;
    bind(&harness, json!({ "zone": "eea" })).await;
    eu.next(Reply::Silence);
    let run = harness.submit("ask", json!({})).await;
    eu.has_received(1).await;
    let explain = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/explain")).await.ok();
    let route = &explain["steps"][0]["route"];
    assert_eq!((&route["endpoint"], &route["region"]), (&json!("eu"), &json!("eu-west-1")));
    let passed = json!([{
        "endpoint": "us", "served_by": "large", "code": "not-in-zone",
        "reason": "it works in `us-east-1` (US), where the tenant's data may not be",
    }]);
    assert_eq!(route["passed"], passed);
    harness.command(&run, "cancel").await.ok();

    eu.always(answer());
    let body = json!({ "workflow": "ask", "input": {} });
    let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
    let done = harness.operator.post(&path, body).await.ok();
    assert_eq!(done["status"], "completed", "{done}");
    let run = done["run"].as_str().unwrap();
    let detail = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/explain")).await.ok();
    let call = &detail["steps"][0]["call"];
    assert_eq!((&call["region"], &call["passed"]), (&json!("eu-west-1"), &passed));
    assert_eq!(us.received_count(), 0, "nothing has left the zone");
    let usage = harness.operator.get("/v1/tenants/a/usage").await.ok();
    assert_eq!(usage["models"][0]["region"], "eu-west-1");
}

/// The explanation of the run's only step, once it is like that.
async fn until(harness: &Harness, run: &str, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..10_000 {
        let path = format!("/v1/tenants/a/runs/{run}/explain");
        let explain = harness.operator.get(&path).await.ok();
        if is(&explain["steps"][0]) {
            return explain["steps"][0].clone();
        }
    }
    panic!("the step never came to that");
}

#[tokio::test]
async fn what_rests_on_adequacy_is_reported_and_called_back_when_that_is_suspended() {
    let (us, eu) = (Provider::start().await.unwrap(), Provider::start().await.unwrap());
    let harness = with_model(&us, &eu).await;
    let operator = &harness.operator;
    let candidates = json!([{ "endpoint": "us", "model": "large" }]);
    operator.put("/v1/catalog/models/compliance", json!({ "candidates": candidates })).await.ok();
    let empty = operator.get("/v1/platform/reports/residency").await.ok();
    assert_eq!((&empty["countries"], &empty["outside"]), (&json!([]), &json!([])));
    let now: fairlane_api::Timestamp = serde_json::from_value(empty["at"].clone()).unwrap();
    let soon = fairlane_api::Timestamp(now.0 + 30 * 24 * 3_600 * 1_000_000);
    let adequacy = |suspended: bool| {
        let decision =
            json!({ "name": "(EU) 2023/1795", "from": "2023-07-10T00:00:00Z", "until": soon });
        json!({ "suspended": suspended, "decisions": [decision] })
    };
    operator.put("/v1/catalog/adequacy/US", adequacy(false)).await.ok();
    bind(&harness, json!({ "zone": "eea+adequate" })).await;
    us.always(Reply::Silence);
    let run = harness.submit("ask", json!({})).await;
    us.has_received(1).await;

    let report = operator.get("/v1/platform/reports/residency").await.ok();
    let country = &report["countries"][0];
    assert_eq!((&country["country"], &country["tenants"]), (&json!("US"), &json!(1)));
    assert_eq!(country["tenant_ids"], json!(["a"]));
    assert_eq!(country["decision"]["name"], "(EU) 2023/1795");
    let live = json!([{ "tenant": "a", "run": run, "step": "think", "endpoint": "us" }]);
    assert_eq!(country["live"], live);
    assert_eq!(report["ending"][0]["country"], "US");
    let step = until(&harness, &run, |step| step["route"].is_object()).await;
    assert_eq!(step["route"]["adequate"], "US");

    operator.put("/v1/catalog/adequacy/US", adequacy(true)).await.ok();
    let waits = until(&harness, &run, |step| step["waits"]["gate"] == "route").await;
    let waits = &waits["waits"];
    let needs = "a candidate of model `compliance`: none of its endpoints is where the tenant's data may be";
    assert_eq!(waits["needs"], needs);
    assert_eq!(waits["passed"][0]["code"], "adequacy-suspended");
    let report = operator.get("/v1/platform/reports/residency").await.ok();
    let country = &report["countries"][0];
    assert_eq!((&country["suspended"], &country["live"]), (&json!(true), &json!([])));
    assert_eq!(report["ending"], json!([]), "what is suspended ends no more");
    let key = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    assert_eq!(key.get("/v1/platform/reports/residency").await.refusal().0, 403);
}

#[tokio::test]
async fn nothing_that_is_declared_leaves_a_tenants_data_outside() {
    let harness = irish().await;
    let operator = &harness.operator;
    bind(&harness, json!({ "zone": "eea" })).await;
    let tier = json!({ "weight": 4, "cap": 10, "data_residency": { "zone": "us" } });
    for (path, body, pointer, tenant) in [
        ("/v1/tiers/standard", tier, "/data_residency", "`b`"),
        ("/v1/catalog/zones/eea", json!({ "countries": ["US"] }), "/countries", "`a`"),
        ("/v1/catalog/regions/eu-west-1", json!({ "country": "US" }), "/country", "`a`"),
    ] {
        for path in [path.to_owned(), format!("{path}?dry_run=true")] {
            let reply = operator.put(&path, body.clone()).await;
            let expected = (451, "store-outside".to_owned(), pointer.to_owned());
            assert_eq!(reply.refusal(), expected, "{path}");
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(&format!("tenant {tenant} would have its data")), "{detail}");
        }
    }
}

#[tokio::test]
async fn when_a_store_is_outside_no_run_comes_in_and_the_tenant_can_be_suspended() {
    let harness = irish().await;
    let operator = &harness.operator;
    let adequacy = |suspended: bool| {
        let decision = json!({ "name": "on Ireland", "from": "2020-01-01T00:00:00Z" });
        json!({ "suspended": suspended, "decisions": [decision] })
    };
    operator.put("/v1/catalog/adequacy/IE", adequacy(false)).await.ok();
    bind(&harness, json!({ "adequate": ["IE"] })).await;
    let stores = async || {
        let report = operator.get("/v1/platform/reports/residency").await.ok();
        report["stores"].clone()
    };
    assert_eq!(stores().await, json!([]));
    operator.put("/v1/catalog/adequacy/IE", adequacy(true)).await.ok();
    let run = json!({ "workflow": "pair", "input": {} });
    let reply = operator.post("/v1/tenants/a/runs", run).await;
    assert_eq!((reply.refusal().0, reply.refusal().1.as_str()), (451, "store-outside"));
    let told = &stores().await[0];
    assert_eq!((&told["tenant"], &told["region"]), (&json!("a"), &json!("eu-west-1")));
    assert_eq!(told["code"], "adequacy-suspended");
    let suspended = json!({
        "org": "org", "tier": "standard", "data_residency": { "adequate": ["IE"] },
        "suspended": true,
    });
    operator.put("/v1/tenants/a?dry_run=true", suspended.clone()).await.ok();
    operator.put("/v1/tenants/a", suspended).await.ok();
}

#[tokio::test]
async fn pools_of_reviewers_name_places_and_tenants_that_there_are() {
    let harness = irish().await;
    for (path, body, code, pointer) in [
        ("regions/london", json!({ "country": "UK" }), "invalid-value", "/country"),
        (
            "reviewer-pools/p",
            json!({ "members": [{ "person": "ada" }, { "person": "bob", "region": "mars-1" }] }),
            "unknown-region",
            "/members/1/region",
        ),
        ("reviewer-pools/p", json!({ "tenant": "nosuch" }), "unknown-tenant", "/tenant"),
        (
            "reviewer-pools/p",
            json!({ "members": [{ "person": "ada", "tenants": ["a", "nosuch"] }] }),
            "unknown-tenant",
            "/members/0/tenants/1",
        ),
    ] {
        let path = format!("/v1/catalog/{path}");
        for path in [path.clone(), format!("{path}?dry_run=true")] {
            let refusal = harness.operator.put(&path, body.clone()).await.refusal();
            assert_eq!((refusal.1.as_str(), refusal.2.as_str()), (code, pointer), "{path} {body}");
        }
    }
}
