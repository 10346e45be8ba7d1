//! Calls to a provider that answers as it is told, each way in which it can go wrong once.

mod secrecy;
mod tls;

use std::sync::Arc;

use fairlane_fake_provider::{Answer, Provider, Reply};
use serde_json::json;

use super::*;

fn target(url: &str) -> Target {
    Target {
        url: url.parse().unwrap(),
        allow_private: true,
        timeout: Duration::from_secs(30),
        idle: Duration::from_secs(10),
        response_bytes_max: 100_000,
    }
}

/// A question for a stream.
fn question() -> Request<Bytes> {
    let body = json!({ "model": "m", "messages": [], "stream": true }).to_string();
    Request::post("/").header("x-own", "1").body(body.into()).unwrap()
}

async fn provider(reply: Reply) -> (Provider, Target) {
    let provider = Provider::start().await.unwrap();
    provider.always(reply);
    let target = target(&provider.url("/v1/chat/completions?q=hidden"));
    (provider, target)
}

async fn fault(reply: Reply) -> Fault {
    let (_provider, target) = provider(reply).await;
    let fault = Upstream::new().call(&target, question()).await.unwrap_err();
    let host = format!("127.0.0.1:{}", target.url.port_u16().unwrap());
    assert!(fault.to_string().contains(&host), "{fault}");
    assert!(!fault.to_string().contains("hidden"), "{fault}");
    fault
}

/// The class of the fault, whether its provider is down, whether to try again.
fn verdict(fault: &Fault) -> (&'static str, bool, bool) {
    (fault.class(), fault.is_provider_down(), fault.is_retryable())
}

#[tokio::test]
async fn a_call_returns_the_whole_answer() {
    let (provider, target) = provider(Reply::answer("forty two")).await;
    let response = Upstream::new().call(&target, question()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.body().ends_with(b"data: [DONE]\n\n"));
    let received = &provider.received()[0];
    assert_eq!(received.path, "/v1/chat/completions?q=hidden");
    assert_eq!(received.header("x-own"), Some("1"));
}

#[tokio::test]
async fn connections_are_used_again() {
    let (provider, target) = provider(Reply::answer("ok")).await;
    let upstream = Upstream::new();
    for _ in 0..3 {
        upstream.call(&target, question()).await.unwrap();
    }
    assert_eq!((provider.received_count(), provider.open_connections()), (3, 1));
}

