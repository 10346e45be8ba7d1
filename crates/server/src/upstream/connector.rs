//! Makes connections to allowed addresses only.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tower_service::Service;

use super::address::is_allowed;

/// For one address of a host, so that the next one is tried while the call still has time.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Of a name's addresses so many are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the name has no address")]
    Unresolved(#[source] io::Error),
    #[error("no address of the name may be called")]
    Refused,
    #[error("no address answers")]
    Unreachable(#[source] io::Error),
}

#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) may_private: bool,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let may_private = self.may_private;
        Box::pin(async move { Ok(TokioIo::new(connect(&url, may_private).await?)) })
    }
}

/// What is judged is what is connected to: the name is looked up once, here.
async fn connect(url: &Uri, may_private: bool) -> Result<TcpStream, Error> {
    let found = resolve(url).await.map_err(Error::Unresolved)?;
    let is_allowed = |address: &SocketAddr| is_allowed(address.ip(), may_private);
    let mut failure = None;
    for address in found.into_iter().filter(is_allowed).take(ADDRESSES_MAX) {
        let tried = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await;
        match tried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or(Error::Refused, Error::Unreachable))
}

async fn resolve(url: &Uri) -> io::Result<Vec<SocketAddr>> {
    let host = url.host().unwrap_or_default();
    let is_secure = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = literal.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found: Vec<_> = lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(found)
}
