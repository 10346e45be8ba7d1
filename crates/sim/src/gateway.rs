//! The gateway in the host: calls of models that clients make, some of them under the lease of a step that a worker holds.
//!
//! It lives and dies with the host's process, and what it had under way with it. It ends each call that it has opened, as its
//! provider says or when the client has gone; and as a host with bugs would, it sometimes does so twice, or in the name of
//! another tenant first.

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::input::{CloseCall, OpenCall};
use fairlane_core::id::TenantId;
use fairlane_core::limiter::Answer;
use fairlane_core::router::Demand;
use fairlane_core::row::{LeaseId, Route};
use fairlane_core::time::{Span, Time};

use crate::catalog;
use crate::landscape::{Landscape, millis};
use crate::prng::Prng;
use crate::workload::Workload;

#[derive(Debug)]
pub struct Gateway {
    prng: Prng,
    tenants: Vec<TenantId>,
    models: u64,
    /// Some gateways have no clients.
    is_busy: bool,
}

impl Gateway {
    pub fn new(seed: u64, landscape: &Landscape) -> Self {
        let mut prng = Prng::split(seed, "gateway", 0);
        let tenants = landscape.tenants.iter().map(|tenant| tenant.id.clone()).collect();
        let is_busy = Workload::of(seed) == Workload::Paid && prng.chance(600);
        Self { prng, tenants, models: landscape.models.len() as u64, is_busy }
    }

    /// Time until a client calls; `None`: never.
    pub fn gap(&mut self) -> Option<Span> {
        self.is_busy.then(|| millis(&mut self.prng, 20, 2_000))
    }

    /// A call that a client wants to make, or a worker under one of these leases, which may be over.
    pub fn open(&mut self, leases: &[LeaseId]) -> OpenCall {
        let prng = &mut self.prng;
        let is_workers = !leases.is_empty() && prng.chance(600);
        let lease = is_workers.then(|| prng.pick(leases).clone());
        let tenant = match &lease {
            Some(lease) if prng.chance(950) => lease.key.tenant.clone(),
            _ => prng.pick(&self.tenants).clone(),
        };
        // Now and then a model that there is not.
        let models = self.models + u64::from(prng.chance(30));
        let call = catalog::call(prng, models);
        let demand = Demand {
            input: prng.small(1, 4_000),
            max_output: call.max_tokens,
            min_output: call.min_tokens,
            answers: 1,
        };
        let avoid = if prng.chance(100) { vec![catalog::endpoint_name(0)] } else { Vec::new() };
        let wait_max = if prng.chance(600) { millis(prng, 1, 4_000) } else { Span::ZERO };
        OpenCall { tenant, by: None, lease, model: call.model, demand, avoid, wait_max }
    }

    /// When a client goes away that would wait so long.
    pub fn patience(&mut self, wait_max: Span) -> Option<Span> {
        let prng = &mut self.prng;
        (wait_max > Span::ZERO && prng.chance(300)).then(|| millis(prng, 1, 3_000))
    }

    /// What it will say of a call that was let through, and when.
    pub fn closes(
        &mut self,
        now: Time,
        (call, tenant): (u64, &TenantId),
        route: &Route,
    ) -> Vec<(Span, CloseCall)> {
        let prng = &mut self.prng;
        let after = millis(prng, 1, 2_500);
        let usage = catalog::usage(prng, route.input, route.output);
        let (metered, answer) = match prng.below(100) {
            // The client has gone: what came out until then was counted by the host itself.
            0..15 => (Metered { usage, is_certain: false }, Answer::Unknown),
            15..20 => (Metered { usage: Usage::default(), is_certain: true }, Answer::Broken),
            20..25 => {
                let until = now + millis(prng, 1, 5_000);
                let usage = Usage::default();
                (Metered { usage, is_certain: true }, Answer::TurnedAway { until })
            }
            _ => (Metered { usage, is_certain: true }, Answer::Served),
        };
        let close = CloseCall { tenant: tenant.clone(), call, metered, answer };
        let mut closes = Vec::new();
        if prng.chance(100) {
            closes.push((after, CloseCall { tenant: prng.pick(&self.tenants).clone(), ..close }));
        }
        closes.push((after, close.clone()));
        if prng.chance(100) {
            let metered = Metered { usage: Usage { output: 1, ..usage }, ..metered };
            let later = Span(after.0 + millis(prng, 0, 50).0);
            closes.push((later, CloseCall { metered, ..close }));
        }
        closes
    }
}
