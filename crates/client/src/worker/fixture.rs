//! Leases for tests.

use fairlane_api::Timestamp;
use fairlane_api::view::Part;
use fairlane_api::worker::{Context, Lease};
use serde_json::value::RawValue;

pub(super) fn lease(id: &str) -> Lease {
    let object = || RawValue::from_string("{}".to_owned()).unwrap();
    Lease {
        lease: id.to_owned(),
        tenant: "acme".to_owned(),
        run: "run".to_owned(),
        workflow: "loan".to_owned(),
        version: 1,
        step: "verify".to_owned(),
        part: Part::Whole,
        task: "verify".to_owned(),
        attempt: 1,
        idempotency_key: "once".to_owned(),
        input: object(),
        context: Context {
            version: 1,
            org: "org".to_owned(),
            tier: "standard".to_owned(),
            attributes: object(),
        },
        deadline: Timestamp(0),
        renew_within_ms: 10_000,
        gateway: None,
        traceparent: None,
    }
}
