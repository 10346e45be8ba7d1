//! What a model is asked: the templates of its step, filled with the step's inputs.

use fairlane_core::plan::{ModelCall, Step, StepKind};
use fairlane_core::row::{Failure, Payload};
use fairlane_workflow::{Mode, Template};
use serde_json::Map;
use serde_json::value::RawValue;

use super::failure;
use crate::upstream::chat::{Message, Request};

/// The request for the named model, without a bound on its output.
pub(crate) fn request(step: &Step, upstream: &str, input: &Payload) -> Result<Request, Failure> {
    let StepKind::Model(call) = &step.kind else {
        return Err(failure("internal", "the step calls no model"));
    };
    let mut request = Request::new(upstream, &messages(call, input)?);
    if let Some(schema) = &step.output_schema {
        let schema = RawValue::from_string(schema.to_string())
            .map_err(|error| failure("internal", &format!("the schema is no JSON: {error}")))?;
        request.set_schema(step.name.as_str(), &schema);
    }
    Ok(request)
}

fn messages(call: &ModelCall, input: &Payload) -> Result<Vec<Message>, Failure> {
    let inputs: Map<String, serde_json::Value> = serde_json::from_slice(input)
        .map_err(|error| failure("input-invalid", &format!("the inputs are no object: {error}")))?;
    let filled = |role: &'static str, template: &str| {
        let template = Template::parse(template, Mode::Text)
            .map_err(|mistake| failure("prompt-invalid", &mistake.to_string()))?;
        let content = template
            .render(&inputs)
            .map_err(|error| failure("prompt-invalid", &error.to_string()))?;
        Ok(Message { role, content })
    };
    let system = call.system.iter().map(|template| filled("system", template));
    system.chain([filled("user", &call.prompt)]).collect()
}
