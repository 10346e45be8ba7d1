//! A real server in a process of its own, which can be killed and started again on the same data and port.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use fairlane_client::Client;

#[derive(Debug)]
pub(crate) struct Server {
    data: tempfile::TempDir,
    port: u16,
    child: Child,
    key: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let port = port();
        let child = spawn(&data, port);
        let mut server = Self { data, port, child, key: String::new() };
        server.ready().await;
        let key = std::fs::read_to_string(server.data.path().join("operator.key"))
            .expect("the operator's key");
        key.trim().clone_into(&mut server.key);
        server
    }

    /// As the operator.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url(), &self.key).expect("the address is well formed")
    }

    /// SIGKILL: nothing is flushed, nothing is told.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("a killed server ends");
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.data, self.port);
        self.ready().await;
    }

    /// The client tries again until the server answers, for a bounded time.
    async fn ready(&self) {
        let client = Client::new(&self.url(), "").expect("the address is well formed");
        client.health().await.expect("the server gets ready");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// A free port that the system gives to nobody by itself: it is free again each time that the server is killed, and
/// other tests ask for any port meanwhile.
fn port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("less than 10,000");
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(is_free).expect("a free port")
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(data: &tempfile::TempDir, port: u16) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fairlane"))
        .arg("serve")
        .env("FAIRLANE_DATA_DIR", data.path())
        .env("FAIRLANE_LISTEN", format!("127.0.0.1:{port}"))
        .env("FAIRLANE_OPERATOR_KEY_FILE", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is there");
    // Its messages are passed on, so that a failure of the test shows them.
    let messages = child.stderr.take().expect("it was asked for");
    #[expect(clippy::print_stderr, reason = "the runner shows it with a failure")]
    std::thread::spawn(move || {
        for line in BufReader::new(messages).lines().map_while(Result::ok) {
            eprintln!("server: {line}");
        }
    });
    child
}
