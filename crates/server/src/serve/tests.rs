//! What only the inside can bring about: requests that read the store before the cell had to be loaded again.

use fairlane_core::cell::input::{Command, Retry, Submit};
use fairlane_core::id::{RunId, TenantId};
use fairlane_core::row::{Lane, Payload, RunKey};

use super::*;

async fn server() -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let store = MemoryStore::open(&Disk::default());
    let config = Config { listen, ..Config::default() };
    Server::start_on(config, Box::new(store)).await.unwrap()
}

fn key() -> RunKey {
    RunKey { tenant: TenantId::parse("acme").unwrap(), run: RunId(1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_the_cell_was_loaded_again_is_not_acted_upon() {
    let server = server().await;
    let engine = &server.app.engine;
    let submit = || {
        Box::new(Submit {
            trace: None,
            subject: None,
            by: None,
            requester: None,
            reply: engine.reply_id(),
            key: key(),
            workflow: "loan".parse().unwrap(),
            version: None,
            lane: Lane::Normal,
            input: Payload::from(&b"null"[..]),
            idempotency: None,
        })
    };
    let retry = |reply| {
        Input::Retry(Box::new(Retry { reply, by: None, key: key(), from: None, rows: None }))
    };
    let now = engine.session();

    // The cell answers under this name, though only to refuse what is not declared.
    assert!(engine.submit(submit(), now, false).unwrap().await.is_ok());
    assert_eq!(engine.ask_in(now, retry).await.unwrap_err().status(), 404);

    assert!(engine.submit(submit(), now - 1, false).unwrap().await.is_err());
    assert_eq!(engine.ask_in(now - 1, retry).await.unwrap_err().status(), 503);

    // What carries no rows is done in any.
    let cancel = engine.ask(|reply| Input::Command(reply, None, key(), Command::Cancel));
    assert_eq!(cancel.await.unwrap_err().status(), 404);
    server.stop().await;
}
