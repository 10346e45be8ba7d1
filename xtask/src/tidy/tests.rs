//! The house rules on small files, good and bad.

use super::{documents, of_file};
use crate::tree::File;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// What is said about one file: place and mistake, one to a line.
fn said(path: &str, text: &str) -> String {
    let lines = of_file(&file(path, text))
        .into_iter()
        .map(|finding| format!("{}: {}", finding.place, finding.wrong));
    lines.collect::<Vec<_>>().join("\n")
}

/// What is said about the links and paths of some documents.
fn said_of(files: &[(&str, &str)]) -> String {
    let files: Vec<File> = files.iter().map(|(path, text)| file(path, text)).collect();
    let lines = documents::check(&files)
        .into_iter()
        .map(|finding| format!("{}: {}", finding.place, finding.wrong));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_that_says_what_it_owns_is_fine() {
    assert_eq!(said("crates/a/src/lib.rs", "//! Owns nothing.\n\npub struct Ledger;\n"), "");
}

#[test]
fn a_file_without_a_header_is_found() {
    assert_eq!(said("a.rs", "use std::fmt;\n"), "a.rs:1: the file does not open with `//!`");
}

#[test]
fn a_files_own_tests_do_not_count_towards_its_length() {
    let body = "//! Long.\n".to_owned() + &"fn f() {}\n".repeat(799);
    let tests = "#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(said("a.rs", &(body.clone() + tests)), "");
    assert_eq!(said("a.rs", &(body + "fn g() {}\n" + tests)), "a.rs: 801 lines (its tests apart)");
}

#[test]
fn long_tests_belong_into_a_file_of_their_own() {
    let text =
        "//! Short.\n#[cfg(test)]\nmod tests {\n".to_owned() + &"// test\n".repeat(200) + "}\n";
    assert_eq!(said("a.rs", &text), "a.rs: 203 lines of tests inside the file");
}

#[test]
fn tests_that_are_left_out_and_names_that_say_nothing_are_found() {
    assert_eq!(said("a.rs", "//! A.\n#[ignore = \"slow\"]\n"), "a.rs:2: a test is left out");
    assert_eq!(
        said("a.rs", "//! A.\npub(crate) struct LeaseManager<'a> {\n"),
        "a.rs:2: the type LeaseManager is named Manager"
    );
    assert_eq!(said("a.rs", "//! A.\n// the enum Helper of old\n"), "");
}

#[test]
fn leftovers_whitespace_and_missing_ends_are_found() {
    let mark = concat!("FIX", "ME");
    assert_eq!(said("a.md", &format!("{mark} soon\n")), format!("a.md:1: {mark} is left over"));
    assert_eq!(said("a.md", &format!("{mark}D\n")), "", "a longer word is another word");
    assert_eq!(said("a.toml", "a = 1 \n"), "a.toml:1: whitespace at the end of the line");
    assert_eq!(said("a.toml", "a = 1"), "a.toml: the last line has no end");
    assert_eq!(said("a.toml", "a = 1\n\n"), "a.toml: empty lines at the end");
}

#[test]
fn hosts_and_history_are_found() {
    let host = concat!("static.", "crates.io");
    assert_eq!(said("a.md", &format!("see {host}\n")), format!("a.md:1: names the host {host}"));
    let history = concat!("Issue", " #7");
    assert!(said("a.md", &format!("Fixes {history}.\n")).contains(concat!("says \"issue", " #\"")));
}

#[test]
fn a_document_may_name_what_exists() {
    let code = ("crates/core/src/lib.rs", "");
    for text in [
        "`crates/core/src/lib.rs`\n",
        "`crates/core/`\n",
        "`crates/*/src` and `crates/<name>`\n",
        "`/v1/tenants/{t}/runs` and `and/or`\n",
        "```sh\nls crates/core\n```\n",
        "crates/gone without backticks\n",
        "[core](crates/core/src/lib.rs#L1), [out](https://example.com/x), [here](#here)\n",
    ] {
        assert_eq!(said_of(&[code, ("README.md", text)]), "", "{text}");
    }
}

#[test]
fn a_document_that_names_what_is_gone_is_found() {
    for (text, wrong) in [
        ("\n`crates/gone.rs`\n", "README.md:2: names `crates/gone.rs`, which does not exist"),
        (
            "```sh\ncat docs/gone.md\n```\n",
            "README.md:2: names `docs/gone.md`, which does not exist",
        ),
        ("[it](docs/gone.md#top)\n", "README.md:1: links to docs/gone.md, which does not exist"),
    ] {
        assert_eq!(said_of(&[("README.md", text)]), wrong);
    }
}

#[test]
fn links_are_relative_to_their_document_and_every_document_is_reached() {
    let guide = ("docs/guides/start.md", "[up](../README.md)\n");
    let index = ("docs/README.md", "[start](guides/start.md)\n");
    assert_eq!(said_of(&[guide, index, ("README.md", "[docs](docs/README.md)\n")]), "");
    assert_eq!(
        said_of(&[guide, ("docs/README.md", "nothing\n")]),
        "docs/guides/start.md: no document links to it"
    );
}
