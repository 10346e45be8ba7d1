//! Reviews: nobody decides but who holds the review and may; nothing is approved because nobody looked; and each ends.
//!
//! The record of each review is followed entry by entry, in a state of its own, and compared with its row. What people ask
//! for is heard at the host's door, so that a host that passes it on as somebody else's cannot hide that. Who may decide is
//! looked up here in a list of its own, not in the one that decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::{Decide, ReviewCommand};
use fairlane_core::id::{OutcomeName, PersonId, ReviewId, ReviewerPoolName, TenantId};
use fairlane_core::plan::StepKind;
use fairlane_core::review::{Overdue, ReviewerPool};
use fairlane_core::row::{
    Part, ReviewCause, ReviewEvent, ReviewEventRow, ReviewRow, ReviewState, RunKey, StepRow,
    StepState,
};
use fairlane_core::time::Time;

use super::p10_residency;
use super::review_turns::Turns;
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const HOLDER: &str = "reviews: one holder";
const DECIDED: &str = "reviews: decided by its holder";
const ELIGIBLE: &str = "reviews: only who may";
const PERSONS: &str = "reviews: distinct persons";
const APPROVED: &str = "reviews: no approval by itself";
const ENDS: &str = "reviews: each ends";
const WAITS: &str = "reviews: waiting holds nothing";

#[derive(Debug, Default)]
pub(crate) struct Reviews {
    /// What people were heard to decide, and under which fence.
    said: BTreeSet<(ReviewId, PersonId, u64, OutcomeName, Arc<str>)>,
    pools: BTreeMap<ReviewerPoolName, ReviewerPool>,
    files: BTreeMap<(TenantId, ReviewId), File>,
    turns: Turns,
    /// The turn changes where data may be: who may see what is told by the rows after it only.
    moves_bounds: bool,
}

/// What the record of a review says so far.
#[derive(Clone, Debug)]
pub(crate) struct File {
    entries: u32,
    pub(crate) pool: ReviewerPoolName,
    pub(crate) class: u8,
    pub(crate) due: Time,
    pub(crate) holder: Option<Holder>,
    /// The highest fence that a claim of it had.
    fence: u64,
    /// Those who said the same, and what.
    agreed: Vec<PersonId>,
    proposed: Option<(OutcomeName, Arc<str>)>,
    pub(crate) end: Option<End>,
}

#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) person: PersonId,
    fence: u64,
    until: Time,
}

/// How it ended, by its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Decided { outcome: OutcomeName, data: Arc<str> },
    Overdue,
    CalledOff,
}

impl Reviews {
    pub(crate) fn asked(&mut self, command: &ReviewCommand) {
        let ReviewCommand::Decide(decisions) = command else { return };
        for Decide { review, person, fence, outcome, data, .. } in decisions {
            let said = (*review, person.clone(), *fence, outcome.clone(), data.clone());
            self.said.insert(said);
        }
    }

