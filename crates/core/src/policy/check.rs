//! From texts to a set that can be asked, or to all that is wrong with them.

use std::collections::BTreeSet;
use std::str::FromStr;

use cedar_policy::{
    Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, ValidationWarning,
    Validator,
};
use miette::Diagnostic;

use crate::id::PolicyName;

use super::entity::Names;
use super::{BASE, BASE_NAME, DEFAULT, DEFAULT_NAME, Mistake, SCHEMA, Source, total};

/// One statement of a policy, under the id by which answers name it.
pub(super) struct Statement {
    pub(super) source: PolicyName,
    pub(super) policy: Policy,
    pub(super) line: u32,
    pub(super) column: u32,
}

pub(super) fn check(sources: &[Source]) -> Result<(PolicySet, Names), Vec<Mistake>> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
        .expect("the product's schema is right, as a test shows");
    let validator = Validator::new(schema.clone());
    let mut mistakes = Vec::new();
    let mut statements = Vec::new();
    for source in sources {
        match statements_of(source) {
            Ok(found) => {
                mistakes.extend(invalid(&validator, source, &found));
                statements.extend(found);
            }
            Err(found) => mistakes.extend(found),
        }
        mistakes.extend(reserved(source));
    }
    if sources.iter().all(|source| source.name.as_str() != DEFAULT_NAME) {
        statements.extend(shipped(DEFAULT_NAME, DEFAULT));
    }
    if mistakes.is_empty() {
        mistakes.extend(total::mistakes(&schema, &statements));
    }
    if !mistakes.is_empty() {
        mistakes.sort();
        mistakes.dedup();
        return Err(mistakes);
    }
    statements.extend(shipped(BASE_NAME, BASE));
    let set = PolicySet::from_policies(statements.into_iter().map(|statement| statement.policy));
    Ok((set.expect("ids of statements are distinct"), Names::new()))
}

fn shipped(name: &str, text: &str) -> Vec<Statement> {
    let name = PolicyName::parse(name).expect("a shipped policy has a name");
    let source = Source { name, text: text.into() };
    statements_of(&source)
        .unwrap_or_else(|mistakes| panic!("a shipped policy is wrong: {mistakes:?}"))
}

fn reserved(source: &Source) -> Option<Mistake> {
    (source.name.as_str() == BASE_NAME).then(|| Mistake {
        policy: source.name.clone(),
        line: 1,
        column: 1,
        message: format!("the policy `{BASE_NAME}` is part of the product and always in force"),
        help: Some("give this policy another name: it is asked besides".to_owned()),
    })
}

/// The statements of a text in their order, or why it is none.
fn statements_of(source: &Source) -> Result<Vec<Statement>, Vec<Mistake>> {
    let parsed = PolicySet::from_str(&source.text)
        .map_err(|errors| errors.iter().map(|error| mistake(source, error)).collect::<Vec<_>>())?;
    let mistake = |offset: usize, message: &str, help: &str| {
        let (line, column) = place(&source.text, offset);
        let (message, help) = (message.to_owned(), Some(help.to_owned()));
        Mistake { policy: source.name.clone(), line, column, message, help }
    };
    let mut mistakes: Vec<Mistake> = parsed
        .templates()
        .map(|template| {
            let offset = start(template.as_ref().loc().map(|loc| &loc.span));
            mistake(
                offset,
                "is a template",
                "write whom and what it is about in place of `?principal` and `?resource`",
            )
        })
        .collect();
    let mut policies: Vec<(usize, &Policy)> = parsed
        .policies()
        .map(|policy| (start(policy.as_ref().loc().map(|loc| &loc.span)), policy))
        .collect();
    policies.sort_by_key(|(offset, _)| *offset);
    if policies.is_empty() && mistakes.is_empty() {
        let help = "a statement looks like `forbid (principal, action, resource is Tool) when { principal.tier == \"free\" };`";
        mistakes.push(mistake(0, "has no statement", help));
    }
    let mut ids = BTreeSet::new();
    let is_alone = policies.len() == 1;
    let mut statements = Vec::new();
    for (number, (offset, policy)) in (1..).zip(policies) {
        let own = policy.annotation("id").map_or_else(|| number.to_string(), str::to_owned);
        let id = if is_alone { source.name.to_string() } else { format!("{}#{own}", source.name) };
        if !ids.insert(id.clone()) {
            mistakes.push(mistake(
                offset,
                &format!("another statement has the id `{own}`"),
                "give each statement an `@id` of its own, or none",
            ));
            continue;
        }
        let (line, column) = place(&source.text, offset);
        let policy = policy.new_id(PolicyId::new(id));
        statements.push(Statement { source: source.name.clone(), policy, line, column });
    }
    if mistakes.is_empty() { Ok(statements) } else { Err(mistakes) }
}

/// What the schema has against them. What Cedar calls a warning is a mistake too: a statement that can never apply
/// protects nobody, and one with look-alike characters says something else than it seems to.
fn invalid(validator: &Validator, source: &Source, statements: &[Statement]) -> Vec<Mistake> {
    let policies = statements.iter().map(|statement| statement.policy.clone());
    let set = PolicySet::from_policies(policies).expect("ids of statements are distinct");
    let result = validator.validate(&set, ValidationMode::Strict);
    let mut mistakes: Vec<Mistake> =
        result.validation_errors().map(|error| mistake(source, error)).collect();
    let wrong: BTreeSet<&PolicyId> =
        result.validation_errors().map(ValidationError::policy_id).collect();
    for warning in result.validation_warnings() {
        let id = warning.policy_id();
        // Where a name is wrong, that it never applies follows.
        let Some(statement) =
            statements.iter().find(|known| known.policy.id() == id && !wrong.contains(id))
        else {
            continue;
        };
        mistakes.push(match warning {
            ValidationWarning::ImpossiblePolicy(_)
            | ValidationWarning::InvalidActionApplication(_) => never(statement),
            other => mistake(source, other),
        });
    }
    mistakes
}

fn never(statement: &Statement) -> Mistake {
    Mistake {
        policy: statement.source.clone(),
        line: statement.line,
        column: statement.column,
        message: "never applies: its conditions are never met, or no action goes with whom and what it names"
            .to_owned(),
        help: Some(
            "`call_tool`, `use_model` and `start_run` are what a Tenant does to a Tool, a ModelEndpoint or a \
             Workflow; `claim_review` and `decide_review` are what a Key does to a Review"
                .to_owned(),
        ),
    }
}

fn mistake(source: &Source, found: &(impl Diagnostic + ?Sized)) -> Mistake {
    let offset = found.labels().and_then(|mut labels| labels.next());
    let (line, column) =
        place(&source.text, offset.as_ref().map_or(0, miette::LabeledSpan::offset));
    let said = found.to_string();
    // Cedar names the policy in front, which is named beside.
    let named = said.strip_prefix("for policy `").and_then(|rest| rest.split_once('`'));
    let message = match named {
        Some((_, message)) => message.trim_start_matches([',', ':', ' ']).to_owned(),
        None => said,
    };
    let label = offset.and_then(|label| label.label().map(str::to_owned));
    let help = found.help().map(|help| help.to_string()).or(label);
    Mistake { policy: source.name.clone(), line, column, message, help }
}

fn start(span: Option<&miette::SourceSpan>) -> usize {
    span.map_or(0, miette::SourceSpan::offset)
}

fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
