//! A key leaves in its header, and shows nowhere else.

use std::io::{self, Write};
use std::sync::Mutex;

use super::*;

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_is_sent_and_never_logged_nor_told() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // While there is one subscriber only, a thread without one decides for all whether a place in the code logs: with two of
    // them, those that are registered are asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);
    let secret = Secret::from_variables("FAIRLANE_SECRET_A", |_| Some("sk-4711".into())).unwrap();
    let (provider, target) = provider(Reply::answer("ok")).await;
    let echo = r#"{"error":"the key sk-4711 of ?q=hidden is wrong"}"#.to_owned();
    provider.next(Reply::answer("ok"));
    provider.next(Reply::Status { status: 401, retry_after: None, body: echo });
    provider.next(Reply::Garbage);
    provider.next(Reply::Close);
    let upstream = Upstream::new();
    let mut told = String::new();
    for _ in 0..4 {
        let mut request = question();
        request.headers_mut().insert(header::AUTHORIZATION, secret.bearer());
        request.headers_mut().insert("x-api-key", secret.header());
        told += &format!("{request:?}");
        match upstream.call(&target, request).await {
            Ok(response) => told += &format!("{response:?}"),
            Err(fault) => told += &format!("{fault} {fault:?}"),
        }
    }
    let sent = provider.received();
    assert!(sent.iter().all(|sent| sent.header("authorization") == Some("Bearer sk-4711")));
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("provider-refused") && told.contains("the key *** of"), "{told}");
    for text in [logged, told] {
        assert!(!text.contains("sk-4711") && !text.contains("hidden"), "{text}");
    }
}