    /// A turn is durable; the rows are those after it.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &Rows) -> Verdict {
        self.moves_bounds = changes.iter().any(|change| {
            matches!(change, Change::Tenant(..) | Change::Tier(_) | Change::Residency(_))
        });
        for change in changes {
            match change {
                Change::ReviewerPool(pool) => {
                    self.pools.insert(pool.name.clone(), pool.clone());
                    self.turns.forget();
                }
                Change::Tenant(..) | Change::Tier(_) | Change::Org(_) => self.turns.forget(),
                Change::ReviewEvent(entry) => self.entry(entry, rows)?,
                Change::Review(row) => self.row(row)?,
                Change::SupersedeReview(tenant, review) => {
                    if let Some(file) = self.files.get_mut(&(tenant.clone(), *review)) {
                        file.end.get_or_insert(End::CalledOff);
                    }
                }
                Change::Step(step) => self.step(step, rows)?,
                _ => {}
            }
        }
        if self.files.is_empty() { Ok(()) } else { waits(rows) }
    }

    /// A new owner gives all tenants the same place.
    pub(crate) fn reloaded(&mut self) {
        self.turns.begin();
    }

    pub(crate) fn emptied(&self, rows: &Rows) -> Verdict {
        let open = rows.reviews.values().find(|row| row.ended.is_none());
        holds(open.is_none(), ENDS, || format!("no run is live, and {open:?} is open"))?;
        let open = self.files.iter().find(|(_, file)| file.end.is_none());
        holds(open.is_none(), ENDS, || format!("the record of {open:?} has no end"))
    }

    /// One entry of a record.
    fn entry(&mut self, entry: &ReviewEventRow, rows: &Rows) -> Verdict {
        let key = (entry.tenant.clone(), entry.review);
        let Some(row) = rows.reviews.get(&key) else {
            return holds(false, ENDS, || format!("{entry:?} is of a review that is nowhere"));
        };
        if let ReviewEvent::Opened { pool, class, due } = &entry.event {
            let known = self.files.insert(key, File::new((pool, *class, *due)));
            holds(known.is_none() && entry.sequence == 1, ENDS, || {
                format!("{entry:?} after others")
            })?;
            return excludes(row, rows);
        }
        let Some(file) = self.files.get_mut(&key) else {
            return holds(false, ENDS, || format!("{entry:?} and no beginning"));
        };
        holds(file.end.is_none(), ENDS, || format!("{entry:?} after the end of {file:?}"))?;
        file.entries += 1;
        holds(file.entries == entry.sequence, ENDS, || {
            format!("{entry:?} is none after {file:?}")
        })?;
        self.happened(entry, row, rows)
    }

    fn happened(&mut self, entry: &ReviewEventRow, row: &ReviewRow, rows: &Rows) -> Verdict {
        let at = entry.at;
        match &entry.event {
            ReviewEvent::Claimed { by, fence } => self.claimed(row, (by, *fence, at), rows),
            ReviewEvent::Reassigned { to, fence, .. } => {
                self.moved(row);
                self.file(row).holder = None;
                self.takes(row, (to, *fence, at), rows)
            }
            ReviewEvent::Released { by } => self.given_up(row, by, None),
            ReviewEvent::Expired { by } => self.given_up(row, by, Some(at)),
            ReviewEvent::Voted { by, outcome, data, more } => {
                self.voted(row, (by, at), (outcome, data, *more), rows)
            }
            ReviewEvent::Escalated { pool, class, due, .. } => {
                self.moved(row);
                let file = self.file(row);
                if file.pool != *pool {
                    file.holder = None;
                }
                (file.pool, file.class, file.due) = (pool.clone(), *class, *due);
                Ok(())
            }
            ReviewEvent::Overdue => {
                let file = self.file(row);
                file.end = Some(End::Overdue);
                let is_due = file.due <= at && row.rung as usize == row.terms.escalate.len();
                holds(is_due, ENDS, || format!("{entry:?} comes too early for {row:?}"))
            }
            ReviewEvent::BrokenGlass { person, outcome, data, .. } => {
                let file = self.file(row);
                let end = End::Decided { outcome: outcome.clone(), data: data.clone() };
                (file.end, file.holder) = (Some(end), None);
                file.agreed = vec![person.clone()];
                let pool = file.pool.clone();
                self.may_see(row, &pool, person, rows)
            }
            ReviewEvent::Cancelled | ReviewEvent::Superseded => {
                self.file(row).end = Some(End::CalledOff);
                Ok(())
            }
            ReviewEvent::Commented { .. } | ReviewEvent::Opened { .. } => Ok(()),
        }
    }

    /// Its tenant's turns are counted anew where it stands.
    fn moved(&mut self, row: &ReviewRow) {
        let file = &self.files[&(row.tenant.clone(), row.id)];
        self.turns.charged(file, row);
    }

    fn file(&mut self, row: &ReviewRow) -> &mut File {
        self.files.get_mut(&(row.tenant.clone(), row.id)).expect("its entry was just found")
    }

    /// Claimed, or claimed for longer by who has it.
    fn claimed(
        &mut self,
        row: &ReviewRow,
        (by, fence, at): (&PersonId, u64, Time),
        rows: &Rows,
    ) -> Verdict {
        let file = self.file(row);
        if let Some(holder) = &file.holder {
            holds(holder.person == *by && holder.fence == fence, HOLDER, || {
                format!("{by} claims {} under {fence}, and {holder:?} has it", row.id)
            })?;
            file.holder = None;
            file.fence = fence - 1;
        } else {
            self.count(row, by, rows)?;
        }
        self.takes(row, (by, fence, at), rows)
    }

    /// Whose turn it is not waits; who is served too often is found.
    fn count(&mut self, row: &ReviewRow, by: &PersonId, rows: &Rows) -> Verdict {
        let file = &self.files[&(row.tenant.clone(), row.id)];
        let takes_turns =
            self.pools.get(&file.pool).is_some_and(|pool| !pool.pick && pool.tenant.is_none());
        if self.moves_bounds {
            self.turns.forget();
        }
        if self.moves_bounds || !takes_turns {
            return Ok(());
        }
        let mut waiting = BTreeSet::new();
        for ((tenant, id), other) in &self.files {
            let is_open = other.end.is_none() && other.holder.is_none();
            let is_there = (&other.pool, other.class) == (&file.pool, file.class);
            if !is_open || !is_there || *tenant == row.tenant {
                continue;
            }
            let Some(other_row) = rows.reviews.get(&(tenant.clone(), *id)) else { continue };
            if self.may(other_row, by, rows).is_ok() {
                waiting.insert(tenant.clone());
            }
        }
        self.turns.served((&file.pool, file.class), &row.tenant, &waiting, rows)
    }

    fn takes(
        &mut self,
        row: &ReviewRow,
        (by, fence, at): (&PersonId, u64, Time),
        rows: &Rows,
    ) -> Verdict {
        self.may(row, by, rows)?;
        let pool = self.file(row).pool.clone();
        let lease = self.pools.get(&pool).map_or(Time(0), |pool| at + pool.lease);
        let file = self.file(row);
        holds(fence > file.fence, HOLDER, || format!("{by} has {} under {fence} again", row.id))?;
        file.fence = fence;
        file.holder = Some(Holder { person: by.clone(), fence, until: lease });
        Ok(())
    }

    fn given_up(&mut self, row: &ReviewRow, by: &PersonId, expired: Option<Time>) -> Verdict {
        self.turns.refunded(self.files[&(row.tenant.clone(), row.id)].place(), &row.tenant);
        let holder = self.file(row).holder.take();
        let is_theirs = holder.as_ref().is_some_and(|holder| {
            holder.person == *by && expired.is_none_or(|at| holder.until <= at)
        });
        holds(is_theirs, HOLDER, || {
            format!("{} is given up by {by} at {expired:?}, and {holder:?} has it", row.id)
        })
    }

    fn voted(
        &mut self,
        row: &ReviewRow,
        (by, at): (&PersonId, Time),
        (outcome, data, more): (&OutcomeName, &Arc<str>, u32),
        rows: &Rows,
    ) -> Verdict {
        self.may(row, by, rows)?;
        let holder = self.file(row).holder.take();
        let is_theirs =
            holder.as_ref().is_some_and(|holder| holder.person == *by && at < holder.until);
        holds(is_theirs, DECIDED, || {
            format!("{by} decides {} at {at}, and {holder:?} has it", row.id)
        })?;
        let fence = holder.map_or(0, |holder| holder.fence);
        let said = (row.id, by.clone(), fence, outcome.clone(), data.clone());
        holds(self.said.contains(&said), DECIDED, || format!("{said:?} was never said"))?;
        let declared = row.terms.outcome(outcome);
        holds(declared.is_some(), DECIDED, || format!("{outcome} is no outcome of {row:?}"))?;
        let approves = declared.is_some_and(|declared| declared.approving);
        let file = self.file(row);
        let proposed = (outcome.clone(), data.clone());
        if file.proposed.as_ref() != Some(&proposed) {
            file.agreed.clear();
        }
        file.proposed = Some(proposed);
        file.agreed.push(by.clone());
        let count = file.agreed.iter().collect::<BTreeSet<_>>().len();
        let needed = if approves { (row.terms.persons as usize).saturating_sub(count) } else { 0 };
        holds(more as usize == needed && count == file.agreed.len(), PERSONS, || {
            format!("{more} more are needed for {outcome} of {row:?} after {file:?}")
        })?;
        if more == 0 {
            file.end = Some(End::Decided { outcome: outcome.clone(), data: data.clone() });
        }
        Ok(())
    }

    /// Whether the person may decide it, by everything that is asked of who does.
    fn may(&self, row: &ReviewRow, person: &PersonId, rows: &Rows) -> Verdict {
        let file = &self.files[&(row.tenant.clone(), row.id)];
        self.may_see(row, &file.pool, person, rows)?;
        let member = self.pools[&file.pool].members.iter().find(|one| one.person == *person);
        let has_skills = member.is_some_and(|one| row.terms.skills.is_subset(&one.skills));
        holds(has_skills, ELIGIBLE, || format!("{person} has not the skills for {row:?}"))?;
        holds(!row.excluded.contains(person), ELIGIBLE, || {
            format!("{person} is excluded from {row:?}")
        })?;
        holds(!file.agreed.contains(person), PERSONS, || {
            format!("{person} has decided {} already: {file:?}", row.id)
        })
    }

    /// Whether the person is a member for the tenant, in the places where its data may be.
    fn may_see(
        &self,
        row: &ReviewRow,
        pool: &ReviewerPoolName,
        person: &PersonId,
        rows: &Rows,
    ) -> Verdict {
        let found = self.pools.get(pool);
        let member =
            found.and_then(|pool| pool.members.iter().find(|member| member.person == *person));
        let serves = found.is_some_and(|pool| pool.tenant.iter().all(|own| *own == row.tenant))
            && member.is_some_and(|member| {
                member.tenants.as_ref().is_none_or(|own| own.contains(&row.tenant))
            });
        holds(serves, ELIGIBLE, || format!("{person} is none of {pool} for {row:?}"))?;
        let run = RunKey { tenant: row.tenant.clone(), run: row.run };
        let region = member.and_then(|member| member.region.as_ref());
        let is_inside = self.moves_bounds || p10_residency::may_read(&run, region, rows);
        holds(is_inside, ELIGIBLE, || format!("{person} in {region:?} is outside for {row:?}"))
    }

    /// A row says what its record does.
    fn row(&mut self, row: &ReviewRow) -> Verdict {
        let Some(file) = self.files.get_mut(&(row.tenant.clone(), row.id)) else {
            return holds(false, ENDS, || format!("{row:?} has no record"));
        };
        if row.state == ReviewState::Cancelled && file.end.is_none() {
            // Its step was gone when a new owner looked for it.
            file.end = Some(End::CalledOff);
        }
        let end = match &row.state {
            ReviewState::Open | ReviewState::Claimed => None,
            ReviewState::Decided { outcome } => Some(Some(outcome)),
            ReviewState::Overdue | ReviewState::Cancelled | ReviewState::Superseded => Some(None),
        };
        let recorded = file.end.as_ref().map(|end| match end {
            End::Decided { outcome, .. } => Some(outcome),
            End::Overdue | End::CalledOff => None,
        });
        holds(end == recorded && row.ended.is_some() == end.is_some(), ENDS, || {
            format!("{row:?} by the record {file:?}")
        })?;
        let claim = row.claim.as_ref().map(|claim| (&claim.person, claim.fence));
        let holder = file.holder.as_ref().map(|holder| (&holder.person, holder.fence));
        let holder = holder.filter(|_| file.end.is_none());
        holds(claim == holder, HOLDER, || format!("{row:?} by the record {file:?}"))
    }

    /// What a step that people decided came to is what they said; and nobody has said anything if time was over.
    fn step(&self, step: &StepRow, rows: &Rows) -> Verdict {
        let (StepState::Done, Some(output)) = (&step.state, &step.output) else { return Ok(()) };
        let Some(workflow) = rows.runs.get(&step.key).and_then(|run| rows.workflow_of(run)) else {
            return Ok(());
        };
        let declared = workflow.step(step.instance.step);
        let is_mapped_whole = declared.map.is_some() && step.instance.part == Part::Whole;
        let (StepKind::Review(terms), false) = (&declared.kind, is_mapped_whole) else {
            return Ok(());
        };
        let text: serde_json::Value = serde_json::from_slice(output).unwrap_or_default();
        let outcome = text["outcome"].as_str().unwrap_or_default();
        let review = text["review"].as_str().and_then(|id| id.parse().ok());
        let key = review.map(|review: ReviewId| (step.key.tenant.clone(), review));
        let end = key.and_then(|key| self.files.get(&key)).and_then(|file| file.end.as_ref());
        let by_itself = match &terms.on_overdue {
            Overdue::Outcome(name) => Some(name.as_str()),
            Overdue::Fail => None,
        };
        let approves =
            terms.outcomes.iter().any(|one| one.name.as_str() == outcome && one.approving);
        let agrees = match end {
            Some(End::Decided { outcome: decided, .. }) => decided.as_str() == outcome,
            Some(End::Overdue) => by_itself == Some(outcome) && !approves,
            Some(End::CalledOff) | None => false,
        };
        holds(agrees, APPROVED, || format!("{step:?} came to {outcome:?}, by {end:?}"))
    }
}

