//! The search finds what is planted, makes it small, and does the same each time.

use std::cell::RefCell;

use super::*;

fn target() -> Target {
    Target::new("planted", 20_000).seed(r#"{"lease":"a.1.2","slots":10}"#).words(["worker", "pool"])
}

fn found(target: Target, check: &dyn Fn(&[u8]) -> usize) -> Option<String> {
    let extent = Extent::Inputs(target.inputs);
    let find = target.search(&extent, check).err()?;
    Some(find.input.escape_ascii().to_string())
}

#[test]
fn what_fails_is_found_and_made_small() {
    let check = |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        assert!(!text.contains("18446744073709551615"), "the number is too large");
        input.len()
    };
    assert_eq!(found(target(), &check).as_deref(), Some("18446744073709551615"));
}

#[test]
fn what_is_new_leads_further() {
    // Four such bytes in a row by chance are one input in millions; each of them alone is met on the way.
    let check = |input: &[u8]| {
        let matched = b"@#~@".iter().zip(input).take_while(|(wanted, byte)| wanted == byte);
        let matched = matched.count();
        assert!(matched < 4, "all are met");
        matched
    };
    let target = Target::new("steps", 100_000).seed("ab");
    assert_eq!(found(target, &check).as_deref(), Some("@#~@"));
}

#[test]
fn an_ordinary_run_tries_the_same_inputs_each_time() {
    let inputs = || {
        let tried = RefCell::new(Vec::new());
        let check = |input: &[u8]| tried.borrow_mut().push(input.to_vec());
        assert_eq!(target().search(&Extent::Inputs(500), &check).unwrap(), 500);
        tried.into_inner()
    };
    let first = inputs();
    assert_eq!(first[0], br#"{"lease":"a.1.2","slots":10}"#, "the seed itself comes first");
    assert_eq!(first, inputs());
    assert!(first.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
}

#[test]
fn one_input_is_taken_from_a_file() {
    let path = std::env::temp_dir().join(format!("fairlane-fuzz-test-{}", std::process::id()));
    std::fs::write(&path, "mine").unwrap();
    let tried = RefCell::new(Vec::new());
    let check = |input: &[u8]| tried.borrow_mut().push(input.to_vec());
    target().search(&Extent::One(path.clone()), &check).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(tried.into_inner(), [b"mine"]);
}
