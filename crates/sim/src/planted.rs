//! Bugs that the surroundings of the cell can be given, to see that the checkers notice them. A checker that cannot fail
//! checks nothing.
//!
//! The cell itself is never touched. A planted bug changes what reaches it (messages, what a new owner reads) or what it
//! gives away (changes on their way to the store, effects), as a broken host or store would.

use std::sync::Arc;

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::cell::input::{Configure, Outcome, Report, ReviewCommand};
use fairlane_core::money::Nano;
use fairlane_core::pool::{Policy, Pool};
use fairlane_core::review::ReviewerPool;
use fairlane_core::row::{CallRow, Hold, ReviewState, StepState, Used};
use fairlane_core::tenant::Context;
use fairlane_core::time::Span;

use crate::rows::Rows;

/// One bug, in the host or in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The host releases the effects of a turn when it hands the turn to the store.
    ReleasesBeforeCommit,
    /// The store acknowledges a commit, and has lost it after the next restart.
    LosesTail,
    /// The store takes commits of an owner that is one no more.
    IgnoresEpoch,
    /// The host puts the current fence and holder into every report.
    TrustsReports,
    /// The store leaves leases out of what a new owner reads.
    ForgetsLeases,
    /// The store leaves the newest live run out of what a new owner reads.
    ForgetsRuns,
    /// The host keeps a worker's question to itself.
    SwallowsAsks,
    /// The store writes caps that are lower than those that the cell keeps to.
    WritesLowerCaps,
    /// The store writes tenants as suspended that the cell thinks are not.
    WritesSuspended,
    /// The store writes a valve that is tighter than the one the cell keeps to.
    WritesTighterValve,
    /// The store writes that all weights are equal.
    WritesEqualWeights,
    /// The host has its pools serve the oldest run first, and the store writes that they share by weight.
    QueuesByAge,
    /// The store leaves the counts of limits out of what a new owner reads.
    ForgetsUses,
    /// The store leaves what was posted out of what a new owner reads.
    ForgetsAccounts,
    /// The store leaves what is held out of the leases that a new owner reads.
    ForgetsHolds,
    /// The store writes half of the budgets that the cell keeps to.
    WritesHalfBudgets,
    /// The store writes that providers are left alone for a minute more than the cell leaves them alone.
    WritesLongerShuts,
    /// The store leaves the way of its call out of each lease of a model that a new owner reads.
    ForgetsRoutes,
    /// The store writes of no call that a cheaper model serves it, or that less comes out.
    ForgetsRungs,
    /// The store writes tokens that return to a window into the window before.
    ReturnsTokensElsewhere,
    /// The store gives a new owner calls of the gateway that have ended as if they were under way.
    ForgetsCallEnds,
    /// The host says of a model's call that more came out than its worker told it.
    RoundsUsage,
    /// The store writes that nobody knows where tools are.
    WritesToolsNowhere,
    /// The store leaves who has claimed them out of the reviews that a new owner reads.
    ForgetsClaims,
    /// The store leaves who has decided out of the reviews that a new owner reads.
    ForgetsVotes,
    /// The host takes each decision on a review for one of whoever holds it.
    TrustsDecisions,
    /// The store writes that reviewers know nothing.
    WritesUnskilled,
    /// The store writes that what nobody decided in time was approved.
    ApprovesOverdue,
    /// The store writes reviews that have ended as if they were open.
    ForgetsReviewEnds,
    /// The store writes steps that wait for people as ready.
    WritesReviewsReady,
    /// The host gives out reviews of the first tenant as long as there are any, and the store writes that tenants take turns.
    LetsPick,
    /// The host raises a tenant's weight when it submits something urgent.
    SellsUrgency,
}

impl Planted {
    /// The changes of a turn as a broken store writes them.
    pub(crate) fn rewrite(self, changes: &mut [Change]) {
        let is_end = |change: &Change| matches!(change, Change::Call(row) if row.ended.is_some());
        let has_ends = changes.iter().any(is_end);
        for change in changes {
            match (self, change) {
                (Self::WritesLowerCaps, Change::Tenant(tenant, context)) => {
                    tenant.cap = Some(1);
                    *context = Arc::new(Context { cap: 1, burst: None, ..(**context).clone() });
                }
                (Self::WritesSuspended, Change::Tenant(tenant, context)) => {
                    tenant.suspended = true;
                    *context = Arc::new(Context { suspended: true, ..(**context).clone() });
                }
                (Self::WritesEqualWeights, Change::Tenant(tenant, context)) => {
                    tenant.weight = Some(1);
                    *context = Arc::new(Context { weight: 1, ..(**context).clone() });
                }
                (Self::WritesEqualWeights, Change::Org(org)) => org.weight = 1,
                (Self::QueuesByAge, Change::Pool(pool)) => pool.policy = Policy::Weighted,
                (Self::WritesHalfBudgets, Change::Class(class)) => {
                    let half = |amount: &mut Nano| amount.0 /= 2;
                    class.budget.day.iter_mut().for_each(half);
                    class.budget.month.iter_mut().for_each(half);
                }
                (Self::WritesLongerShuts, Change::Decision(entry))
                    if &*entry.code == "tool-shut" =>
                {
                    let mut facts: serde_json::Value =
                        serde_json::from_str(&entry.facts).expect("facts are JSON");
                    let until = facts["until"].as_u64().unwrap_or(0);
                    facts["until"] = (until + Span::from_secs(60).0).into();
                    entry.facts = facts.to_string().into();
                }
                (Self::ForgetsRungs, Change::Step(step)) => {
                    if let StepState::Leased { route: Some(route), .. } = &mut step.state {
                        route.rung = None;
                    }
                }
                (Self::ReturnsTokensElsewhere, Change::Use(row)) if has_ends => {
                    if let Used::Window { start, .. } = &mut row.used
                        && row.rule.starts_with("tokens:")
                    {
                        *start = *start - Span::from_secs(3_600);
                    }
                }
                (Self::WritesToolsNowhere, Change::Tool(tool)) => {
                    tool.location = fairlane_core::residency::Location::default();
                }
                (Self::WritesTighterValve, Change::Valve(valve)) => {
                    (valve.runs_soft, valve.runs_hard) = (1, 2);
                }
                (_, change) => self.rewrite_review(change),
            }
        }
    }