impl File {
    fn new((pool, class, due): (&ReviewerPoolName, u8, Time)) -> Self {
        let (pool, holder, proposed, end) = (pool.clone(), None, None, None);
        Self { entries: 1, pool, class, due, holder, fence: 0, agreed: Vec::new(), proposed, end }
    }

    pub(crate) const fn place(&self) -> (&ReviewerPoolName, u8) {
        (&self.pool, self.class)
    }
}

/// Whoever submitted the run, and whom the step names, is shut out.
fn excludes(row: &ReviewRow, rows: &Rows) -> Verdict {
    let run = rows.runs.get(&RunKey { tenant: row.tenant.clone(), run: row.run });
    let requester = run.and_then(|run| run.requester.as_ref());
    let mut all = row.terms.exclude.iter().chain(requester);
    holds(all.all(|person| row.excluded.contains(person)), ELIGIBLE, || {
        format!("{requester:?} may decide {row:?}")
    })
}

/// A review is open exactly while its step waits for it, or its run is halted with it: in neither is anything leased, and
/// only what is leased holds slots and money.
fn waits(rows: &Rows) -> Verdict {
    for row in rows.reviews.values().filter(|row| row.ended.is_none()) {
        let key = RunKey { tenant: row.tenant.clone(), run: row.run };
        let step = rows.step(&key, row.instance).map(|step| &step.state);
        let halt = rows.runs.get(&key).and_then(|run| run.money.halt.as_ref());
        let waits = match row.cause {
            ReviewCause::Money { .. } => {
                halt.is_some_and(|halt| halt.review == Some(row.id))
                    && !matches!(step, Some(StepState::Leased { .. }))
            }
            ReviewCause::Step
            | ReviewCause::Outage { .. }
            | ReviewCause::Confidence { .. }
            | ReviewCause::Replan { .. } => {
                matches!(step, Some(StepState::Reviewing { review }) if *review == row.id)
            }
        };
        holds(waits, WAITS, || format!("{row:?} is open, its step {step:?}, its run {halt:?}"))?;
    }
    for step in rows.steps.values().flat_map(BTreeMap::values) {
        let StepState::Reviewing { review } = &step.state else { continue };
        let row = rows.reviews.get(&(step.key.tenant.clone(), *review));
        let is_open = row.is_some_and(|row| row.ended.is_none());
        holds(is_open, ENDS, || format!("{step:?} waits for {row:?}"))?;
    }
    Ok(())
}
