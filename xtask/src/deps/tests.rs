//! The order of crates on small workspaces, good and bad.

use super::{Kind, Member, Need, composers, directions, unused};
use crate::tree::File;

fn member(name: &str, needs: &[(&str, Kind)]) -> Member {
    let need = |(package, kind): &(&str, Kind)| Need {
        package: (*package).to_owned(),
        identifier: package.replace('-', "_"),
        kind: *kind,
    };
    Member {
        name: name.to_owned(),
        folder: format!("crates/{}", name.trim_start_matches("fairlane-")),
        needs: needs.iter().map(need).collect(),
    }
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// What is said about one crate with one dependency; empty if nothing.
fn said(name: &str, package: &str, kind: Kind) -> String {
    let found = directions(&[member(name, &[(package, kind)])]);
    found.first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn arrows_that_point_down_are_fine() {
    for (name, package) in [
        ("fairlane-server", "fairlane-core"),
        ("fairlane-client", "fairlane-api"),
        ("fairlane", "fairlane-sim"),
        ("fairlane-store", "rusqlite"),
        ("fairlane-server", "tokio"),
        ("fairlane-core", "serde"),
    ] {
        assert_eq!(said(name, package, Kind::Normal), "", "{name} -> {package}");
    }
}

#[test]
fn arrows_that_point_up_or_sideways_are_named_with_what_is_allowed() {
    assert_eq!(
        said("fairlane-store", "fairlane-server", Kind::Normal),
        "crates/store/Cargo.toml: fairlane-store depends on fairlane-server; it may depend on fairlane-core, fairlane-audit"
    );
    assert!(
        said("fairlane-core", "fairlane-store", Kind::Test).ends_with("no crate of the workspace")
    );
    assert!(said("fairlane-client", "fairlane-core", Kind::Normal).contains("fairlane-api"));
}

#[test]
fn the_core_takes_only_what_is_on_its_list() {
    assert!(said("fairlane-core", "tokio", Kind::Normal).contains("decision record"));
    assert_eq!(said("fairlane-core", "proptest", Kind::Test), "");
    assert!(said("fairlane-core", "proptest", Kind::Normal).contains("decision record"));
}

#[test]
fn sql_and_the_async_runtime_stay_where_they_belong() {
    assert!(said("fairlane-server", "rusqlite", Kind::Test).contains("only the store holds SQL"));
    assert!(said("fairlane-sim", "tokio", Kind::Normal).contains("fairlane-server"));
}

#[test]
fn what_is_for_tests_is_no_part_of_the_product() {
    assert_eq!(said("fairlane-server", "fairlane-fake-provider", Kind::Test), "");
    let product = said("fairlane-server", "fairlane-fake-provider", Kind::Normal);
    assert!(product.contains("dev-dependencies"), "{product}");
}

#[test]
fn a_crate_without_a_place_in_the_order_is_refused() {
    assert_eq!(directions(&[member("fairlane-extra", &[])]).len(), 1);
}

#[test]
fn a_dependency_that_only_a_comment_names_is_unused() {
    let store = member("fairlane-store", &[("serde-json", Kind::Normal)]);
    let said = |path: &str, text: &str| {
        unused::in_manifests(std::slice::from_ref(&store), &[file(path, text)]).len()
    };
    assert_eq!(said("crates/store/src/lib.rs", "use serde_json::Value;"), 0);
    assert_eq!(said("crates/store/src/lib.rs", "// serde_json::Value"), 1);
    assert_eq!(said("crates/store/src/lib.rs", "use serde_json5::Value;"), 1);
    assert_eq!(said("crates/store/tests/it.rs", "use serde_json::Value;"), 1, "belongs to tests");
    assert_eq!(said("crates/storehouse/src/lib.rs", "use serde_json::Value;"), 1, "another crate");
}

#[test]
fn a_workspace_dependency_that_nobody_takes_is_found() {
    let members = [member("fairlane-store", &[("serde", Kind::Normal)])];
    let manifest = file("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\nrand = \"0.9\"\n");
    let found = unused::in_workspace(&members, &[manifest]).expect("the manifest is good");
    assert_eq!(found.len(), 1);
    assert!(found[0].wrong.contains("rand"), "{}", found[0]);
}

#[test]
fn inside_the_core_only_the_cell_and_the_driver_name_the_cell() {
    let text = "use crate::cell::Cell;";
    assert!(composers(&[file("crates/core/src/driver.rs", text)]).is_empty());
    assert!(composers(&[file("crates/core/src/cell/live.rs", text)]).is_empty());
    assert!(composers(&[file("crates/core/src/scheduler/tests.rs", text)]).is_empty());
    assert!(
        composers(&[file("crates/core/src/plan.rs", "//! see crate::cell::effect")]).is_empty()
    );
    let found = composers(&[file("crates/core/src/scheduler/tree.rs", text)]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].place, "crates/core/src/scheduler/tree.rs:1");
}
