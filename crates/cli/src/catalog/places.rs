//! `fairlane catalog regions`, `zones` and `adequacy`: shows where data may be.

use fairlane_api::Timestamp;
use fairlane_api::residency::{Adequacy, Region, Zone};

use super::place_list::day_text;
use crate::table::Table;
use crate::text;

pub(super) fn regions(regions: &[Region]) -> String {
    let mut table = Table::new(&["REGION", "COUNTRY", "LABEL", "DECLARED"]);
    for region in regions {
        table.row([
            region.name.clone(),
            region.country.clone(),
            text::or_dash(region.label.as_ref()),
            declared(region.built_in),
        ]);
    }
    table.render()
}

pub(super) fn zones(zones: &[Zone]) -> String {
    let mut table = Table::new(&["ZONE", "COUNTRIES", "REGIONS", "DECLARED"]);
    for zone in zones {
        let mut countries = zone.countries.join(" ");
        if zone.adequate {
            countries.push_str(" and adequate ones");
        }
        let regions = (!zone.regions.is_empty()).then(|| zone.regions.join(" "));
        let built_in = declared(zone.built_in);
        table.row([
            zone.name.clone(),
            countries.trim().to_owned(),
            text::or_dash(regions),
            built_in,
        ]);
    }
    table.render()
}

pub(super) fn adequacies(adequacies: &[Adequacy], now: Timestamp) -> String {
    let mut table =
        Table::new(&["COUNTRY", "DECISION", "FROM", "UNTIL", "STATE", "NEEDS", "SCOPE"]);
    for adequacy in adequacies {
        for decision in &adequacy.decisions {
            let state = match decision.until {
                _ if adequacy.suspended => "suspended",
                _ if decision.from > now => "to come",
                Some(until) if until <= now => "ended",
                _ => "in force",
            };
            table.row([
                adequacy.country.clone(),
                decision.name.clone(),
                day_text(decision.from),
                text::or_dash(decision.until.map(day_text)),
                state.to_owned(),
                text::or_dash(decision.certificate.as_ref()),
                text::or_dash(decision.scope.as_ref()),
            ]);
        }
    }
    table.render()
}

fn declared(is_built_in: bool) -> String {
    if is_built_in { "built in" } else { "here" }.to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_is_shown_with_its_state() {
        let decision = |name: &str, from: &str, until: Option<&str>| json!({ "name": name, "from": from, "until": until });
        let past = decision("a", "2001-01-01T00:00:00Z", Some("2002-01-01T00:00:00Z"));
        let now = decision("b", "2003-01-01T00:00:00Z", None);
        let later = decision("c", "2030-01-01T00:00:00Z", None);
        let all: Vec<Adequacy> = serde_json::from_value(json!([
            { "country": "JP", "suspended": false, "decisions": [past, now, later] },
            { "country": "US", "suspended": true, "decisions": [
                { "name": "d", "from": "2003-01-01T00:00:00Z", "certificate": "eu-us-dpf", "scope": "some" } ] },
        ]))
        .unwrap();
        expect![[r"
            COUNTRY  DECISION  FROM        UNTIL       STATE      NEEDS      SCOPE
            JP       a         2001-01-01  2002-01-01  ended      -          -
            JP       b         2003-01-01  -           in force   -          -
            JP       c         2030-01-01  -           to come    -          -
            US       d         2003-01-01  -           suspended  eu-us-dpf  some
        "]]
        .assert_eq(&adequacies(&all, "2026-12-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn places_say_whether_they_were_declared() {
        let all: Vec<Region> = serde_json::from_value(json!([
            { "name": "eu-west-1", "country": "IE", "label": "Amazon Web Services", "built_in": true },
            { "name": "own-1", "country": "DE" } ]))
        .unwrap();
        expect![[r"
            REGION     COUNTRY  LABEL                DECLARED
            eu-west-1  IE       Amazon Web Services  built in
            own-1      DE       -                    here
        "]]
        .assert_eq(&regions(&all));
        let all: Vec<Zone> = serde_json::from_value(json!([
            { "name": "eea+adequate", "countries": ["DE", "NO"], "adequate": true, "built_in": true },
            { "name": "own", "regions": ["own-1"] } ]))
        .unwrap();
        expect![[r"
            ZONE          COUNTRIES                REGIONS  DECLARED
            eea+adequate  DE NO and adequate ones  -        built in
            own                                    own-1    here
        "]]
        .assert_eq(&zones(&all));
    }
}