    /// Of reviews, and of the steps that wait for them.
    fn rewrite_review(self, change: &mut Change) {
        match (self, change) {
            (Self::WritesUnskilled, Change::ReviewerPool(pool)) => {
                pool.members.iter_mut().for_each(|member| member.skills.clear());
            }
            (Self::LetsPick, Change::ReviewerPool(pool)) => pool.pick = false,
            (Self::ForgetsReviewEnds, Change::Review(row)) if row.ended.is_some() => {
                (row.ended, row.state) = (None, ReviewState::Open);
            }
            (Self::WritesReviewsReady, Change::Step(step)) => {
                if matches!(step.state, StepState::Reviewing { .. }) {
                    step.state = StepState::Ready;
                }
            }
            (Self::ApprovesOverdue, Change::Step(step)) => {
                let text = step.output.as_deref().map(String::from_utf8_lossy);
                if let Some(text) = text.filter(|text| text.contains(r#""by":[]"#)) {
                    let approved = text.replace(r#""rejected""#, r#""approved""#);
                    step.output = Some(approved.as_bytes().into());
                }
            }
            _ => {}
        }
    }

    /// What a broken host makes of a declaration.
    pub(crate) fn misread(self, declaration: Configure) -> Configure {
        match (self, declaration) {
            (Self::QueuesByAge, Configure::Pool(pool)) => {
                Configure::Pool(Pool { policy: Policy::Fifo, ..pool })
            }
            (Self::LetsPick, Configure::ReviewerPool(pool)) => {
                Configure::ReviewerPool(ReviewerPool { pick: true, ..pool })
            }
            (_, declaration) => declaration,
        }
    }

    /// What a broken host passes on of what a reviewer asks for.
    pub(crate) fn hand_on(self, command: &mut ReviewCommand, rows: &Rows) {
        match (self, &mut *command) {
            (Self::TrustsDecisions, ReviewCommand::Decide(decisions)) => {
                for decide in decisions {
                    let row = rows.reviews.values().find(|row| row.id == decide.review);
                    if let Some(claim) = row.and_then(|row| row.claim.as_ref()) {
                        (decide.person, decide.fence) = (claim.person.clone(), claim.fence);
                    }
                }
            }
            (Self::LetsPick, ReviewCommand::Next { person, .. }) => {
                let first = rows.reviews.values().find(|row| row.state == ReviewState::Open);
                if let Some(review) = first.map(|row| row.id) {
                    *command = ReviewCommand::Claim { review, person: person.clone() };
                }
            }
            _ => {}
        }
    }

    /// What a broken host passes on of what a worker reports.
    pub(crate) fn pass_on(self, reports: &mut [Report]) {
        for report in reports {
            if let (Self::RoundsUsage, Outcome::Called(called)) = (self, &mut report.outcome) {
                let output = &mut called.metered.usage.output;
                *output = output.next_multiple_of(1_000);
            }
        }
    }

    /// What a new owner reads from a broken store.
    pub(crate) fn leave_out(self, snapshot: &mut Snapshot, rows: &Rows) {
        match self {
            Self::ForgetsCallEnds => {
                let ended = rows.calls.values().filter(|call| call.ended.is_some());
                let reopened = ended.filter(|call| call.attempt.is_none()).map(|call| CallRow {
                    ended: None,
                    hold: Some(Box::new(Hold {
                        amount: call.cost,
                        tenant_day: None,
                        tenant_month: None,
                        org_month: None,
                    })),
                    ..call.clone()
                });
                snapshot.calls.extend(reopened);
            }
            Self::ForgetsLeases => {
                snapshot.steps.retain(|step| !matches!(step.state, StepState::Leased { .. }));
            }
            Self::ForgetsClaims => {
                snapshot.reviews.iter_mut().for_each(|review| review.claim = None);
            }
            Self::ForgetsVotes => {
                snapshot.reviews.iter_mut().for_each(|review| review.votes.clear());
            }
            Self::LetsPick => {
                snapshot.reviewer_pools.iter_mut().for_each(|pool| pool.pick = true);
            }
            Self::ForgetsUses => snapshot.uses.clear(),
            Self::ForgetsAccounts => snapshot.accounts.clear(),
            Self::ForgetsHolds => {
                for step in &mut snapshot.steps {
                    if let StepState::Leased { hold, .. } = &mut step.state {
                        *hold = None;
                    }
                }
            }
            Self::ForgetsRoutes => {
                for step in &mut snapshot.steps {
                    if let StepState::Leased { route, .. } = &mut step.state {
                        *route = None;
                    }
                }
            }
            Self::ForgetsRuns => {
                let Some(lost) = snapshot.runs.pop() else { return };
                snapshot.steps.retain(|step| step.key != lost.key);
                snapshot.signals.retain(|signal| signal.key != lost.key);
            }
            Self::QueuesByAge => {
                snapshot.pools.iter_mut().for_each(|pool| pool.policy = Policy::Fifo);
            }
            _ => {}
        }
    }
}
