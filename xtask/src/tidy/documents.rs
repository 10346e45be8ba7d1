//! Documents: the paths that they name exist, their links lead somewhere, and each can be reached from another.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::File;

use super::place;

/// Folders at the root whose name at the start of a word makes it a path of this repository.
const FOLDERS: &[&str] = &[
    "crates",
    "dashboard",
    "docs",
    "examples",
    "bench",
    "deploy",
    "xtask",
    ".ci",
    ".cargo",
    ".config",
];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let known = Known::new(files);
    let mut findings = Vec::new();
    let mut reached = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_markdown()) {
        for named in named_paths(&file.text) {
            if !known.has(&named.target) {
                findings.push(Finding::new(
                    place(file, named.line),
                    format!("names `{}`, which does not exist", named.target),
                    "name the place where it is now",
                ));
            }
        }
        for link in links(&file.text) {
            let target = resolve(&file.path, &link.target);
            if known.has(&target) {
                reached.insert(target);
            } else {
                findings.push(Finding::new(
                    place(file, link.line),
                    format!("links to {}, which does not exist", link.target),
                    "link to the place where it is now",
                ));
            }
        }
    }
    findings.extend(unreached(files, &reached));
    findings
}

/// Documents below `docs` to which no document links.
fn unreached(files: &[File], reached: &BTreeSet<String>) -> Vec<Finding> {
    let is_document = |file: &&File| file.is_markdown() && file.path.starts_with("docs/");
    let lost = files.iter().filter(is_document).filter(|file| !reached.contains(&file.path));
    let finding = |file: &File| {
        Finding::new(
            &file.path,
            "no document links to it",
            "link to it from the index of its folder",
        )
    };
    lost.map(finding).collect()
}

/// The paths of the repository, folders included.
struct Known<'a>(BTreeSet<&'a str>);

impl<'a> Known<'a> {
    fn new(files: &'a [File]) -> Self {
        let mut paths = BTreeSet::new();
        for file in files {
            paths.insert(file.path.as_str());
            paths.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
        }
        Self(paths)
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(path.trim_end_matches('/'))
    }
}

/// Something a document points to.
struct Named {
    line: usize,
    target: String,
}

/// Words that look like a path of this repository, in backticks or in a block of commands.
fn named_paths(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut is_block = false;
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim_start().starts_with("```") {
            is_block = !is_block;
            continue;
        }
        let pieces: Vec<&str> =
            if is_block { vec![content] } else { content.split('`').skip(1).step_by(2).collect() };
        for word in pieces.iter().flat_map(|piece| piece.split_whitespace()) {
            found.extend(as_path(word).map(|target| Named { line, target }));
        }
    }
    found
}

fn as_path(word: &str) -> Option<String> {
    let word = word.trim_matches(['"', '\'', ',', ';', '(', ')', ':']);
    let word = word.trim_end_matches('.').trim_start_matches("./");
    let (first, rest) = word.split_once('/')?;
    // A placeholder or a pattern names no file.
    let is_plain =
        !word.contains(['*', '<', '>', '{', '}', '$', '|', '=']) && !word.contains("NNNN");
    (FOLDERS.contains(&first) && is_plain && !rest.starts_with('/')).then(|| word.to_owned())
}

/// Relative links, `[text](target)`, without what follows `#`.
fn links(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut is_block = false;
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim_start().starts_with("```") {
            is_block = !is_block;
        }
        if is_block {
            continue;
        }
        for (at, _) in content.match_indices("](") {
            let Some((target, _)) = content[at + 2..].split_once(')') else { continue };
            let target = target.split('#').next().unwrap_or(target);
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(Named { line, target: target.to_owned() });
            }
        }
    }
    found
}

/// Where a link of a document leads, from the root of the repository.
fn resolve(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}
