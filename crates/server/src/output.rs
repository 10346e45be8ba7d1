//! Whether an output is one that its step may have, whoever made it.

use fairlane_api::worker::Reason;
use fairlane_core::cell::input::Judged;
use fairlane_core::row::{Failure, LeaseId, Payload};

use crate::problem::Refused;
use crate::serve::Surroundings;

/// Why it is not; the attempt that made it has failed.
pub(crate) struct Unfit {
    pub(crate) reason: Reason,
    pub(crate) failure: Failure,
    /// Another attempt may make a better one.
    pub(crate) retryable: bool,
}

/// Checks its size, the schema of its step, and what else that asks. Time grows with the output's length.
pub(crate) async fn check(
    shared: &Surroundings,
    lease: &LeaseId,
    output: &Payload,
) -> Result<Result<Judged, Unfit>, Refused> {
    let max = shared.config.payload_bytes_max;
    if output.len() > max {
        let message = format!("the output has {} bytes, at most {max} are allowed", output.len());
        let failure = Failure::cut("output-too-large", &message);
        return Ok(Err(Unfit { reason: Reason::OutputTooLarge, failure, retryable: false }));
    }
    let checked = shared.assembly.check_output(lease, output).await?;
    Ok(checked.map_err(|(class, message)| {
        let failure = Failure::cut(class, &message);
        Unfit { reason: Reason::OutputInvalid, failure, retryable: true }
    }))
}
