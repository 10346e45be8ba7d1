//! Clients that hold what all share: connections, and room for bodies; and what answers say to browsers.

use std::net::SocketAddr;

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::Harness;

async fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

// Elsewhere a machine has one address for itself, unless somebody gives it more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_has_so_many_connections_and_others_come_in() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.connections_max = 6;
        config.connections_per_address_max = 3;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from([127, 0, 0, 2], harness.server.addr()).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    for _ in 0..5 {
        let mut refused = connect_from([127, 0, 0, 2], harness.server.addr()).await;
        let _ = refused.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let read = refused.read(&mut [0; 12]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "it is closed: {read:?}");
    }
    harness.operator.get("/v1/platform/keys").await.ok();
    held.pop();
    // Its place is free once the server has seen that it is gone.
    loop {
        let mut again = connect_from([127, 0, 0, 2], harness.server.addr()).await;
        let _ = again.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        if again.read_exact(&mut [0; 12]).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_tenant_that_sends_many_large_bodies_slowly_keeps_nobody_from_sending_one() {
    const LARGE: usize = 100 << 10;
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.body_bytes_max = 128 << 10;
        config.payload_bytes_max = 128 << 10;
    })
    .await;
    harness.declare().await;
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let b = harness.client(json!({ "role": "tenant", "tenant": "b" })).await;
    let mut held = Vec::new();
    let (mut refused, mut answer) = (0, [0; 12]);
    while refused < 2 {
        let mut stream = TcpStream::connect(a.addr).await.unwrap();
        let head = format!(
            "POST /v1/tenants/a/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            a.key.clone().unwrap(),
            LARGE + 1,
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; LARGE]).await.unwrap();
        held.push(stream);
        assert!(held.len() < 60, "there is an end to it");
        // Those that are let in wait for their last byte; an answer is a refusal.
        let waits = std::time::Duration::from_millis(20);
        let last = held.last_mut().unwrap();
        if tokio::time::timeout(waits, last.read_exact(&mut answer)).await.is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 503");
            refused += 1;
        }
    }
    assert!(held.len() > 15, "{}", held.len());
    let large = json!({ "workflow": "pair", "input": { "n": "x".repeat(LARGE) } });
    b.post("/v1/tenants/b/runs", large.clone()).await.ok();
    let small = json!({ "workflow": "pair", "input": { "n": 1 } });
    a.post("/v1/tenants/a/runs", small).await.ok();
    let reply = a.post("/v1/tenants/a/runs", large).await;
    assert_eq!(reply.refusal(), (503, "overloaded".into(), String::new()));
}

#[tokio::test]
async fn every_answer_says_to_browsers_what_it_is_not_for() {
    let harness = Harness::start().await;
    let anonymous = harness.anonymous();
    let long = format!("/{}", "x".repeat(65_500));
    for path in ["/healthz", "/openapi.json", "/v1/tenants/a", "/nothing", "/%ff", long.as_str()] {
        let reply = anonymous.send(anonymous.request(Method::GET, path, "")).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.headers[name], value, "{}: {name}", reply.status);
        }
        assert!(!reply.headers.contains_key("strict-transport-security"), "it has no TLS");
    }
}
