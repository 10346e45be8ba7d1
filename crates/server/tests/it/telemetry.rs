//! Traces of runs, as a collector sees them.

use fairlane_fake_provider::{Answer, Reply as Says, Usage};
use fairlane_server::config::Collector as Setup;
use fairlane_server::{Config, StoreKind};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::collector::{Collector, Span, named};
use crate::gateway::{Gateway, chat};
use crate::harness::{Client, Harness, LONG_MS, Reply};

/// Stands in payloads only.
const MARK: &str = "PLANTED-7f3a";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

async fn start(collector: &Collector) -> Harness {
    let url = collector.url();
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.telemetry.otlp_endpoint = Some(url);
    })
    .await;
    harness.declare().await;
    harness
}

/// Submits a run of tenant `a` with this `traceparent`.
async fn submit_within(client: &Client, workflow: &str, traceparent: &str) -> Reply {
    let body = json!({ "workflow": workflow, "input": { "n": MARK } }).to_string();
    let mut request = client.request(Method::POST, "/v1/tenants/a/runs", &body);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    client.send(request).await
}

fn of_kind<'a>(spans: &'a [Span], kind: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.get("fairlane.kind") == kind).collect()
}

#[tokio::test]
async fn a_run_is_a_trace_of_its_steps_and_of_what_they_waited_for() {
    let collector = Collector::start().await;
    let harness = start(&collector).await;
    let run = harness.submit("pair", json!({ "n": MARK })).await;
    let worker = harness.worker("w");
    let first = worker.lease().await;
    worker.complete(&first, json!({ "n": MARK })).await;
    let second = worker.lease().await;
    worker.fail(&second, false).await;

    let spans = collector.until(|spans| spans.iter().any(|span| span.name == "run pair")).await;
    let root = named(&spans, "run pair");
    assert_eq!((&*root.trace, &*root.parent), (&*run.replace('-', ""), ""));
    assert!(root.is_error);
    assert_eq!(root.get("fairlane.status"), "failed");
    assert_eq!(root.get("error.type"), "bad-luck");
    assert_eq!(root.get("service.name"), "fairlane");
    let steps = [named(&spans, "step first"), named(&spans, "step second")];
    for (step, lease) in steps.iter().zip([&first, &second]) {
        assert!(root.holds(step), "{root:#?} {step:#?}");
        let traceparent = format!("00-{}-{}-01", step.trace, step.id);
        assert_eq!(lease["traceparent"], traceparent);
        assert_eq!(step.get("fairlane.worker"), "w");
        assert_eq!(step.get("fairlane.attempt"), "1");
    }
    assert!(steps[0].to <= steps[1].from);
    assert_eq!(steps.map(|step| step.get("fairlane.outcome")), ["completed", "failed"]);
    assert_eq!(steps.map(|step| step.is_error), [false, true]);
    let gates = of_kind(&spans, "gate");
    assert!(!gates.is_empty(), "{spans:#?}");
    for gate in gates {
        assert_eq!(gate.name, "gate slot");
        assert!(steps.iter().any(|step| step.holds(gate)), "{gate:#?} {steps:#?}");
    }
    for span in &spans {
        assert_eq!(span.trace, root.trace);
        assert_eq!(span.get("fairlane.tenant"), "a");
        assert_eq!(span.get("fairlane.run"), run);
        assert_eq!(span.get("fairlane.region"), "local");
    }
    assert!(!collector.has(MARK));
}

#[tokio::test]
async fn a_run_continues_the_trace_of_its_client_if_that_is_kept() {
    let collector = Collector::start().await;
    let harness = start(&collector).await;
    let worker = harness.worker("w");
    let unkept = format!("00-{TRACE}-{CALLER}-00");
    submit_within(&harness.operator, "pair", &unkept).await.ok();
    let lease = worker.lease().await;
    assert_eq!(lease.get("traceparent"), None);
    worker.complete(&lease, json!({ "n": 1 })).await;
    worker.echo(1).await;
    submit_within(&harness.operator, "pair", "nonsense").await.ok();
    worker.echo(2).await;
    let run = submit_within(&harness.operator, "pair", &format!("00-{TRACE}-{CALLER}-01")).await;
    let run = run.ok()["run"].as_str().unwrap().to_owned();
    let lease = worker.lease().await;
    assert!(lease["traceparent"].as_str().unwrap().starts_with(&format!("00-{TRACE}-")));
    worker.complete(&lease, json!({ "n": 1 })).await;
    worker.echo(1).await;

    let roots = |spans: &[Span]| of_kind(spans, "run").len();
    let spans = collector.until(|spans| roots(spans) == 2).await;
    let [own, continued] = of_kind(&spans, "run")[..] else { unreachable!("two runs") };
    assert_eq!((&*own.trace, &*own.parent), (&*own.get("fairlane.run").replace('-', ""), ""));
    assert_eq!((&*continued.trace, &*continued.parent), (TRACE, CALLER));
    assert_eq!(continued.get("fairlane.run"), run);
    assert!(of_kind(&spans, "step").iter().any(|step| step.trace == TRACE));
}

