//! The body of an answer as it comes, within its bounds.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio::time::{Instant, timeout_at};

use super::{Fault, Target, fault};

/// The body of an answer. Dropped before its end it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    host: Arc<str>,
    /// None after the end or a fault.
    body: Option<Incoming>,
    deadline: Instant,
    timeout: Duration,
    idle: Duration,
    limit: usize,
    /// Bytes that came, not above the limit.
    seen: usize,
}

impl Stream {
    pub(super) fn new(host: Arc<str>, body: Incoming, deadline: Instant, target: &Target) -> Self {
        Self {
            host,
            body: Some(body),
            deadline,
            timeout: target.timeout,
            idle: target.idle,
            limit: target.response_bytes_max,
            seen: 0,
        }
    }

    /// The next bytes; none at the end, and after a fault.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Fault>> {
        let next = self.read().await.transpose();
        if !matches!(next, Some(Ok(_))) {
            self.body = None;
        }
        if let Some(Err(fault)) = &next {
            tracing::debug!(event = "answer-broke-off", host = %self.host, class = fault.class(), "an answer ended in a fault");
        }
        next
    }

    /// All bytes to the end.
    pub(crate) async fn whole(mut self) -> Result<Bytes, Fault> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await {
            whole.extend_from_slice(&bytes?);
        }
        Ok(whole.into())
    }

    /// What comes of the first bytes within a time, whatever becomes of the rest.
    pub(super) async fn start(&mut self, bytes_max: usize, time_max: Duration) -> Vec<u8> {
        self.deadline = self.deadline.min(Instant::now() + time_max);
        self.limit = usize::MAX;
        let mut start = Vec::new();
        while start.len() < bytes_max
            && let Ok(Some(bytes)) = self.read().await
        {
            start.extend_from_slice(&bytes);
        }
        start.truncate(bytes_max);
        start
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Fault> {
        let host = || Arc::clone(&self.host);
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            let idle = Instant::now() + self.idle.min(self.timeout);
            let frame = match timeout_at(idle.min(self.deadline), body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(fault::of_body(host(), &error)),
                Err(_) if idle < self.deadline => {
                    return Err(Fault::Timeout { host: host(), after: self.idle });
                }
                Err(_) => return Err(Fault::Timeout { host: host(), after: self.timeout }),
            };
            let Ok(bytes) = frame.into_data() else { continue };
            self.seen = self.seen.saturating_add(bytes.len());
            if self.seen > self.limit {
                return Err(Fault::TooLarge { host: host(), limit: self.limit });
            }
            return Ok(Some(bytes));
        }
    }
}
