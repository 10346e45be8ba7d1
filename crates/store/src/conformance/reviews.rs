//! Reviews: their state, their record, and their pages.

use fairlane_core::cell::change::Change;
use fairlane_core::id::{ReviewId, RunId};
use fairlane_core::row::{Actor, ReviewEvent, ReviewRow, ReviewState};
use fairlane_core::time::Time;

use super::samples::{key, name, review, review_event, run, scope};
use super::{Place, checks, claimed};
use crate::error::Error;
use crate::read::{Page, ReviewQuery};

checks! {
    a_review_that_has_ended_is_read_and_not_loaded
    a_review_is_superseded_after_its_end_without_its_row
    the_record_of_a_review_comes_oldest_first
    reviews_come_newest_first
}

fn put(row: ReviewRow) -> Change {
    Change::Review(Box::new(row))
}

/// The run that all of them are for.
fn waits() -> Change {
    Change::Run(Box::new(run(&key("acme", 1))))
}

fn decided(id: u128) -> ReviewRow {
    let state = ReviewState::Decided { outcome: name("approved") };
    ReviewRow { state, ended: Some(Time(50)), claim: None, ..review("acme", id) }
}

fn a_review_that_has_ended_is_read_and_not_loaded(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    store.commit(epoch, &[waits()])?;
    store.commit(epoch, &[put(review("acme", 1)), put(review("acme", 2))])?;
    store.commit(epoch, &[put(decided(1))])?;
    assert_eq!(store.load()?.reviews, [review("acme", 2)]);
    let mut reader = store.reader()?;
    let found = reader.review(&scope("acme"), ReviewId(RunId(1)))?;
    assert_eq!(found, Some(decided(1)));
    for (id, expected) in [(1, Some(name("acme"))), (2, Some(name("acme"))), (3, None)] {
        assert_eq!(reader.tenant_of_review(ReviewId(RunId(id)))?, expected);
    }
    Ok(())
}

fn a_review_is_superseded_after_its_end_without_its_row(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    store.commit(epoch, &[waits()])?;
    let supersede = |tenant| Change::SupersedeReview(name(tenant), ReviewId(RunId(1)));
    // One that is not there, and another tenant's, are left alone.
    store.commit(epoch, &[supersede("acme"), put(decided(1)), supersede("bolt")])?;
    let mut reader = store.reader()?;
    let id = ReviewId(RunId(1));
    assert_eq!(reader.review(&scope("acme"), id)?, Some(decided(1)));
    store.commit(epoch, &[supersede("acme")])?;
    let superseded = ReviewRow { state: ReviewState::Superseded, ..decided(1) };
    assert_eq!(reader.review(&scope("acme"), id)?, Some(superseded));
    Ok(())
}

fn the_record_of_a_review_comes_oldest_first(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    store.commit(epoch, &[waits()])?;
    let by = || Actor::Person(name("ada"));
    let text = "looks odd: \"\u{00e9}\"".into();
    let events = [
        ReviewEvent::Claimed { by: name("ada"), fence: u64::MAX },
        ReviewEvent::Commented { by: by(), text },
        ReviewEvent::Voted {
            by: name("ada"),
            outcome: name("approved"),
            data: "{\"limit\":5}".into(),
            more: 1,
        },
        ReviewEvent::Reassigned { to: name("bob"), fence: 2, by: Actor::Key(name("k1")) },
    ];
    let rows: Vec<_> =
        (1..).zip(events).map(|(at, event)| review_event("acme", 1, at, event)).collect();
    let mut changes: Vec<Change> =
        rows.iter().rev().cloned().map(Box::new).map(Change::ReviewEvent).collect();
    changes.push(Change::ReviewEvent(Box::new(review_event("acme", 2, 1, ReviewEvent::Overdue))));
    store.commit(epoch, &changes)?;
    assert_eq!(store.reader()?.review_events(&scope("acme"), ReviewId(RunId(1)))?, rows);
    Ok(())
}

fn reviews_come_newest_first(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    store.commit(epoch, &[waits()])?;
    let changes: Vec<Change> = (1..=5).map(|id| put(review("acme", id))).collect();
    store.commit(epoch, &changes)?;
    let mut reader = store.reader()?;
    let page = reader.reviews(&scope("acme"), ReviewQuery { before: None, limit: 2 })?;
    let next = Some(ReviewId(RunId(4)));
    assert_eq!(page, Page { rows: vec![review("acme", 5), review("acme", 4)], next });
    let page = reader.reviews(&scope("acme"), ReviewQuery { before: next, limit: 10 })?;
    assert_eq!((page.rows.len(), page.next), (3, None));
    Ok(())
}
