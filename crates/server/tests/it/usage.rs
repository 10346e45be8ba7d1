//! Calls of models as tenants and operators see them: one by one, by step, and summed up.

use fairlane_fake_provider::{Answer, Provider, Reply, Usage};
use serde_json::{Value, json};

use crate::harness::Harness;

/// 120 tokens in, of which 20 are cached, and 30 out: 100 x 1 + 20 x 0.1 + 30 x 2 = 162 of a millionth.
const COST: &str = "0.000162";

const ASK: &str = "
workflow: ask
version: 1
steps:
  think:
    model: reasoner
    prompt: Hello
    max_tokens: 100
    retry: { attempts: 1 }
";

/// A server with the model `reasoner`, which `provider` serves as `maker/large`, and the workflow `ask`.
async fn start(provider: &Provider) -> Harness {
    let harness = Harness::start().await;
    let operator = &harness.operator;
    let endpoint = json!({ "protocol": "chat", "url": provider.url("/v1"), "allow_private": true });
    operator.put("/v1/catalog/tools/eu", json!({ "endpoint": endpoint })).await.ok();
    let price = json!({ "input": "1", "cached_input": "0.1", "output": "2" });
    operator.put("/v1/catalog/prices/large", json!({ "versions": [price] })).await.ok();
    let candidate = json!({ "endpoint": "eu", "model": "maker/large", "price": "large" });
    operator.put("/v1/catalog/models/reasoner", json!({ "candidates": [candidate] })).await.ok();
    harness.workflow("ask", ASK).await;
    provider.always(answer(20));
    harness
}

fn answer(cached: u32) -> Reply {
    let usage = json!({
        "prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150,
        "prompt_tokens_details": { "cached_tokens": cached },
    });
    Reply::Answer(Answer::new("forty two").with_usage(Usage::Json(usage)))
}

