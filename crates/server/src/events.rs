//! `/v1/tenants/{tenant}/runs/{run}/events`: the changes of a run as server-sent events.
//!
//! First an event `snapshot` with the run and its steps, then one event `change` for each change, its id the
//! revision. A client that comes back with `Last-Event-ID` gets a snapshot only if it has missed something. A
//! stream that its client reads too slowly begins again with a snapshot. It ends with the run.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use fairlane_api::Problem;
use fairlane_api::run::{Event, EventStep, RunDetail};
use fairlane_api::schema::RunEvent;
use fairlane_core::cell::effect::Progress;
use http_body::Frame;
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cells::{App, Here};
use crate::engine::watch::Watch;
use crate::problem::Refused;
use crate::runs::Named;
use crate::runs::read::detail;
use crate::serve::Shared;
use crate::wire::{failure_out, part_out, phase_out, status_out, timestamp};

/// Changes that may wait for a slow client.
const CHANGES_MAX: usize = 256;
/// A comment is sent when there was nothing for so long, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Follows a run
///
/// Server-sent events: `snapshot` (a `RunDetail`), then `change` (an `Event`) for each change. The schema is that of one
/// event.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/runs/{run}/events", tag = "runs",
    params(
        ("tenant" = String, Path), ("run" = String, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The newest revision that the client has seen; what is no revision is as good as nothing")
    ),
    responses(
        (status = 200, body = RunEvent, content_type = "text/event-stream"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem)
    )
)]
async fn events(Here(shared): Here, named: Named, headers: HeaderMap) -> Result<Response, Refused> {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let begun = begin(&shared, &named).await?;
    let (to, channel) = Channel::<Bytes, Infallible>::new(CHANGES_MAX);
    let (reader, gone) = oneshot::channel();
    tokio::spawn(stream(Stream { shared, named, to, gone, seen }, begun));
    let mut response = Response::new(Body::new(Followed { channel, _reader: reader }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The body of the answer. Its client's end is known by its being dropped, and not only when there is something
/// to send.
struct Followed {
    channel: Channel<Bytes, Infallible>,
    _reader: oneshot::Sender<Infallible>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().channel).poll_frame(context)
    }
}

struct Stream {
    shared: Shared,
    named: Named,
    to: Sender<Bytes, Infallible>,
    /// Ends when the client has gone.
    gone: oneshot::Receiver<Infallible>,
    /// The newest revision that the client has.
    seen: Option<u64>,
}

type Begun = (Watch, RunDetail);

/// Why a stream is over.
struct Over;

/// Watches first and reads then, so that nothing falls in between.
async fn begin(shared: &Shared, named: &Named) -> Result<Begun, Refused> {
    let watch = shared.engine.watch(named.key(), CHANGES_MAX)?;
    Ok((watch, detail(shared, named).await?))
}

async fn stream(mut stream: Stream, mut begun: Begun) {
    loop {
        let (watch, snapshot) = begun;
        if stream.follow(watch, &snapshot).await.is_err() {
            return;
        }
        // Some changes were missed: all of it again.
        match begin(&stream.shared, &stream.named).await {
            Ok(again) => begun = again,
            Err(_) => return,
        }
    }
}

impl Stream {
    /// Sends the snapshot and the changes after it. `Ok` if changes were missed.
    async fn follow(&mut self, mut watch: Watch, snapshot: &RunDetail) -> Result<(), Over> {
        if self.seen.is_none_or(|seen| seen != snapshot.run.revision) {
            self.send("snapshot", snapshot.run.revision, snapshot).await?;
        }
        if snapshot.run.status.is_ended() {
            return Err(Over);
        }
        loop {
            tokio::select! {
                change = watch.next() => match change {
                    Some(change) => self.change(&change).await?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(HEARTBEAT) => {
                    let comment = Bytes::from_static(b": heartbeat\n\n");
                    self.to.send_data(comment).await.map_err(|_| Over)?;
                }
                _ = &mut self.gone => return Err(Over),
                () = self.shared.stopping() => return Err(Over),
            }
        }
    }

    async fn change(&mut self, change: &Progress) -> Result<(), Over> {
        if self.seen.is_some_and(|seen| seen >= change.revision) {
            return Ok(());
        }
        self.send("change", change.revision, &event_out(change)).await?;
        if change.status.is_ended() { Err(Over) } else { Ok(()) }
    }

    async fn send(
        &mut self,
        event: &str,
        revision: u64,
        value: &impl Serialize,
    ) -> Result<(), Over> {
        // No payloads are in it, and the writer breaks no lines: one line of data is enough.
        let json = serde_json::to_string(value).map_err(|_| Over)?;
        let text = format!("event: {event}\nid: {revision}\ndata: {json}\n\n");
        self.to.send_data(Bytes::from(text)).await.map_err(|_| Over)?;
        self.seen = Some(revision);
        Ok(())
    }
}

fn event_out(change: &Progress) -> Event {
    Event {
        run: change.key.run.to_string(),
        revision: change.revision,
        status: status_out(change.status),
        ended_at: change.ended.map(timestamp),
        failure: change.failure.as_ref().map(failure_out),
        step: change.step.as_ref().map(|(instance, name, phase)| EventStep {
            name: name.to_string(),
            part: part_out(instance.part),
            phase: phase_out(*phase),
        }),
    }
}
