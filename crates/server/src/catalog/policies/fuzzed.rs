//! Policies that nobody would write: in force, or refused with the places.

use fairlane_core::policy::{Mistake, Policies, compile};
use fairlane_fuzz::Target;

use super::*;

fn sources(text: &str) -> [Source; 1] {
    [Source { name: "fuzzed".parse().expect("it is a name"), text: text.into() }]
}

#[test]
fn every_policy_is_in_force_or_refused_with_the_places() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let words = policy::SCHEMA.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words: std::collections::BTreeSet<&str> = words.collect();
    let others = [
        "permit",
        "forbid",
        "when",
        "unless",
        "like \"*\"",
        "has",
        ".contains(",
        "decimal(\"1.5\")",
        "@id(\"x\")",
    ];
    let target = Target::new("policy", 800)
        .folder(root.join("examples/policies"), &[".cedar"])
        .seeds([policy::BASE, policy::DEFAULT]);
    target.words(words.into_iter().chain(others)).run(|input| {
        let text = String::from_utf8_lossy(input);
        let compiled = compile(&sources(&text));
        let again = compile(&sources(&text));
        assert_eq!(compiled.as_ref().map(drop), again.as_ref().map(drop), "the same each time");
        match compiled {
            Ok(policies) => {
                assert!(!Policies::is_shut(&policies), "what was taken decides");
                vec![format!("{} statements", text.matches(';').count().min(8))]
            }
            Err(mistakes) => are_in_the_text(&text, &mistakes),
        }
    });
}

fn are_in_the_text(text: &str, mistakes: &[Mistake]) -> Vec<String> {
    assert!(!mistakes.is_empty(), "what is refused has a reason");
    assert!(mistakes.is_sorted(), "in the order of the text");
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for mistake in mistakes {
        let (line, column) = (mistake.line as usize, mistake.column as usize);
        let length = lines.get(line.wrapping_sub(1)).copied();
        let is_there = length.is_some_and(|length| (1..=length + 1).contains(&column));
        assert!(is_there, "not in the text: {mistake:?}");
        let (message, _) = mistake.told();
        assert!(!message.is_empty(), "{mistake:?}");
    }
    let brief = |mistake: &Mistake| {
        mistake.message.chars().filter(char::is_ascii_lowercase).take(20).collect()
    };
    mistakes.iter().map(brief).collect()
}
