//! A server with a certificate, people who sign in from a command line, and what is kept of them.

use std::path::Path;
use std::time::Duration;

use fairlane_fake_provider::identity::{AUDIENCE, IdentityProvider, now};
use fairlane_server::config::Oidc;
use fairlane_server::{Config, Server, StoreKind};
use serde_json::json;

use super::process::Binary;

/// Writes a certificate for `localhost` and its key.
fn certify(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

fn config(folder: &Path) -> Config {
    let config = Config::new(folder, ([127, 0, 0, 1], 0).into());
    Config { store: StoreKind::Memory, ..config }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_speaks_tls_to_who_trusts_it_and_nothing_to_others() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let file = |name: &str| folder.path().join(name);
    let server = Server::start(Config {
        tls_certificate_file: Some(file("cert.pem")),
        tls_key_file: Some(file("key.pem")),
        ..config(folder.path())
    })
    .await
    .unwrap();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let port = server.addr().port();
    let key = server.operator_key().unwrap().to_owned();
    let at = |scheme: &str| Binary::at(&format!("{scheme}://localhost:{port}"), &key);
    let ca = file("cert.pem").display().to_string();

    let keys = at("https").json(&["--ca-file", &ca, "key", "list"]).await;
    assert_eq!(keys[0]["role"], "operator");
    let said = at("https").run(&["key", "list"]).await;
    assert!(said.code == 4 && said.stderr.contains("certificate"), "{said:?}");
    let said = at("http").run(&["key", "list"]).await;
    assert_eq!(said.code, 4, "{said:?}");
    let said = Binary::at(&format!("https://127.0.0.1:{port}"), &key)
        .run(&["--ca-file", &ca, "key", "list"])
        .await;
    assert!(said.code == 4 && said.stderr.contains("certificate"), "another name: {said:?}");
    for (given, why) in [("nothing", "No such file"), ("key.pem", "has no certificate")] {
        let given = file(given).display().to_string();
        let said = at("https").run(&["--ca-file", &given, "key", "list"]).await;
        assert!(said.code != 0 && said.stderr.contains(why), "{said:?}");
    }
    // One that says nothing keeps nobody away.
    let silent = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    at("https").ok(&["--ca-file", &ca, "key", "list"]).await;
    drop(silent);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_named_when_the_server_starts() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let [cert, key, empty] = ["cert.pem", "key.pem", "empty.pem"].map(|at| folder.path().join(at));
    for (cert, key, why) in [
        (&empty, &key, "empty.pem has no certificate"),
        (&cert, &empty, "empty.pem has no private key"),
        (&cert, &other.path().join("key.pem"), "is not that of the certificate"),
        (&folder.path().join("none.pem"), &key, "cannot read"),
    ] {
        let started = Server::start(Config {
            tls_certificate_file: Some(cert.clone()),
            tls_key_file: Some(key.clone()),
            ..config(folder.path())
        })
        .await;
        let error = started.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// A server at which people sign in.
async fn server(people: &IdentityProvider, folder: &Path) -> (Server, Binary) {
    let (issuer, audience) = (people.issuer(), AUDIENCE.to_owned());
    let oidc = Some(Oidc { issuer, audience, ..Oidc::default() });
    let server = Server::start(Config { oidc, ..config(folder) }).await.unwrap();
    let operator = Binary::at(&server.url(), server.operator_key().unwrap());
    (server, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_from_a_command_line_and_out_again() {
    let people = IdentityProvider::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, operator) = server(&people, folder.path()).await;
    operator.ok(&["key", "create", "operator", "--sign-in", "groups=ops", "--label", "ops"]).await;
    let ada = Binary::at(&server.url(), "");
    let said = ada.run(&["whoami"]).await;
    assert!(said.code == 2 && said.stderr.contains("fairlane login"), "{said:?}");

    let login = ada.command(&["login"]).spawn().unwrap();
    while people.asked() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    people.agree(&json!({ "sub": "ada", "groups": ["ops"] }));
    let said = login.wait_with_output().await.unwrap();
    let (out, told) =
        (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && out.starts_with("signed in as ada until"), "{out} {told}");
    assert!(told.contains("/agree and confirm the code WDJB-MJHT"), "{told}");
    let who = ada.ok(&["whoami"]).await;
    assert!(who.starts_with("ada, with") && who.contains("groups=ops"), "{who}");
    assert_eq!(ada.json(&["key", "list"]).await.as_array().unwrap().len(), 2);
    let file = ada.path("signed-in.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Of another server it says nothing.
    let other = std::fs::read_to_string(&file).unwrap().replace(&server.url(), "http://other");
    assert_eq!(ada.ok(&["logout"]).await, "signed out\n");
    assert_eq!(ada.run(&["whoami"]).await.code, 2);
    std::fs::write(&file, other).unwrap();
    assert_eq!(ada.run(&["whoami"]).await.code, 2);
    assert_eq!(ada.ok(&["logout"]).await, "you were not signed in\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_over_is_renewed_without_the_person() {
    let people = IdentityProvider::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, operator) = server(&people, folder.path()).await;
    operator.ok(&["key", "create", "operator", "--sign-in", "sub=ada"]).await;
    let ada = Binary::at(&server.url(), "");
    // Not over yet for the server, and about to be for the command line.
    people.agree(&json!({ "sub": "ada", "exp": now() + 20 }));
    ada.ok(&["login"]).await;
    let kept = || std::fs::read_to_string(ada.path("signed-in.json")).unwrap();
    let before = kept();
    assert!(ada.ok(&["whoami"]).await.starts_with("ada, with"));
    assert_ne!(kept(), before);
    assert!(ada.ok(&["whoami"]).await.starts_with("ada, with"));

    people.agree(&json!({ "sub": "ada", "exp": now() + 20 }));
    ada.ok(&["login"]).await;
    people.set_down(true);
    let said = ada.run(&["whoami"]).await;
    assert!(said.code == 2 && said.stderr.contains("You are signed in no more"), "{said:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_sign_in_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path())).await.unwrap();
    let said = Binary::at(&server.url(), "").run(&["login"]).await;
    assert!(said.code == 2 && said.stderr.contains("it takes API keys only"), "{said:?}");
    server.stop().await;

    let people = IdentityProvider::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = self::server(&people, folder.path()).await;
    people.set_down(true);
    let said = Binary::at(&server.url(), "").run(&["login"]).await;
    assert!(said.code != 0 && said.stderr.contains("signing in failed"), "{said:?}");
    server.stop().await;
    let said = Binary::at("http://fairlane.example:7420", "").run(&["login"]).await;
    assert!(said.code == 2 && said.stderr.contains("is not reached by TLS"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_for_a_while_ends_no_sign_in_and_the_key_meant_is_used() {
    let people = IdentityProvider::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, operator) = server(&people, folder.path()).await;
    for (role, of) in [(&["operator"][..], "ops"), (&["reviewer", "ada"], "desk")] {
        let asks = format!("groups={of}");
        let create = [&["key", "create"], role, &["--sign-in", &*asks]].concat();
        operator.ok(&create).await;
    }
    let ada = Binary::at(&server.url(), "");
    let login = ada.command(&["login"]).spawn().unwrap();
    while people.asked() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    people.set_down(true);
    people.agree(&json!({ "sub": "ada", "groups": ["ops", "desk"] }));
    tokio::time::sleep(Duration::from_millis(500)).await;
    people.set_down(false);
    let said = login.wait_with_output().await.unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{told}");
    assert!(told.contains(&format!("to {} at {} as", server.url(), people.issuer())), "{told}");

    let keys = ada.json(&["whoami"]).await;
    let desk = keys["keys"].as_array().unwrap().iter().find(|key| key["role"] == "reviewer");
    let desk = desk.unwrap()["id"].as_str().unwrap();
    ada.ok(&["key", "list"]).await;
    let said = ada.run(&["--use-key", desk, "key", "list"]).await;
    assert!(said.code != 0 && said.stderr.contains("an operator's key"), "{said:?}");
    let said = ada.run(&["--use-key", "0000000000000000", "key", "list"]).await;
    assert!(said.code != 0 && said.stderr.contains(desk), "{said:?}");
    server.stop().await;
}
