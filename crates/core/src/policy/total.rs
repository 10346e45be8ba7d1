//! Policies under which no step could ever do anything.
//!
//! An action of steps is dead if no `permit` can apply to it, or if a `forbid` applies whoever asks for whatever: its
//! head names nobody and nothing, and its conditions hold by their types alone. The latter is asked of Cedar's own type
//! checker: it finds expressions that are always false, so the negation of the conditions is put to it.
//!
//! This is a check against accidents, and no proof: two policies that forbid something each, and together everything, pass.

use cedar_policy::{Effect, Policy, PrincipalConstraint, RequestEnv, ResourceConstraint, Schema};
use serde_json::{Value, json};

use crate::id::PolicyName;

use super::check::Statement;
use super::entity::{self, STEP_ACTIONS};
use super::{DEFAULT_NAME, Mistake};

const HELP: &str = "say whom or what it forbids, as in `forbid (principal, action == Action::\"call_tool\", \
                    resource == Tool::\"NAME\") when { principal.tier == \"free\" };`";

/// What is wrong if all actions of steps are dead.
pub(super) fn mistakes(schema: &Schema, statements: &[Statement]) -> Vec<Mistake> {
    let mut killers: Vec<(usize, &Statement)> = Vec::new();
    let all: Vec<RequestEnv> = STEP_ACTIONS.iter().map(|(action, on)| step(action, on)).collect();
    for env in &all {
        let mut is_dead = !statements.iter().any(|statement| may_permit(schema, statement, env));
        for (at, statement) in statements.iter().enumerate() {
            if forbids_all(schema, &statement.policy, env) {
                is_dead = true;
                killers.push((at, statement));
            }
        }
        if !is_dead {
            return Vec::new();
        }
    }
    killers.sort_by_key(|(at, _)| *at);
    let times = |at: usize| killers.iter().filter(|(other, _)| *other == at).count();
    let alone = killers.iter().any(|(at, _)| times(*at) == all.len());
    let message = if alone {
        "forbids every tenant every tool, every model and every workflow: nothing could run"
    } else {
        "with the other policies, no step could call a tool or use a model, and no run could start"
    };
    let blamed = killers.iter().filter(|(at, _)| !alone || times(*at) == all.len());
    let mut mistakes: Vec<Mistake> = blamed
        .map(|(_, Statement { source, line, column, .. })| Mistake {
            policy: source.clone(),
            line: *line,
            column: *column,
            message: message.to_owned(),
            help: Some(HELP.to_owned()),
        })
        .collect();
    if mistakes.is_empty() {
        mistakes.push(nothing_permitted());
    }
    mistakes
}

fn nothing_permitted() -> Mistake {
    Mistake {
        policy: PolicyName::parse(DEFAULT_NAME).expect("the default has a name"),
        line: 1,
        column: 1,
        message: "permits no step anything, and no other policy does: nothing could run".to_owned(),
        help: Some(
            "permit something, as in `permit (principal is Tenant, action, resource);`".to_owned(),
        ),
    }
}

fn step(action: &str, on: &str) -> RequestEnv {
    RequestEnv::new(entity::type_name("Tenant"), entity::action(action), entity::type_name(on))
}

fn may_permit(schema: &Schema, statement: &Statement, env: &RequestEnv) -> bool {
    statement.policy.effect() == Effect::Permit && applies(schema, &statement.policy, env)
}

fn applies(schema: &Schema, policy: &Policy, env: &RequestEnv) -> bool {
    policy.get_valid_request_envs(schema).any(|valid| valid == *env)
}

fn forbids_all(schema: &Schema, policy: &Policy, env: &RequestEnv) -> bool {
    let is_wide = matches!(
        policy.principal_constraint(),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_)
    ) && matches!(
        policy.resource_constraint(),
        ResourceConstraint::Any | ResourceConstraint::Is(_)
    );
    policy.effect() == Effect::Forbid
        && is_wide
        && applies(schema, policy, env)
        && opposite(policy).is_none_or(|opposite| !applies(schema, &opposite, env))
}

/// The policy where its conditions do not hold; `None`: it has none.
fn opposite(policy: &Policy) -> Option<Policy> {
    let mut form = policy.to_json().ok()?;
    let conditions = form.get("conditions")?.as_array()?.clone();
    let all = conditions
        .iter()
        .filter_map(holds)
        .reduce(|left, right| json!({"&&": {"left": left, "right": right}}))?;
    form.as_object_mut()?.insert("conditions".to_owned(), json!([{"kind": "unless", "body": all}]));
    Policy::from_json(None, form).ok()
}

fn holds(condition: &Value) -> Option<Value> {
    let body = condition.get("body")?.clone();
    Some(match condition.get("kind")?.as_str()? {
        "unless" => json!({"!": {"arg": body}}),
        _ => body,
    })
}
