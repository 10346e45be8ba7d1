//! `fairlane catalog`: brings prices, regions and adequacy decisions up to date from lists, and shows where data may be.
//!
//! - `price_list`: reads the list, with all its mistakes.
//! - `plan`: what becomes of each price.
//! - `residency`: the same for places, whose files `place_list` reads; `places` shows them.

mod place_list;
mod places;
mod plan;
mod price_list;
mod residency;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use fairlane_api::{Code, Timestamp, catalog};
use fairlane_client::{Client, Error, Write};
use fairlane_core::money::Nano;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use crate::exit::Usage;
use crate::mistake::{self, Mistake};
use crate::printer::Printer;
use crate::target::Target;
use crate::{input, text};
use plan::{Became, Plan};
use price_list::{Line, PriceList};
use residency::ImportResidency;

/// Requests under way at once.
const CONCURRENCY: usize = 16;
const DAY_US: u64 = 24 * 3_600 * 1_000_000;
/// Largest list that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bring prices, regions and adequacy decisions up to date, and show where data may be
#[derive(Debug, Args)]
pub(crate) struct Catalog {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add what a list of prices says as a new version of each price
    ///
    /// The list is JSON: `currency`, `unit` (`per 1,000,000 tokens`), and `models`, each with its `key`, `mode`, and
    /// `input_usd_per_mtok`, `cached_input_usd_per_mtok` and `output_usd_per_mtok` (with the currency in the middle),
    /// `context_tokens` and `max_output_tokens`. What is the same already is left as it is. Everything is checked
    /// before anything is written.
    ImportPrices(ImportPrices),
    /// Declare the regions and adequacy decisions that files say
    ///
    /// The files are JSON: `regions`, each with its `region`, `country`, `cloud` and `place`; or `decisions`, each with its
    /// `code` (a country), `decision` (its number), `adopted`, `expires`, `scope` and `status`, and `former` ones, which
    /// are history. A decision that covers only the EU-US Data Privacy Framework list needs the certificate `eu-us-dpf`.
    /// Decisions that the files do not have stay, and so does a suspension. Everything is checked before anything is
    /// written.
    ImportResidency(ImportResidency),
    /// List regions, those that are known without being declared too
    Regions,
    /// List zones, those that are known without being declared too
    Zones,
    /// List adequacy decisions, and whether they are in force
    Adequacy,
}

#[derive(Debug, Args)]
struct ImportPrices {
    /// The list
    file: PathBuf,
    /// When the new versions begin: a day such as 2026-12-01 (in UTC), or a time; today if not given
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    from: Option<Timestamp>,
    /// What one unit of the list's currency is in the platform's
    #[arg(long, value_name = "DECIMAL", value_parser = rate)]
    rate: Option<Nano>,
    /// Only prices whose key is like this; * stands for anything
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Check only, against the server too, and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Catalog {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::ImportPrices(import) => import.execute(&client, printer).await,
            Verb::ImportResidency(import) => import.execute(&client, printer).await,
            Verb::Regions => printer.data(&client.regions().await?, |all| places::regions(all)),
            Verb::Zones => printer.data(&client.zones().await?, |all| places::zones(all)),
            Verb::Adequacy => {
                let now = text::now();
                printer.data(&client.adequacies().await?, |all| places::adequacies(all, now))
            }
        }
    }
}

impl ImportPrices {
    async fn execute(self, client: &Client, printer: Printer) -> anyhow::Result<()> {
        let list = self.read(printer)?;
        let prices = client.prices().await?;
        let mut known: BTreeMap<String, catalog::Price> =
            prices.into_iter().map(|price| (price.name.clone(), price)).collect();
        let from = self.from.unwrap_or_else(|| Timestamp(text::now().0 / DAY_US * DAY_US));
        let mut plans = Vec::new();
        let mut mistakes = Vec::new();
        mistakes.extend(self.other_currency(&list, &known));
        for line in &list.lines {
            match plan::plan(line, known.remove(&line.key), from, self.currency(&list)) {
                Ok(plan) => plans.push(plan),
                Err(message) => mistakes.push(list.mistake(line, "too-many", message, None)),
            }
        }
        // A list in the wrong currency would be refused line by line.
        if mistakes.is_empty() {
            mistakes.extend(check(client, printer, &list, &plans).await?);
        }
        mistake::report(printer, mistakes)?;
        if !self.dry_run {
            write(client, printer, &list, &plans).await?;
        }
        printer.data(&plan::all(&plans, &list), |all| plan::table(all))?;
        printer.note(&plan::summary(&plans, &list, self.dry_run));
        Ok(())
    }

