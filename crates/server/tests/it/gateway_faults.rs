//! Providers that fail, clients that go away, servers that stop: what is held is settled, whatever happens.

use fairlane_fake_provider::{Answer, Provider, Reply as Says, Usage};
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, chat, error, events};
use crate::harness::Reply;

/// What goes in by the own count costs, of `large`.
const INPUT: &str = "0.00045";

fn half(events: usize) -> Says {
    Says::HalfStream { answer: Answer::new("one two three"), events }
}

/// A gateway whose model has one candidate, which does this.
async fn gateway(does: Says) -> Gateway {
    let gateway = Gateway::start().await;
    gateway.model(&[("eu", "large")]).await;
    gateway.eu.always(does);
    gateway
}

/// Asks for a whole answer and for a stream, of which the client is told the same.
async fn refused(gateway: &Gateway) -> (u16, String, Value) {
    let [whole, streamed] = [json!({}), json!({ "stream": true })].map(|body| gateway.chat(body));
    let (whole, streamed) = (whole.await, streamed.await);
    let class = |reply: &Reply| reply.json()["error"]["fairlane"]["facts"]["class"].clone();
    assert_eq!((error(&whole), class(&whole)), (error(&streamed), class(&streamed)));
    let (status, code, _) = error(&whole);
    (status, code, class(&whole))
}

#[tokio::test]
async fn a_provider_that_cannot_have_served_costs_nothing() {
    let elsewhere = Provider::start().await.unwrap();
    let to = elsewhere.url("/v1/chat/completions");
    for (does, status, code, class) in [
        (Says::status(500), 502, "provider-failed", "provider-failed"),
        (Says::status(401), 502, "provider-refused", "provider-refused"),
        (Says::status(400), 400, "provider-refused", "provider-refused"),
        (Says::throttled("7"), 429, "provider-limit", "provider-throttled"),
        (Says::Redirect { status: 307, to }, 502, "provider-failed", "provider-redirected"),
    ] {
        let gateway = gateway(does).await;
        let reply = gateway.chat(json!({})).await;
        let (found, said, _) = error(&reply);
        let facts = &reply.json()["error"]["fairlane"]["facts"];
        assert_eq!((found, &*said, &facts["class"]), (status, code, &json!(class)));
        assert_eq!(gateway.spent().await, ("0.00".into(), "0.00".into()), "{class}");
    }
    assert_eq!(elsewhere.received_count(), 0, "a redirect is not followed");
}

#[tokio::test]
async fn a_provider_that_may_have_served_is_paid_what_went_in_unconfirmed() {
    let none = |body: &str| Says::Raw(format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes());
    for (does, class) in [
        (Says::Garbage, "provider-garbage"),
        (none("{\"choices\":[]}"), "provider-garbage"),
        (none("nonsense"), "provider-garbage"),
        (Says::Close, "provider-cut"),
        (Says::BigHeaders { bytes: 10_000_000 }, "provider-too-large"),
    ] {
        let gateway = gateway(does).await;
        let (status, code, said) = refused(&gateway).await;
        assert_eq!((status, &*code, said), (502, "provider-failed", json!(class)));
        let (posted, uncertain) = gateway.spent().await;
        assert_eq!(posted, uncertain, "{class}");
        assert_ne!(posted, "0.00", "{class}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_passed_on() {
    let gateway = gateway(Says::BigBody { bytes: 10_000_000 }).await;
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply).1, "provider-failed");
    assert_eq!(gateway.spent().await, (INPUT.into(), INPUT.into()));
}

#[tokio::test]
async fn a_provider_that_never_answers_is_given_up() {
    let gateway = gateway(Says::Silence).await;
    gateway.endpoint("eu", json!({ "timeout": "20ms" })).await;
    assert_eq!(refused(&gateway).await.2, "provider-timeout");
    assert_ne!(gateway.spent().await.1, "0.00");
    gateway.eu.all_closed().await;
}

