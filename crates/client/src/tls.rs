//! Whom a secure connection trusts: the authorities that browsers trust, compiled in, and those that a file adds.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Error;

/// Authorities that are trusted besides those that are compiled in.
#[derive(Clone, Default)]
pub struct Trust(Vec<CertificateDer<'static>>);

impl Trust {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// If there is none, or one that cannot be trusted.
    pub fn pem(pem: &[u8]) -> Result<Self, Error> {
        let wrong = |detail: &str| Error::Trust { detail: detail.to_owned() };
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.map_err(|_| wrong("it is no PEM"))?;
        if certificates.is_empty() {
            return Err(wrong("it has no certificate"));
        }
        let mut roots = RootCertStore::empty();
        for (at, certificate) in certificates.iter().enumerate() {
            let added = roots.add(certificate.clone());
            added.map_err(|error| wrong(&format!("its certificate {}: {error}", at + 1)))?;
        }
        Ok(Self(certificates))
    }

    /// Agrees on keys with the server of that name, which has to show a certificate that is trusted.
    ///
    /// # Errors
    /// If it does not.
    pub async fn secure<T>(&self, host: &str, stream: T) -> Result<TlsStream<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |detail| Error::Tls { address: host.to_owned(), detail };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed("its name is malformed".to_owned()))?;
        let connected = TlsConnector::from(self.config()).connect(name, stream).await;
        connected.map_err(|error| failed(told(&error)))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // Each was tried when it was read.
        let _ = roots.add_parsable_certificates(self.0.iter().cloned());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// What is wrong with a server's certificate, in words.
pub(crate) fn told(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(wrong)) = inner else { return error.to_string() };
    match wrong {
        CertificateError::UnknownIssuer => {
            "its certificate leads to no authority that is trusted".to_owned()
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is one of an authority (CA:TRUE), which no server may show".to_owned()
        }
        wrong => format!("its certificate is not good: {wrong}"),
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("certificates", &self.0.len()).finish()
    }
}
