//! What a model is asked: the templates of its step, filled with the step's inputs.

use fairlane_core::plan::{ModelCall, Step, StepKind};
use fairlane_core::row::{Failure, Payload};
use fairlane_workflow::Mode;
use serde_json::value::RawValue;

use super::{filled, inputs};
use crate::upstream::chat::{Message, Request};

/// The request for the named model, without a bound on its output.
pub(crate) fn request(step: &Step, upstream: &str, input: &Payload) -> Result<Request, Failure> {
    let StepKind::Model(call) = &step.kind else {
        return Err(Failure::cut("internal", "the step calls no model"));
    };
    let mut request = Request::new(upstream, &messages(call, input)?);
    if let Some(schema) = &step.output_schema {
        let schema = RawValue::from_string(schema.to_string()).map_err(|error| {
            Failure::cut("internal", &format!("the schema is no JSON: {error}"))
        })?;
        request.set_schema(step.name.as_str(), &schema);
    }
    Ok(request)
}

fn messages(call: &ModelCall, input: &Payload) -> Result<Vec<Message>, Failure> {
    let inputs = inputs(input)?;
    let message = |role: &'static str, template: &str| {
        let content = filled(template, Mode::Text, &inputs, "prompt-invalid")?;
        Ok(Message { role, content })
    };
    let system = call.system.iter().map(|template| message("system", template));
    system.chain([message("user", &call.prompt)]).collect()
}
