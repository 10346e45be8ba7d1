//! House rules that no other tool checks: sizes and headers of source files, leftovers, and that documents name
//! what exists.

mod documents;
mod source;
mod text;

use anyhow::Result;

use crate::finding::{self, Finding};
use crate::tree::File;
use crate::{tree, workspace};

pub(crate) fn run() -> Result<()> {
    let files = tree::files(&workspace::root())?;
    let mut findings: Vec<Finding> = files.iter().flat_map(of_file).collect();
    findings.extend(documents::check(&files));
    findings.sort_by(|left, right| left.place.cmp(&right.place));
    finding::none(&findings)
}

fn of_file(file: &File) -> Vec<Finding> {
    let mut findings = text::check(file);
    if file.is_rust() {
        findings.extend(source::check(file));
    }
    findings
}

/// `path:line`.
fn place(file: &File, line: usize) -> String {
    format!("{}:{line}", file.path)
}

#[cfg(test)]
mod tests;