/// A run of `ask` that has ended.
async fn ask(harness: &Harness) -> String {
    let body = json!({ "workflow": "ask", "input": {} });
    let done = harness.operator.post("/v1/tenants/a/runs?wait_ms=30000", body).await.ok();
    assert_eq!(done["status"], "completed", "{done}");
    done["run"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_tenant_reads_its_calls_newest_first_with_what_each_cost() {
    let provider = Provider::start().await.unwrap();
    let harness = start(&provider).await;
    let (first, second) = (ask(&harness).await, ask(&harness).await);
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;

    let page = a.get("/v1/tenants/a/calls?limit=1").await.ok();
    let newest = &page["items"][0];
    let expected = json!({
        "id": newest["id"], "run": second, "step": "think", "part": "whole", "attempt": 1,
        "model": "reasoner", "endpoint": "eu", "served_by": "maker/large", "status": "ended",
        "began_at": newest["began_at"], "ended_at": newest["ended_at"],
        "tokens": { "input": 120, "cached": 20, "output": 30 }, "certain": true, "cost": COST,
    });
    assert_eq!(newest, &expected);
    assert!(newest["id"].is_string() && newest["ended_at"].is_string(), "{newest}");
    let next = page["next"].as_str().unwrap();
    let older = a.get(&format!("/v1/tenants/a/calls?cursor={next}")).await.ok();
    assert_eq!((&older["items"][0]["run"], &older["next"]), (&json!(first), &Value::Null));

    let of_run = a.get(&format!("/v1/tenants/a/calls?run={first}")).await.ok();
    assert_eq!(of_run["items"].as_array().unwrap().len(), 1);
    assert_eq!(of_run["items"][0]["run"], first);
    for query in ["run=x", "limit=0", "cursor=x", "before=7"] {
        let refusal = a.get(&format!("/v1/tenants/a/calls?{query}")).await.refusal();
        assert_eq!(refusal, (400, "malformed-request".into(), String::new()), "{query}");
    }
    let b = harness.operator.get("/v1/tenants/b/calls").await.ok();
    assert_eq!(b, json!({ "items": [] }));
}

#[tokio::test]
async fn usage_sums_up_the_month_under_way_by_model_and_who_served_it() {
    let provider = Provider::start().await.unwrap();
    let harness = start(&provider).await;
    ask(&harness).await;
    provider.next(answer(0));
    ask(&harness).await;
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;

    let usage = a.get("/v1/tenants/a/usage").await.ok();
    let used = json!({
        "calls": 2, "tokens": { "input": 240, "cached": 20, "output": 60 },
        "cost": "0.000342", "uncertain": "0.00",
    });
    let served = json!({
        "model": "reasoner", "endpoint": "eu", "served_by": "maker/large", "used": used,
    });
    let month = a.get("/v1/tenants/a/budgets").await.ok()["accounts"][1].clone();
    assert_eq!(
        usage,
        json!({
            "starts_at": month["starts_at"], "ends_at": month["ends_at"],
            "total": used, "models": [served],
        })
    );
    let past = "from=2020-01-01T00:00:00Z&until=2020-02-01T00:00:00Z";
    let usage = a.get(&format!("/v1/tenants/a/usage?{past}")).await.ok();
    assert_eq!((&usage["total"]["calls"], &usage["models"]), (&json!(0), &json!([])));
    for query in [
        "from=yesterday",
        "from=2020-02-01T00:00:00Z&until=2020-02-01T00:00:00Z",
        "from=2020-02-01T00:00:00Z&until=2021-03-01T00:00:00Z",
        "since=2020-02-01T00:00:00Z",
    ] {
        let refusal = a.get(&format!("/v1/tenants/a/usage?{query}")).await.refusal();
        assert_eq!(refusal, (400, "malformed-request".into(), String::new()), "{query}");
    }
}

#[tokio::test]
async fn a_step_shows_its_last_call_and_while_it_is_under_way_its_route() {
    let provider = Provider::start().await.unwrap();
    let harness = start(&provider).await;
    let done = harness.run(&ask(&harness).await).await;
    let step = &done["steps"][0];
    assert_eq!(step["call"]["served_by"], "maker/large", "{step}");
    assert_eq!((&step["call"]["cost"], &step["route"]), (&json!(COST), &Value::Null));

    provider.next(Reply::Silence);
    let run = harness.submit("ask", json!({})).await;
    provider.has_received(2).await;
    let step = &harness.run(&run).await["steps"][0];
    let route = json!({
        "model": "reasoner", "endpoint": "eu", "served_by": "maker/large",
        "input_tokens": step["route"]["input_tokens"], "max_tokens": 100,
    });
    assert_eq!((&step["phase"], &step["route"]), (&json!("leased"), &route), "{step}");
    assert_eq!(step["call"], Value::Null, "it has not ended");
    assert!(step["route"]["input_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn arrivals_say_what_steps_took_and_no_payload() {
    let provider = Provider::start().await.unwrap();
    let harness = start(&provider).await;
    let runs = [ask(&harness).await, ask(&harness).await, ask(&harness).await];
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let all = "from=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z";

    let page = a.get(&format!("/v1/tenants/a/arrivals?{all}&limit=2")).await.ok();
    let newest = &page["items"][0];
    let step = &newest["steps"][0];
    let expected = json!({
        "run": runs[2], "workflow": "ask", "version": 1, "lane": "normal", "status": "completed",
        "created_at": newest["created_at"], "ended_at": newest["ended_at"], "spent": COST,
        "steps": [{
            "name": "think", "part": "whole", "phase": "done", "ready_at": step["ready_at"],
            "since": step["since"], "worked_us": step["worked_us"],
            "tokens": { "input": 120, "cached": 20, "output": 30 },
        }],
    });
    assert_eq!(newest, &expected);
    let worked = step["worked_us"].as_array().unwrap();
    assert!(worked.len() == 1 && worked[0].is_u64(), "one attempt: {step}");
    let next = page["next"].as_str().unwrap();
    let rest = a.get(&format!("/v1/tenants/a/arrivals?{all}&cursor={next}")).await.ok();
    assert_eq!((&rest["items"][0]["run"], &rest["next"]), (&json!(runs[0]), &Value::Null));

    let created = newest["created_at"].as_str().unwrap();
    for (time, count) in [
        (format!("from={created}&until=2100-01-01T00:00:00Z"), 1),
        (format!("from=2020-01-01T00:00:00Z&until={created}"), 2),
    ] {
        let listed = a.get(&format!("/v1/tenants/a/arrivals?{time}")).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), count, "{time}");
    }
    for query in
        ["from=2020-01-01T00:00:00Z", "from=2020-01-01T00:00:00Z&until=2020-01-01T00:00:00Z"]
    {
        let refusal = a.get(&format!("/v1/tenants/a/arrivals?{query}")).await.refusal();
        assert_eq!(refusal, (400, "malformed-request".into(), String::new()), "{query}");
    }
}
