//! `fairlane price`: list and show the price book.

use clap::{Args, Subcommand};
use fairlane_api::Timestamp;
use fairlane_api::catalog::{self, PriceVersion};
use fairlane_api::quota::Amount;

use crate::table::Table;
use crate::target::Target;
use crate::text;

/// List and show prices: what a million tokens cost, and from when on
#[derive(Debug, Args)]
pub(crate) struct Price {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what is in force now
    List,
    /// Show one price with all its versions
    Get { price: String },
}

impl Price {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List => {
                let now = text::now();
                printer.data(&client.prices().await?, |prices| list(prices, now))
            }
            Verb::Get { price } => printer.data(&client.price(&price).await?, show),
        }
    }
}

/// The version in force at that moment.
pub(crate) fn version_at(versions: &[PriceVersion], at: Timestamp) -> Option<&PriceVersion> {
    versions.iter().rev().find(|version| version.from.is_none_or(|from| from <= at))
}

fn list(prices: &[catalog::Price], now: Timestamp) -> String {
    let mut table =
        Table::new(&["PRICE", ">INPUT", ">CACHED", ">OUTPUT", ">CONTEXT", "CURRENCY", "SINCE"]);
    for price in prices {
        let Some(version) = version_at(&price.versions, now) else {
            let begins = price.versions.first().and_then(|version| version.from);
            let begins =
                begins.map_or_else(String::new, |from| format!("(from {})", text::time(from)));
            let empty = || "-".to_owned();
            table.row([price.name.clone(), empty(), empty(), empty(), empty(), empty(), begins]);
            continue;
        };
        let [input, cached, output] =
            rates(&version.input, version.cached_input.as_ref(), &version.output);
        let currency = text::or_dash(version.currency.as_ref());
        let context = text::or_dash(version.context);
        table.row([price.name.clone(), input, cached, output, context, currency, since(version)]);
    }
    table.render()
}

fn show(price: &catalog::Price) -> String {
    let mut table = Table::new(&[
        "FROM",
        ">ABOVE",
        ">INPUT",
        ">CACHED",
        ">OUTPUT",
        ">CONTEXT",
        ">OUTPUT MAX",
        "CURRENCY",
    ]);
    for version in &price.versions {
        let [input, cached, output] =
            rates(&version.input, version.cached_input.as_ref(), &version.output);
        let currency = text::or_dash(version.currency.as_ref());
        let bounds = [version.context, version.output_max].map(text::or_dash);
        let [context, output_max] = bounds;
        table.row([
            since(version),
            "-".to_owned(),
            input,
            cached,
            output,
            context,
            output_max,
            currency,
        ]);
        if let Some(long) = &version.long {
            let [input, cached, output] =
                rates(&long.input, long.cached_input.as_ref(), &long.output);
            let empty = String::new;
            table.row([
                empty(),
                long.above.to_string(),
                input,
                cached,
                output,
                empty(),
                empty(),
                empty(),
            ]);
        }
    }
    format!("price {}, for a million tokens\n\n{}", price.name, table.render())
}

fn rates(input: &Amount, cached: Option<&Amount>, output: &Amount) -> [String; 3] {
    [input.to_string(), text::or_dash(cached), output.to_string()]
}

fn since(version: &PriceVersion) -> String {
    version.from.map_or_else(|| "ever".to_owned(), text::time)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn prices() -> Vec<catalog::Price> {
        serde_json::from_value(json!([
            { "name": "large", "versions": [
                { "currency": "EUR", "input": "2.00", "output": "10.00", "context": 922_000 },
                { "from": "2026-12-01T00:00:00Z", "currency": "EUR", "input": "1.00",
                  "cached_input": "0.10", "output": "5.00", "output_max": 128_000,
                  "long": { "above": 200_000, "input": "2.00", "output": "7.50" } } ] },
            { "name": "next", "versions": [
                { "from": "2030-01-01T00:00:00Z", "input": "1.00", "output": "5.00" } ] },
        ]))
        .unwrap()
    }

    #[test]
    fn a_list_has_what_is_in_force() {
        expect![[r"
            PRICE  INPUT  CACHED  OUTPUT  CONTEXT  CURRENCY  SINCE
            large   1.00    0.10    5.00        -  EUR       2026-12-01T00:00:00Z
            next       -       -       -        -  -         (from 2030-01-01T00:00:00Z)
        "]]
        .assert_eq(&list(&prices(), "2026-12-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_price_is_shown_with_all_its_versions() {
        expect![[r"
            price large, for a million tokens

            FROM                   ABOVE  INPUT  CACHED  OUTPUT  CONTEXT  OUTPUT MAX  CURRENCY
            ever                       -   2.00       -   10.00   922000           -  EUR
            2026-12-01T00:00:00Z       -   1.00    0.10    5.00        -      128000  EUR
                                  200000   2.00       -    7.50
        "]]
        .assert_eq(&show(&prices()[0]));
    }
}
