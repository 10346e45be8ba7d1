//! Whom a secure connection trusts: the authorities that browsers trust, compiled in, and those that an operator adds
//! for providers within its own network.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why a file of certificates is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("it is no PEM")]
    NoPem,
    #[error("it has no certificate")]
    Empty,
    #[error("its certificate {number} is none that can be trusted")]
    Certificate {
        /// From 1.
        number: usize,
    },
}

/// `extra`: certificates in PEM.
pub(super) fn config(extra: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra {
        add(&mut roots, pem)?;
    }
    // Named, because the process has no default once another crate brings a second one.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), Error> {
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        number += 1;
        let certificate = certificate.map_err(|_| Error::NoPem)?;
        roots.add(certificate).map_err(|_| Error::Certificate { number })?;
    }
    if number == 0 { Err(Error::Empty) } else { Ok(()) }
}
