//! `fairlane model`: list and show what the names of models stand for.

use clap::{Args, Subcommand};
use fairlane_api::catalog::{self, Candidate};

use crate::table::Table;
use crate::target::Target;
use crate::text;

/// List and show models: the candidates that each name stands for
#[derive(Debug, Args)]
pub(crate) struct Model {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all models
    List,
    /// Show one model
    Get { model: String },
}

impl Model {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List => printer.data(&client.models().await?, |models| list(models)),
            Verb::Get { model } => printer.data(&client.model(&model).await?, show),
        }
    }
}

fn list(models: &[catalog::Model]) -> String {
    let mut table = Table::new(&["MODEL", "CANDIDATES"]);
    for model in models {
        let candidate = |one: &Candidate| format!("{} at {}", one.model, one.endpoint);
        let candidates: Vec<String> = model.candidates.iter().map(candidate).collect();
        table.row([model.name.clone(), candidates.join(", ")]);
    }
    table.render()
}

fn show(model: &catalog::Model) -> String {
    let mut table = Table::new(&["MODEL", "ENDPOINT", "PRICE", "TIERS"]);
    for candidate in &model.candidates {
        let tiers = &candidate.tiers;
        table.row([
            candidate.model.clone(),
            candidate.endpoint.clone(),
            text::or_dash(candidate.price.as_ref()),
            if tiers.is_empty() { "all".to_owned() } else { tiers.join(", ") },
        ]);
    }
    format!("model {}, best first\n\n{}", model.name, table.render())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn candidates_are_shown_best_first_with_who_may_use_them() {
        let models: Vec<catalog::Model> = serde_json::from_value(json!([{
            "name": "reasoner",
            "candidates": [
                { "endpoint": "eu", "model": "large", "price": "a/large", "tiers": ["gold", "silver"] },
                { "endpoint": "us", "model": "small", "price": "small" },
            ],
        }]))
        .unwrap();
        expect![[r"
            MODEL     CANDIDATES
            reasoner  large at eu, small at us
        "]]
        .assert_eq(&list(&models));
        expect![[r"
            model reasoner, best first

            MODEL  ENDPOINT  PRICE    TIERS
            large  eu        a/large  gold, silver
            small  us        small    all
        "]]
        .assert_eq(&show(&models[0]));
    }
}
