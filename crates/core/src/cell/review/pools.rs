//! Reviewer pools, and what is checked where something names one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::id::{ReviewId, ReviewerPoolName, TenantId};
use crate::plan::{StepKind, Workflow};
use crate::reject::Rejection;
use crate::residency::{Location, Residency, Storage};
use crate::review::{
    Barrier, CLASS_BOUND_MAX, LEASE_MAX, LEASE_MIN, MEMBERS_MAX, Member, NAMES_MAX, ReviewerPool,
};
use crate::reviews::{Known, Matter, Need};
use crate::scheduler::TenantIx;
use crate::time::Time;

use super::super::change::Change;
use super::super::configure::{full, range, span};
use super::super::directory::Directory;
use super::super::live::Run;
use super::super::policy::Policed;
use super::super::{Cell, Turn};

/// Most reviewer pools of one cell.
pub(crate) const REVIEWER_POOLS_MAX: usize = 10_000;

impl Cell {
    pub(crate) fn declare_reviewer_pool(
        &mut self,
        pool: ReviewerPool,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        span("/lease", pool.lease, LEASE_MIN, LEASE_MAX)?;
        range("/class_bound", pool.class_bound, 1, CLASS_BOUND_MAX)?;
        full("members of a pool", true, pool.members.len(), MEMBERS_MAX + 1)?;
        let mut persons = BTreeSet::new();
        for member in &pool.members {
            if !persons.insert(&member.person) {
                return Err(Rejection::MemberTwice { person: member.person.clone() });
            }
            let names = [
                member.skills.len(),
                member.certifications.len(),
                member.tenants.as_ref().map_or(0, BTreeSet::len),
            ];
            for count in names {
                full("names of one member", true, count, NAMES_MAX + 1)?;
            }
        }
        let regions = pool.members.iter().filter_map(|member| member.region.clone()).collect();
        self.known_regions("/members", &regions)?;
        let known = self.desk.queue.pool(&pool.name);
        if known.is_some_and(|known| **known == pool) {
            return Ok(false);
        }
        full(
            "reviewer pools",
            known.is_none(),
            self.desk.queue.pools().count(),
            REVIEWER_POOLS_MAX,
        )?;
        turn.write(Change::ReviewerPool(pool.clone()));
        self.put_reviewer_pool(pool);
        Ok(true)
    }

    /// A tenant is new here: pools that name it work for it from now on. A pool may name tenants of other cells.
    pub(crate) fn put_pools_of(&mut self, tenant: &TenantId) {
        let names_it = |pool: &ReviewerPool| {
            let own = pool.members.iter().filter_map(|member| member.tenants.as_ref());
            pool.tenant.as_ref() == Some(tenant) || own.flatten().any(|named| named == tenant)
        };
        let pools: Vec<ReviewerPool> = self
            .desk
            .queue
            .pools()
            .filter(|pool| names_it(pool))
            .map(|pool| (**pool).clone())
            .collect();
        for pool in pools {
            self.put_reviewer_pool(pool);
        }
    }

    pub(crate) fn put_reviewer_pool(&mut self, pool: ReviewerPool) {
        let tenants = &self.directory.tenants;
        let number = |tenant: &TenantId| tenants.find(tenant).map(|at| at.0);
        self.desk.queue.put_pool(Arc::new(pool), &number);
    }

    /// Refuses a pool that is not declared, or works for another tenant. `tenant`: `None` for a tier, which may name a pool
    /// for all only.
    pub(crate) fn known_reviewers(
        &self,
        pool: Option<&ReviewerPoolName>,
        tenant: Option<&TenantId>,
    ) -> Result<(), Rejection> {
        let Some(name) = pool else { return Ok(()) };
        let Some(declared) = self.desk.queue.pool(name) else {
            return Err(Rejection::UnknownReviewerPool { pool: name.clone() });
        };
        if declared.tenant.is_some() && declared.tenant.as_ref() != tenant {
            return Err(Rejection::PoolOfAnother { pool: name.clone() });
        }
        Ok(())
    }

    /// Reviews of a workflow name pools that are declared, and approve nothing by themselves.
    pub(crate) fn known_review_steps(&self, workflow: &Workflow) -> Result<(), Rejection> {
        let replan = workflow.replan.as_deref();
        let planner = replan.map(|replan| &replan.planner);
        let of_steps = workflow.steps.iter().chain(planner).filter_map(|step| match &step.kind {
            StepKind::Review(terms) => Some((step, terms)),
            _ => None,
        });
        let approval = replan.and_then(|replan| Some((planner?, replan.approval.as_ref()?)));
        for (step, terms) in of_steps.chain(approval) {
            if terms.approves_itself() {
                return Err(Rejection::ApprovesItself { step: step.name.clone() });
            }
            let rungs = terms.escalate.iter().filter_map(|rung| rung.pool.as_ref());
            for name in terms.pool.iter().chain(rungs) {
                if self.desk.queue.pool(name).is_none() {
                    return Err(Rejection::UnknownReviewerPool { pool: name.clone() });
                }
            }
        }
        Ok(())
    }
}

impl Directory {
    /// The number that stands for where the data of a run may be: reviews of runs with the same number are for people in the
    /// same places.
    pub(crate) fn review_facts(&mut self, run: &Run) -> u32 {
        let mut bounds: Vec<Residency> = self
            .binding(run)
            .all()
            .filter_map(|context| context.rules.data_residency.clone())
            .collect();
        bounds.dedup();
        let found = self.review_bounds.iter().position(|known| *known == bounds);
        let at = found.unwrap_or_else(|| {
            self.review_bounds.push(bounds);
            self.review_bounds.len() - 1
        });
        u32::try_from(at).expect("constraints are bounded by tenants")
    }
}

/// What the cell knows of people who decide: where they work, and what policies say of them.
pub(super) struct People<'a> {
    directory: &'a Directory,
    policed: &'a Policed,
    now: Time,
}

impl<'a> People<'a> {
    pub(super) const fn of(directory: &'a Directory, policed: &'a Policed, now: Time) -> Self {
        Self { directory, policed, now }
    }
}

impl Known for People<'_> {
    /// Whether a person works outside of where the data of a run may be: to read it there is to bring it there. A person of
    /// whom nobody knows where they work is outside of every zone.
    fn of_need(&self, member: &Member, need: &Need) -> Option<Barrier> {
        let location = Location {
            region: member.region.clone(),
            storage: Some(Storage::Nothing),
            certificates: member.certifications.clone(),
        };
        let bounds = &self.directory.review_bounds[need.facts as usize];
        let is_outside = |bound: &Residency| {
            self.directory.atlas.admits(Some(bound), &location, self.now).is_err()
        };
        bounds.iter().any(is_outside).then_some(Barrier::Zone)
    }

    fn of_matter(&self, member: &Member, matter: Matter<'_>) -> Option<Barrier> {
        let denied = self.policed.may_review(self.directory, member, matter).err()?;
        Some(Barrier::Policy(denied.policy))
    }
}

impl Cell {
    /// Where a tenant's data may be is another place now: who may decide its reviews is, too.
    pub(crate) fn refit_reviews(&mut self, tenant: TenantIx) {
        let open: Vec<(ReviewId, u32)> = self
            .desk
            .open
            .iter()
            .filter_map(|(id, opened)| Some((*id, self.runs.find(&opened.key)?)))
            .filter(|(_, run)| self.runs.get(*run).tenant == tenant)
            .collect();
        for (id, run) in open {
            let facts = self.directory.review_facts(self.runs.get(run));
            self.desk.queue.set_facts(id, facts);
        }
    }
}
