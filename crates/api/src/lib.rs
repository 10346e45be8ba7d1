//! Wire types of the HTTP API, from which the OpenAPI document is generated.
