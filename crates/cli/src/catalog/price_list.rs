//! A list of prices as a file has it: what is in it, what cannot be used and why, and all its mistakes.

use std::collections::BTreeMap;

use fairlane_api::quota::Amount;
use fairlane_core::catalog::{PRICE_MAX, TOKENS_MAX};
use fairlane_core::id::PriceName;
use fairlane_core::money::Nano;
use serde_json::{Map, Value};

use crate::apply::located::{self, Located, Place};
use crate::mistake::Mistake;

/// What the amounts of a list are for.
const UNIT: &str = "per 1,000,000 tokens";
/// Nano-units of one unit.
const UNIT_NANO: u128 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct PriceList {
    pub(super) file: String,
    pub(super) currency: String,
    currency_at: Place,
    pub(super) lines: Vec<Line>,
    pub(super) skipped: Vec<Skipped>,
}

/// One price, in the platform's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) input: Nano,
    pub(super) cached: Option<Nano>,
    pub(super) output: Nano,
    pub(super) context: Option<u64>,
    pub(super) output_max: Option<u64>,
}

/// A line that is no price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) key: String,
    pub(super) why: String,
}

impl PriceList {
    pub(super) const fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.skipped.is_empty()
    }

    pub(super) fn mistake(
        &self,
        line: &Line,
        code: &str,
        message: String,
        expected: Option<String>,
    ) -> Mistake {
        mistake(&self.file, line.at, code, message, expected)
    }

    pub(super) fn wrong_currency(&self, platform: &str) -> Mistake {
        let currency = &self.currency;
        let message = format!("the list is in {currency}, and the platform counts in {platform}");
        let expected = format!("--rate with what one {currency} is in {platform}");
        mistake(&self.file, self.currency_at, "wrong-currency", message, Some(expected))
    }
}

/// Reads the prices whose key is wanted; amounts are multiplied by the rate.
pub(super) fn read(
    file: &str,
    text: &str,
    is_wanted: impl Fn(&str) -> bool,
    rate: Option<Nano>,
) -> (Option<PriceList>, Vec<Mistake>) {
    let (root, mistakes) = located::read(file, text);
    let Some(root) = root else { return (None, mistakes) };
    let value = root.to_json();
    let mut reading = Reading { file, root: &root, rate, mistakes };
    let currency = reading.head(&value);
    let mut list = PriceList {
        file: file.to_owned(),
        currency_at: root.place("/currency"),
        currency: currency.unwrap_or_default(),
        lines: Vec::new(),
        skipped: Vec::new(),
    };
    let Some(rows) = value["models"].as_array() else {
        let expected = "a list of models with their prices";
        reading.wrong("/models", "the list has no `models`".to_owned(), expected);
        return (None, reading.mistakes);
    };
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let pointer = format!("/models/{at}");
        let Some((fields, key)) = row.as_object().zip(row["key"].as_str()) else {
            reading.wrong(&pointer, "this has no `key`".to_owned(), "an object with a `key`");
            continue;
        };
        if !is_wanted(key) {
            continue;
        }
        if let Some(first) = keys.insert(key, at) {
            let (line, _) = root.place(&format!("/models/{first}"));
            let message = format!("`{key}` is there twice, first in line {line}");
            reading.wrong(&pointer, message, "each key once");
            continue;
        }
        match reading.line(&pointer, key, fields, &list.currency) {
            Some(Ok(line)) => list.lines.push(line),
            Some(Err(why)) => list.skipped.push(Skipped { key: key.to_owned(), why }),
            None => {}
        }
    }
    (Some(list), reading.mistakes)
}

