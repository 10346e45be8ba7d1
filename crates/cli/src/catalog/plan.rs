//! What becomes of a price when a list has another one for it, and how that is told.

use fairlane_api::Timestamp;
use fairlane_api::catalog::{Price, PriceSpec, PriceVersion};
use fairlane_api::quota::Amount;
use fairlane_core::catalog::PRICE_VERSIONS_MAX;
use fairlane_core::money::Nano;
use serde::Serialize;

use super::price_list::{Line, PriceList};
use crate::price::version_at;
use crate::table::Table;
use crate::text;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Became {
    New,
    Changed,
    Same,
    Skipped,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) became: Became,
    /// All versions, as they are to be.
    pub(super) spec: PriceSpec,
    told: Told,
}

/// What is said about one key of the list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    price: String,
    became: Became,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Amount>,
    /// Why it was left out, or what it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// The price with a version that begins then. What the list does not know, rates of long inputs or bounds, stays as it
/// was. An error if there are too many versions.
pub(super) fn plan(
    line: &Line,
    known: Option<Price>,
    from: Timestamp,
    currency: Option<&str>,
) -> Result<Plan, String> {
    let mut versions = known.map_or_else(Vec::new, |price| price.versions);
    let before = version_at(&versions, from).cloned();
    let version = PriceVersion {
        from: Some(from),
        currency: currency.map(str::to_owned),
        input: amount(line.input),
        cached_input: line.cached.map(amount),
        output: amount(line.output),
        long: before.as_ref().and_then(|before| before.long.clone()),
        context: line.context.or_else(|| before.as_ref()?.context),
        output_max: line.output_max.or_else(|| before.as_ref()?.output_max),
    };
    let became = match &before {
        _ if versions.is_empty() => Became::New,
        Some(before) if is_same(before, &version) => Became::Same,
        _ => Became::Changed,
    };
    let note = before.filter(|_| became == Became::Changed).map(|before| was(&before));
    let told = Told {
        price: line.key.clone(),
        became,
        input: Some(version.input.clone()),
        cached_input: version.cached_input.clone(),
        output: Some(version.output.clone()),
        note,
    };
    if became != Became::Same {
        versions.retain(|known| known.from != Some(from));
        let at = versions.partition_point(|known| known.from.is_none_or(|known| known < from));
        versions.insert(at, version);
    }
    if versions.len() > PRICE_VERSIONS_MAX {
        return Err(format!(
            "the price {} has {PRICE_VERSIONS_MAX} versions already: declare it without old ones",
            line.key
        ));
    }
    Ok(Plan { became, spec: PriceSpec { versions }, told })
}

fn is_same(before: &PriceVersion, version: &PriceVersion) -> bool {
    let nano = |amount: &Amount| amount.0.parse::<Nano>().ok();
    let optional = |amount: &Option<Amount>| amount.as_ref().map(nano);
    nano(&before.input) == nano(&version.input)
        && optional(&before.cached_input) == optional(&version.cached_input)
        && nano(&before.output) == nano(&version.output)
        && before.context == version.context
        && before.output_max == version.output_max
}

fn was(before: &PriceVersion) -> String {
    let PriceVersion { input, output, .. } = before;
    let cached = text::or_dash(before.cached_input.as_ref());
    let long = if before.long.is_some() { "; rates of long inputs stay" } else { "" };
    format!("was {input}, {cached}, {output}{long}")
}

/// All that is said, in the order of the list: what was left out comes last.
pub(super) fn all(plans: &[Plan], list: &PriceList) -> Vec<Told> {
    let skipped = list.skipped.iter().map(|skipped| Told {
        price: skipped.key.clone(),
        became: Became::Skipped,
        input: None,
        cached_input: None,
        output: None,
        note: Some(skipped.why.clone()),
    });
    plans.iter().map(|plan| plan.told.clone()).chain(skipped).collect()
}

pub(super) fn table(all: &[Told]) -> String {
    let mut table = Table::new(&["PRICE", "BECAME", ">INPUT", ">CACHED", ">OUTPUT", "NOTE"]);
    for told in all {
        table.row([
            told.price.clone(),
            text::word(&told.became),
            text::or_dash(told.input.as_ref()),
            text::or_dash(told.cached_input.as_ref()),
            text::or_dash(told.output.as_ref()),
            told.note.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

pub(super) fn summary(plans: &[Plan], list: &PriceList, is_dry: bool) -> String {
    let count = |became| plans.iter().filter(|plan| plan.became == became).count();
    let [new, changed, same] = [Became::New, Became::Changed, Became::Same].map(count);
    let skipped = list.skipped.len();
    let written = if is_dry { "; nothing was written" } else { "" };
    format!("{new} new, {changed} changed, {same} the same, {skipped} skipped{written}")
}

fn amount(nano: Nano) -> Amount {
    Amount(nano.to_string())
}