#[tokio::test]
async fn wrong_usage_and_none_are_counted_here_and_uncertain() {
    for usage in [
        Usage::Missing,
        Usage::Json(json!({ "prompt_tokens": -1, "completion_tokens": "much" })),
        Usage::Json(json!({ "prompt_tokens": 1e12, "completion_tokens": 1e12 })),
    ] {
        let gateway =
            gateway(Says::Answer(Answer::new("four words are here").with_usage(usage))).await;
        gateway.chat(json!({})).await.ok();
        let (posted, uncertain) = gateway.spent().await;
        assert!(posted == uncertain && posted.as_str() > INPUT, "{posted} {uncertain}");
        let reply = gateway.chat(json!({ "stream": true })).await;
        assert_eq!(events(&reply.body).last().unwrap(), "[DONE]");
        let (twice, uncertain) = gateway.spent().await;
        assert!(twice == uncertain && twice > posted, "{twice} {uncertain}");
    }
}

#[tokio::test]
async fn more_than_the_bound_that_was_sent_is_posted_and_not_certain() {
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 1_000 });
    let says = Says::Answer(Answer::new("a word").with_usage(Usage::Json(usage)));
    let gateway = gateway(says).await;
    gateway.chat(json!({ "max_tokens": 10 })).await.ok();
    assert_eq!(gateway.spent().await, ("0.0501".into(), "0.0501".into()));
}

#[tokio::test]
async fn half_a_stream_ends_with_an_error_and_costs_what_was_written() {
    let gateway = gateway(half(3)).await;
    let reply = gateway.chat(json!({ "stream": true })).await;
    assert_eq!(reply.status, StatusCode::OK);
    let events = events(&reply.body);
    assert_eq!(events.len(), 4, "{events:?}");
    let last: Value = serde_json::from_str(&events[3]).unwrap();
    assert_eq!(last["error"]["code"], "provider-failed");
    assert_eq!(last["error"]["fairlane"]["facts"]["class"], "provider-cut");
    let (posted, uncertain) = gateway.spent().await;
    assert!(posted == uncertain && posted.as_str() > INPUT, "{posted} {uncertain}");
}

#[tokio::test]
async fn garbage_within_a_stream_ends_it_with_an_error() {
    let first = r#"data: {"choices":[{"delta":{"content":"one"}}]}"#;
    let stream = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{first}\n\ndata: nonsense\n\n"
    );
    let gateway = gateway(Says::Raw(stream.into_bytes())).await;
    let reply = gateway.chat(json!({ "stream": true })).await;
    assert!(events(&reply.body)[1].contains("provider-garbage"), "{reply:?}");
    assert_ne!(gateway.spent().await.1, "0.00");
}

#[tokio::test]
async fn a_model_that_does_not_keep_to_its_bound_is_cut_off() {
    let text = "word ".repeat(500);
    let gateway = gateway(Says::answer(&text)).await;
    let reply = gateway.chat(json!({ "stream": true, "max_tokens": 10 })).await;
    let events = events(&reply.body);
    assert!(events.len() < 300 && events.last().unwrap().contains("cut off"), "{events:?}");
    assert_ne!(gateway.spent().await.1, "0.00");
}

#[tokio::test]
async fn one_token_that_the_own_count_takes_for_many_is_not_cut_off() {
    let gateway = gateway(Says::answer(&" ".repeat(150))).await;
    let reply = gateway.chat(json!({ "stream": true, "max_tokens": 1 })).await;
    assert_eq!(events(&reply.body).last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn another_candidate_answers_for_one_that_is_down() {
    for does in [Says::status(500), Says::throttled("7"), Says::Close, Says::Garbage] {
        for body in [json!({}), json!({ "stream": true })] {
            let gateway = Gateway::start().await;
            gateway.eu.always(does.clone());
            let reply = gateway.chat(body).await;
            assert_eq!(reply.status, StatusCode::OK, "{does:?}");
            assert_eq!(reply.headers["x-fairlane-served-by"], "us/small");
            assert_eq!((gateway.eu.received_count(), gateway.us.received_count()), (1, 1));
            gateway.spent().await;
        }
    }
}

#[tokio::test]
async fn another_candidate_answers_for_a_stream_that_ends_before_its_first_event() {
    let gateway = Gateway::start().await;
    gateway.eu.always(half(0));
    let reply = gateway.chat(json!({ "stream": true })).await;
    assert_eq!(reply.headers["x-fairlane-served-by"], "us/small");
}

#[tokio::test]
async fn a_request_that_a_provider_does_not_take_is_not_tried_elsewhere() {
    let gateway = Gateway::start().await;
    gateway.eu.always(Says::status(400));
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply).0, 400);
    assert_eq!(reply.headers["x-should-retry"], "false");
    assert_eq!(gateway.us.received_count(), 0);
}

