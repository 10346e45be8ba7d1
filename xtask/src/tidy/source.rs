//! Rust files: they open with what they own, stay short, and leave no test out.

use crate::finding::Finding;
use crate::tree::File;

use super::place;

/// Beyond this a file holds two subjects. Its own tests do not count.
const LINES_MAX: usize = 800;
/// Longer tests stand in a file of their own, so that the subject can be read without them.
const TEST_LINES_MAX: usize = 200;
/// Names that say nothing of what a type does.
const EMPTY_NAMES: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(Finding::new(
            place(file, 1),
            "the file does not open with `//!`",
            "say what it owns and what it refuses to know",
        ));
    }
    let (own, tests) = own_and_test_lines(&file.text);
    if own > LINES_MAX {
        findings.push(Finding::new(
            &file.path,
            format!("{own} lines (its tests apart)"),
            format!("at most {LINES_MAX}: split it by subject"),
        ));
    }
    if tests > TEST_LINES_MAX {
        findings.push(Finding::new(
            &file.path,
            format!("{tests} lines of tests inside the file"),
            format!("more than {TEST_LINES_MAX} go to a file of their own, `mod tests;`"),
        ));
    }
    for (line, text) in (1..).zip(file.text.lines()) {
        findings.extend(
            line_mistake(text).map(|(wrong, right)| Finding::new(place(file, line), wrong, right)),
        );
    }
    findings
}

/// Lines before the module of tests, and of it. A module of tests stands last.
fn own_and_test_lines(text: &str) -> (usize, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let opens_tests = |at: &usize| {
        lines[*at].trim() == "#[cfg(test)]"
            && lines.get(at + 1).is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
    };
    let own = (0..lines.len()).find(opens_tests).unwrap_or(lines.len());
    (own, lines.len() - own)
}

fn line_mistake(line: &str) -> Option<(String, &'static str)> {
    let line = line.trim_start();
    if line.starts_with("#[ignore") {
        return Some(("a test is left out".to_owned(), "make it run, or remove it"));
    }
    let name = declared_name(line)?;
    let empty = EMPTY_NAMES.iter().find(|empty| name.ends_with(*empty))?;
    Some((format!("the type {name} is named {empty}"), "name it by what it does"))
}

/// The name of the type that a line declares.
fn declared_name(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let keyword = words.iter().position(|word| ["struct", "enum", "trait"].contains(word))?;
    let is_visibility = |word: &&str| ["pub", "crate", "super", ""].contains(word);
    words[..keyword].iter().all(is_visibility).then(|| words.get(keyword + 1).copied())?
}
