//! Mail, handed to a relay that listens in the test.

use std::sync::{Arc, Mutex};

use fairlane_server::StoreKind;
use fairlane_server::config::{RelayUrl, Smtp};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Harness;

/// A relay: what it was told, line by line, and how it answers recipients.
#[derive(Clone)]
struct Relay {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    /// Answers to `RCPT`, the last first; then 250.
    answers: Arc<Mutex<Vec<&'static str>>>,
}

impl Relay {
    async fn start(mut answers: Vec<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        answers.reverse();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            heard: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
        };
        let this = relay.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move { this.speak(stream).await });
            }
        });
        relay
    }

    async fn speak(self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 relay.example\r\n").await.ok()?;
        let mut is_data = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            let answer = match (is_data, line.split(' ').next().unwrap_or_default()) {
                (true, ".") => {
                    is_data = false;
                    "250 taken"
                }
                (true, _) => "",
                (false, "RCPT") => self.answers.lock().unwrap().pop().unwrap_or("250 ok"),
                (false, "DATA") => {
                    is_data = true;
                    "354 go on"
                }
                (false, "QUIT") => "221 bye",
                (false, _) => "250 ok",
            };
            self.heard.lock().unwrap().push(line);
            if !answer.is_empty() {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
            }
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn count(&self, command: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(command)).count()
    }
}

async fn start(relay: &Relay, region: Option<&str>) -> Harness {
    let smtp = Smtp {
        url: RelayUrl::new(format!("smtp://127.0.0.1:{}", relay.port)),
        from: "Fairlane <fairlane@bank.example>".to_owned(),
        region: region.map(str::to_owned),
    };
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.notice_wait_ms = 1;
        config.public_url = Some("https://fairlane.example".to_owned());
        config.smtp = Some(smtp);
    })
    .await;
    harness.declare().await;
    harness
}

fn mail(region: Option<&str>) -> serde_json::Value {
    json!({
        "email": { "to": ["ada@bank.example", "bob@bank.example"] },
        "events": ["run.failed"],
        "region": region,
    })
}

#[tokio::test]
async fn a_mail_has_a_link_and_nothing_of_what_it_is_about() {
    // The first attempt is put off, and made again.
    let relay = Relay::start(vec!["450 later"]).await;
    let harness = start(&relay, None).await;
    let applied = harness.operator.put("/v1/tenants/a/channels/ops", mail(None)).await.ok();
    assert_eq!(applied, json!({ "changed": true, "dry_run": false }));
    let run = harness.submit("pair", json!({ "n": "a secret input" })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    worker.fail(&lease, false).await;
    // The run has failed in the turn that recorded its step's failure, so that its notice is there.
    harness.is_told("a").await;
    // Long lines are broken on their way, and mended by whoever reads them.
    let text = relay.heard().join("\n").replace("=\n", "");
    let link = format!("https://fairlane.example/v1/tenants/a/runs/{run}");
    for expected in [
        "MAIL FROM:<fairlane@bank.example>",
        "RCPT TO:<ada@bank.example>",
        "RCPT TO:<bob@bank.example>",
        "From: Fairlane <fairlane@bank.example>",
        "Subject: run.failed: a",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain; charset=utf-8",
        &link,
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    for absent in ["a secret input", "bad-luck", "second"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert_eq!((relay.count("MAIL"), relay.count("DATA")), (2, 1));
}

#[tokio::test]
async fn the_id_of_a_mail_is_that_of_its_notice() {
    let relay = Relay::start(Vec::new()).await;
    let harness = start(&relay, None).await;
    harness.operator.put("/v1/tenants/a/channels/ops", mail(None)).await.ok();
    let notice = harness.test_channel("a", "ops").await;
    harness.is_told("a").await;
    let id = format!("Message-ID: <{notice}@bank.example>");
    assert!(relay.heard().contains(&id), "{id} in {:?}", relay.heard());
}

#[tokio::test]
async fn an_address_that_the_relay_refuses_for_good_is_not_tried_again() {
    let relay = Relay::start(vec!["550 no such person"]).await;
    let harness = start(&relay, None).await;
    harness.operator.put("/v1/tenants/a/channels/ops", mail(None)).await.ok();
    harness.test_channel("a", "ops").await;
    let failed = harness.notices("a", "failed", 1).await;
    let expected = json!({ "code": "refused", "detail": "no further attempt would do better" });
    assert_eq!((&failed[0]["because"], &failed[0]["attempts"]), (&expected, &json!(1)));
    let last = &failed[0]["last"];
    assert_eq!((&last["class"], &last["status"]), (&json!("relay-refused"), &json!(550)));
    assert!(!failed[0].to_string().contains("no such person"));
}

#[tokio::test]
async fn no_mail_of_a_tenant_goes_through_a_relay_outside_of_its_zone() {
    let relay = Relay::start(Vec::new()).await;
    let harness = start(&relay, Some("us-east-1")).await;
    harness.operator.put("/v1/tenants/a/channels/before", mail(Some("eu-west-1"))).await.ok();
    harness.operator.put("/v1/catalog/regions/local", json!({ "country": "DE" })).await.ok();
    let european = json!({ "org": "org", "tier": "standard", "data_residency": { "zone": "eu" } });
    harness.operator.put("/v1/tenants/a", european).await.ok();
    let reply = harness.operator.put("/v1/tenants/a/channels/ops", mail(Some("eu-west-1"))).await;
    assert_eq!(reply.refusal(), (451, "outside-zone".into(), "/email".into()));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("the relay for mail works in `us-east-1`"), "{detail}");
    harness.test_channel("a", "before").await;
    harness.notices("a", "failed", 1).await;
    assert_eq!(relay.heard(), <[String; 0]>::default());
}
