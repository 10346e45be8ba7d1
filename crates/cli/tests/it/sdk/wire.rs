//! A wire between a client and the server that can lose answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to a server.
pub(crate) struct Wire {
    addr: SocketAddr,
    to_lose: Arc<AtomicU32>,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let to_lose = Arc::new(AtomicU32::new(0));
        let lose = to_lose.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(client, server, lose.clone()));
            }
        });
        Self { addr, to_lose }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The server does what the next requests ask for, and their connections break before the answers.
    pub(crate) fn lose_answers(&self, count: u32) {
        self.to_lose.store(count, Ordering::SeqCst);
    }

    /// Answers that are still to be lost.
    pub(crate) fn left_to_lose(&self) -> u32 {
        self.to_lose.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, to_lose: Arc<AtomicU32>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(bytes) if bytes > 0 => {
                    if server.write_all(&from_client[..bytes]).await.is_err() { return }
                }
                _ => return,
            },
            read = server.read(&mut from_server) => match read {
                Ok(bytes) if bytes > 0 => {
                    let lose = to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                    if lose.is_ok() || client.write_all(&from_server[..bytes]).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}
