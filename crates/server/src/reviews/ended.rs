//! Reviews that have ended, for who may still read them: an operator all, a tenant its own, a person what they decided or
//! held, as long as they may see the tenant's data where they work.
//!
//! A review is stored with its tenant, which an id does not say: the store is asked whose it is.

use std::sync::Arc;

use fairlane_api::Code;
use fairlane_api::review::ReviewDetail;
use fairlane_core::cell::input::Handler;
use fairlane_core::id::{PersonId, ReviewId, TenantId};
use fairlane_core::plan::Workflow;
use fairlane_core::residency::{Location, Storage};
use fairlane_core::row::{
    Payload, ReviewCause, ReviewEvent, ReviewEventRow, ReviewRow, ReviewState,
};
use fairlane_core::tenant::{Context, TenantScope};
use sha2::{Digest as _, Sha256};

use super::out::detail_of_row;
use crate::assembly::Subject;
use crate::cells::App;
use crate::problem::Refused;
use crate::serve::Shared;

/// A review that has ended, with its record.
pub(super) struct Ended {
    cell: Shared,
    scope: TenantScope,
    row: ReviewRow,
    record: Vec<ReviewEventRow>,
}

impl Ended {
    /// `None`: there is no such review, or it is not for whoever asks.
    pub(super) async fn find(
        app: &App,
        review: ReviewId,
        handler: &Handler,
    ) -> Result<Option<Self>, Refused> {
        let own = match handler {
            Handler::Owner { tenant, .. } => tenant.clone(),
            Handler::Person { .. } => None,
        };
        let Some((cell, row, record)) = read(app, review, own).await? else { return Ok(None) };
        let scope = cell.rights.scope(&row.tenant);
        let ended = Self { cell, scope, row, record };
        let may = match handler {
            Handler::Person { person, .. } => ended.is_known_to(person),
            Handler::Owner { .. } => true,
        };
        Ok(may.then_some(ended))
    }

    /// As it goes out, with the name of its step and what was decided on, as far as they can still be told.
    pub(super) async fn detail(&self) -> Result<ReviewDetail, Refused> {
        let run = self.cell.reads.run(&self.scope, self.row.run).await?;
        let mut detail = detail_of_row(&self.row, &self.record);
        let Some(run) = run else { return Ok(detail) };
        let plan = self.cell.assembly.plan(&run).await?;
        let context = self.cell.registry.context(&self.row.tenant);
        if let Some(plan) = plan {
            detail.review.step = plan.step(self.row.instance.step).name.to_string();
            let subject = match context {
                Some(context) => self.subject(run.key, plan, context).await,
                None => None,
            };
            detail.subject = subject.and_then(|subject| serde_json::from_slice(&subject).ok());
        }
        Ok(detail)
    }

    /// The refusal of a decision that comes after it.
    pub(super) fn decided(&self) -> Refused {
        let by: Vec<String> = self.row.votes.iter().map(|by| format!("`{by}`")).collect();
        let detail = match &self.row.state {
            ReviewState::Decided { outcome } => {
                format!("`{}` was decided by {}: `{outcome}`", self.row.id, by.join(" and "))
            }
            ReviewState::Overdue => format!("`{}` was not decided in time", self.row.id),
            _ => format!("`{}` is not wanted any more", self.row.id),
        };
        Refused::new(Code::ReviewEnded).detail(detail)
    }

    /// What was decided on; of a step's `with` only if it comes out as it was.
    async fn subject(
        &self,
        key: fairlane_core::row::RunKey,
        workflow: Arc<Workflow>,
        context: Arc<Context>,
    ) -> Option<Payload> {
        let subject = Subject { key, instance: self.row.instance, workflow, context };
        let found = self.cell.assembly.review_subject(subject, &self.row.cause).await.ok()?;
        let is_same = !matches!(self.row.cause, ReviewCause::Step)
            || <[u8; 32]>::from(Sha256::digest(&found)) == self.row.digest;
        is_same.then_some(found)
    }

    /// Whether the person decided it or held it, and is where the tenant's data may be.
    fn is_known_to(&self, person: &PersonId) -> bool {
        let had = |row: &ReviewEventRow| match &row.event {
            ReviewEvent::Claimed { by: who, .. }
            | ReviewEvent::Voted { by: who, .. }
            | ReviewEvent::Reassigned { to: who, .. }
            | ReviewEvent::BrokenGlass { person: who, .. } => who == person,
            _ => false,
        };
        self.record.iter().any(had) && self.is_inside(person)
    }

    fn is_inside(&self, person: &PersonId) -> bool {
        let registry = &self.cell.registry;
        let Some(context) = registry.context(&self.row.tenant) else { return false };
        let Some(pool) = registry.reviewer_pool(&self.row.pool) else { return false };
        let Some(member) = pool.members.iter().find(|member| member.person == *person) else {
            return false;
        };
        let location = Location {
            region: member.region.clone(),
            storage: Some(Storage::Nothing),
            certificates: member.certifications.clone(),
        };
        let (residency, now) = (context.rules.data_residency.as_ref(), self.cell.now());
        registry.places(|atlas| atlas.admits(residency, &location, now).is_ok())
    }
}

/// The review with its record and the cell that has it: the tenant's, or if none is named whoever's it is. As much is read of
/// what is not there, so that how long it takes does not say what is.
async fn read(
    app: &App,
    review: ReviewId,
    own: Option<TenantId>,
) -> Result<Option<(Shared, ReviewRow, Vec<ReviewEventRow>)>, Refused> {
    let mut found = None;
    for cell in app.all() {
        let (own, rights) = (own.clone(), cell.rights);
        let read = cell.reads.turn(own.clone(), move |reader| {
            let tenant = match own {
                Some(own) => own,
                None => reader.tenant_of_review(review)?.unwrap_or_else(nobody),
            };
            let scope = rights.scope(&tenant);
            let row = reader.review(&scope, review)?;
            Ok((row, reader.review_events(&scope, review)?))
        });
        let (row, record) = read.await?;
        found = found.or(row.map(|row| (cell.clone(), row, record)));
    }
    Ok(found)
}

/// Who has no review.
fn nobody() -> TenantId {
    TenantId::parse("nobody").expect("a valid name")
}
