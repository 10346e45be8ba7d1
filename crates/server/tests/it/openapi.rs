//! The document is current, served, and guards everything it should.

use expect_test::expect_file;
use hyper::{Method, StatusCode};

use crate::harness::Harness;

#[test]
fn the_checked_in_document_is_current() {
    // `UPDATE_EXPECT=1` writes it anew.
    expect_file!["../../../../docs/reference/openapi.json"]
        .assert_eq(&fairlane_server::openapi::document());
}

#[tokio::test]
async fn it_is_served_without_a_key() {
    let harness = Harness::start().await;
    let reply = harness.anonymous().get("/openapi.json").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.body, fairlane_server::openapi::document().as_bytes());
}

/// Every path and method, with names that may or may not exist.
pub(crate) fn operations() -> Vec<(Method, String, bool)> {
    let document: serde_json::Value =
        serde_json::from_str(&fairlane_server::openapi::document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let is_open = operation.get("security").is_some();
            operations.push((method, path.clone(), is_open));
        }
    }
    assert!(operations.len() > 30, "{}", operations.len());
    operations
}

/// Whether the path's errors have the form of OpenAI's.
pub(crate) fn is_gateway(path: &str) -> bool {
    ["/v1/chat/", "/v1/embeddings", "/v1/models"].iter().any(|part| path.starts_with(part))
}

#[tokio::test]
async fn every_other_operation_needs_a_key() {
    let harness = Harness::start().await;
    for (method, path, is_open) in operations() {
        let client = harness.anonymous();
        let reply = client.send(client.request(method.clone(), &path, "")).await;
        if is_open {
            assert_eq!(reply.status, StatusCode::OK, "{method} {path}");
        } else if is_gateway(&path) {
            assert_eq!(crate::gateway::error(&reply).1, "unauthenticated", "{method} {path}");
        } else {
            assert_eq!(reply.refusal(), (401, "unauthenticated".into(), String::new()), "{path}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
}

#[test]
fn the_reference_has_every_problem_code() {
    let text = include_str!("../../../../docs/reference/http.md");
    for code in fairlane_api::Code::ALL {
        assert!(text.contains(&format!("`{code}`")), "{code}");
    }
}