const CALLS: &str = "
workflow: calls
version: 1
steps:
  ask:
    model: reasoner
    prompt: Say {{ n }}
    with: { n: input.n }
    max_tokens: 100
  look:
    tool: bureau
    with: { n: input.n }
    retry: { attempts: 2, backoff: 1ms..1ms }
";

/// A server with the models of the gateway's tests, and the tool `bureau`.
async fn with_calls(collector: &Collector, change: impl FnOnce(&mut Config)) -> Gateway {
    let url = collector.url();
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.telemetry.otlp_endpoint = Some(url);
        change(config);
    });
    let gateway = Gateway::on(harness.await).await;
    let request = json!({ "method": "POST", "body": "{\"n\": {{ n }}}" });
    let url = gateway.us.url("/people/{{ n }}");
    let endpoint =
        json!({ "protocol": "http", "url": url, "allow_private": true, "request": request });
    let operator = &gateway.harness.operator;
    operator.put("/v1/catalog/tools/bureau", json!({ "endpoint": endpoint })).await.ok();
    operator.put_yaml("/v1/workflows/calls", CALLS).await.ok();
    gateway
}

fn says(text: &str) -> Says {
    let usage = json!({ "prompt_tokens": 30, "completion_tokens": 7 });
    Says::Answer(Answer::new(text).with_usage(Usage::Json(usage)))
}

/// Runs the workflow of calls to its end.
async fn call_all(gateway: &Gateway) -> Value {
    let body = json!({ "workflow": "calls", "input": { "n": MARK } });
    let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
    gateway.harness.operator.post(&path, body).await.ok()
}

#[tokio::test]
async fn calls_hang_on_their_steps_and_name_their_trace_only_if_they_are_to() {
    for propagate in [true, false] {
        let collector = Collector::start().await;
        let gateway = with_calls(&collector, |config| config.telemetry.propagate = propagate).await;
        gateway.eu.next(says(MARK));
        gateway.us.next(Says::status(503));
        gateway.us.always(says(MARK));
        let run = call_all(&gateway).await;
        assert_eq!(run["status"], "completed", "{run}");
        let spans = collector.until(|spans| !of_kind(spans, "run").is_empty()).await;

        let chat = named(&spans, "chat reasoner");
        assert!(named(&spans, "step ask").holds(chat), "{spans:#?}");
        let said = ["gen_ai.operation.name", "gen_ai.request.model", "gen_ai.provider.name"];
        assert_eq!(said.map(|name| chat.get(name)), ["chat", "large", "eu"]);
        let used = ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"];
        assert_eq!(used.map(|name| chat.get(name)), ["30", "7"]);
        assert_eq!(chat.get("server.address"), "127.0.0.1");
        let tools: Vec<_> = spans.iter().filter(|span| span.name == "POST bureau").collect();
        let tries = spans.iter().filter(|span| span.name == "step look");
        for (tool, step) in tools.iter().zip(tries) {
            assert!(step.holds(tool), "{step:#?} {tool:#?}");
        }
        let said = tools.iter().map(|tool| (tool.get("http.response.status_code"), tool.is_error));
        assert_eq!(said.collect::<Vec<_>>(), [("503", true), ("200", false)]);
        assert!(!collector.has(MARK));

        let named_to = |received: &fairlane_fake_provider::Received| {
            received.header("traceparent").map(str::to_owned)
        };
        let expected = |span: &Span| propagate.then(|| format!("00-{}-{}-01", span.trace, span.id));
        assert_eq!(named_to(&gateway.eu.received()[0]), expected(chat));
        let tools: Vec<_> = tools.into_iter().map(expected).collect();
        assert_eq!(gateway.us.received().iter().map(named_to).collect::<Vec<_>>(), tools);
    }
}

