//! From the table to requests, and from two answers to what tells them apart.

use std::collections::BTreeMap;

use anyhow::Context as _;
use hyper::Method;

use super::cases::{Also, Case, Of};
use super::fixture::{Fixture, Who};
use super::wire::{Answer, Request};
use crate::load::random::Random;

/// Random digits at the end of all names and ids.
const DIGITS: usize = 8;
/// What stands for things that no tenant has, in paths of the platform.
const FIXED: [(&str, &str); 3] =
    [("every", "month"), ("country", "JP"), ("region", "conformance-1")];
/// A name for all others.
const NO_NAME: &str = "conformance-none";

/// Something that is asked, of which A's and what does not exist must not be told apart.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) who: Who,
    /// What the request names: a placeholder, or nothing of A's.
    pub(super) varied: &'static str,
    pub(super) expects: Expects,
    pub(super) request: Request,
}

#[derive(Clone, Debug)]
pub(super) enum Expects {
    /// The same answer as to the twin of the request, which names something that does not exist.
    Alike(Box<Twin>),
    /// 403, whatever is named.
    Forbidden,
    /// An answer without anything of A's.
    Clean,
}

#[derive(Clone, Debug)]
pub(super) struct Twin {
    pub(super) request: Request,
    /// What is A's, and what does not exist.
    pub(super) foreign: String,
    pub(super) missing: String,
    /// Nothing is given: the answer has to be a refusal.
    pub(super) is_refused: bool,
    /// New ids and times in the answers are new ones.
    pub(super) is_fresh: bool,
}

impl Probe {
    /// One line for people.
    pub(super) fn what(&self) -> String {
        match &self.expects {
            Expects::Alike(_) => format!("{} names a foreign {}", self.who.name(), self.varied),
            Expects::Forbidden => format!("{} is refused", self.who.name()),
            Expects::Clean => format!("{} reads what is its own", self.who.name()),
        }
    }
}

/// All requests of a case.
pub(super) fn derive(
    case: &Case,
    fixture: &Fixture,
    random: &mut Random,
) -> anyhow::Result<Vec<Probe>> {
    let mut deriving = Deriving { case, fixture, random, probes: Vec::new() };
    match case.of {
        Of::Tenant | Of::TenantWhoNames | Of::TenantByOperator => deriving.of_tenant()?,
        Of::Review | Of::ReviewByReviewer => {
            for who in [Who::Tenant, Who::Stranger, Who::Worker, Who::Nobody] {
                deriving.pairs(who, "review", true)?;
            }
        }
        Of::Operator => deriving.of_operator()?,
        Of::Everyone => deriving.one(Who::Tenant, Expects::Clean)?,
        Of::Anybody => deriving.one(Who::Nobody, Expects::Clean)?,
        Of::Named => {}
    }
    for also in case.also {
        deriving.also(also)?;
    }
    Ok(deriving.probes)
}

/// What A itself asks of an operation after all others have: if it is answered as they were, their requests prove
/// nothing. One request for each of A's runs or reviews.
pub(super) fn controls(case: &Case, fixture: &Fixture) -> anyhow::Result<Vec<(Who, Request)>> {
    let (who, also) = match case.of {
        Of::Tenant | Of::TenantWhoNames | Of::Review => (Who::Owner, None),
        Of::TenantByOperator => (Who::Operator, None),
        Of::ReviewByReviewer => (Who::Member, None),
        Of::Named => match case.also.first() {
            Some(first) => (owner(first.vary), Some(first)),
            None => return Ok(Vec::new()),
        },
        Of::Operator | Of::Everyone | Of::Anybody => return Ok(Vec::new()),
    };
    let many = case.placeholders().find(|name| ["run", "review"].contains(name));
    let count = many.map_or(1, |name| fixture.things[name].foreign.len());
    let mut requests = Vec::new();
    for at in 0..count {
        let mut values = BTreeMap::new();
        if let Some(name) = many {
            values.insert(name, fixture.things[name].foreign[at].clone());
        }
        let filled = Filled { fixture, values, is_foreign: true };
        requests.push((who, filled.request(case, also)?));
    }
    Ok(requests)
}

/// Who may ask for a thing of A's.
fn owner(thing: &str) -> Who {
    match thing {
        "lease" | "pool" => Who::Holder,
        "review" | "reviewers" => Who::Member,
        _ => Who::Owner,
    }
}

struct Deriving<'a> {
    case: &'a Case,
    fixture: &'a Fixture,
    random: &'a mut Random,
    probes: Vec<Probe>,
}

