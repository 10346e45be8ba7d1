//! People who sign in at an identity provider, and what the server takes of it.

use fairlane_fake_provider::identity::{AUDIENCE, IdentityProvider, Signer, now};
use fairlane_server::config::Oidc;
use serde_json::{Value, json};

use crate::harness::{Client, Harness, Reply};

struct Scene {
    harness: Harness,
    people: IdentityProvider,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with("sub").await
    }

    async fn start_with(person_claim: &str) -> Self {
        let people = IdentityProvider::start().await.unwrap();
        let (issuer, person_claim) = (people.issuer(), person_claim.to_owned());
        let audience = AUDIENCE.to_owned();
        let harness = Harness::start_with(move |config| {
            config.store = fairlane_server::StoreKind::Memory;
            config.oidc = Some(Oidc { issuer, audience, person_claim, ..Oidc::default() });
        })
        .await;
        harness.declare().await;
        Self { harness, people }
    }

    /// Makes a key for who signs in, and gives its id.
    async fn key(&self, role: Value, claim: &str, value: &str) -> String {
        let mut body = role;
        body["sign_in"] = json!({ "claim": claim, "value": value });
        let made = self.harness.operator.post("/v1/platform/keys", body).await.ok();
        assert!(made.get("secret").is_none(), "{made}");
        made["key"]["id"].as_str().unwrap().to_owned()
    }

    /// Somebody of whom the provider says this.
    fn somebody(&self, of: &Value) -> Client {
        self.with(self.people.token(of))
    }

    fn with(&self, token: String) -> Client {
        Client { key: Some(token), ..self.harness.anonymous() }
    }
}

fn of_a() -> Value {
    json!({ "role": "tenant", "tenant": "a" })
}