#[tokio::test]
async fn calls_through_the_gateway_are_followed_with_a_lease_and_without() {
    let collector = Collector::start().await;
    let gateway = with_calls(&collector, |_| {}).await;
    gateway.eu.always(says(MARK));
    let harness = &gateway.harness;
    harness.submit("pair", json!({ "n": MARK })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let token = lease["gateway"]["token"].as_str().unwrap().to_owned();
    let under_lease = Client { addr: harness.server.addr(), key: Some(token) };
    under_lease.post("/v1/chat/completions", chat(&json!({}))).await.ok();
    worker.complete(&lease, json!({ "n": 1 })).await;
    worker.echo(1).await;
    gateway.chat(json!({})).await.ok();
    let mut request =
        gateway.tenant.request(Method::POST, "/v1/chat/completions", &chat(&json!({})).to_string());
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    gateway.tenant.send(request).await.ok();

    let is_all =
        |spans: &[Span]| of_kind(spans, "call").len() == 3 && of_kind(spans, "run").len() == 1;
    let spans = collector.until(is_all).await;
    let calls = of_kind(&spans, "call");
    let step = named(&spans, "step first");
    let of_lease = calls.iter().find(|call| call.trace == step.trace).unwrap();
    assert!(step.holds(of_lease), "{step:#?} {of_lease:#?}");
    let continued = calls.iter().find(|call| call.trace == TRACE).unwrap();
    assert_eq!(continued.parent, CALLER);
    assert!(calls.iter().any(|call| call.parent.is_empty()), "one has a trace of its own");
    for call in calls {
        assert_eq!((call.get("fairlane.tenant"), call.is_error), ("a", false), "{call:#?}");
        assert_eq!(call.get("gen_ai.usage.output_tokens"), "7");
    }
    assert!(!collector.has(MARK));
}

#[tokio::test]
async fn a_run_goes_on_in_its_trace_after_a_restart() {
    let collector = Collector::start().await;
    let set_up = |config: &mut Config| config.telemetry.otlp_endpoint = Some(collector.url());
    let harness = Harness::start_with(set_up).await;
    harness.declare().await;
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    submit_within(&harness.operator, "pair", &traceparent).await.ok();
    let worker = harness.worker("w");
    let first = worker.lease().await;

    let harness = harness.restart_with(set_up).await;
    // What was over before the server stopped had been sent.
    let before = collector.now();
    assert!(!before.is_empty());
    let worker = harness.worker("w");
    worker.complete(&first, json!({ "n": 1 })).await;
    worker.echo(1).await;
    let spans = collector.until(|spans| !of_kind(spans, "run").is_empty()).await;
    let root = named(&spans, "run pair");
    assert_eq!((&*root.trace, &*root.parent), (TRACE, CALLER));
    let step = named(&spans, "step first");
    assert_eq!(first["traceparent"], format!("00-{TRACE}-{}-01", step.id));
    assert!(root.holds(step));
    for gate in &before {
        assert!(step.holds(gate), "{step:#?} {gate:#?}");
    }
}

#[tokio::test]
async fn a_collector_that_is_down_or_silent_is_in_nobodys_way() {
    // One that takes connections and never answers, and one that is not there.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let gone = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let [silent_at, gone_at] = [&silent, &gone].map(|one| one.local_addr().unwrap());
    drop(gone);
    for addr in [silent_at, gone_at] {
        let harness = Harness::start_with(|config| {
            config.store = StoreKind::Memory;
            config.telemetry.otlp_endpoint = Some(format!("http://{addr}"));
        })
        .await;
        harness.declare().await;
        for _ in 0..3 {
            harness.submit("pair", json!({ "n": 1 })).await;
        }
        harness.worker("w").echo(6).await;
        // That it stops soon is for the test's own time to show.
        harness.server.stop().await;
    }
}

#[tokio::test]
async fn what_a_collector_cannot_take_now_is_sent_again_and_says_who_sends() {
    let busy = vec![StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let collector = Collector::start_with(busy).await;
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "# for the collector\nx-team: lanes\nauthorization: Bearer s3cret\n")
        .unwrap();
    let (url, name) = (collector.url(), "lanes of the bank");
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.telemetry.otlp_endpoint = Some(url);
        config.telemetry.otlp_headers_file = Some(headers);
        name.clone_into(&mut config.telemetry.service_name);
    })
    .await;
    harness.declare().await;
    harness.submit("pair", json!({ "n": 1 })).await;
    harness.worker("w").echo(2).await;
    let spans = collector.until(|spans| !of_kind(spans, "run").is_empty()).await;
    assert_eq!(of_kind(&spans, "step").len(), 2);
    assert!(spans.iter().all(|span| span.get("service.name") == name));
    let requests = collector.requests();
    assert!(requests.len() >= 3);
    for headers in requests {
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert_eq!(headers["x-team"], "lanes");
        assert_eq!(headers["content-type"], "application/x-protobuf");
    }
}