impl Deriving<'_> {
    fn of_tenant(&mut self) -> anyhow::Result<()> {
        for who in [Who::Tenant, Who::Worker, Who::Stranger, Who::Nobody] {
            self.pairs(who, "tenant", true)?;
        }
        let case = self.case;
        let below: Vec<_> = case
            .placeholders()
            .filter(|name| ["run", "channel", "notice", "erasure"].contains(name))
            .collect();
        if case.of != Of::TenantWhoNames {
            for name in &below {
                self.pairs(Who::Tenant, name, true)?;
                if case.of == Of::TenantByOperator {
                    self.pairs(Who::Operator, name, true)?;
                }
            }
        }
        let has_own =
            |name: &&str| self.fixture.things.get(*name).is_some_and(|it| it.own.is_some());
        // B's run goes on, and has no output.
        let is_read = case.operation.starts_with("GET ")
            && !case.operation.ends_with("/output")
            && case.of == Of::Tenant;
        if is_read && below.iter().all(has_own) {
            self.one(Who::Tenant, Expects::Clean)?;
        }
        Ok(())
    }

    fn of_operator(&mut self) -> anyhow::Result<()> {
        let named: Vec<_> = self.case.placeholders().map(|name| self.named(name)).collect();
        for who in [Who::Tenant, Who::Worker, Who::Stranger] {
            for name in named.iter().filter(|name| self.fixture.things.contains_key(*name)) {
                self.pairs(who, name, true)?;
            }
            self.one(who, Expects::Forbidden)?;
        }
        Ok(())
    }

    /// What a name in the path stands for.
    fn named(&self, placeholder: &'static str) -> &'static str {
        named(self.case, placeholder)
    }

    fn one(&mut self, who: Who, expects: Expects) -> anyhow::Result<()> {
        let filled = Filled { fixture: self.fixture, values: BTreeMap::new(), is_foreign: false };
        let request = filled.request(self.case, None)?;
        self.probes.push(Probe { who, varied: "", expects, request });
        Ok(())
    }

    fn also(&mut self, also: &Also) -> anyhow::Result<()> {
        for foreign in self.foreign(also.vary)? {
            self.pair((also.who, also.vary), &foreign, Some(also), false)?;
        }
        Ok(())
    }

    fn pairs(&mut self, who: Who, vary: &'static str, is_refused: bool) -> anyhow::Result<()> {
        for foreign in self.foreign(vary)? {
            self.pair((who, vary), &foreign, None, is_refused)?;
        }
        Ok(())
    }

    fn foreign(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let thing = self.fixture.things.get(name);
        Ok(thing.with_context(|| format!("there is no {name} to ask for"))?.foreign.clone())
    }

    fn pair(
        &mut self,
        (who, varied): (Who, &'static str),
        foreign: &str,
        also: Option<&Also>,
        is_refused: bool,
    ) -> anyhow::Result<()> {
        let missing = twin(foreign, self.random);
        let (fixture, case) = (self.fixture, self.case);
        // Below a foreign tenant all is that tenant's, unless the tenant is named elsewhere than in the path.
        let is_foreign = varied == "tenant" && also.is_none();
        let request = |value: &str| {
            let values = BTreeMap::from([(varied, value.to_owned())]);
            Filled { fixture, values, is_foreign }.request(case, also)
        };
        let is_fresh = also.is_some_and(|also| also.is_fresh);
        let twin = Twin {
            request: request(&missing)?,
            foreign: foreign.to_owned(),
            missing,
            is_refused,
            is_fresh,
        };
        let expects = Expects::Alike(Box::new(twin));
        let request = request(foreign)?;
        self.probes.push(Probe { who, varied, expects, request });
        Ok(())
    }
}

fn named(case: &Case, placeholder: &'static str) -> &'static str {
    let of_reviewers = case.operation.contains("/reviewer-pools/");
    if placeholder == "pool" && of_reviewers { "reviewers" } else { placeholder }
}

/// Fills the placeholders of a request.
struct Filled<'a> {
    fixture: &'a Fixture,
    /// What is said for this request.
    values: BTreeMap<&'static str, String>,
    /// Whether all else is A's; the asker's own if not, where it has any.
    is_foreign: bool,
}

impl Filled<'_> {
    fn request(&self, case: &Case, also: Option<&Also>) -> anyhow::Result<Request> {
        let (method, path) = case.operation.split_once(' ').context("an operation has a method")?;
        let mut target = path.to_owned();
        // The tenant that a header names is not that of the path.
        let in_header = also.and_then(|also| also.header).filter(|(_, value)| *value == "{tenant}");
        for placeholder in case.placeholders() {
            let name = named(case, placeholder);
            let value = match in_header {
                Some(_) if name == "tenant" => self.default_of(name),
                _ => self.value(name),
            };
            target = target.replace(&format!("{{{placeholder}}}"), &value);
        }
        let query = also.map_or(case.query, |also| also.query);
        if !query.is_empty() {
            target = format!("{target}?{}", self.text(query));
        }
        let header = also.and_then(|also| also.header);
        let headers = header.map(|(name, value)| (name, self.text(value))).into_iter().collect();
        let body = also.and_then(|also| also.body).or(case.body).map(|body| self.text(body));
        let method = Method::from_bytes(method.as_bytes())?;
        Ok(Request { method, target, headers, body })
    }

    /// A text with its placeholders filled in.
    fn text(&self, template: &str) -> String {
        let mut text = template.to_owned();
        for name in self.fixture.things.keys() {
            text = text.replace(&format!("{{{name}}}"), &self.value(name));
        }
        text
    }

    fn value(&self, name: &str) -> String {
        self.values.get(name).cloned().unwrap_or_else(|| self.default_of(name))
    }

    fn default_of(&self, name: &str) -> String {
        let Some(thing) = self.fixture.things.get(name) else {
            let fixed = FIXED.iter().find(|(fixed, _)| *fixed == name);
            return fixed.map_or(NO_NAME, |(_, value)| value).to_owned();
        };
        let own = if self.is_foreign { None } else { thing.own.as_ref() };
        own.or(thing.foreign.first()).cloned().unwrap_or_default()
    }
}

