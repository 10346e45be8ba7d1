//! Declarations of models and prices, and of how the server calls a tool.

use crate::catalog::{
    ANSWER_BYTES_MAX, CALL_TIMEOUT_MAX, CALL_TIMEOUT_MIN, CANDIDATES_MAX, Candidate, Endpoint,
    HEADERS_MAX, Model, PRICE_MAX, PRICE_VERSIONS_MAX, Price, PriceVersion, Protocol, Rates,
    SURCHARGE_MAX, TOKENS_MAX,
};
use crate::id::TierName;
use crate::quota::Tool;
use crate::reject::{CandidateFault, Rejection};
use crate::tenant::Rules;

use super::change::Change;
use super::configure::{full, span, wide};
use super::model::WAY;
use super::{Cell, Turn};

/// Bounds on how much can be declared in one cell.
pub(crate) const MODELS_MAX: usize = 10_000;
pub(crate) const PRICES_MAX: usize = 10_000;

impl Cell {
    pub(crate) fn declare_model(
        &mut self,
        model: Model,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        wide("/candidates", model.candidates.len() as u64, 1, CANDIDATES_MAX as u64)?;
        for (candidate, at) in model.candidates.iter().zip(0..) {
            if let Some(fault) = self.candidate_fault(candidate) {
                return Err(Rejection::BadCandidate { at, fault });
            }
        }
        let known = self.directory.models.get(&model.name);
        if known == Some(&model) {
            return Ok(false);
        }
        full("models", known.is_none(), self.directory.models.len(), MODELS_MAX)?;
        turn.write(Change::Model(model.clone()));
        self.directory.models.insert(model.name.clone(), model);
        self.models_changed();
        Ok(true)
    }

    fn candidate_fault(&self, candidate: &Candidate) -> Option<CandidateFault> {
        let Candidate { endpoint, price, tiers, .. } = candidate;
        match self.directory.tools.get(endpoint) {
            None => return Some(CandidateFault::UnknownTool { tool: endpoint.clone() }),
            Some(tool) if !is_chat(tool) => {
                return Some(CandidateFault::NoChatEndpoint { tool: endpoint.clone() });
            }
            Some(_) => {}
        }
        if !self.directory.prices.contains_key(price) {
            return Some(CandidateFault::UnknownPrice { price: price.clone() });
        }
        let unknown = tiers.iter().find(|tier| !self.is_tier_of_models(tier))?;
        Some(CandidateFault::UnknownTier { tier: unknown.clone() })
    }

    /// Whether candidates of models can be meant for tenants under this name: a tier, or one that a tier or a tenant names as
    /// its model tier. All tenants are looked at only for what is no tier's.
    fn is_tier_of_models(&self, name: &TierName) -> bool {
        let names_it = |rules: &Rules| rules.model_tier.as_ref() == Some(name);
        self.directory.tiers.contains_key(name)
            || self.directory.tiers.values().any(|tier| names_it(&tier.rules))
            || self.directory.tenants.indexed().any(|(_, entry)| names_it(&entry.declared.rules))
    }

    pub(crate) fn declare_price(
        &mut self,
        price: Price,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        wide("/versions", price.versions.len() as u64, 1, PRICE_VERSIONS_MAX as u64)?;
        price.versions.iter().try_for_each(version)?;
        for (pair, at) in price.versions.windows(2).zip(1..) {
            if pair[0].from >= pair[1].from {
                return Err(Rejection::VersionOutOfOrder { at });
            }
        }
        let known = self.directory.prices.get(&price.name);
        if known == Some(&price) {
            return Ok(false);
        }
        full("prices", known.is_none(), self.directory.prices.len(), PRICES_MAX)?;
        turn.write(Change::Price(price.clone()));
        self.directory.prices.insert(price.name.clone(), price);
        self.models_changed();
        Ok(true)
    }

    /// A tool that models name stays one that they can use.
    pub(crate) fn check_endpoint(&self, tool: &Tool) -> Result<(), Rejection> {
        if let Some(endpoint) = &tool.endpoint {
            check_endpoint(endpoint)?;
        }
        if is_chat(tool) || !self.directory.tools.get(&tool.name).is_some_and(is_chat) {
            return Ok(());
        }
        let names_it = |model: &&Model| model.candidates.iter().any(|of| of.endpoint == tool.name);
        match self.directory.models.values().find(names_it) {
            Some(model) => Err(Rejection::EndpointInUse { model: model.name.clone() }),
            None => Ok(()),
        }
    }

    /// A model, a price or an endpoint is another one now: whatever waits for a way, for room or for money tries again.
    pub(crate) fn models_changed(&mut self) {
        self.limiter.retry_everyone();
        self.ledger.retry_everyone();
        self.wake_parked(WAY.0);
        self.wake_policed(None);
    }
}

fn is_chat(tool: &Tool) -> bool {
    tool.endpoint.as_ref().is_some_and(Endpoint::is_chat)
}

fn check_endpoint(endpoint: &Endpoint) -> Result<(), Rejection> {
    span("/endpoint/timeout", endpoint.timeout, CALL_TIMEOUT_MIN, CALL_TIMEOUT_MAX)?;
    let answer_bytes_max = u64::from(endpoint.answer_bytes_max);
    wide("/endpoint/answer_bytes_max", answer_bytes_max, 1, u64::from(ANSWER_BYTES_MAX))?;
    let surcharge = u64::from(endpoint.surcharge_permille);
    wide("/endpoint/surcharge", surcharge, 0, u64::from(SURCHARGE_MAX))?;
    match &endpoint.protocol {
        Protocol::Chat => Ok(()),
        Protocol::Http(request) => {
            let headers = request.headers.len() as u64;
            wide("/endpoint/request/headers", headers, 0, HEADERS_MAX as u64)
        }
    }
}

fn version(version: &PriceVersion) -> Result<(), Rejection> {
    let PriceVersion { rates: own, long, context, output_max, .. } = version;
    rates(own)?;
    if let Some((above, long)) = long {
        tokens("/versions/long/above", *above)?;
        rates(long)?;
    }
    tokens("/versions/context", context.unwrap_or(1))?;
    tokens("/versions/output_max", output_max.unwrap_or(1))
}

fn rates(rates: &Rates) -> Result<(), Rejection> {
    let Rates { input, cached, output } = *rates;
    for (field, rate) in [
        ("/versions/input", input),
        ("/versions/cached_input", cached.unwrap_or_default()),
        ("/versions/output", output),
    ] {
        wide(field, rate.0, 0, PRICE_MAX.0)?;
    }
    Ok(())
}

fn tokens(field: &'static str, tokens: u32) -> Result<(), Rejection> {
    wide(field, u64::from(tokens), 1, u64::from(TOKENS_MAX))
}
