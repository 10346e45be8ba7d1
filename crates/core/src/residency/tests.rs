//! Where data may be, on which day and for what reason.

use super::*;

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn decision(from: u64, until: Option<u64>, certificate: Option<&str>) -> Decision {
    Decision {
        name: "d".into(),
        from: Time(from),
        until: until.map(Time),
        certificate: certificate.map(|name| name.parse().unwrap()),
        scope: None,
    }
}

/// Regions of Ireland, Norway, Japan and the United States; Japan is adequate from 10 to 20 and again from 30, and who is
/// certified in the United States from 10 to 40.
fn atlas() -> Atlas {
    let mut atlas = Atlas::default();
    for (name, code) in [("ie-1", "IE"), ("no-1", "NO"), ("jp-1", "JP"), ("us-1", "US")] {
        atlas.declare(Declaration::Region(Region {
            name: region(name),
            country: country(code),
            label: None,
        }));
    }
    let of = |code: &str, decisions| {
        Declaration::Adequacy(Adequacy { country: country(code), suspended: false, decisions })
    };
    atlas.declare(of("JP", vec![decision(10, Some(20), None), decision(30, None, None)]));
    atlas.declare(of("US", vec![decision(10, Some(40), Some("dpf"))]));
    atlas
}

fn within(zone: &str) -> Residency {
    Residency { zone: Some(zone.parse().unwrap()), ..Residency::default() }
}

/// The answer for a region in which data is also kept, in short.
fn check(residency: &Residency, at: &str, now: u64) -> String {
    let location = Location::within(region(at), region(at));
    said(atlas().admits(Some(residency), &location, Time(now)))
}

fn said(answer: Result<Inside, Outside>) -> String {
    match answer {
        Ok(Inside::Adequacy { country, until }) => {
            format!("{country} until {:?}", until.map(|until| until.0))
        }
        Ok(inside) => format!("{inside:?}"),
        Err(outside) => format!("{:?} {:?}", outside.of, outside.because),
    }
}

#[test]
fn a_zone_has_its_countries_and_no_others() {
    assert_eq!(check(&within("eu"), "ie-1", 0), "Zone");
    assert_eq!(check(&within("eu"), "no-1", 0), "Processing NotInZone");
    assert_eq!(check(&within("eea"), "no-1", 0), "Zone");
    assert_eq!(check(&within("us"), "ie-1", 0), "Processing NotInZone");
    // Adequate or not: the zone does not take adequate countries in.
    assert_eq!(check(&within("eu"), "jp-1", 15), "Processing NotInZone");
}

#[test]
fn what_is_not_known_is_outside() {
    let atlas = atlas();
    let ask = |location: &Location| said(atlas.admits(Some(&within("eu")), location, Time(0)));
    assert_eq!(ask(&Location::default()), "Processing Unknown");
    assert_eq!(
        ask(&Location { region: Some(region("ie-1")), ..Location::default() }),
        "Storage Unknown"
    );
    assert_eq!(ask(&Location::within(region("mars-1"), region("ie-1"))), "Processing Undeclared");
    let unbound = atlas.admits(None, &Location::default(), Time(0));
    assert_eq!(unbound, Ok(Inside::Unbound), "who is bound to no zone may go anywhere");
    // A zone that is gone has no countries.
    assert_eq!(check(&within("gone"), "ie-1", 0), "Processing NotInZone");
}

#[test]
fn where_data_is_kept_counts_as_much_as_where_it_is_worked_on() {
    let kept = |storage| Location {
        region: Some(region("ie-1")),
        storage: Some(storage),
        certificates: BTreeSet::new(),
    };
    let ask = |storage| said(atlas().admits(Some(&within("eu")), &kept(storage), Time(0)));
    assert_eq!(ask(Storage::Region(region("us-1"))), "Storage NotInZone");
    assert_eq!(ask(Storage::Region(region("ie-1"))), "Zone");
    assert_eq!(ask(Storage::Nothing), "Zone");
}

#[test]
fn a_region_that_the_constraint_names_needs_no_country() {
    let named = Residency { regions: [region("mars-1")].into(), ..Residency::default() };
    assert_eq!(check(&named, "mars-1", 0), "Zone");
    assert_eq!(check(&named, "ie-1", 0), "Processing NotInZone");
}

