//! TLS of the server's own port: the certificate and its key from files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on keys.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} has no certificate in PEM")]
    NoCertificate { path: PathBuf },
    #[error("{path} has no private key in PEM")]
    NoKey { path: PathBuf },
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf, source: rustls::Error },
}

/// Makes secure connections of accepted ones.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
    /// When the files were written that were read.
    seen: [Option<SystemTime>; 2],
}

/// What the server shows of itself.
#[derive(Debug)]
struct Certificate {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// Reads the files.
    pub(super) fn open(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        // Before they are read: what changes meanwhile is read again.
        let seen = files.changed();
        let current = RwLock::new(Arc::new(files.read()?));
        let certificate = Arc::new(Certificate { files, current });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate, seen })
    }

    /// `None`: the client does not want the same, or takes too long to say so.
    pub(super) async fn accept<T>(&self, stream: T) -> Option<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = tokio::time::timeout(HANDSHAKE_TIME_MAX, self.acceptor.accept(stream));
        match accepted.await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(event = "tls-refused", %error, "a client and the server did not agree on TLS");
                None
            }
            Err(_) => None,
        }
    }

    /// Follows the files for as long as it is polled. What cannot be used is told and does not take the place of what can.
    pub(super) async fn follow(&self) {
        let files = &self.certificate.files;
        let mut seen = self.seen;
        let mut told = seen;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let changed = files.changed();
            if changed == seen {
                continue;
            }
            match files.read() {
                Ok(read) => {
                    let current = &self.certificate.current;
                    *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                    tracing::info!(event = "certificate-renewed", "the certificate was read again");
                    seen = changed;
                }
                // They may be written one after the other, or be half written: they are looked at again.
                Err(error) if changed != told => {
                    tracing::warn!(event = "certificate-unusable", %error, "the new certificate cannot be used");
                    told = changed;
                }
                Err(_) => {}
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, Error> {
        let path = || self.certificate.clone();
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
        };
        let pem = read(&self.certificate)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|_| Error::NoCertificate { path: path() })?;
        if chain.is_empty() {
            return Err(Error::NoCertificate { path: path() });
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| Error::NoKey { path: self.key.clone() })?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| {
            Error::Mismatch { certificate: path(), key: self.key.clone(), source }
        })
    }

    /// When each was written last.
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.certificate.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certify(folder: &Path) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_takes_the_place_of_the_old_one_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = certify(folder.path());
        let file = |name: &str| folder.path().join(name);
        let tls = Tls::open(&file("cert.pem"), &file("key.pem")).unwrap();
        let shown = || {
            let current = tls.certificate.current.read().unwrap();
            current.cert[0].to_vec()
        };
        let following = tls.clone();
        tokio::spawn(async move { following.follow().await });
        let look = async || tokio::time::sleep(2 * LOOK_EVERY).await;
        look().await;
        assert_eq!(shown(), first);
        let old = SystemTime::now() - Duration::from_mins(1);
        let dated = |at| {
            let key = std::fs::File::options().write(true).open(file("key.pem")).unwrap();
            key.set_modified(at).unwrap();
        };
        std::fs::write(file("cert.pem"), "nothing").unwrap();
        dated(old);
        look().await;
        assert_eq!(shown(), first);
        let second = certify(folder.path());
        dated(old + Duration::from_secs(1));
        look().await;
        assert_eq!(shown(), second);
    }
}
