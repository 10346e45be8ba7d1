//! How reviews were worked on: by whom, and whose they were.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fairlane_core::id::ReviewerPoolName;
use fairlane_core::time::Time;
use serde::Serialize;

use super::{Play, SHOWN_MAX, span};
use crate::measure::{self, Latencies, Summary};
use crate::simulate::story::{Asked, Fate, Story};
use crate::table::Table;

/// What became of reviews.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reviews {
    asked: u64,
    decided: u64,
    /// Nobody decided in time.
    overdue: u64,
    /// Called off, or settled in another way.
    dropped: u64,
    /// Not at their end when the play was.
    open: u64,
    /// Until somebody took it first, or until its end, or that of the play.
    wait: Summary,
    /// Until its end, or that of the play.
    took: Summary,
}

/// What the members of a reviewer pool have done.
#[derive(Debug, Serialize)]
pub(super) struct Desk {
    name: String,
    people: u64,
    /// The part of their time at work for which they had a review.
    busy: f64,
    #[serde(flatten)]
    reviews: Reviews,
}

impl Reviews {
    /// Nothing if there are none.
    pub(super) fn of<'a>(asked: impl Iterator<Item = &'a Asked>, now: Time) -> Option<Self> {
        let (mut wait, mut took) = (Latencies::default(), Latencies::default());
        let mut counts = BTreeMap::<Option<Fate>, u64>::new();
        for review in asked {
            let over = review.ended.map_or(now, |(at, _)| at);
            wait.record(review.claimed.unwrap_or(over).since(review.opened).0);
            took.record(over.since(review.opened).0);
            *counts.entry(review.ended.map(|(_, fate)| fate)).or_default() += 1;
        }
        let count = |fate| counts.get(&fate).copied().unwrap_or_default();
        let asked = counts.values().sum();
        (asked > 0).then(|| Self {
            asked,
            decided: count(Some(Fate::Decided)),
            overdue: count(Some(Fate::Overdue)),
            dropped: count(Some(Fate::Dropped)),
            open: count(None),
            wait: wait.summary(),
            took: took.summary(),
        })
    }

    fn cells(&self) -> [String; 7] {
        let counts = [self.asked, self.decided, self.overdue, self.open].map(|of| of.to_string());
        let [asked, decided, overdue, open] = counts;
        let [p50, p95, max] = [self.wait.p50_us, self.wait.p95_us, self.wait.max_us].map(span);
        [asked, decided, overdue, open, p50, p95, max]
    }
}

impl Desk {
    /// Those that somebody worked at, or that were asked.
    pub(super) fn all(story: &Story) -> Vec<Self> {
        let mut asked = BTreeMap::<&ReviewerPoolName, Vec<&Asked>>::new();
        for review in story.tenants.values().flat_map(|told| told.reviews.values()) {
            asked.entry(&review.pool).or_default().push(review);
        }
        let desks = asked.into_iter().filter_map(|(name, asked)| {
            let reviews = Reviews::of(asked.into_iter(), story.now())?;
            let desk = story.desks.get(name).copied().unwrap_or_default();
            let (people, offered) = (desk.people, desk.offered(story));
            let busy = measure::ratio(desk.busy.0, offered.max(1));
            Some(Self { name: name.to_string(), people, busy, reviews })
        });
        desks.collect()
    }
}

/// The heads of rows of pools; those of numbers begin with `>`.
pub(super) const DESKS: [&str; 11] = heads("REVIEWERS", [">PEOPLE", ">BUSY"]);
/// And of rows of tenants and groups.
pub(super) const WHOSE: [&str; 11] = heads("REVIEWS OF", [">TENANTS", ">DROPPED"]);
pub(super) const WORDS: &str =
    "wait: until somebody took it first; busy: of the time that they were at work";

const fn heads(name: &'static str, [first, second]: [&'static str; 2]) -> [&'static str; 11] {
    let (asked, decided, overdue, open) = (">ASKED", ">DECIDED", ">OVERDUE", ">OPEN");
    let [p50, p95, max] = [">WAIT P50", ">P95", ">MAX"];
    [name, "PLAY", first, second, asked, decided, overdue, open, p50, p95, max]
}

/// Both as text. Nothing if nobody was asked.
pub(super) fn tables(plays: &[Play]) -> String {
    let (mut of_desks, mut of_whom) = (Table::new(&DESKS), Table::new(&WHOSE));
    let rows = desks(plays);
    if rows.is_empty() {
        return String::new();
    }
    for row in rows {
        of_desks.row(row);
    }
    for row in whose(plays) {
        of_whom.row(row);
    }
    format!("\n{}\n{}{WORDS}\n", of_desks.render(), of_whom.render())
}

/// The pools of all plays, each beside itself in the others.
pub(super) fn desks(plays: &[Play]) -> Vec<[String; 11]> {
    let mut desks: Vec<_> =
        plays.iter().flat_map(|play| play.desks.iter().map(move |desk| (desk, play))).collect();
    desks.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let cells = |(desk, play): (&Desk, &Play)| {
        let busy = format!("{:.1} %", desk.busy * 100.0);
        row([&desk.name, &play.name, &desk.people.to_string(), &busy], &desk.reviews)
    };
    desks.into_iter().map(cells).collect()
}

/// Whose reviews they were: groups if there are any, else tenants, those that wait longest.
pub(super) fn whose(plays: &[Play]) -> Vec<[String; 11]> {
    let mut all = Vec::new();
    for play in plays {
        let groups = play.groups.iter();
        let groups = groups.filter_map(|of| Some((&*of.name, of.tenants, of.reviews.as_ref()?)));
        let tenants = play.tenants.iter();
        let tenants = tenants.filter_map(|(name, of)| Some((&**name, 1, of.reviews.as_ref()?)));
        let mut of_play: Vec<(&str, u64, &Reviews)> =
            if play.has_groups { groups.collect() } else { tenants.collect() };
        of_play.sort_by_key(|(.., reviews)| Reverse(reviews.wait.p95_us));
        of_play.truncate(SHOWN_MAX);
        all.extend(of_play.into_iter().map(|of| (of, &*play.name)));
    }
    all.sort_by_key(|((name, ..), _)| *name);
    let cells = |((name, tenants, reviews), play): ((&str, u64, &Reviews), &str)| {
        row([name, play, &tenants.to_string(), &reviews.dropped.to_string()], reviews)
    };
    all.into_iter().map(cells).collect()
}

fn row(own: [&str; 4], reviews: &Reviews) -> [String; 11] {
    let [name, play, first, second] = own.map(str::to_owned);
    let [asked, decided, overdue, open, p50, p95, max] = reviews.cells();
    [name, play, first, second, asked, decided, overdue, open, p50, p95, max]
}