/// Something of the same form that does not exist, and that would stand beside it in any order.
pub(super) fn twin(value: &str, random: &mut Random) -> String {
    if let Ok(number) = value.parse::<u64>() {
        return number.saturating_add(1).to_string();
    }
    // Of a lease's name the run; it ends with small numbers.
    if let [tenant, run, step, part, fence] = *value.split('.').collect::<Vec<_>>() {
        return [tenant, &twin(run, random), step, part, fence].join(".");
    }
    let Some(at) = value.len().checked_sub(DIGITS).filter(|at| value.is_char_boundary(*at)) else {
        return value.chars().rev().collect();
    };
    loop {
        let other = format!("{}{:08x}", &value[..at], random.next() >> 32);
        if other != value {
            return other;
        }
    }
}

/// What tells two answers apart; nothing if they are alike but for what was asked for.
pub(super) fn difference(foreign: &Answer, missing: &Answer) -> Option<String> {
    if foreign.status != missing.status {
        return Some(format!("the status is {} and {}", foreign.status, missing.status));
    }
    if foreign.body != missing.body {
        return Some("the bodies differ".to_owned());
    }
    let names = foreign.headers.keys().chain(missing.headers.keys());
    for name in names {
        let (one, other) = (foreign.headers.get(name), missing.headers.get(name));
        if one != other {
            let shown =
                |value: Option<&String>| value.map_or("absent".to_owned(), |it| format!("`{it}`"));
            return Some(format!("the header {name} is {} and {}", shown(one), shown(other)));
        }
    }
    None
}

/// The answer with what was asked for replaced, so that what is left can be compared.
pub(super) fn masked(answer: &Answer, asked: &str, is_fresh: bool) -> Answer {
    // A number is found in any other.
    let is_number = asked.parse::<u64>().is_ok();
    let mask = |text: &str| {
        let text = if is_number { text.to_owned() } else { text.replace(asked, "{asked}") };
        if is_fresh { without_new(&text) } else { text }
    };
    let headers = answer.headers.iter().map(|(name, value)| (name.clone(), mask(value)));
    Answer { status: answer.status, headers: headers.collect(), body: mask(&answer.body) }
}

/// Ids and times that are new in each answer: runs of hexadecimal digits and of what times are written with, that are
/// too long for a number.
fn without_new(text: &str) -> String {
    const SHORTEST: usize = 20;
    let mut left = String::with_capacity(text.len());
    let mut run = String::new();
    let is_part = |one: char| one.is_ascii_hexdigit() || "-:.TZ".contains(one);
    for one in text.chars().chain(['\0']) {
        if is_part(one) {
            run.push(one);
            continue;
        }
        left.push_str(if run.len() >= SHORTEST { "{new}" } else { &run });
        run.clear();
        left.push(one);
    }
    left.pop();
    left
}

/// A word of A's in an answer to somebody who did not name it.
pub(super) fn leaked<'a>(
    words: &'a [String],
    request: &Request,
    answer: &Answer,
) -> Option<&'a str> {
    let is_named = |word: &str| {
        let parts = [Some(&request.target), request.body.as_ref()];
        parts.into_iter().flatten().any(|text| text.contains(word))
            || request.headers.iter().any(|(_, value)| value.contains(word))
    };
    let is_there = |word: &str| {
        answer.body.contains(word) || answer.headers.values().any(|value| value.contains(word))
    };
    words.iter().map(String::as_str).find(|word| is_there(word) && !is_named(word))
}

#[cfg(test)]
mod tests;
