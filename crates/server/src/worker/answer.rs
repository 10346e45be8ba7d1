//! The answer to an exchange, written straight into its buffer: names and numbers need no escaping, payloads
//! are JSON already. Its form is that of `fairlane_api::worker::Exchanged`, which a test holds it to.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use fairlane_api::Timestamp;
use fairlane_api::worker::{Acceptance, Reason, Receipt as WireReceipt};
use fairlane_core::cell::effect::{Grant, Receipt, Stale, Work};
use fairlane_core::id::StepName;
use fairlane_core::row::{LeaseId, Part};
use http_body::{Body, Frame, SizeHint};

use super::Mark;
use super::lease::{IdempotencyKey, LeaseName};
use crate::engine::desk::Courier;
use crate::gateway::{LeaseToken, TokenKey};
use crate::telemetry::Traceparent;

/// Room for one lease, about.
const LEASE_BYTES: usize = 800;

#[derive(Debug)]
pub(super) struct Answer(Vec<u8>);

impl Answer {
    pub(super) fn new() -> Self {
        let mut buffer = Vec::with_capacity(LEASE_BYTES);
        buffer.extend_from_slice(b"{\"accepted\":[");
        Self(buffer)
    }

    /// What became of each report, in their order.
    pub(super) fn receipts(&mut self, marks: Vec<Mark>, receipts: Vec<(LeaseId, Receipt)>) {
        let mut receipts = receipts.into_iter();
        for mark in marks {
            let acceptance = match mark {
                Mark::Settled(acceptance) => acceptance,
                Mark::Sent(remark) => match receipts.next() {
                    Some((lease, receipt)) => accepted(&lease, &receipt, remark),
                    None => continue,
                },
            };
            self.comma(b'[');
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(&mut self.0, &acceptance);
        }
    }

    pub(super) fn begin_leases(&mut self) {
        self.0.extend_from_slice(b"],\"leases\":[");
    }

    pub(super) fn lease(&mut self, grant: &Grant, input: &[u8], key: &TokenKey) {
        self.0.reserve(LEASE_BYTES + input.len());
        self.comma(b'[');
        let Grant { lease, workflow, context, .. } = grant;
        let step = &workflow.step(lease.instance.step).name;
        let _ = write!(
            self.0,
            "{{\"lease\":\"{}\",\"tenant\":\"{}\",\"run\":\"{}\",\"workflow\":\"{}\",\"version\":{},\
             \"step\":\"{step}\",\"part\":",
            LeaseName(lease),
            lease.key.tenant,
            lease.key.run,
            workflow.name,
            workflow.version,
        );
        let _ = match lease.instance.part {
            Part::Whole => write!(self.0, "\"whole\""),
            Part::Compensation => write!(self.0, "\"compensation\""),
            Part::Item(at) => write!(self.0, "{{\"item\":{at}}}"),
        };
        let _ = write!(
            self.0,
            ",\"task\":\"{}\",\"attempt\":{},\"idempotency_key\":\"{}\",\"input\":",
            task(&grant.work),
            grant.attempt,
            IdempotencyKey(lease),
        );
        self.0.extend_from_slice(input);
        let _ = write!(
            self.0,
            ",\"context\":{{\"version\":{},\"org\":\"{}\",\"tier\":\"{}\",\"attributes\":{}}},\
             \"deadline\":\"{}\",\"renew_within_ms\":{},\"gateway\":{{\"token\":\"{}\"}}",
            context.version,
            context.org,
            context.tier,
            context.attributes,
            Timestamp(grant.deadline.0),
            grant.renew_within.0 / 1_000,
            LeaseToken(key, lease),
        );
        if let Some(anchor) = grant.trace {
            let _ = write!(self.0, ",\"traceparent\":\"{}\"", Traceparent(anchor));
        }
        self.0.push(b'}');
    }

    pub(super) fn revoked(&mut self, leases: &[LeaseId]) {
        self.0.extend_from_slice(b"],\"revoked\":[");
        for lease in leases {
            self.comma(b'[');
            let _ = write!(self.0, "\"{}\"", LeaseName(lease));
        }
        self.0.extend_from_slice(b"]}");
    }

    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }

    fn comma(&mut self, open: u8) {
        if self.0.last() != Some(&open) {
            self.0.push(b',');
        }
    }
}

/// The name of the task. What is not one is the server's own work, and no worker is given it.
fn task(work: &Work) -> &str {
    match work {
        Work::Task(task) => task.as_str(),
        Work::Model(_) | Work::Tool => "",
    }
}

fn unknown_step(step: &StepName, known: &[StepName]) -> String {
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("no step is named `{step}`; expected one of {}", known.join(", "))
}

fn accepted(lease: &LeaseId, receipt: &Receipt, remark: Option<Reason>) -> Acceptance {
    let detail = match receipt {
        Receipt::UnknownStep { step, known } => Some(unknown_step(step, known)),
        _ => None,
    };
    let (kind, reason) = match receipt {
        Receipt::Recorded => (WireReceipt::Recorded, remark),
        Receipt::Renewed => (WireReceipt::Renewed, None),
        Receipt::Revoked => (WireReceipt::Revoked, None),
        Receipt::Stale(stale) => {
            let reason = match stale {
                Stale::Unknown => Reason::Unknown,
                Stale::Ended => Reason::Ended,
                Stale::Superseded => Reason::Superseded,
                Stale::NotHolder => Reason::NotHolder,
            };
            (WireReceipt::Stale, Some(reason))
        }
        Receipt::UnknownStep { .. } => (WireReceipt::Stale, Some(Reason::UnknownStep)),
    };
    Acceptance { lease: LeaseName(lease).to_string(), receipt: kind, reason, detail }
}

/// The body of the answer. The leases in it count as delivered once the connection takes the bytes.
#[derive(Debug)]
pub(super) struct Delivery(Option<(Bytes, Courier)>);

impl Delivery {
    pub(super) const fn new(bytes: Bytes, courier: Courier) -> Self {
        Self(Some((bytes, courier)))
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|(bytes, courier)| {
            courier.delivered();
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |(bytes, _)| bytes.len() as u64))
    }
}
