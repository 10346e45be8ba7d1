//! Reads what quotas and budgets are declared with. All that is wrong is found, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_api::quota as wire;
use fairlane_api::{Code, Mistake};
use fairlane_core::calendar::{Calendar, TimeZone};
use fairlane_core::id::ToolName;
use fairlane_core::money::{MoneyError, Nano};
use fairlane_core::quota::{
    Breaker, Budget, FAILURES_MAX, OPEN_FOR_MAX, OrgBudget, PERIOD_MAX, QUOTAS_MAX, RULES_MAX,
    Rule, Rung, UNITS_MAX, Unit,
};
use fairlane_core::time::Span;
use fairlane_workflow::{SPAN_EXAMPLE, parse_span, show_span};

use crate::problem::{Refused, pointer_segment};
use crate::wire::{between, name};

/// Shortest period of a bucket, and shortest time that a breaker stays open.
const SPAN_MIN: Span = Span::from_millis(1);

/// What has been found wrong so far. A value that is wrong is read as some other one, and never gets out.
#[derive(Debug, Default)]
pub(crate) struct Check(Vec<Refused>);

impl Check {
    /// What was read, if nothing was wrong. A refusal is the first mistake, and has the list of all if there are more.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Refused> {
        let mistakes: Vec<Mistake> = match self.0.as_slice() {
            [] => return Ok(read),
            [_] => Vec::new(),
            all => all.iter().map(mistake).collect(),
        };
        let first = self.0.into_iter().next();
        Err(first.map_or_else(|| Refused::new(Code::InvalidValue), |one| one.mistakes(mistakes)))
    }

    pub(crate) fn quotas(
        &mut self,
        given: &BTreeMap<String, Vec<wire::Rule>>,
    ) -> BTreeMap<ToolName, Vec<Rule>> {
        if given.len() > QUOTAS_MAX {
            self.too_many("/quotas", format!("at most {QUOTAS_MAX} tools"));
            return BTreeMap::new();
        }
        let mut quotas = BTreeMap::new();
        for (tool, rules) in given {
            let pointer = format!("/quotas/{}", pointer_segment(tool));
            let rules = self.rules(&pointer, rules);
            if let Some(tool) = self.keep(name::<ToolName>(tool, &pointer)) {
                quotas.insert(tool, rules);
            }
        }
        quotas
    }

    pub(crate) fn rules(&mut self, pointer: &str, given: &[wire::Rule]) -> Vec<Rule> {
        if given.len() > RULES_MAX {
            self.too_many(pointer, format!("at most {RULES_MAX} rules"));
            return Vec::new();
        }
        let mut labels = BTreeSet::new();
        let mut rules = Vec::with_capacity(given.len());
        for (at, rule) in given.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            let rule = self.rule(&pointer, rule);
            if rule.as_ref().is_some_and(|rule| !labels.insert(rule.label())) {
                self.0.push(
                    Refused::new(Code::InvalidValue)
                        .detail("another rule counts over the same time")
                        .at(pointer)
                        .expected("one rule for each window and period of calls or tokens, and one for calls under way"),
                );
            }
            rules.extend(rule);
        }
        rules
    }

    fn rule(&mut self, pointer: &str, rule: &wire::Rule) -> Option<Rule> {
        match rule {
            wire::Rule::Window { units, every, time_zone, of } => {
                let pointer = format!("{pointer}/window");
                self.units(&format!("{pointer}/units"), *units);
                let time_zone = self.zone(&format!("{pointer}/time_zone"), time_zone)?;
                let (every, of) = (calendar(*every), unit(*of));
                Some(Rule::Window { units: *units, every, time_zone, of })
            }
            wire::Rule::Bucket { units, per, burst, of } => {
                let pointer = format!("{pointer}/bucket");
                self.units(&format!("{pointer}/units"), *units);
                self.units(&format!("{pointer}/burst"), *burst);
                let per = self.span(&format!("{pointer}/per"), per, PERIOD_MAX)?;
                Some(Rule::Bucket { units: *units, per, burst: *burst, of: unit(*of) })
            }
            wire::Rule::Concurrent { calls } => {
                let range = [1, u64::from(u32::MAX)];
                let pointer = format!("{pointer}/concurrent/calls");
                self.keep(between(u64::from(*calls), range, &pointer));
                Some(Rule::Concurrent { calls: *calls })
            }
        }
    }

    pub(crate) fn breaker(&mut self, given: &wire::Breaker) -> Option<Breaker> {
        let range = [1, FAILURES_MAX.into()];
        let failures = self.keep(between(given.failures.into(), range, "/breaker/failures"));
        let open_for = self.span("/breaker/open_for", &given.open_for, OPEN_FOR_MAX)?;
        failures.map(|()| Breaker { failures: given.failures, open_for })
    }

    pub(crate) fn budget(&mut self, given: &wire::Budget) -> Budget {
        let mut optional = |pointer: &str, amount: &Option<wire::Amount>| {
            amount.as_ref().map(|amount| self.amount(pointer, amount))
        };
        let run = optional("/budget/run", &given.run);
        let day = optional("/budget/day", &given.day);
        let month = optional("/budget/month", &given.month);
        let is_read = self.0.is_empty();
        let reserve = self.amount("/budget/reserve", &given.reserve);
        if let Some(run) = run.filter(|run| is_read && reserve > *run) {
            self.0.push(
                Refused::new(Code::OutOfRange)
                    .detail(format!("the value is {reserve}"))
                    .at("/budget/reserve")
                    .expected(format!("0 to {run}, the budget of a run")),
            );
        }
        let zone = self.zone("/budget/time_zone", &given.time_zone);
        let short = self.rungs(&given.short);
        Budget { run, reserve, day, month, time_zone: zone.unwrap_or_default(), short }
    }

    fn rungs(&mut self, given: &[wire::Rung]) -> Vec<Rung> {
        let mut rungs = Vec::new();
        for (at, rung) in given.iter().map(|rung| rung_in(*rung)).enumerate() {
            if rungs.contains(&rung) {
                self.0.push(
                    Refused::new(Code::InvalidValue)
                        .detail("this stands in the list before")
                        .at(format!("/budget/short/{at}"))
                        .expected("each rung once"),
                );
                break;
            }
            rungs.push(rung);
        }
        rungs
    }

    pub(crate) fn org_budget(&mut self, given: &wire::OrgBudget) -> OrgBudget {
        let month = self.amount("/budget/month", &given.month);
        let zone = self.zone("/budget/time_zone", &given.time_zone);
        OrgBudget { month, time_zone: zone.unwrap_or_default() }
    }

    pub(crate) fn amount(&mut self, pointer: &str, given: &wire::Amount) -> Nano {
        self.keep(amount(given, pointer)).unwrap_or_default()
    }

    fn units(&mut self, pointer: &str, units: u64) {
        self.keep(between(units, [1, UNITS_MAX], pointer));
    }

    fn zone(&mut self, pointer: &str, text: &str) -> Option<TimeZone> {
        let zone = TimeZone::parse(text).map_err(|_| {
            Refused::new(Code::InvalidValue)
                .detail(format!("`{text}` is no time zone"))
                .at(pointer)
                .expected("an IANA name such as `Europe/Berlin` or `UTC`")
        });
        self.keep(zone)
    }

    pub(crate) fn span(&mut self, pointer: &str, text: &str, most: Span) -> Option<Span> {
        let Some(span) = parse_span(text) else {
            let refused = Refused::new(Code::InvalidValue);
            let refused = refused.detail(format!("`{text}` is no duration"));
            self.0.push(refused.at(pointer).expected(SPAN_EXAMPLE));
            return None;
        };
        if !(SPAN_MIN..=most).contains(&span) {
            self.0.push(
                Refused::new(Code::OutOfRange)
                    .detail(format!("the value is {text}"))
                    .at(pointer)
                    .expected(format!("{} to {}", show_span(SPAN_MIN), show_span(most))),
            );
            return None;
        }
        Some(span)
    }

    fn too_many(&mut self, pointer: &str, expected: String) {
        self.0.push(Refused::new(Code::TooMany).at(pointer).expected(expected));
    }

    pub(crate) fn wrong(&mut self, refused: Refused) {
        self.0.push(refused);
    }

    pub(crate) fn keep<T>(&mut self, read: Result<T, Refused>) -> Option<T> {
        read.map_err(|refused| self.0.push(refused)).ok()
    }
}

