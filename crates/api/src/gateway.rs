//! The gateway for calls of models. Its requests and answers are those of OpenAI's API, which is not ours to describe:
//! here is what this server says itself, in the form that OpenAI's clients read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Json, Problem};

/// Why a call was refused, or ended without its answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallErrorBody {
    pub error: CallError,
}

/// In the form of OpenAI's errors; `code` is stable.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallError {
    /// For people.
    pub message: String,
    /// The kind, as OpenAI names it, such as `rate_limit_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field of the request that was wrong.
    pub param: Option<String>,
    /// The code of the problem; where OpenAI's clients know one of their own, that one.
    pub code: String,
    /// What this server knows beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairlane: Option<CallProblem>,
}

/// The same as in a problem document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallProblem {
    pub code: String,
    /// JSON pointer (RFC 6901) of the value in the request that was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The numbers behind a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub facts: Option<Json>,
    /// When another try may succeed; also in the header `Retry-After`, rounded up to seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// One server-sent event of an answer that is streamed. It is passed on as it came: this is how it is described.
#[derive(Debug, ToSchema)]
pub struct CallEvent {
    /// A chunk of the answer as OpenAI describes it, or `[DONE]`.
    pub data: String,
}

/// The models that the caller may name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServedModels {
    /// `list`
    pub object: String,
    pub data: Vec<ServedModel>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServedModel {
    pub id: String,
    /// `model`
    pub object: String,
    /// Always 0: when a name was declared, clients need not know.
    pub created: u64,
    /// `fairlane`
    pub owned_by: String,
}

impl ServedModel {
    pub fn new(id: String) -> Self {
        Self { id, object: "model".to_owned(), created: 0, owned_by: "fairlane".to_owned() }
    }
}

impl ServedModels {
    pub fn new(data: Vec<ServedModel>) -> Self {
        Self { object: "list".to_owned(), data }
    }
}

impl CallErrorBody {
    pub fn new(problem: &Problem) -> Self {
        let param = problem.pointer.as_deref().map(|at| at.trim_start_matches('/'));
        let param = param.filter(|param| !param.is_empty());
        Self {
            error: CallError {
                message: problem.to_string(),
                kind: kind(problem.status).to_owned(),
                param: param.map(|param| param.replace('/', ".")),
                code: problem.code.clone(),
                fairlane: Some(CallProblem {
                    code: problem.code.clone(),
                    pointer: problem.pointer.clone(),
                    expected: problem.expected.clone(),
                    facts: problem.facts.clone(),
                    retry_after_ms: problem.retry_after_ms,
                }),
            },
        }
    }
}

const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}
