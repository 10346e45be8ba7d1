//! The document is current, served, and guards everything it should.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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

/// Of two types that share a name the document has one, wherever either is meant.
#[test]
fn no_two_types_have_one_name_in_the_document() {
    let mut types = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for (name, module) in described(&text).map(|name| (name, path.display().to_string())) {
            let other = types.insert(name.to_owned(), module.clone());
            assert_eq!(other, None, "{name} is in {module}, too");
        }
    }
    assert!(types.len() > 150, "{}", types.len());
}

/// The names that the types of a file have in the document.
fn described(text: &str) -> impl Iterator<Item = &str> {
    let derived = text.split("#[derive(").skip(1).filter(|item| {
        item.split_once(")]").is_some_and(|(derives, _)| derives.contains("ToSchema"))
    });
    derived.filter_map(|item| {
        let (attributes, rest) = item.split_once("\npub ")?;
        let own = rest.split(|letter: char| !letter.is_alphanumeric()).nth(1);
        let other =
            attributes.split_once("#[schema(as = ").and_then(|(_, name)| name.split_once(')'));
        other.map(|(name, _)| name).or(own)
    })
}