#[tokio::test]
async fn what_frames_a_message_is_not_the_callers_to_say() {
    let (provider, target) = provider(Reply::answer("ok")).await;
    let mut request = question();
    for name in ["host", "transfer-encoding", "content-length", "connection"] {
        request.headers_mut().append(name, HeaderValue::from_static("evil"));
    }
    Upstream::new().call(&target, request).await.unwrap();
    let received = provider.received().remove(0);
    assert!(received.headers.iter().all(|(_, value)| value != "evil"), "{received:?}");
    let host = format!("127.0.0.1:{}", provider.address().port());
    assert_eq!(received.header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn a_private_address_needs_permission_in_each_of_its_forms() {
    let provider = Provider::start().await.unwrap();
    let port = provider.address().port();
    let upstream = Upstream::new();
    upstream.call(&target(&provider.url("/")), question()).await.unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"] {
        let url = format!("http://{host}:{port}/");
        let refused = Target { allow_private: false, ..target(&url) };
        let fault = upstream.call(&refused, question()).await.unwrap_err();
        assert_eq!(verdict(&fault), ("address-refused", false, false), "{host}: {fault}");
    }
    assert_eq!(provider.received_count(), 1);
}

#[tokio::test]
async fn an_address_that_hands_out_credentials_is_refused_with_permission_too() {
    let target = target("http://169.254.169.254/latest/meta-data/");
    let fault = Upstream::new().call(&target, question()).await.unwrap_err();
    assert_eq!(fault.class(), "address-refused");
}

#[tokio::test]
async fn an_address_with_a_password_or_another_scheme_is_no_address() {
    for url in ["http://user:pass@127.0.0.1/", "ftp://127.0.0.1/", "/path"] {
        let fault = Upstream::new().call(&target(url), question()).await.unwrap_err();
        assert_eq!(verdict(&fault), ("address-malformed", false, false), "{url}");
        assert!(!fault.to_string().contains("pass@"), "{fault}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_unknown() {
    let url = format!("http://{}/", "a".repeat(64));
    let fault = Upstream::new().call(&target(&url), question()).await.unwrap_err();
    assert_eq!(verdict(&fault), ("address-unknown", true, true), "{fault:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let address = Provider::start().await.unwrap().address();
    tokio::task::yield_now().await;
    let target = target(&format!("http://{address}/"));
    let fault = Upstream::new().call(&target, question()).await.unwrap_err();
    assert_eq!(verdict(&fault), ("provider-unreachable", true, true), "{fault:?}");
}

#[tokio::test]
async fn a_side_that_speaks_no_tls_is_insecure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(&format!("https://{}/", listener.local_addr().unwrap()));
    let plain = async {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let upstream = Upstream::new();
    let (_stream, response) = tokio::join!(plain, upstream.call(&target, question()));
    let fault = response.unwrap_err();
    assert_eq!(verdict(&fault), ("provider-insecure", false, false), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_ends_at_its_time() {
    let fault = fault(Reply::Silence).await;
    assert_eq!(verdict(&fault), ("provider-timeout", true, true));
    assert!(fault.to_string().ends_with("took longer than 30s"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_within_an_answer_ends_it() {
    let fault = fault(Reply::Stall { answer: Answer::new("a b"), events: 2 }).await;
    assert_eq!(verdict(&fault), ("provider-timeout", true, true));
    assert!(fault.to_string().ends_with("took longer than 10s"), "{fault}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Provider::start().await.unwrap();
    let to = elsewhere.url("/take?key=hidden");
    for status in [301, 302, 303, 307, 308] {
        let fault = fault(Reply::Redirect { status, to: to.clone() }).await;
        assert_eq!(verdict(&fault), ("provider-redirected", false, false));
        assert!(fault.to_string().contains(&elsewhere.address().to_string()), "{fault}");
    }
    assert_eq!(elsewhere.received_count(), 0);
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_not_read() {
    let fault = fault(Reply::BigBody { bytes: 10_000_000 }).await;
    assert_eq!(verdict(&fault), ("provider-too-large", false, false));
    assert!(matches!(fault, Fault::TooLarge { limit: 100_000, .. }), "{fault:?}");
}

#[tokio::test]
async fn an_answer_that_announces_too_much_is_not_begun() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n";
    let fault = fault(Reply::Raw(head.into())).await;
    assert!(matches!(fault, Fault::TooLarge { limit: 100_000, .. }), "{fault:?}");
}

#[tokio::test]
async fn ten_megabytes_of_headers_are_not_read() {
    for bytes in [HEAD_BYTES_MAX, 10_000_000] {
        let fault = fault(Reply::BigHeaders { bytes }).await;
        assert_eq!(verdict(&fault), ("provider-too-large", false, false), "{bytes}");
        assert!(matches!(fault, Fault::HeadersTooLarge { .. }), "{bytes}: {fault:?}");
    }
    let (_provider, target) = provider(Reply::BigHeaders { bytes: HEAD_BYTES_MAX / 2 }).await;
    Upstream::new().call(&target, question()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_http_is_garbage() {
    let raw = [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx",
    ];
    for reply in raw.map(|raw| Reply::Raw(raw.into())).into_iter().chain([Reply::Garbage]) {
        let fault = fault(reply.clone()).await;
        assert_eq!(verdict(&fault), ("provider-garbage", true, true), "{reply:?}: {fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_cut() {
    let half = Reply::HalfStream { answer: Answer::new("a b"), events: 2 };
    let short = Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".into());
    for reply in [half, short, Reply::Close] {
        let fault = fault(reply.clone()).await;
        assert_eq!(verdict(&fault), ("provider-cut", true, true), "{reply:?}: {fault:?}");
    }
}

#[tokio::test]
async fn a_refusal_has_its_status_its_wait_and_the_start_of_what_it_says() {
    let fault = fault(Reply::throttled("7")).await;
    assert_eq!(verdict(&fault), ("provider-throttled", false, true));
    assert_eq!(fault.retry_after(), Some(Duration::from_secs(7)));
    let Fault::Status { body_excerpt, .. } = fault else { panic!("{fault:?}") };
    assert!(body_excerpt.contains("slow down"), "{body_excerpt}");
    let failed = self::fault(Reply::status(500)).await;
    assert_eq!((verdict(&failed), failed.retry_after()), (("provider-failed", true, true), None));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_never_ends_is_still_a_refusal() {
    let raw = Reply::Raw("HTTP/1.1 500 X\r\ncontent-length: 99\r\n\r\nhalf".into());
    let fault = fault(raw).await;
    let Fault::Status { body_excerpt, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(&*body_excerpt, "half");
}

#[tokio::test]
async fn a_stream_comes_in_pieces_and_its_drop_tells_the_provider_to_stop() {
    let stall = Reply::Stall { answer: Answer::new("a b"), events: 2 };
    let (provider, target) = provider(stall).await;
    let mut body = Upstream::new().open(&target, question()).await.unwrap().into_body();
    let first = body.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: {"));
    assert_eq!(provider.open_connections(), 1);
    drop(body);
    provider.all_closed().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_waits_closes_the_connection() {
    let (provider, target) = provider(Reply::Silence).await;
    let upstream = Upstream::new();
    tokio::select! {
        _ = upstream.call(&target, question()) => panic!("nothing is answered"),
        () = provider.has_received(1) => {}
    }
    provider.all_closed().await;
}

#[tokio::test]
async fn after_a_fault_a_stream_has_ended() {
    let half = Reply::HalfStream { answer: Answer::new("a b"), events: 1 };
    let (_provider, target) = provider(half).await;
    let mut body = Upstream::new().open(&target, question()).await.unwrap().into_body();
    while let Some(Ok(_)) = body.next().await {}
    assert!(body.next().await.is_none());
}

#[test]
fn hosts_are_named_without_path_and_query() {
    let named = |url: &str| host(&url.parse().unwrap());
    assert_eq!(named("https://api.example.com/v1?key=k"), Arc::from("api.example.com"));
    assert_eq!(named("http://user:pass@h:8080/"), Arc::from("h:8080"));
}