    fn read(&self, printer: Printer) -> anyhow::Result<PriceList> {
        let name = self.file.display();
        let cannot = || format!("cannot read {name}");
        let size = std::fs::metadata(&self.file).with_context(cannot)?.len();
        anyhow::ensure!(
            size <= FILE_BYTES_MAX,
            "{name} has {size} bytes, at most {FILE_BYTES_MAX} are read"
        );
        let text = std::fs::read_to_string(&self.file).with_context(cannot)?;
        let only = |key: &str| self.only.as_deref().is_none_or(|pattern| is_like(key, pattern));
        let (list, mistakes) = price_list::read(&name.to_string(), &text, only, self.rate);
        mistake::report(printer, mistakes)?;
        let list = list.with_context(|| format!("{name} has no prices"))?;
        match &self.only {
            Some(pattern) if list.is_empty() => {
                Err(Usage(format!("no key in {name} is like {pattern}")).into())
            }
            _ => Ok(list),
        }
    }

    /// What versions name, so that the server refuses amounts in another one.
    fn currency<'l>(&self, list: &'l PriceList) -> Option<&'l str> {
        self.rate.is_none().then_some(list.currency.as_str())
    }

    /// Prices that are there already tell what the platform counts in.
    fn other_currency(
        &self,
        list: &PriceList,
        known: &BTreeMap<String, catalog::Price>,
    ) -> Option<Mistake> {
        let named = self.currency(list)?;
        let mut versions = known.values().flat_map(|price| &price.versions);
        let platform = versions.find_map(|version| version.currency.as_deref())?;
        (platform != named).then(|| list.wrong_currency(platform))
    }
}

/// Asks the server about all that is to be written, and gives everything that it would refuse.
async fn check(
    client: &Client,
    printer: Printer,
    list: &PriceList,
    plans: &[Plan],
) -> anyhow::Result<Vec<Mistake>> {
    let bar = printer.bar(plans.len() as u64, "checking");
    let mut mistakes = Vec::new();
    for (line, answer) in put(client, list, plans, Write::Check, &bar).await {
        match answer {
            Ok(()) => {}
            Err(Error::Problem(problem)) if problem.code() == Some(Code::WrongCurrency) => {
                mistakes.push(list.wrong_currency(&currency_of(&problem)));
            }
            Err(Error::Problem(problem)) if matches!(problem.status, 400 | 413 | 422) => {
                mistakes.push(Mistake::refused(&list.file, line.at, &problem));
            }
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    Ok(mistakes)
}

async fn write(
    client: &Client,
    printer: Printer,
    list: &PriceList,
    plans: &[Plan],
) -> anyhow::Result<()> {
    let bar = printer.bar(plans.len() as u64, "declaring");
    for (line, answer) in put(client, list, plans, Write::Apply, &bar).await {
        answer.with_context(|| format!("cannot declare the price {}", line.key))?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Puts what is new or changed, a few at a time. The answers are in the order of the list.
async fn put<'l>(
    client: &Client,
    list: &'l PriceList,
    plans: &[Plan],
    write: Write,
    bar: &ProgressBar,
) -> Vec<(&'l Line, Result<(), Error>)> {
    let mut under_way = JoinSet::new();
    let mut answers = Vec::new();
    let mut rest = plans.iter().zip(&list.lines).enumerate();
    loop {
        while under_way.len() < CONCURRENCY
            && let Some((at, (plan, line))) = rest.next()
        {
            if plan.became == Became::Same {
                bar.inc(1);
                continue;
            }
            let (client, key, spec) = (client.clone(), line.key.clone(), plan.spec.clone());
            under_way.spawn(async move {
                let answer = client.put_price(&key, &spec, write).await;
                (at, answer.map(drop))
            });
        }
        match under_way.join_next().await {
            Some(Ok(answer)) => {
                bar.inc(1);
                answers.push(answer);
            }
            Some(Err(_)) => {}
            None => break,
        }
    }
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(at, answer)| (&list.lines[at], answer)).collect()
}

/// What the platform counts in, as its refusal says.
fn currency_of(problem: &fairlane_api::Problem) -> String {
    let facts = problem.facts.as_ref();
    let facts: Option<serde_json::Value> =
        facts.and_then(|facts| serde_json::from_str(facts.get()).ok());
    let currency = facts.as_ref().and_then(|facts| facts["currency"].as_str());
    currency.unwrap_or("another currency").to_owned()
}

/// A day, which begins in UTC, or a point in time.
fn rate(text: &str) -> Result<Nano, String> {
    match text.parse::<Nano>() {
        Ok(Nano::ZERO) => Err("is 0; expected more".to_owned()),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the text is like the pattern, in which * stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (text, pattern, expected) in [
            ("azure/eu/gpt-5", "azure/eu/gpt-5", true),
            ("azure/eu/gpt-5", "azure/*", true),
            ("azure/eu/gpt-5", "*gpt*", true),
            ("azure/eu/gpt-5", "a*eu*5", true),
            ("azure/eu/gpt-5", "*", true),
            ("azure/eu/gpt-5", "azure", false),
            ("azure/eu/gpt-5", "*eu", false),
            ("azure/eu/gpt-5", "eu*", false),
            ("ab", "ab*b", false),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