#[tokio::test]
async fn if_all_are_down_the_last_one_says_why() {
    let gateway = Gateway::start().await;
    gateway.eu.always(Says::status(500));
    gateway.us.always(Says::throttled("7"));
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply), (429, "provider-limit".into(), "rate_limit_error".into()));
    assert_eq!(reply.headers["retry-after"], "7");
    assert_eq!(reply.json()["error"]["fairlane"]["facts"]["endpoint"], "us");
    assert_eq!(gateway.spent().await.0, "0.00");
}

#[tokio::test]
async fn an_endpoint_without_its_key_is_passed_over_and_names_no_secret() {
    let gateway = Gateway::start().await;
    gateway.endpoint("eu", json!({ "key_env": "FAIRLANE_SECRET_NOT_SET" })).await;
    assert_eq!(gateway.chat(json!({})).await.headers["x-fairlane-served-by"], "us/small");
    gateway.model(&[("eu", "large")]).await;
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply).1, "provider-failed");
    assert!(!String::from_utf8_lossy(&reply.body).contains("SECRET"), "{reply:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_stops_the_provider_and_settles_its_call() {
    for (does, body) in [
        (Says::Silence, json!({})),
        (Says::Silence, json!({ "stream": true })),
        (Says::Stall { answer: Answer::new("one two"), events: 2 }, json!({ "stream": true })),
    ] {
        let gateway = gateway(does).await;
        let body = chat(&body).to_string();
        let mut request = gateway.tenant.request(Method::POST, "/v1/chat/completions", &body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        tokio::select! {
            (_, _, mut body) = gateway.tenant.open(request) => {
                let first = body.frame().await.unwrap().unwrap();
                assert!(first.into_data().unwrap().starts_with(b"data: "));
            }
            () = gateway.eu.has_received(1) => {}
        }
        gateway.eu.all_closed().await;
        let (posted, uncertain) = gateway.spent().await;
        assert_eq!(posted, uncertain);
        assert_ne!(posted, "0.00");
    }
}

#[tokio::test]
async fn clients_that_go_away_at_any_moment_leave_nothing_held() {
    let gateway = gateway(Says::Silence).await;
    for steps in 0..60 {
        let body = chat(&json!({ "stream": steps % 2 == 0 })).to_string();
        let mut request = gateway.tenant.request(Method::POST, "/v1/chat/completions", &body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let leave = async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = gateway.tenant.open(request) => panic!("nothing is answered"),
            () = leave => {}
        }
    }
    gateway.eu.all_closed().await;
    gateway.spent().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_calls_and_settles_them() {
    use fairlane_store::memory::{Disk, MemoryStore};

    let disk = Disk::default();
    let store = || Box::new(MemoryStore::open(&disk));
    let harness = crate::harness::Harness::start_with_store(store()).await;
    let gateway = Gateway::on(harness).await;
    let stall = Says::Stall { answer: Answer::new("one two"), events: 2 };
    gateway.eu.always(stall);
    let body = chat(&json!({ "stream": true })).to_string();
    let mut request = gateway.tenant.request(Method::POST, "/v1/chat/completions", &body);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let (_, _, body) = gateway.tenant.open(request).await;
    let Gateway { harness, eu, us, tenant } = gateway;
    let (harness, rest) = tokio::join!(harness.restart_with_store(store()), body.collect());
    let last = events(&rest.unwrap().to_bytes()).pop().unwrap();
    assert!(last.contains("shutting-down"), "{last}");
    eu.all_closed().await;
    let tenant = crate::harness::Client { addr: harness.server.addr(), ..tenant };
    let gateway = Gateway { harness, eu, us, tenant };
    let (posted, uncertain) = gateway.spent().await;
    assert!(posted == uncertain && posted.as_str() < "0.01", "not all that was held: {posted}");
}
