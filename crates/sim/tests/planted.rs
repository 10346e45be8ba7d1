//! Every planted bug is found by the checker of the promise that it breaks, in seeds that are clean without it.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fairlane_sim::planted::Planted;
use fairlane_sim::trace::Detail;
use fairlane_sim::violation::Violation;
use fairlane_sim::workload::Workload;
use fairlane_sim::world::{Scenario, World};

/// A bug is to be found within so many seeds. Not each seed has the faults and the load that show it.
const SEEDS: u64 = 200;

/// What a seed finds; a cell that panics in broken surroundings defends itself, and shows nothing of the checkers.
fn found(seed: u64, planted: Option<Planted>) -> Option<Violation> {
    let mut world = World::new(&Scenario { seed, detail: Detail::Hash, planted });
    catch_unwind(AssertUnwindSafe(|| world.play_with_turned_lanes().err())).ok().flatten()
}

/// Looks in seeds of any kind.
#[track_caller]
fn is_found(planted: Planted, promise: &str) {
    is_found_in(&(0..SEEDS).collect::<Vec<_>>(), planted, promise);
}

/// Looks where there is enough load to judge shares by.
#[track_caller]
fn is_found_in_a_crowd(planted: Planted, promise: &str) {
    let crowded = (0..16 * SEEDS).filter(|seed| Workload::of(*seed) == Workload::Crowded);
    is_found_in(&crowded.collect::<Vec<_>>(), planted, promise);
}

/// Looks where calls are limited and money is short.
#[track_caller]
fn is_found_where_it_is_paid(planted: Planted, promise: &str) {
    let paid = (0..16 * SEEDS).filter(|seed| Workload::of(*seed) == Workload::Paid);
    is_found_in(&paid.collect::<Vec<_>>(), planted, promise);
}

#[track_caller]
fn is_found_in(seeds: &[u64], planted: Planted, promise: &str) {
    let mut others = String::new();
    for (at, &seed) in seeds.iter().enumerate() {
        match found(seed, Some(planted)) {
            Some(violation) if violation.promise == promise => {
                for &clean in &seeds[..=at] {
                    assert_eq!(found(clean, None), None, "seed {clean} without {planted:?}");
                }
                return;
            }
            Some(other) => writeln!(others, "seed {seed}: {other}").expect("a text takes it"),
            None => {}
        }
    }
    panic!("no seed finds that {planted:?} breaks {promise}, but:\n{others}");
}

#[test]
fn effects_before_their_commit_are_found() {
    is_found(Planted::ReleasesBeforeCommit, "P12 durability");
}

#[test]
fn a_store_that_loses_what_it_acknowledged_is_found() {
    is_found(Planted::LosesTail, "P12 durability");
}

#[test]
fn a_store_that_takes_commits_of_an_old_owner_is_found() {
    is_found(Planted::IgnoresEpoch, "P12 durability");
}

#[test]
fn a_host_that_trusts_reports_is_found() {
    is_found(Planted::TrustsReports, "P12 once");
}

#[test]
fn a_store_that_forgets_leases_is_found() {
    is_found(Planted::ForgetsLeases, "P1 cap");
}

#[test]
fn a_store_that_forgets_a_run_is_found() {
    is_found(Planted::ForgetsRuns, "P6 waiting holds nothing");
}

#[test]
fn a_host_that_keeps_a_question_to_itself_is_found() {
    is_found(Planted::SwallowsAsks, "P4 work conservation");
}

#[test]
fn caps_that_the_cell_does_not_keep_to_are_found() {
    is_found(Planted::WritesLowerCaps, "P1 cap");
}

#[test]
fn a_suspension_that_the_cell_does_not_keep_to_is_found() {
    is_found(Planted::WritesSuspended, "P17 live change");
}

#[test]
fn a_valve_that_the_cell_does_not_keep_to_is_found() {
    is_found(Planted::WritesTighterValve, "P16 valve");
}

#[test]
fn weights_that_the_cell_does_not_keep_to_are_found() {
    is_found_in_a_crowd(Planted::WritesEqualWeights, "P2 share");
}

#[test]
fn a_queue_in_which_waiting_earns_a_place_is_found() {
    is_found_in_a_crowd(Planted::QueuesByAge, "P3 no stored credit");
}

#[test]
fn a_priority_that_counts_between_tenants_is_found() {
    is_found_in_a_crowd(Planted::SellsUrgency, "P5 priority stays at home");
}

#[test]
fn counts_of_limits_that_are_forgotten_are_found() {
    is_found_where_it_is_paid(Planted::ForgetsUses, "P7 quota");
}

#[test]
fn a_call_of_a_provider_that_is_left_alone_is_found() {
    is_found_where_it_is_paid(Planted::WritesLongerShuts, "P7 circuit");
}

#[test]
fn postings_that_are_forgotten_are_found() {
    is_found_where_it_is_paid(Planted::ForgetsAccounts, "P9 nothing leaks");
}

#[test]
fn holds_that_are_forgotten_are_found() {
    is_found_where_it_is_paid(Planted::ForgetsHolds, "P8 money");
}

#[test]
fn budgets_that_the_cell_does_not_keep_to_are_found() {
    is_found_where_it_is_paid(Planted::WritesHalfBudgets, "P8 money");
}

#[test]
fn a_model_whose_way_is_forgotten_is_found() {
    is_found_where_it_is_paid(Planted::ForgetsRoutes, "P9 cost");
}

#[test]
fn a_cheaper_model_without_its_rung_is_found() {
    is_found_where_it_is_paid(Planted::ForgetsRungs, "P8 way");
}

#[test]
fn tokens_that_return_to_another_window_are_found() {
    is_found_where_it_is_paid(Planted::ReturnsTokensElsewhere, "P7 quota");
}

#[test]
fn a_call_that_is_settled_twice_is_found() {
    is_found_where_it_is_paid(Planted::ForgetsCallEnds, "P9 cost");
}

#[test]
fn usage_that_no_worker_reported_is_found() {
    is_found_where_it_is_paid(Planted::RoundsUsage, "P9 cost");
}

#[test]
fn tools_that_are_elsewhere_than_their_rows_say_are_found() {
    is_found_where_it_is_paid(Planted::WritesToolsNowhere, "P10");
}

#[test]
fn a_store_that_forgets_who_has_claimed_a_review_is_found() {
    is_found(Planted::ForgetsClaims, "reviews: one holder");
}

#[test]
fn a_host_that_takes_anybodys_decision_for_the_holders_is_found() {
    is_found(Planted::TrustsDecisions, "reviews: decided by its holder");
}

#[test]
fn decisions_of_those_who_lack_the_skill_are_found() {
    is_found(Planted::WritesUnskilled, "reviews: only who may");
}

#[test]
fn a_person_who_decides_twice_is_found() {
    is_found(Planted::ForgetsVotes, "reviews: distinct persons");
}

#[test]
fn an_approval_that_nobody_gave_is_found() {
    is_found(Planted::ApprovesOverdue, "reviews: no approval by itself");
}

#[test]
fn a_review_without_an_end_is_found() {
    is_found(Planted::ForgetsReviewEnds, "reviews: each ends");
}

#[test]
fn a_step_that_does_not_wait_for_its_review_is_found() {
    is_found(Planted::WritesReviewsReady, "reviews: waiting holds nothing");
}

#[test]
fn reviewers_who_pick_where_they_are_to_take_turns_are_found() {
    // Few seeds have reviewers who wait for turns in a pool that several tenants share.
    is_found_in(&(0..4 * SEEDS).collect::<Vec<_>>(), Planted::LetsPick, "reviews: turns");
}
