//! What is asked of an output besides its schema: a check, and how sure the step is of it.

use fairlane_api::Code;
use fairlane_core::cell::input::Judged;
use fairlane_core::plan::{Expr, Step, Workflow};
use fairlane_core::replan::Confidence;
use fairlane_core::row::{LeaseId, Payload};
use fairlane_core::tenant::Context;
use fairlane_workflow::{Scope, tenant_json};

use super::{Assembly, Miss};
use crate::problem::Refused;

/// The attribute of a tenant that says how sure a step must be that says nothing of it.
const THRESHOLD: &str = "confidence_threshold";
const REJECTED: &str = "output-rejected";
const INVALID: &str = "output-invalid";

/// Why an output is none of its step's: a class of failures, and a sentence.
pub(crate) type Unfit = (&'static str, String);

impl Assembly {
    /// Looks at an output that has its step's schema. Takes time in what the expressions read.
    pub(super) async fn judge(
        &self,
        lease: &LeaseId,
        (workflow, step): (&std::sync::Arc<Workflow>, &Step),
        output: &Payload,
    ) -> Result<Result<Judged, Unfit>, Refused> {
        if step.judge.asks_nothing() {
            return Ok(Ok(Judged::default()));
        }
        let context = self.0.registry.context(&lease.key.tenant);
        let Some(context) = context else { return Ok(Ok(Judged::default())) };
        let (this, lease, tenant) = (self.clone(), lease.clone(), lease.key.tenant.clone());
        let (workflow, step, output) = (workflow.clone(), step.clone(), output.clone());
        let work = move || {
            let reads = this.0.reads.clone();
            let refs = this.0.evaluator.references_of(&named(&step));
            let mut refs = refs.map_err(|error| Err((REJECTED, error.to_string())))?;
            refs.steps.retain(|read| *read != step.name);
            refs.statuses.retain(|read| *read != step.name);
            let mut gatherer = this.gatherer(&lease.key, &workflow, Some(&reads));
            let mut gathered = gatherer.gather(&refs).map_err(|miss| match miss {
                Miss::Failed(failure) => Err((REJECTED, failure.message.to_string())),
                Miss::Store | Miss::Unavailable => Ok(()),
            })?;
            gathered.own(&step.name, output);
            let tenant = tenant_json(&context);
            let steps = gathered.steps();
            let scope = gathered.scope(&steps, &tenant, lease.key.run);
            this.judged(&step, &context, &scope).map_err(Err)
        };
        let judged = self.on_thread(tenant, work).await;
        match judged.map_err(|error| Refused::internal(&error))? {
            Ok(judged) => Ok(Ok(judged)),
            Err(Err(unfit)) => Ok(Err(unfit)),
            Err(Ok(())) => Err(Refused::new(Code::StoreUnavailable)),
        }
    }

    fn judged(&self, step: &Step, context: &Context, scope: &Scope<'_>) -> Result<Judged, Unfit> {
        let evaluator = &self.0.evaluator;
        if let Some(check) = &step.judge.check {
            match evaluator.condition(check, scope) {
                Ok(true) => {}
                Ok(false) => {
                    let message = format!("the output does not pass the step's check: {}", check.0);
                    return Err((REJECTED, message));
                }
                Err(error) => {
                    let message = format!("the output does not pass the step's check: {error}");
                    return Err((REJECTED, message));
                }
            }
        }
        let number = |expression: &Expr| {
            let found = evaluator.number(expression, scope);
            let found = found.map_err(|error| (INVALID, format!("the confidence: {error}")))?;
            permille(found).ok_or_else(|| {
                let message = format!("the confidence is {found}, which is not from 0 to 1");
                (INVALID, message)
            })
        };
        let confidence = match &step.judge.confidence {
            None => None,
            Some(confidence) => {
                let least = match &step.judge.least {
                    Some(least) => Some(number(least)?),
                    None => threshold(context),
                };
                let permille = number(confidence)?;
                least.map(|least_permille| Confidence { permille, least_permille })
            }
        };
        Ok(Judged { is_checked: step.judge.check.is_some(), confidence })
    }
}

/// The expressions, as a `with` has them.
fn named(step: &Step) -> Vec<(String, Expr)> {
    let judge = &step.judge;
    let all = [&judge.check, &judge.confidence, &judge.least];
    all.into_iter().flatten().map(|expression| ("output".to_owned(), expression.clone())).collect()
}

/// How sure steps of the tenant must be that do not say it themselves.
fn threshold(context: &Context) -> Option<u32> {
    let attributes: serde_json::Value = serde_json::from_str(&context.attributes).ok()?;
    permille(attributes.get(THRESHOLD)?.as_f64()?)
}

/// Thousandths, the nearest; `None` outside of 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number was found to be from 0 to 1,000"
)]
fn permille(part: f64) -> Option<u32> {
    (0.0..=1.0).contains(&part).then(|| (part * 1_000.0).round() as u32)
}
