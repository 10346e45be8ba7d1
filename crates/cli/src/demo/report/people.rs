//! The part of the report on people and places: its two tables, and what it is to show.

use std::fmt::Write;

use super::super::desk::THINKS;
use super::super::people::{People, Place, ReviewGroup, ZONE};
use super::{Expectation, expect};
use crate::measure;
use crate::table::Table;

/// The others' reviews wait at most this part of what those of the burst do, at the 95th percentile.
const PART_OF_BURST: u64 = 4;

pub(super) fn render(people: &People) -> String {
    let mut text = reviews(people);
    let _ = writeln!(
        text,
        "\nEach loan needs a person, who thinks for {}: one pool of reviewers for everybody, and a bank with its own. A\n\
         wait is from the moment when a review was opened to its decision. The burst bank asked for {} at once.\n",
        measure::micros(crate::load::drive::micros(THINKS)),
        measure::count(people.groups.last().map_or(0, |burst| burst.submitted)),
    );
    text += &places(people);
    let _ = writeln!(
        text,
        "\nAPPLICATIONS of the three banks of the zone `{ZONE}` carry a mark, in their text and in the key under which they\n\
         were submitted. Both endpoints, both workers, all reviewers and every byte of the stores' files, where texts are\n\
         sealed and keys are not, were searched for it. Each one OUTSIDE is a residency violation.\n\
         OTHERS' OUTSIDE: applications of other banks that were seen there, so somebody did look."
    );
    text
}

fn reviews(people: &People) -> String {
    let mut table = Table::new(&[
        "REVIEWS OF",
        ">TENANTS",
        ">ASKED",
        ">DECIDED",
        ">BY SHARED",
        ">BY OWN",
        ">WAIT P50",
        ">P95",
        ">MAX",
    ]);
    for group in people.groups.iter().chain([&people.others]) {
        if group.submitted > 0 {
            table.row(cells(group));
        }
    }
    table.render()
}

fn cells(group: &ReviewGroup) -> [String; 9] {
    let count = measure::count;
    let time = |micros| match group.decided {
        0 => "-".to_owned(),
        _ => measure::micros(micros),
    };
    [
        group.group.clone(),
        count(group.tenants),
        count(group.submitted),
        count(group.decided),
        count(group.by_shared),
        count(group.by_dedicated),
        time(group.wait.p50_us),
        time(group.wait.p95_us),
        time(group.wait.max_us),
    ]
}

fn places(people: &People) -> String {
    let mut table = Table::new(&["APPLICATIONS", ">IN THE EU", ">OUTSIDE", ">OTHERS' OUTSIDE"]);
    for Place { what, european_inside, european_outside, others_outside } in &people.places {
        let counts = [european_inside, european_outside, others_outside];
        let [inside, outside, others] = counts.map(|one| measure::count(*one));
        table.row([(*what).to_owned(), inside, outside, others]);
    }
    let violations = measure::count(people.residency_violations);
    table.row(["residency violations".to_owned(), String::new(), violations, String::new()]);
    table.render()
}

pub(super) fn expected(people: &People) -> [Expectation; 3] {
    let (others, burst) = (&people.others, people.groups.last());
    let (asked, decided, done) = [&people.others]
        .into_iter()
        .chain(burst)
        .map(|group| (group.submitted, group.decided, group.done))
        .fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
    let of_burst = burst.map_or(0, |burst| burst.wait.p95_us);
    let is_seen =
        |place: &Place| place.european_inside == people.european && place.others_outside > 0;
    [
        expect(
            "reviews: each is decided, and its run goes on to its end",
            format!(
                "{} of {} decided, {} runs done",
                measure::count(decided),
                measure::count(asked),
                measure::count(done)
            ),
            asked > 0 && decided == asked && done == asked,
        ),
        expect(
            "reviews: the others' wait at most a quarter of what the burst bank's do",
            format!("p95 {} of {}", measure::micros(others.wait.p95_us), measure::micros(of_burst)),
            others.wait.p95_us * PART_OF_BURST <= of_burst,
        ),
        expect(
            "residency: nothing of the zone's banks is outside of it",
            format!(
                "residency violations {}; all {} applications seen at {} of {} places inside",
                people.residency_violations,
                measure::count(people.european),
                people.places.iter().filter(|place| is_seen(place)).count(),
                people.places.len()
            ),
            people.residency_violations == 0
                && people.european > 0
                && people.places.iter().all(is_seen),
        ),
    ]
}
