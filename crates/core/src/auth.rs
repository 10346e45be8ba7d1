//! Who asks, and the right to a tenant's rows that follows.
//!
//! A [`TenantScope`] is made here alone, and here from two things only: a credential that was checked, and the rows of a cell
//! that were loaded to own it. So no path, header or body can name a tenant whose rows are then read:
//!
//! ```compile_fail
//! use fairlane_core::{id::TenantId, tenant::TenantScope};
//!
//! let named: TenantId = "acme".parse().unwrap();
//! let scope = TenantScope::granted(named); // private
//! ```
//!
//! ```compile_fail
//! use fairlane_core::{id::TenantId, tenant::TenantScope};
//!
//! let named: TenantId = "acme".parse().unwrap();
//! let scope = TenantScope(named); // private
//! ```
//!
//! ```compile_fail
//! let all = fairlane_core::auth::AllTenants(()); // private
//! ```
//!
//! ```
//! use fairlane_core::{cell::change::Snapshot, id::TenantId, tenant::TenantScope};
//!
//! let named: TenantId = "acme".parse().unwrap();
//! let scope: TenantScope = Snapshot::default().all_tenants().scope(&named);
//! assert_eq!(scope.tenant(), &named);
//! ```

use std::sync::Arc;

use crate::id::TenantId;
use crate::row::{Access, KeyRow, Role};
use crate::tenant::TenantScope;
use crate::time::Time;

/// A credential that was checked.
#[derive(Clone, Debug)]
pub struct Identity(Arc<KeyRow>);

/// The right to the rows of every tenant: of an operator, who may do everything, and of the owner of a cell, who does the work
/// of all that are in it.
#[derive(Clone, Copy, Debug)]
pub struct AllTenants(());

impl Identity {
    /// Compares the digest of a secret with that of the key that the credential names. `found: None`: there is no such key, which
    /// costs the same, and so does one whose time is over. Looks at every byte, whatever the first ones are.
    pub fn check(found: Option<Arc<KeyRow>>, digest: &[u8; 32], now: Time) -> Option<Self> {
        let stored = found.as_ref().map_or([0; 32], |row| row.digest);
        let difference = stored.iter().zip(digest).fold(0u8, |sum, (a, b)| sum | (a ^ b));
        let is_same = std::hint::black_box(difference) == 0;
        let is_over = |row: &Arc<KeyRow>| row.expires.is_some_and(|expires| expires <= now);
        found.filter(|row| is_same && !is_over(row)).map(Self)
    }

    pub fn key(&self) -> &Arc<KeyRow> {
        &self.0
    }

    /// The right to the tenant's rows, if the key has it. Whether there is such a tenant is another question.
    pub fn scope(&self, tenant: &TenantId) -> Option<TenantScope> {
        let has = match &self.0.role {
            Role::Operator => true,
            Role::Tenant { tenant: own, .. } => own == tenant,
            Role::Worker { .. } | Role::Reviewer { .. } => false,
        };
        has.then(|| TenantScope::granted(tenant.clone()))
    }

    /// What the key may do with what its tenant has. Of others than tenants' keys: all.
    pub fn access(&self) -> Access {
        match &self.0.role {
            Role::Tenant { access, .. } => *access,
            Role::Operator | Role::Reviewer { .. } | Role::Worker { .. } => Access::Full,
        }
    }

    /// An operator's right.
    pub fn all_tenants(&self) -> Option<AllTenants> {
        matches!(self.0.role, Role::Operator).then_some(AllTenants(()))
    }
}

impl AllTenants {
    /// For who has loaded the rows of a cell.
    pub(crate) const fn of_owner() -> Self {
        Self(())
    }

    pub fn scope(self, tenant: &TenantId) -> TenantScope {
        TenantScope::granted(tenant.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(role: Role) -> Arc<KeyRow> {
        let (id, label) = ("0123456789abcdef".parse().unwrap(), "test".into());
        Arc::new(KeyRow {
            id,
            digest: [7; 32],
            role,
            created: Time(1),
            expires: Some(Time(9)),
            label,
        })
    }

    #[test]
    fn a_credential_is_its_keys_with_the_whole_secret_only() {
        let row = key(Role::Operator);
        assert!(Identity::check(Some(row.clone()), &[7; 32], Time(8)).is_some());
        for at in [0, 15, 31] {
            let mut wrong = [7; 32];
            wrong[at] = 8;
            assert!(Identity::check(Some(row.clone()), &wrong, Time(8)).is_none(), "byte {at}");
        }
        assert!(Identity::check(Some(row), &[7; 32], Time(9)).is_none(), "its time is over");
        assert!(
            Identity::check(None, &[0; 32], Time(8)).is_none(),
            "no key, though the digests are equal"
        );
    }

    #[test]
    fn each_role_has_a_right_to_its_own_rows_only() {
        let (acme, bolt): (TenantId, TenantId) = ("acme".parse().unwrap(), "bolt".parse().unwrap());
        let rights = |role| {
            let identity = Identity::check(Some(key(role)), &[7; 32], Time(8)).unwrap();
            let has = |tenant| identity.scope(tenant).is_some_and(|scope| scope.tenant() == tenant);
            (has(&acme), has(&bolt), identity.all_tenants().is_some())
        };
        assert_eq!(rights(Role::Operator), (true, true, true));
        let access = Access::View;
        let tenant = Role::Tenant { tenant: acme.clone(), access, person: None };
        assert_eq!(rights(tenant), (true, false, false));
        let reviewer = Role::Reviewer { person: "ada".parse().unwrap() };
        assert_eq!(rights(reviewer), (false, false, false));
        let worker = Role::Worker { pools: Vec::new(), region: None };
        assert_eq!(rights(worker), (false, false, false));
    }
}