struct Reading<'a> {
    file: &'a str,
    root: &'a Located,
    rate: Option<Nano>,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    fn wrong(&mut self, pointer: &str, message: String, expected: &str) {
        let at = self.root.place(pointer);
        let expected = Some(expected.to_owned());
        self.mistakes.push(mistake(self.file, at, "invalid-value", message, expected));
    }

    /// The currency. What the amounts are for is to be what prices are given for here.
    fn head(&mut self, list: &Value) -> Option<String> {
        if list["unit"].as_str() != Some(UNIT) {
            let message = format!("the unit is {}", list["unit"]);
            self.wrong("/unit", message, &format!("\"{UNIT}\""));
        }
        let currency = list["currency"].as_str();
        let currency = currency.filter(|text| {
            text.len() == 3 && text.bytes().all(|letter| letter.is_ascii_uppercase())
        });
        if currency.is_none() {
            let message = format!("the currency is {}", list["currency"]);
            self.wrong("/currency", message, "three capital letters such as \"USD\"");
        }
        currency.map(str::to_owned)
    }

    /// A price, or why it is left out; `None` if it has mistakes.
    fn line(
        &mut self,
        pointer: &str,
        key: &str,
        fields: &Map<String, Value>,
        currency: &str,
    ) -> Option<Result<Line, String>> {
        let known = self.mistakes.len();
        let mut rate = |name: &str| {
            let field = format!("{name}_{}_per_mtok", currency.to_ascii_lowercase());
            self.amount(&format!("{pointer}/{field}"), fields.get(&field))
        };
        let (input, cached, output) = (rate("input"), rate("cached_input"), rate("output"));
        let mut tokens = |name| self.tokens(&format!("{pointer}/{name}"), fields.get(name));
        let (context, output_max) = (tokens("context_tokens"), tokens("max_output_tokens"));
        if self.mistakes.len() > known {
            return None;
        }
        let at = self.root.place(pointer);
        let mode = fields.get("mode").and_then(Value::as_str);
        Some(priced(key, mode, input, output).map(|(input, output)| Line {
            key: key.to_owned(),
            at,
            input,
            cached,
            output,
            context,
            output_max,
        }))
    }

    fn amount(&mut self, pointer: &str, value: Option<&Value>) -> Option<Nano> {
        let value = value.filter(|value| !value.is_null())?;
        let amount = serde_json::from_value::<Amount>(value.clone()).ok();
        let nano = amount.and_then(|amount| amount.0.parse::<Nano>().ok());
        let nano = nano.map(|nano| self.rate.map_or(nano, |rate| times(nano, rate)));
        let nano = nano.filter(|nano| *nano <= PRICE_MAX);
        if nano.is_none() {
            let expected = format!(
                "0 to {PRICE_MAX} with at most 9 decimal places, or null if it is not known"
            );
            self.wrong(pointer, format!("a million tokens cost {value}"), &expected);
        }
        nano
    }

    fn tokens(&mut self, pointer: &str, value: Option<&Value>) -> Option<u64> {
        let value = value.filter(|value| !value.is_null())?;
        let tokens = value.as_u64().filter(|tokens| (1..=u64::from(TOKENS_MAX)).contains(tokens));
        if tokens.is_none() {
            let expected = format!("1 to {TOKENS_MAX}, or null if it is not known");
            self.wrong(pointer, format!("the number of tokens is {value}"), &expected);
        }
        tokens
    }
}

/// The rates of input and output, or why there is no price to go by.
fn priced(
    key: &str,
    mode: Option<&str>,
    input: Option<Nano>,
    output: Option<Nano>,
) -> Result<(Nano, Nano), String> {
    if let Err(error) = PriceName::parse(key) {
        return Err(format!("the key can be no name: it {error}"));
    }
    let input = input.ok_or("no price of input")?;
    match (mode, output) {
        (Some("chat"), None) => Err("no price of output".to_owned()),
        // A model for chats that costs nothing is one whose price nobody has written down.
        (Some("chat"), Some(Nano::ZERO)) if input == Nano::ZERO => Err("costs nothing".to_owned()),
        (Some("chat"), Some(output)) => Ok((input, output)),
        (Some("embedding"), output) => Ok((input, output.unwrap_or_default())),
        (Some(mode), _) => Err(format!("the mode is {mode}, and not chat or embedding")),
        (None, _) => Err("no mode".to_owned()),
    }
}

/// A part of a nano-unit counts as a whole one.
fn times(amount: Nano, rate: Nano) -> Nano {
    let product = (u128::from(amount.0) * u128::from(rate.0)).div_ceil(UNIT_NANO);
    Nano(u64::try_from(product).unwrap_or(u64::MAX))
}

fn mistake(
    file: &str,
    (line, column): Place,
    code: &str,
    message: String,
    expected: Option<String>,
) -> Mistake {
    Mistake { file: file.to_owned(), line, column, message, expected, code: code.to_owned() }
}
