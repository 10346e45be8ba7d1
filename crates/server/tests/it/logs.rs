//! The log: what is said of requests and runs, and what is not.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Once;

use fairlane_fake_provider::Reply as Says;
use hyper::Method;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::gateway::Gateway;
use crate::harness::{Client, Harness};

/// Stands in payloads, queries and headers only.
const MARK: &str = "PLANTED-7f3a";

/// What is logged on a thread that listens. Requests of a test are answered on its own.
#[derive(Clone, Copy)]
struct Log;

thread_local! {
    static HEARD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HEARD.with_borrow_mut(|heard| heard.iter_mut().for_each(|heard| heard.extend(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens on this thread from now on.
    fn begin() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let json = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false);
            let json = json.with_env_filter(EnvFilter::new("trace")).with_writer(|| Self);
            tracing::subscriber::set_global_default(json.finish()).unwrap();
        });
        HEARD.set(Some(Vec::new()));
        Self
    }

    #[expect(clippy::unused_self, reason = "who has none has not begun to listen")]
    fn text(self) -> String {
        HEARD.with_borrow(|heard| String::from_utf8(heard.clone().unwrap()).unwrap())
    }

    /// The lines of an event.
    fn of(self, event: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }
}

async fn submit(client: &Client, id: &str) -> crate::harness::Reply {
    let body = json!({ "workflow": "pair", "input": { "n": MARK } }).to_string();
    let mut request = client.request(Method::POST, "/v1/tenants/a/runs", &body);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("x-request-id", id.parse().unwrap());
    headers.insert("x-other", MARK.parse().unwrap());
    client.send(request).await
}

#[tokio::test]
async fn a_request_is_logged_with_its_id_route_tenant_and_run_and_nothing_of_what_it_says() {
    let log = Log::begin();
    let harness = Harness::start().await;
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let reply = submit(&tenant, "mine-1").await;
    assert_eq!(reply.headers["x-request-id"], "mine-1");
    let run = reply.ok()["run"].clone();
    let other = submit(&tenant, &format!("not a name {MARK}")).await;
    let given = other.headers["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(given.len(), 36, "{given}");
    tenant.get(&format!("/v1/tenants/a/runs/{}?{MARK}=1", run.as_str().unwrap())).await;
    tenant.get(&format!("/{MARK}")).await;
    tenant.get("/v1/tenants/b/runs").await;
    harness.worker("w").echo(4).await;

    let lines = log.of("request");
    let of = |id: &str| lines.iter().find(|line| line["span"]["request_id"] == id).unwrap();
    let line = of("mine-1");
    assert_eq!(line["route"], "/v1/tenants/{tenant}/runs");
    assert_eq!((&line["method"], &line["status"]), (&json!("POST"), &json!(201)));
    assert_eq!((&line["span"]["tenant"], &line["span"]["run"]), (&json!("a"), &run));
    assert!(line["micros"].as_u64().unwrap() > 0);
    assert_eq!(of(&given)["span"]["tenant"], "a");
    let reads = lines.iter().filter(|line| line["route"] == "/v1/tenants/{tenant}/runs/{run}");
    assert_eq!(reads.map(|line| line["span"]["run"].clone()).collect::<Vec<_>>(), [run]);
    let astray: Vec<_> = lines.iter().filter(|line| line["route"] == "none").collect();
    assert_eq!(astray.len(), 1);
    // What is refused is said of who asked, not of whom was asked for.
    let refused = lines.iter().filter(|line| line["status"] == 404);
    assert!(
        refused.clone().count() > 0 && refused.clone().all(|line| line["span"]["tenant"] != "b")
    );
    let (text, key) = (log.text(), tenant.key.unwrap());
    assert!(!text.contains(MARK), "{text}");
    assert!(!text.contains(&key) && !text.contains(&harness.operator.key.unwrap()));
}

#[tokio::test]
async fn what_is_done_for_a_run_names_it_and_on_a_server_of_several_regions_its_tenant_only() {
    for regions in [Vec::new(), vec!["local".to_owned(), "eu-west-1".to_owned()]] {
        let is_named = regions.is_empty();
        let log = Log::begin();
        let harness = Harness::start_with(|config| {
            config.store = fairlane_server::StoreKind::Memory;
            config.regions = regions;
        });
        let gateway = Gateway::on(harness.await).await;
        let text = "
workflow: asks
version: 1
steps:
  ask: { model: reasoner, prompt: Hello, max_tokens: 10, retry: { attempts: 1 } }
";
        gateway.harness.operator.put_yaml("/v1/workflows/asks", text).await.ok();
        gateway.eu.always(Says::status(401));
        let body = json!({ "workflow": "asks", "input": MARK });
        let path = format!("/v1/tenants/a/runs?wait_ms={}", crate::harness::LONG_MS);
        let run = gateway.harness.operator.post(&path, body).await.ok()["run"].clone();
        let failed = log.of("call-failed");
        let [line] = &failed[..] else { panic!("one call failed: {failed:?}") };
        assert_eq!(
            (&line["span"]["tenant"], &line["class"]),
            (&json!("a"), &json!("provider-refused"))
        );
        assert_eq!(line["span"]["run"] == run, is_named, "{line}");
        let text = log.text();
        assert!(!text.contains(MARK));
        assert_eq!(text.contains(run.as_str().unwrap()), is_named, "{text}");
    }
}

#[test]
fn the_reference_has_every_event_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("../../docs/reference/logs.md")).unwrap();
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let documented: BTreeSet<String> = text.lines().filter_map(row).collect();
    let mut written = BTreeSet::new();
    events_below(&root.join("src"), &mut written);
    assert_eq!(written, documented);
}

/// Adds the names in the sources below the folder; a line of the log without one is a mistake.
fn events_below(folder: &Path, events: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            events_below(&path, events);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for level in ["error", "warn", "info", "debug", "trace"] {
            for (at, _) in text.match_indices(&format!("tracing::{level}!(")) {
                let said = text[at..].split_once('(').unwrap().1.trim_start();
                let name = said.strip_prefix("event = \"").and_then(|said| said.split_once('"'));
                let name = name.unwrap_or_else(|| panic!("{}: {said:.80}", path.display()));
                events.insert(name.0.to_owned());
            }
        }
    }
}
