//! What the server itself calls, and what that costs: endpoints of tools, models, and the price book.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::quota::Amount;

/// How the server calls a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// Of `chat`: the base, such as `https://models.example/v1`. Of `http`: a template; what stands before its path is
    /// fixed.
    pub url: String,
    /// A variable of the server's environment, named `FAIRLANE_SECRET_...`; its value is sent as
    /// `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Whether its address may be a private one.
    #[serde(default)]
    pub allow_private: bool,
    /// Bound on one call: a duration such as `30s`, of at least 1 ms and at most 1 h.
    #[serde(default = "default_timeout")]
    #[schema(default = "1m")]
    pub timeout: String,
    /// Largest answer that is read, at most 64 MiB.
    #[serde(default = "default_answer_bytes_max")]
    #[schema(minimum = 1, maximum = 67_108_864, default = 1_048_576)]
    pub answer_bytes_max: u64,
    /// What is paid on top of the price, as a part of it: `0.1` is 10 %. At most three decimal places.
    #[serde(default)]
    pub surcharge: Amount,
    /// Of `http`: what is sent. Absent: `POST` with the step's inputs as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Chat completions and embeddings, as `OpenAI` has them.
    Chat,
    /// One request, made from a template.
    Http,
}

/// What is sent to a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default)]
    pub method: Method,
    /// By name, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Header>,
    /// A template of JSON. Absent: the step's inputs as they are, or nothing for `GET` and `DELETE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

/// The value of a header: a text, or the variable of the server's environment that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Header {
    Text(String),
    Secret(Secret),
}

/// A value that only the server's environment has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Named `FAIRLANE_SECRET_...`: no other variable is ever read.
    pub env: String,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadHeader)
    }
}

struct ReadHeader;

impl<'de> Visitor<'de> for ReadHeader {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or an object with `env`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Header, E> {
        Ok(Header::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Header, A::Error> {
        Secret::deserialize(MapAccessDeserializer::new(map)).map(Header::Secret)
    }
}

/// Body of `PUT /v1/catalog/models/{model}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Best first, at most 16.
    #[schema(min_items = 1, max_items = 16)]
    pub candidates: Vec<Candidate>,
}

/// A model by the name that workflows use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    pub name: String,
    pub candidates: Vec<Candidate>,
}

/// One way to serve a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// A tool whose endpoint has the protocol `chat`.
    pub endpoint: String,
    /// What the endpoint calls the model.
    pub model: String,
    /// What it costs. Absent: the price of the same name as `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// Tiers whose tenants may use it. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub tiers: Vec<String>,
}

/// Body of `PUT /v1/catalog/prices/{price}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSpec {
    /// In the order of their beginning, at most 64. A call costs what was in force when it was let through.
    #[schema(min_items = 1, max_items = 64)]
    pub versions: Vec<PriceVersion>,
}

/// A price of the price book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Price {
    pub name: String,
    pub versions: Vec<PriceVersion>,
}

/// What a million tokens cost, from a moment until the next version begins. At most a million for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceVersion {
    /// Absent: since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The platform's currency; a version that names another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "USD")]
    pub currency: Option<String>,
    pub input: Amount,
    /// Of input that the provider had in its cache. Absent: the same as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Amount>,
    pub output: Amount,
    /// What the whole call costs if its input is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongRates>,
    /// Most tokens of one call, in and out together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub context: Option<u64>,
    /// Most tokens that come out of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub output_max: Option<u64>,
}

/// Rates of a call with a long input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LongRates {
    /// Tokens of input that are not long yet.
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub above: u64,
    pub input: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Amount>,
    pub output: Amount,
}

fn default_timeout() -> String {
    "1m".to_owned()
}

const fn default_answer_bytes_max() -> u64 {
    1 << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_text_or_names_a_variable() {
        let headers: Vec<Header> =
            serde_json::from_str(r#"["a", {"env": "FAIRLANE_SECRET_A"}]"#).unwrap();
        let secret = Secret { env: "FAIRLANE_SECRET_A".to_owned() };
        assert_eq!(headers, [Header::Text("a".to_owned()), Header::Secret(secret)]);
        for json in ["7", "null", "{}", r#"{"env": "A", "text": "b"}"#, r#"["env"]"#] {
            assert!(serde_json::from_str::<Header>(json).is_err(), "{json}");
        }
    }
}