/// Why a token is not taken.
#[track_caller]
fn why(reply: &Reply) -> String {
    assert_eq!(reply.status, 401, "{reply:?}");
    reply.problem()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_signs_in_has_the_keys_that_ask_for_what_is_said_of_them() {
    let scene = Scene::start().await;
    let key = scene.key(of_a(), "groups", "acme").await;
    let ada = scene.somebody(&json!({ "sub": "ada", "groups": ["staff", "acme"] }));
    ada.get("/v1/tenants/a").await.ok();
    let me = ada.get("/v1/me").await.ok();
    assert_eq!((&me["person"], &me["keys"][0]["id"]), (&json!("ada"), &json!(key)));
    let (foreign, missing) = (ada.get("/v1/tenants/b").await, ada.get("/v1/tenants/nil").await);
    assert_eq!(foreign.refusal(), (404, "unknown-tenant".into(), String::new()));
    assert_eq!(missing.refusal(), foreign.refusal());
    assert_eq!(ada.get("/v1/platform/keys").await.refusal().0, 403);

    let run = json!({ "workflow": "pair", "input": { "n": 1 } });
    ada.post("/v1/tenants/a/runs", run).await.ok();
    let log = ada.get("/v1/tenants/a/decisions").await.ok();
    let admitted = log["items"].as_array().unwrap().iter().find(|one| one["code"] == "admitted");
    assert!(admitted.unwrap().to_string().contains("ada"), "who it was is on record: {log}");

    let bob = scene.somebody(&json!({ "sub": "bob", "groups": "staff" }));
    assert_eq!(bob.get("/v1/tenants/a").await.refusal(), (403, "forbidden".into(), String::new()));
    scene.harness.operator.delete(&format!("/v1/platform/keys/{key}")).await;
    assert_eq!(ada.get("/v1/tenants/a").await.refusal().0, 403, "it was revoked");
    let at = scene.harness.anonymous().get("/v1/sign-in").await.ok();
    assert_eq!(at["provider"]["issuer"], scene.people.issuer());
}

#[tokio::test]
async fn a_token_counts_only_if_the_provider_has_signed_it_now_and_for_this_server() {
    let scene = Scene::start().await;
    scene.key(of_a(), "sub", "ada").await;
    let (people, signer) = (&scene.people, scene.people.signer());
    let ada = json!({ "sub": "ada" });
    let but = |name: &str, value: Value| {
        let mut claims = people.claims(&ada);
        claims[name] = value;
        signer.sign(&claims)
    };
    let good = people.token(&ada);
    let parts: Vec<_> = good.split('.').collect();
    let other = Signer::ecdsa("first");
    let claims = people.claims(&ada);
    let header = |alg: &str| json!({ "alg": alg, "kid": "first" });
    let of_kind = |kind: &str| json!({ "alg": "ES256", "kid": "first", "typ": kind });
    let critical = json!({ "alg": "ES256", "kid": "first", "crit": ["exp"], "exp": 1 });
    let long = but("padding", json!("x".repeat(20_000)));
    for (token, reason) in [
        (but("exp", json!(now() - 120)), "its time is over"),
        (but("nbf", json!(now() + 600)), "its time has not begun"),
        (but("iss", json!("https://evil.example")), "another provider has issued it"),
        (but("aud", json!(["somebody", "else"])), "it is for somebody else"),
        (but("aud", Value::Null), "it has to say"),
        (but("exp", Value::Null), "it has to say"),
        (but("exp", json!("never")), "it has to say"),
        (but("sub", Value::Null), "its `sub` names no person"),
        (but("sub", json!("ada lovelace")), "its `sub` names no person"),
        (but("sub", json!(["ada", "bob"])), "cannot be read"),
        (signer.sign_as(&of_kind("logout+jwt"), &claims), "says nothing of who signs in"),
        (signer.sign_as(&critical, &claims), "in a way that this server does not know"),
        (other.sign(&claims), "its signature is not the provider's"),
        (Signer::ecdsa("unheard of").sign(&claims), "that the provider does not publish"),
        (Signer::ed25519("first").sign(&claims), "that the provider does not publish"),
        (signer.sign_as(&header("none"), &claims), "it is none"),
        (signer.sign_as(&header("HS256"), &claims), "no secret of the provider's"),
        (signer.sign_as(&header("ES384"), &claims), "that the provider does not publish"),
        (format!("{}.{}.", parts[0], parts[1]), "its signature"),
        (format!("{}.{}.{}", parts[0], parts[2], parts[1]), "its signature"),
        ("a.b.c".to_owned(), "it is none"),
        (long, "it is longer than"),
    ] {
        let reply = scene.with(token.clone()).get("/v1/tenants/a").await;
        let said = why(&reply);
        assert!(said.contains(reason), "{said:?} is not {reason:?}: {token}");
    }
    scene.with(good).get("/v1/tenants/a").await.ok();
    scene.with(but("aud", json!(["other", AUDIENCE]))).get("/v1/tenants/a").await.ok();
    scene.with(but("exp", json!(now() - 20))).get("/v1/tenants/a").await.ok();
    let access = signer.sign_as(&of_kind("application/at+JWT"), &claims);
    scene.with(access).get("/v1/tenants/a").await.ok();
}

#[tokio::test]
async fn an_address_counts_only_where_the_provider_has_verified_it() {
    let scene = Scene::start_with("email").await;
    scene.key(of_a(), "email", "ada@acme.example").await;
    let typed = json!({ "sub": "1", "email": "ada@acme.example" });
    assert!(why(&scene.somebody(&typed).get("/v1/me").await).contains("not verified"));
    let mut verified = typed;
    verified["email_verified"] = json!(false);
    assert!(why(&scene.somebody(&verified).get("/v1/me").await).contains("not verified"));
    verified["email_verified"] = json!(true);
    let me = scene.somebody(&verified).get("/v1/me").await.ok();
    assert_eq!(me["person"], "ada@acme.example");
}

#[tokio::test]
async fn keys_of_the_provider_are_fetched_when_they_are_new_and_not_for_every_stranger() {
    let scene = Scene::start().await;
    scene.key(of_a(), "sub", "ada").await;
    let ada = json!({ "sub": "ada" });
    for _ in 0..3 {
        scene.somebody(&ada).get("/v1/tenants/a").await.ok();
    }
    assert_eq!(scene.people.fetched(), 1);
    let strangers = (0..20).map(|at| Signer::ecdsa(&format!("stranger {at}")));
    for stranger in strangers {
        why(&scene.with(stranger.sign(&scene.people.claims(&ada))).get("/v1/me").await);
    }
    assert!(scene.people.fetched() <= 2, "{}", scene.people.fetched());
    // What was signed before the provider changed its key goes on until its keys are read again.
    let (before, new) = (scene.people.token(&ada), Signer::ed25519("second"));
    scene.people.publish(std::slice::from_ref(&new));
    scene.with(before).get("/v1/tenants/a").await.ok();
    loop {
        let reply = scene.somebody(&ada).get("/v1/tenants/a").await;
        if reply.status == 200 {
            break;
        }
        assert!(why(&reply).contains("does not publish"), "{reply:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn strangers_who_leave_at_once_keep_nobody_from_signing_in() {
    let scene = Scene::start().await;
    scene.key(of_a(), "sub", "ada").await;
    scene.people.set_hold(true);
    let claims = scene.people.claims(&json!({ "sub": "ada" }));
    let stranger = scene.with(Signer::ecdsa("unheard of").sign(&claims));
    let asking = tokio::spawn(async move { stranger.get("/v1/me").await.status });
    while scene.people.fetched() == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    let ada = scene.somebody(&json!({ "sub": "ada" }));
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let ada = ada.clone();
            tokio::spawn(async move { ada.get("/v1/tenants/a").await.status })
        })
        .collect();
    // Each of them waits for the same answer, which is late.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(asking.iter().all(|one| !one.is_finished()));
    scene.people.set_hold(false);
    for one in asking {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(scene.people.fetched(), 1);
}

#[tokio::test]
async fn one_human_is_one_person_and_that_person_is_on_record() {
    let scene = Scene::start().await;
    let ids = [
        scene.key(json!({ "role": "reviewer", "person": "ada" }), "groups", "desk").await,
        scene.key(json!({ "role": "operator" }), "groups", "ops").await,
    ];
    // Somebody else's, though the same is said of both.
    scene.key(json!({ "role": "reviewer", "person": "bob" }), "groups", "desk").await;
    let ada = scene.somebody(&json!({ "sub": "ada", "groups": ["desk", "ops"] }));
    let me = ada.get("/v1/me").await.ok();
    let had: Vec<_> = me["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    assert_eq!(had.len(), 2, "{me}");
    assert!(ids.iter().all(|id| had.contains(&json!(id))), "{me}");

    let review = crate::reviews::open_one(&scene.harness).await;
    let (id, digest) = (review["id"].as_str().unwrap(), &review["digest"]);
    assert_eq!(ada.get("/v1/reviews").await.ok()["items"][0]["id"], id, "as a reviewer");
    let comment = json!({ "text": "hm" });
    assert_eq!(ada.post(&format!("/v1/reviews/{id}/comment"), comment).await.status, 204);
    let glass = json!({
        "person": "bob", "reason": "bob is ill", "digest": digest, "outcome": "rejected",
        "data": { "limit": 0 },
    });
    let broken = ada.post(&format!("/v1/reviews/{id}/break-glass"), glass).await;
    assert_eq!(broken.status, 204, "as an operator: {broken:?}");
    let log = scene.harness.operator.get("/v1/tenants/a/decisions").await.ok();
    let entries = log["items"].as_array().unwrap();
    let glass = entries.iter().find(|entry| entry["code"] == "review-glass-broken").unwrap();
    assert_eq!(glass["by"], "person:ada", "{glass}");
    let ended = scene.harness.operator.get(&format!("/v1/reviews/{id}")).await.ok();
    let record = ended["record"].as_array().unwrap();
    let last = record.iter().find(|one| one["what"] == "broken_glass").unwrap();
    assert_eq!(last["facts"]["by"], json!({ "person": "ada" }), "{ended}");
}

#[tokio::test]
async fn without_the_provider_api_keys_go_on() {
    let scene = Scene::start().await;
    scene.key(of_a(), "sub", "ada").await;
    scene.people.set_down(true);
    let reply = scene.somebody(&json!({ "sub": "ada" })).get("/v1/tenants/a").await;
    assert_eq!(reply.refusal(), (503, "sign-in-unavailable".into(), String::new()));
    scene.harness.operator.get("/v1/tenants/a").await.ok();
}

#[tokio::test]
async fn a_provider_that_calls_itself_something_else_is_not_believed() {
    let scene = Scene::start().await;
    scene.people.set_issuer("https://id.example");
    let reply = scene.somebody(&json!({ "sub": "ada" })).get("/v1/me").await;
    assert_eq!(reply.refusal().0, 503, "{reply:?}");
}

#[tokio::test]
async fn of_several_keys_the_one_is_meant_that_the_request_is_about() {
    let scene = Scene::start().await;
    let a = scene.key(of_a(), "sub", "ada").await;
    let b = scene.key(json!({ "role": "viewer", "tenant": "b" }), "team.name", "b").await;
    let ada = scene.somebody(&json!({ "sub": "ada", "team": { "name": "b" } }));
    ada.get("/v1/tenants/a").await.ok();
    ada.get("/v1/tenants/b").await.ok();
    let run = json!({ "workflow": "pair", "input": { "n": 1 } });
    ada.post("/v1/tenants/a/runs", run.clone()).await.ok();
    assert_eq!(ada.post("/v1/tenants/b/runs", run).await.refusal().0, 403, "there ada views");
    assert_eq!(ada.get("/v1/tenants/nil").await.refusal().0, 404);
    let mut ids = [a.clone(), b];
    ids.sort();
    let reply = ada.get("/v1/workflows").await;
    assert_eq!(reply.refusal().0, 403);
    let expected = reply.problem()["expected"].as_str().unwrap().to_owned();
    assert!(
        expected.contains(&ids.join(", ")) && expected.contains("x-fairlane-key"),
        "{expected}"
    );
    let named = async |id: &str| {
        let mut request = ada.request(hyper::Method::GET, "/v1/workflows", "");
        request.headers_mut().insert("x-fairlane-key", id.parse().unwrap());
        ada.send(request).await
    };
    named(&a).await.ok();
    assert_eq!(named("0000000000000000").await.refusal().0, 403);
    assert_eq!(ada.get("/v1/me").await.ok()["keys"].as_array().unwrap().len(), 2);

    scene.key(json!({ "role": "reviewer", "person": "ada" }), "sub", "ada").await;
    ada.get("/v1/reviews").await.ok();
    scene.key(json!({ "role": "operator" }), "sub", "ada").await;
    ada.get("/v1/platform/keys").await.ok();
}

#[tokio::test]
async fn keys_for_people_are_asked_for_sensibly() {
    let scene = Scene::start().await;
    let sign_in = |claim: &str, value: &str| json!({ "claim": claim, "value": value });
    for (body, pointer) in [
        (json!({ "role": "worker", "sign_in": sign_in("sub", "w") }), "/sign_in"),
        (json!({ "role": "operator", "sign_in": sign_in("", "w") }), "/sign_in/claim"),
        (json!({ "role": "operator", "sign_in": sign_in("sub", "") }), "/sign_in/value"),
    ] {
        let reply = scene.harness.operator.post("/v1/platform/keys", body).await;
        assert_eq!(reply.refusal(), (422, "invalid-value".into(), pointer.to_owned()));
    }
    let without = Harness::start().await;
    let body = json!({ "role": "operator", "sign_in": sign_in("sub", "ada") });
    let reply = without.operator.post("/v1/platform/keys", body).await;
    assert_eq!(reply.refusal(), (422, "invalid-value".into(), "/sign_in".to_owned()));
    assert_eq!(without.anonymous().get("/v1/sign-in").await.ok(), json!({}));
}