#[test]
fn a_decision_holds_from_its_beginning_to_its_end() {
    let told = |now| check(&within("eea+adequate"), "jp-1", now);
    assert_eq!(told(9), "Processing NotYet { from: Time(10) }");
    assert_eq!(told(10), "JP until Some(20)");
    assert_eq!(told(20), "Processing Lapsed { at: Time(20) }");
    assert_eq!(told(30), "JP until None");
}

#[test]
fn a_tenant_may_name_single_countries_that_are_adequate() {
    let named = |code: &str| Residency { adequate: [country(code)].into(), ..within("eu") };
    assert_eq!(check(&named("JP"), "jp-1", 15), "JP until Some(20)");
    assert_eq!(check(&named("US"), "jp-1", 15), "Processing NotInZone");
    assert_eq!(check(&named("NO"), "no-1", 15), "Processing NotAdequate");
}

#[test]
fn a_decision_for_the_certified_covers_no_others() {
    let certified = |name: &str| Location {
        certificates: [name.parse().unwrap()].into(),
        ..Location::within(region("us-1"), region("us-1"))
    };
    let named = Residency { adequate: [country("US")].into(), ..within("eu") };
    let ask = |name| said(atlas().admits(Some(&named), &certified(name), Time(15)));
    assert_eq!(ask("dpf"), "US until Some(40)");
    assert_eq!(ask("iso"), "Processing NotCertified { certificate: \"dpf\" }");
}

#[test]
fn the_switch_puts_a_decision_out_of_force() {
    let mut atlas = atlas();
    let adequacy = atlas.adequacy(country("JP")).unwrap().clone();
    atlas.declare(Declaration::Adequacy(Adequacy { suspended: true, ..adequacy }));
    let location = Location::within(region("jp-1"), region("jp-1"));
    let told = said(atlas.admits(Some(&within("eea+adequate")), &location, Time(15)));
    assert_eq!(told, "Processing Suspended");
}

#[test]
fn of_two_decisions_the_one_that_ends_first_is_told() {
    let both = |at, kept| Location {
        certificates: ["dpf".parse().unwrap()].into(),
        ..Location::within(region(at), region(kept))
    };
    let ask =
        |at, kept| said(atlas().admits(Some(&within("eea+adequate")), &both(at, kept), Time(15)));
    assert_eq!(ask("jp-1", "us-1"), "JP until Some(20)");
    assert_eq!(ask("us-1", "jp-1"), "JP until Some(20)");
    assert_eq!(ask("ie-1", "us-1"), "US until Some(40)");
}

#[test]
fn the_next_change_is_the_next_bound_of_any_decision() {
    let next = |now| atlas().next_change(Time(now)).map(|at| at.0);
    assert_eq!([0, 10, 20, 30, 40].map(next), [Some(10), Some(20), Some(30), Some(40), None]);
}

#[test]
fn a_country_is_one_of_iso_3166() {
    assert_eq!(country("DE").as_str(), "DE");
    for wrong in ["", "D", "DEU", "D1", "ÄÖ", "XX", "EU", "AN"] {
        assert_eq!(Country::parse(wrong), Err(UnknownCountry { meant: None }), "{wrong}");
    }
    for (wrong, meant) in [("UK", "GB"), ("EL", "GR"), ("de", "DE")] {
        assert_eq!(Country::parse(wrong), Err(UnknownCountry { meant: Some(meant) }), "{wrong}");
    }
    let said = Country::parse("UK").unwrap_err().to_string();
    assert_eq!(said, "is no country; expected `GB`, as ISO 3166-1 has it");
    // What was declared before is not lost.
    assert_eq!(serde_json::from_str::<Country>("\"UK\"").unwrap().as_str(), "UK");
}

#[test]
fn the_regions_of_large_providers_are_known_without_being_declared() {
    let atlas = Atlas::default();
    let country = |name: &str| atlas.region(&region(name)).map(|region| region.country);
    assert_eq!(country("eu-west-1"), Country::parse("IE").ok());
    assert_eq!(country("us-east-1"), Country::parse("US").ok());
    assert_eq!(country("westeurope"), Country::parse("NL").ok());
    assert_eq!(country("europe-west3"), Country::parse("DE").ok());
    assert_eq!(country("mars-1"), None);
    assert!(atlas.adequacies().is_empty(), "what to rely on is the operator's to say");
}