/// Reads an amount of money.
pub(crate) fn amount(given: &wire::Amount, pointer: &str) -> Result<Nano, Refused> {
    given.0.parse().map_err(|error: MoneyError| {
        let code = match error {
            MoneyError::Malformed | MoneyError::TooFine => Code::InvalidValue,
            MoneyError::Negative | MoneyError::TooMuch => Code::OutOfRange,
        };
        Refused::new(code)
            .detail(format!("the amount is {:?}", given.0))
            .at(pointer)
            .expected(format!("0 to {} with at most 9 decimal places, such as 0.05", Nano::MAX))
    })
}

fn mistake(refused: &Refused) -> Mistake {
    let problem = &refused.0;
    Mistake {
        code: problem.code.clone(),
        message: problem.detail.clone().unwrap_or_else(|| problem.title.clone()),
        line: 0,
        column: 0,
        pointer: problem.pointer.clone(),
        expected: problem.expected.clone(),
    }
}

const fn unit(unit: wire::Unit) -> Unit {
    match unit {
        wire::Unit::Calls => Unit::Calls,
        wire::Unit::Tokens => Unit::Tokens,
    }
}

const fn calendar(every: wire::Every) -> Calendar {
    match every {
        wire::Every::Minute => Calendar::Minute,
        wire::Every::Hour => Calendar::Hour,
        wire::Every::Day => Calendar::Day,
        wire::Every::Month => Calendar::Month,
    }
}

const fn rung_in(rung: wire::Rung) -> Rung {
    match rung {
        wire::Rung::CheaperModel => Rung::CheaperModel,
        wire::Rung::ShorterOutput => Rung::ShorterOutput,
        wire::Rung::SkipOptional => Rung::SkipOptional,
        wire::Rung::Escalate => Rung::Escalate,
        wire::Rung::Pause => Rung::Pause,
        wire::Rung::Fail => Rung::Fail,
    }
}