#[tokio::test]
async fn only_what_is_sampled_is_exported_and_clients_that_follow_decide_themselves() {
    let collector = Collector::start().await;
    let url = collector.url();
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.telemetry.otlp_endpoint = Some(url);
        config.telemetry.sample_permille = 0;
    })
    .await;
    harness.declare().await;
    let worker = harness.worker("w");
    harness.submit("pair", json!({ "n": 1 })).await;
    worker.echo(2).await;
    submit_within(&harness.operator, "pair", &format!("00-{TRACE}-{CALLER}-01")).await.ok();
    worker.echo(2).await;
    let spans = collector.until(|spans| !of_kind(spans, "run").is_empty()).await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");

    // Nor do they, if the operator does not let them.
    let other = Collector::start().await;
    let url = other.url();
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.telemetry.otlp_endpoint = Some(url);
        config.telemetry.continue_traces = false;
    })
    .await;
    harness.declare().await;
    submit_within(&harness.operator, "pair", &format!("00-{TRACE}-{CALLER}-00")).await.ok();
    harness.worker("w").echo(2).await;
    let spans = other.until(|spans| !of_kind(spans, "run").is_empty()).await;
    assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
}

#[tokio::test]
async fn a_region_exports_to_its_own_collector_and_without_one_nowhere() {
    let (us, eu) = (Collector::start().await, Collector::start().await);
    let of =
        |collector: &Collector| Setup { otlp_endpoint: collector.url(), otlp_headers_file: None };
    for regions in
        [vec![("us-east-1", of(&us)), ("eu-west-1", of(&eu))], vec![("us-east-1", of(&us))]]
    {
        let regions = regions.into_iter().map(|(name, collector)| (name.to_owned(), collector));
        let harness = Harness::start_with(|config| {
            config.store = StoreKind::Memory;
            config.regions = vec!["us-east-1".into(), "eu-west-1".into()];
            config.telemetry.regions = regions.collect();
        })
        .await;
        harness.declare().await;
        let residency = json!({ "zone": "eu" });
        let tenant = json!({ "org": "org", "tier": "standard", "data_residency": residency });
        harness.operator.put("/v1/tenants/dublin", tenant).await.ok();
        let body = json!({ "workflow": "pair", "input": { "n": 1 } });
        let worker = |region: &'static str| {
            let harness = &harness;
            async move {
                let key = json!({ "role": "worker", "region": region });
                let client = harness.client(key).await;
                crate::harness::Worker { client, name: region.to_owned() }
            }
        };
        harness.operator.post("/v1/tenants/dublin/runs", body).await.ok();
        worker("eu-west-1").await.echo(2).await;
        harness.submit("pair", json!({ "n": 1 })).await;
        worker("us-east-1").await.echo(2).await;
        harness.server.stop().await;
        let spans = us.now();
        assert!(spans.iter().all(|span| span.get("fairlane.tenant") == "a"), "{spans:#?}");
        assert!(spans.iter().all(|span| span.get("fairlane.region") == "us-east-1"));
        assert!(!of_kind(&spans, "run").is_empty());
        assert!(!us.has("dublin"));
        let spans = eu.now();
        assert_eq!(of_kind(&spans, "run").len(), 1, "of the first server");
        assert!(spans.iter().all(|span| span.get("fairlane.tenant") == "dublin"), "{spans:#?}");
    }
}
