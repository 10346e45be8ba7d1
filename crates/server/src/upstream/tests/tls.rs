//! Secure connections, to a side whose certificate nobody has signed but itself. It is for the name `localhost`, and
//! good for a hundred years.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::tls::Error;

const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");

fn acceptor() -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Calls a secure side by this name, which answers once.
async fn called(upstream: &Upstream, name: &str) -> Result<Response<Bytes>, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor().accept(stream).await else { return };
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let target = target(&format!("https://{name}:{port}/"));
    tokio::join!(upstream.call(&target, question()), answering).0
}

#[tokio::test]
async fn a_side_that_an_added_authority_vouches_for_is_secure() {
    let upstream = Upstream::with_roots(CERTIFICATE).unwrap();
    let response = called(&upstream, "localhost").await.unwrap();
    assert_eq!(response.body(), "secret");
}

#[tokio::test]
async fn a_side_that_nobody_vouches_for_is_insecure() {
    let fault = called(&Upstream::new(), "localhost").await.unwrap_err();
    assert_eq!(verdict(&fault), ("provider-insecure", false, false));
    assert!(fault.to_string().contains("UnknownIssuer"), "{fault}");
}

#[tokio::test]
async fn a_certificate_counts_for_its_names_only() {
    let upstream = Upstream::with_roots(CERTIFICATE).unwrap();
    let fault = called(&upstream, "127.0.0.1").await.unwrap_err();
    assert_eq!(verdict(&fault), ("provider-insecure", false, false), "{fault}");
    assert!(fault.to_string().contains("not valid for name"), "{fault}");
}

#[test]
fn a_file_without_certificates_is_refused() {
    let refused = |pem: &[u8]| Upstream::with_roots(pem).unwrap_err();
    assert_eq!(refused(b""), Error::Empty);
    assert_eq!(refused(KEY), Error::Empty);
    assert_eq!(refused(b"-----BEGIN CERTIFICATE-----\n!\n"), Error::NoPem);
    let none = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(&[CERTIFICATE, none].concat()), Error::Certificate { number: 2 });
}
