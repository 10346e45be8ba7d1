//! Lease names as workers see them: `TENANT.RUN.STEP.PART.FENCE`, opaque to them.
//!
//! None of the parts can contain a dot. The part without the fence is the idempotency key: the same over all
//! attempts of the step.

use std::fmt;

use fairlane_core::id::TenantId;
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{Instance, LeaseId, Part, RunKey};

/// Shows a lease by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseName<'a>(pub(crate) &'a LeaseId);

/// Shows what stays the same over all attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdempotencyKey<'a>(pub(crate) &'a LeaseId);

impl fmt::Display for LeaseName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", IdempotencyKey(self.0), self.0.fence)
    }
}

impl fmt::Display for IdempotencyKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeaseId { key, instance, .. } = self.0;
        write!(f, "{}.{}.{}.{}", key.tenant, key.run, instance.step.0, instance.part.code())
    }
}

/// Reads a name back. `None` for what this server never wrote: each lease has one name, so that texts that differ are of
/// different leases.
pub(crate) fn parse(text: &str) -> Option<LeaseId> {
    let mut parts = text.split('.');
    let tenant = TenantId::parse(parts.next()?).ok()?;
    let run = parts.next()?.parse().ok()?;
    let step = StepIndex(parts.next()?.parse().ok()?);
    let part = Part::from_code(parts.next()?.parse().ok()?)?;
    let fence = parts.next()?.parse().ok()?;
    if parts.next().is_some() {
        return None;
    }
    let lease = LeaseId { key: RunKey { tenant, run }, instance: Instance { step, part }, fence };
    // Numbers and ids can be written in several ways, such as `007`, `+7` and with large letters.
    (LeaseName(&lease).to_string() == text).then_some(lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairlane_core::id::RunId;

    #[test]
    fn names_are_read_back_and_nonsense_is_not() {
        for part in [Part::Whole, Part::Compensation, Part::Item(0), Part::Item(9_999)] {
            let key = RunKey { tenant: TenantId::parse("bank-1_x").unwrap(), run: RunId(7 << 76) };
            let lease =
                LeaseId { key, instance: Instance { step: StepIndex(499), part }, fence: u64::MAX };
            let name = LeaseName(&lease).to_string();
            assert_eq!(parse(&name), Some(lease), "{name}");
            assert_eq!(parse(&format!("{name}.1")), None);
            assert_eq!(parse(&name.replace(".499.", ".-1.")), None);
        }
        let name = "a.0123abcd-0000-0000-0000-000000000000.7.3.5";
        assert!(parse(name).is_some());
        for (from, to) in
            [(".5", ".05"), (".5", ".+5"), (".7.", ".+7."), (".3.", ".03."), ("abcd", "ABCD")]
        {
            assert_eq!(parse(&name.replacen(from, to, 1)), None, "{to}");
        }
        for text in ["", ".", "....", "bank", "bank.run.1.-1.1", "BANK.x.1.-1.1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
