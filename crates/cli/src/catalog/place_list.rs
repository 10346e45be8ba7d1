//! Files about places: regions with their countries, and decisions that countries protect data well enough. What is in them,
//! what cannot be used and why, and all their mistakes.

use std::collections::BTreeMap;

use fairlane_api::Timestamp;
use fairlane_api::residency::{Decision, RegionSpec};
use fairlane_core::id::{CertificateName, RegionName};
use fairlane_core::residency::{Country, TEXT_BYTES_MAX, UnknownCountry};
use serde_json::Value;

use crate::apply::located::{self, Located, Place};
use crate::mistake::Mistake;

/// What a decision needs whose scope is the list of the EU-US Data Privacy Framework. Nobody else is covered.
const FRAMEWORK: &str = "eu-us-dpf";
/// Scopes that cover whoever works in the country under its law, in lower case and without punctuation: nobody has to
/// show a certificate. Any other text may say that only some are covered.
const EVERYBODY: [&str; 7] = [
    "automated processing",
    "business operators under the appi and its supplementary rules",
    "commercial organisations under pipeda",
    "controllers and processors under the lgpd",
    "operators under pipa",
    "the international organisation",
    "whole territory",
];
/// How a decision is said to be in force, and what is said of one that is attacked.
const IN_FORCE: &str = "in force";
const CONTESTED: &str = "contested";

/// What several files say.
#[derive(Debug, Default)]
pub(super) struct PlaceList {
    pub(super) regions: Vec<Line<RegionSpec>>,
    /// One decision each; a country can have several.
    pub(super) decisions: Vec<Line<Ruling>>,
    pub(super) skipped: Vec<Skipped>,
}

/// One entry that can be declared, under the name of a region or a country.
#[derive(Debug)]
pub(super) struct Line<T> {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) at: Place,
    pub(super) spec: T,
}

/// A decision as a list has it.
#[derive(Debug)]
pub(super) struct Ruling {
    pub(super) decision: Decision,
    /// The list says itself what certificate it needs, if it is that it needs none.
    pub(super) is_explicit: bool,
}

/// One that cannot.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) why: String,
}

impl PlaceList {
    /// Adds what a file says; whether it is one about places.
    pub(super) fn read(&mut self, file: &str, text: &str, now: Timestamp) -> (bool, Vec<Mistake>) {
        let (root, mistakes) = located::read(file, text);
        let Some(root) = root else { return (true, mistakes) };
        let value = root.to_json();
        let mut reading = Reading { file, root: &root, now, mistakes };
        let mut is_known = false;
        if let Some(rows) = value["regions"].as_array() {
            is_known = true;
            reading.regions(rows, self);
        }
        if let Some(rows) = value["decisions"].as_array() {
            is_known = true;
            reading.decisions(rows, self);
        }
        for row in value["former"].as_array().into_iter().flatten() {
            self.skipped.push(former(row));
        }
        (is_known, reading.mistakes)
    }
}

