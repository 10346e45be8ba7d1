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

use crate::id::{PersonId, TenantId};
use crate::row::{Access, Credential, KeyRow, Role, SignIn};
use crate::tenant::TenantScope;
use crate::time::Time;

/// A credential that was checked.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Arc<KeyRow>,
    /// Who has signed in.
    person: Option<PersonId>,
}

/// The right to the rows of every tenant: of an operator, who may do everything, and of the owner of a cell, who does the work
/// of all that are in it.
#[derive(Clone, Copy, Debug)]
pub struct AllTenants(());

impl Identity {
    /// Compares the digest of a secret with that of the key that the credential names. `found: None`: there is no such key, which
    /// costs the same, and so does one whose time is over. Looks at every byte, whatever the first ones are.
    pub fn check(found: Option<Arc<KeyRow>>, digest: &[u8; 32], now: Time) -> Option<Self> {
        let stored = match found.as_ref().map(|row| &row.credential) {
            Some(Credential::Secret(digest)) => Some(*digest),
            Some(Credential::SignIn(_)) | None => None,
        };
        let difference = stored.unwrap_or_default().into_iter().zip(digest);
        let difference = difference.fold(0u8, |sum, (a, b)| sum | (a ^ b));
        let is_same = std::hint::black_box(difference) == 0 && stored.is_some();
        let key = found.filter(|row| is_same && !is_over(row, now))?;
        Some(Self { key, person: None })
    }

    /// Somebody has signed in: whoever calls has checked who it is, and `claims` says what was vouched for. The key is for that
    /// person if it asks for something that was, its time is not over, and it names nobody else: one human is one person, or
    /// could be two where two are asked for.
    pub fn signed_in(
        key: Arc<KeyRow>,
        person: PersonId,
        claims: impl FnOnce(&SignIn) -> bool,
        now: Time,
    ) -> Option<Self> {
        let Credential::SignIn(asked) = &key.credential else { return None };
        let opens = !is_over(&key, now) && claims(asked);
        let is_theirs = named(&key.role).is_none_or(|named| *named == person);
        (opens && is_theirs).then_some(Self { key, person: Some(person) })
    }

    pub fn key(&self) -> &Arc<KeyRow> {
        &self.key
    }

    /// The one person who asks, if it is known: whose key it is, or who has signed in.
    pub fn person(&self) -> Option<&PersonId> {
        named(&self.key.role).or(self.person.as_ref())
    }

    /// The right to the tenant's rows, if the key has it. Whether there is such a tenant is another question.
    pub fn scope(&self, tenant: &TenantId) -> Option<TenantScope> {
        let has = match &self.key.role {
            Role::Operator => true,
            Role::Tenant { tenant: own, .. } => own == tenant,
            Role::Worker { .. } | Role::Reviewer { .. } => false,
        };
        has.then(|| TenantScope::granted(tenant.clone()))
    }

    /// What the key may do with what its tenant has. Of others than tenants' keys: all.
    pub fn access(&self) -> Access {
        match &self.key.role {
            Role::Tenant { access, .. } => *access,
            Role::Operator | Role::Reviewer { .. } | Role::Worker { .. } => Access::Full,
        }
    }

    /// An operator's right.
    pub fn all_tenants(&self) -> Option<AllTenants> {
        matches!(self.key.role, Role::Operator).then_some(AllTenants(()))
    }
}

/// The person whose key it is, if it is one's.
fn named(role: &Role) -> Option<&PersonId> {
    match role {
        Role::Reviewer { person } => Some(person),
        Role::Tenant { person, .. } => person.as_ref(),
        Role::Operator | Role::Worker { .. } => None,
    }
}

fn is_over(key: &KeyRow, now: Time) -> bool {
    key.expires.is_some_and(|expires| expires <= now)
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
        with(Credential::Secret([7; 32]), role)
    }

    fn with(credential: Credential, role: Role) -> Arc<KeyRow> {
        let (id, label) = ("0123456789abcdef".parse().unwrap(), "test".into());
        let (created, expires, rate) = (Time(1), Some(Time(9)), None);
        Arc::new(KeyRow { id, credential, role, created, expires, rate, label })
    }

    #[test]
    fn a_key_for_who_signs_in_opens_by_that_alone() {
        let asked = SignIn { claim: "groups".into(), value: "ops".into() };
        let row = with(Credential::SignIn(asked.clone()), Role::Operator);
        let ada: PersonId = "ada@acme.example".parse().unwrap();
        let sign_in = |row: &Arc<KeyRow>, claim: &SignIn, now| {
            Identity::signed_in(row.clone(), ada.clone(), |asked| asked == claim, now)
        };
        let identity = sign_in(&row, &asked, Time(8)).unwrap();
        assert_eq!(identity.person(), Some(&ada));
        assert!(sign_in(&row, &asked, Time(9)).is_none(), "its time is over");
        let other = SignIn { value: "dev".into(), ..asked.clone() };
        assert!(sign_in(&row, &other, Time(8)).is_none());
        assert!(sign_in(&key(Role::Operator), &asked, Time(8)).is_none(), "it has a secret");
        assert!(Identity::check(Some(row), &[0; 32], Time(8)).is_none(), "it has no secret");

        let reviewer = |person: &PersonId| {
            with(Credential::SignIn(asked.clone()), Role::Reviewer { person: person.clone() })
        };
        assert_eq!(sign_in(&reviewer(&ada), &asked, Time(8)).unwrap().person(), Some(&ada));
        let bob: PersonId = "bob".parse().unwrap();
        let his = reviewer(&bob);
        assert!(sign_in(&his, &asked, Time(8)).is_none(), "nobody is two persons");
        let acme = "acme".parse().unwrap();
        let role = Role::Tenant { tenant: acme, access: Access::Full, person: Some(bob) };
        let his = with(Credential::SignIn(asked.clone()), role);
        assert!(sign_in(&his, &asked, Time(8)).is_none(), "nobody is two persons");
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
        let worker = Role::Worker { pools: Vec::new(), tenants: vec![acme.clone()], region: None };
        assert_eq!(rights(worker), (false, false, false));
    }
}
