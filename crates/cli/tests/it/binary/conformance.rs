//! `fairlane conformance` against a real server, and against ones that tell what they must not.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::process::{Binary, Said};
use crate::harness::Harness;

/// What a request was, before it is known what the server says.
#[derive(Clone)]
struct Asked {
    path: String,
    /// Whether the tenant A is named in the path by somebody without its key, for whom the answer is the same as for
    /// nobody.
    is_foreign: bool,
}

type Answer = Response<Full<Bytes>>;

/// A server before the server, which changes answers.
struct Before {
    addr: SocketAddr,
    _listening: JoinHandle<()>,
}

impl Before {
    async fn start<F, Fut>(server: SocketAddr, change: F) -> Self
    where
        F: Fn(Asked, Answer) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tenants = Arc::new(Mutex::new(BTreeSet::new()));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (change, tenants) = (change.clone(), tenants.clone());
                let service = service_fn(move |request| {
                    let (change, tenants) = (change.clone(), tenants.clone());
                    async move {
                        let (asked, answer) = forward(server, &tenants, request).await;
                        Ok::<_, Infallible>(change(asked, answer).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { addr, _listening: listening }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// Asks the server behind. Of declared tenants it keeps the names, so that it knows which of those that are named exist.
async fn forward(
    server: SocketAddr,
    tenants: &Mutex<BTreeSet<String>>,
    request: Request<Incoming>,
) -> (Asked, Answer) {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let tenant = path.strip_prefix("/v1/tenants/").and_then(|rest| rest.split('/').next());
    if let Some(tenant) = tenant.filter(|_| method == "PUT" && parts.uri.query().is_none()) {
        tenants.lock().unwrap().insert(tenant.to_owned());
    }
    let is_known = tenant.is_some_and(|tenant| tenants.lock().unwrap().contains(tenant));
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::from_parts(parts, Full::new(body));
    let answer = sender.send_request(request).await.unwrap();
    let (parts, mut body) = answer.into_parts();
    let is_stream =
        parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let body = if is_stream {
        // The beginning of the stream is enough for whoever asks here.
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    } else {
        body.collect().await.unwrap().to_bytes()
    };
    let is_foreign = is_known && parts.status == StatusCode::NOT_FOUND;
    (Asked { path, is_foreign }, Response::from_parts(parts, Full::new(body)))
}

/// The operations that are not as they have to be, each with its verdict and what was found first.
fn bad(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = report["operations"].as_array().unwrap().iter();
    let bad = rows.filter(|row| row["verdict"] != "alike");
    bad.map(|row| {
        let found = text(&row["findings"][0]["difference"]);
        (text(&row["operation"]), text(&row["verdict"]), found)
    })
    .collect()
}

async fn report(url: &str, key: &str, arguments: &[&str]) -> (Said, Value) {
    let binary = Binary::at(url, key);
    let said = binary.run(&[&["conformance", "--json"], arguments].concat()).await;
    let report = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said.stderr));
    (said, report)
}

#[tokio::test]
async fn a_server_gives_nothing_away_by_any_operation() {
    let harness = Harness::start_durable().await;
    let keys = harness.client.keys().await.unwrap();
    let (said, report) = report(&harness.url(), &harness.key, &["--no-timing"]).await;
    assert_eq!((said.code, bad(&report)), (0, vec![]), "{}", said.stdout);
    assert_eq!((&report["passed"], &report["changed"]), (&json!(true), &json!([])));
    let of_document: usize = 90;
    assert!(report["operations"].as_array().unwrap().len() > of_document, "all of them");

    let attempts = &report["attempts"];
    assert!(attempts["made"].as_u64().unwrap() > 100, "{attempts}");
    assert_eq!(attempts["counted"], attempts["made"]);

    assert_eq!(report["left"]["not_undone"], json!([]));
    assert_eq!(harness.client.keys().await.unwrap(), keys, "its keys are gone");
    for tenant in harness.client.tenants().await.unwrap() {
        assert_eq!(tenant.suspended, tenant.id.starts_with("conformance-"), "{}", tenant.id);
    }
}

#[tokio::test]
async fn whoever_looks_sees_the_operations_and_what_stays() {
    let harness = Harness::start_durable().await;
    let binary = Binary::of(&harness);
    let said = binary.run(&["conformance", "--no-timing", "--only", "/v1/models"]).await;
    let notes: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("stays: ")).collect();
    assert!(
        notes.iter().any(|line| line.contains("tenant-a") && line.contains("suspended")),
        "{notes:?}"
    );
    let table = Said { stderr: String::new(), ..said };
    expect![[r#"
        exit code 0
        --- stdout
        OPERATION               PROBES  REQUESTS  VERDICT
        GET /v1/models               5        17  alike
        GET /v1/models/{model}       4        16  alike

        Time was not looked at.
        The server has counted 8 of 8 requests of a tenant that named another one.
        2 of 2 operations give nothing away, by 34 requests.
    "#]]
    .assert_eq(&table.show(&[]));
}

#[tokio::test]
async fn what_a_server_tells_of_a_foreign_id_is_found_by_its_operation() {
    type Fault = fn(Answer) -> Answer;
    let faults: [(&str, Fault, &str); 3] = [
        (
            "/explain",
            |mut answer| {
                *answer.status_mut() = StatusCode::FORBIDDEN;
                answer
            },
            "the status is 403 and 404",
        ),
        (
            "/usage",
            |mut answer| {
                answer.headers_mut().insert("x-shard", "7".parse().unwrap());
                answer
            },
            "the header x-shard is `7` and absent",
        ),
        (
            "/pause",
            |_| Response::builder().status(404).body(Full::from("no such tenant")).unwrap(),
            "the bodies differ",
        ),
    ];
    let harness = Harness::start_durable().await;
    for (end, fault, found) in faults {
        let change = move |asked: Asked, answer: Answer| {
            let is_meant = asked.is_foreign && asked.path.ends_with(end);
            std::future::ready(if is_meant { fault(answer) } else { answer })
        };
        let before = Before::start(harness.addr(), change).await;
        let (said, report) = report(&before.url(), &harness.key, &["--no-timing"]).await;
        let [(operation, verdict, difference)] = &bad(&report)[..] else {
            panic!("{end}: {}", said.stdout)
        };
        assert!(operation.ends_with(end), "{operation}");
        assert_eq!((said.code, verdict.as_str(), difference.as_str()), (1, "differs", found));
    }
}

#[tokio::test]
async fn what_a_server_says_of_others_in_a_tenant_s_own_answer_is_found() {
    let harness = Harness::start_durable().await;
    let change = |asked: Asked, answer: Answer| async move {
        let of_b = asked.path.strip_suffix("/limits").filter(|_| answer.status() == StatusCode::OK);
        let Some(of_b) = of_b else { return answer };
        let other = of_b.replace("-tenant-b-", "-tenant-a-");
        Response::new(Full::from(json!({ "items": [], "near": other }).to_string()))
    };
    let before = Before::start(harness.addr(), change).await;
    let (said, report) = report(&before.url(), &harness.key, &["--no-timing"]).await;
    let [(operation, verdict, difference)] = &bad(&report)[..] else { panic!("{}", said.stdout) };
    assert_eq!(
        (operation.as_str(), verdict.as_str()),
        ("GET /v1/tenants/{tenant}/limits", "differs")
    );
    let named = difference.strip_prefix("the answer has `conformance-tenant-a-");
    assert!(named.is_some_and(|rest| rest.ends_with("` in it")), "{difference}");
}

#[tokio::test]
async fn an_operation_that_refuses_its_own_tenant_too_proves_nothing() {
    let harness = Harness::start_durable().await;
    let change = |asked: Asked, answer: Answer| async move {
        if asked.path.ends_with("/pause") && answer.status() != StatusCode::UNAUTHORIZED {
            return Response::builder().status(404).body(Full::from("{}")).unwrap();
        }
        answer
    };
    let before = Before::start(harness.addr(), change).await;
    let (said, report) = report(&before.url(), &harness.key, &["--no-timing"]).await;
    let [(operation, verdict, _)] = &bad(&report)[..] else { panic!("{}", said.stdout) };
    assert!(operation.ends_with("/pause"), "{operation}");
    assert_eq!((said.code, verdict.as_str()), (1, "proves_nothing"));
}

#[tokio::test]
async fn what_the_owner_sees_changed_by_what_others_asked_fails() {
    let harness = Harness::start_durable().await;
    let answered = Arc::new(AtomicU32::new(0));
    let change = move |asked: Asked, answer: Answer| {
        let is_meant = asked.path.contains("-tenant-a-") && asked.path.ends_with("/channels");
        let answer = if is_meant && answer.status() == StatusCode::OK {
            let count = answered.fetch_add(1, Ordering::Relaxed);
            Response::new(Full::from(json!({ "items": [], "count": count }).to_string()))
        } else {
            answer
        };
        std::future::ready(answer)
    };
    let before = Before::start(harness.addr(), change).await;
    let (said, report) = report(&before.url(), &harness.key, &["--no-timing"]).await;
    assert_eq!((said.code, bad(&report)), (1, vec![]), "no answer differs");
    let changed = report["changed"].as_array().unwrap();
    assert!(
        changed.len() == 1 && changed[0].as_str().unwrap().ends_with("/channels"),
        "{changed:?}"
    );
}

#[tokio::test]
async fn a_server_that_takes_longer_for_a_foreign_id_is_found() {
    let harness = Harness::start_durable().await;
    let change = |asked: Asked, answer: Answer| async move {
        if asked.is_foreign && asked.path.ends_with("/limits") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answer
    };
    let before = Before::start(harness.addr(), change).await;
    let only = ["--only", "/v1/tenants/{tenant}/limits", "--samples", "30"];
    let (said, report) = report(&before.url(), &harness.key, &only).await;
    let [(operation, _, difference)] = &bad(&report)[..] else { panic!("{}", said.stdout) };
    assert_eq!(operation, "GET /v1/tenants/{tenant}/limits");
    assert!(difference.starts_with("the answers take "), "{difference}");
}

#[tokio::test]
async fn an_operation_without_a_case_fails_and_so_does_a_case_without_its_operation() {
    let harness = Harness::start_durable().await;
    let change = |asked: Asked, answer: Answer| async move {
        if asked.path != "/openapi.json" {
            return answer;
        }
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let mut document: Value = serde_json::from_slice(&text).unwrap();
        let paths = document["paths"].as_object_mut().unwrap();
        paths.remove("/v1/tenants/{tenant}/usage").unwrap();
        paths.insert("/v1/tenants/{tenant}/secrets".to_owned(), json!({ "get": {} }));
        let by_run = json!({ "name": "of_run", "in": "query" });
        let notices = &mut paths["/v1/tenants/{tenant}/notices"]["get"]["parameters"];
        notices.as_array_mut().unwrap().push(by_run);
        Response::new(Full::from(document.to_string()))
    };
    let before = Before::start(harness.addr(), change).await;
    let (said, report) = report(&before.url(), &harness.key, &["--no-timing"]).await;
    let row =
        |operation: &str, verdict: &str| (operation.to_owned(), verdict.to_owned(), String::new());
    let expected = [
        row("GET /v1/tenants/{tenant}/notices", "not_covered"),
        row("GET /v1/tenants/{tenant}/secrets", "not_covered"),
        row("GET /v1/tenants/{tenant}/usage", "gone"),
    ];
    assert_eq!((said.code, bad(&report)), (1, expected.to_vec()));
    let untried =
        report["operations"].as_array().unwrap().iter().find_map(|row| row.get("untried"));
    assert_eq!(untried, Some(&json!(["of_run"])));
}

#[tokio::test]
async fn whoever_interrupts_it_gets_its_keys_deleted_and_its_tenants_suspended() {
    let harness = Harness::start_durable().await;
    let keys = harness.client.keys().await.unwrap();
    let binary = Binary::of(&harness);
    let mut child = binary.command(&["conformance", "--samples", "10000"]).spawn().unwrap();
    // In the middle: there is a tenant already, and most of what is to be asked is not.
    loop {
        let tenants = harness.client.tenants().await.unwrap();
        if tenants.iter().any(|tenant| tenant.id.starts_with("conformance-")) {
            break;
        }
    }
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    assert_eq!(harness.client.keys().await.unwrap(), keys);
    for tenant in harness.client.tenants().await.unwrap() {
        assert_eq!(tenant.suspended, tenant.id.starts_with("conformance-"), "{}", tenant.id);
    }
}

#[tokio::test]
async fn a_key_that_may_not_do_it_leaves_nothing_behind() {
    let harness = Harness::start_durable().await;
    let key = fairlane_client::api::key::NewKey {
        tenant: Some("acme".to_owned()),
        ..fairlane_client::api::key::NewKey::of(fairlane_client::api::key::Role::Tenant)
    };
    let key = harness.client.create_key(&key).await.unwrap().secret;
    let binary = Binary::at(&harness.url(), &key);
    assert_eq!(binary.run(&["conformance"]).await.code, 3);
    let tenants = harness.client.tenants().await.unwrap();
    assert_eq!(tenants.len(), 1, "{tenants:?}");
}