struct Reading<'a> {
    file: &'a str,
    root: &'a Located,
    now: Timestamp,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    fn regions(&mut self, rows: &[Value], list: &mut PlaceList) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (row, at) in rows.iter().zip(0..) {
            let pointer = format!("/regions/{at}");
            let Some(name) = self.text(&pointer, row, "region", "the name of a region") else {
                continue;
            };
            if let Some(first) = names.insert(name, at) {
                let (line, _) = self.root.place(&format!("/regions/{first}"));
                let message = format!("`{name}` is there twice, first in line {line}");
                self.wrong(&pointer, message, "each region once");
                continue;
            }
            if let Err(error) = RegionName::parse(name) {
                let why = format!("the region can be no name: it {error}");
                list.skipped.push(Skipped { kind: "region", name: name.to_owned(), why });
                continue;
            }
            let Some(country) = self.text(&pointer, row, "country", "its country") else {
                continue;
            };
            if let Err(unknown) = Country::parse(country) {
                let why = no_country(country, unknown);
                list.skipped.push(Skipped { kind: "region", name: name.to_owned(), why });
                continue;
            }
            let spec = RegionSpec { country: country.to_owned(), label: label(row) };
            list.regions.push(self.line(&pointer, name, spec));
        }
    }

    fn decisions(&mut self, rows: &[Value], list: &mut PlaceList) {
        for (row, at) in rows.iter().zip(0..) {
            let pointer = format!("/decisions/{at}");
            let country = self.text(&pointer, row, "code", "the country that it is on");
            let name = self.text(&pointer, row, "decision", "its number");
            let (Some(country), Some(name)) = (country, name) else { continue };
            let mut skip = |why: String| {
                let name = format!("{country} {name}");
                list.skipped.push(Skipped { kind: "adequacy", name, why });
            };
            if let Err(unknown) = Country::parse(country) {
                skip(no_country(country, unknown));
                continue;
            }
            let status = row["status"].as_str().unwrap_or(IN_FORCE);
            let (head, rest) = status.split_once(',').unwrap_or((status, ""));
            if head.trim() != IN_FORCE {
                skip(format!("it is {status}"));
                continue;
            }
            let from = self.day(&pointer, row, "adopted");
            let until = self.day(&pointer, row, "expires");
            let (Ok(from), Ok(until)) = (from, until) else { continue };
            let Some(from) = from else {
                self.wrong(
                    &pointer,
                    "this does not say since when".to_owned(),
                    "a day in `adopted`",
                );
                continue;
            };
            if let Some(until) = until.filter(|until| *until <= self.now) {
                skip(format!("it ended on {}", day_text(until)));
                continue;
            }
            let Ok(certificate) = self.certificate(&pointer, row) else { continue };
            let scope = scope(row, rest.trim());
            let is_explicit = row.get("certificate").is_some();
            let decision = Decision { name: name.to_owned(), from, until, certificate, scope };
            list.decisions.push(self.line(&pointer, country, Ruling { decision, is_explicit }));
        }
    }

    /// What a decision needs: as it says itself, or as its scope does. Where neither is understood nobody guesses, for a
    /// decision that needs nothing lets everybody in.
    fn certificate(&mut self, pointer: &str, row: &Value) -> Result<Option<String>, ()> {
        match row.get("certificate") {
            Some(Value::Null) => return Ok(None),
            Some(given) => {
                let name = given.as_str().filter(|name| CertificateName::parse(name).is_ok());
                return name.map(|name| Some(name.to_owned())).ok_or_else(|| {
                    let message = format!("`certificate` is {given}");
                    let expected = "the name of a certificate such as `eu-us-dpf`, or null";
                    self.wrong(&format!("{pointer}/certificate"), message, expected);
                });
            }
            None => {}
        }
        let scope = row["scope"].as_str().unwrap_or_default();
        let words = words_of(scope);
        if EVERYBODY.contains(&words.as_str()) {
            return Ok(None);
        }
        if is_framework(&words) {
            return Ok(Some(FRAMEWORK.to_owned()));
        }
        let (message, at) = if scope.is_empty() {
            ("this does not say whom it covers".to_owned(), pointer.to_owned())
        } else {
            let message = format!("nobody knows whom the scope `{scope}` covers");
            (message, format!("{pointer}/scope"))
        };
        let expected = "`whole territory`, or a `certificate` beside it: its name, or null if everybody is covered";
        self.wrong(&at, message, expected);
        Err(())
    }

    fn line<T>(&self, pointer: &str, name: &str, spec: T) -> Line<T> {
        let at = self.root.place(pointer);
        Line { name: name.to_owned(), file: self.file.to_owned(), at, spec }
    }

    /// A text that has to be there.
    fn text<'v>(
        &mut self,
        pointer: &str,
        row: &'v Value,
        field: &str,
        what: &str,
    ) -> Option<&'v str> {
        let text = row[field].as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            let expected = format!("{what} in `{field}`");
            self.wrong(pointer, format!("this has no `{field}`"), &expected);
        }
        text
    }

    /// When a day begins, if one is given.
    fn day(&mut self, pointer: &str, row: &Value, field: &str) -> Result<Option<Timestamp>, ()> {
        let given = &row[field];
        if given.is_null() {
            return Ok(None);
        }
        let day = given.as_str().and_then(|day| format!("{day}T00:00:00Z").parse().ok());
        day.map(Some).ok_or_else(|| {
            let message = format!("`{field}` is {given}");
            self.wrong(&format!("{pointer}/{field}"), message, "a day such as 2026-12-01");
        })
    }

    fn wrong(&mut self, pointer: &str, message: String, expected: &str) {
        let (line, column) = self.root.place(pointer);
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            line,
            column,
            message,
            expected: Some(expected.to_owned()),
            code: "invalid-value".to_owned(),
        });
    }
}

fn no_country(text: &str, unknown: UnknownCountry) -> String {
    let meant = unknown.meant.map_or_else(String::new, |code| format!(": `{code}` is meant"));
    format!("`{text}` is no country{meant}")
}

/// The provider and the place.
fn label(row: &Value) -> Option<String> {
    let cloud = match row["cloud"].as_str() {
        Some("aws") => Some("Amazon Web Services"),
        Some("azure") => Some("Azure"),
        Some("gcp") => Some("Google Cloud"),
        other => other,
    };
    let parts: Vec<&str> = cloud.into_iter().chain(row["place"].as_str()).collect();
    (!parts.is_empty()).then(|| cut(parts.join(": ")))
}

/// In lower case, with one space between words and no point within one: `EU-U.S.` is `eu us`.
fn words_of(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| *c != '.').collect();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a scope is the list of the framework, however it is spelt. Switzerland and the United Kingdom have lists of
/// their own.
fn is_framework(words: &str) -> bool {
    let has = |word: &str| words.split(' ').any(|other| other == word);
    let is_of_others = ["swiss", "switzerland", "uk"].iter().any(|other| has(other));
    let is_named = words.contains("data privacy framework") || has("dpf");
    is_named && !is_of_others
}

/// Whom a decision covers, and what else is to be known of it.
fn scope(row: &Value, rest: &str) -> Option<String> {
    let scope = row["scope"].as_str().unwrap_or_default();
    let marked = match (scope, rest) {
        ("", rest) => rest.to_owned(),
        (scope, "") => scope.to_owned(),
        (scope, rest) => format!("{scope}; {rest}"),
    };
    (!marked.is_empty()).then(|| cut(marked))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

/// A decision that is history.
fn former(row: &Value) -> Skipped {
    let text = |field: &str| row[field].as_str().unwrap_or("?");
    let by = row["by"].as_str().map_or_else(String::new, |by| format!(", by {by}"));
    let name = format!("{} {}", text("code"), text("decision"));
    Skipped { kind: "adequacy", name, why: format!("history: ended on {}{by}", text("ended")) }
}

/// The day of a time.
pub(super) fn day_text(at: Timestamp) -> String {
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}

/// Whether a decision is one that somebody wants to bring down.
pub(super) fn is_contested(decision: &Decision) -> bool {
    decision.scope.as_ref().is_some_and(|scope| scope.ends_with(CONTESTED))
}
