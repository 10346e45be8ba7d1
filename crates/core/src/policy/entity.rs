//! Tenants, people and things as Cedar's entities: what a question brings along.
//!
//! Only what a question is about is brought: the tenant, its numbers and lists, the thing, and what it belongs to.

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use crate::id::{PersonId, RegionName, ReviewerPoolName};
use crate::tenant::Context;

use super::Ask;
use super::attributes::Attributes;

/// A tenant at one version of its context.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub context: &'a Context,
    /// Where its rows are. The same for all questions about one version of the context.
    pub region: Option<&'a RegionName>,
}

/// A member of a reviewer pool.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    pub id: &'a PersonId,
    /// Whose pool it is; `None`: it works for all.
    pub tenant: Option<Subject<'a>>,
    /// Where the person works now.
    pub region: Option<&'a RegionName>,
}

/// What people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    ClaimReview,
    DecideReview,
}

/// What they do it to: any review of that tenant, in that pool, for that.
#[derive(Clone, Copy, Debug)]
pub struct Review<'a> {
    pub tenant: Subject<'a>,
    pub kind: &'a str,
    pub pool: &'a ReviewerPoolName,
}

/// The actions of steps, and what each is done to.
pub(super) const STEP_ACTIONS: [(&str, &str); 3] =
    [("call_tool", "Tool"), (USE_MODEL, "ModelEndpoint"), ("start_run", "Workflow")];

/// What a call of a model does, as policies name it.
pub const USE_MODEL: &str = "use_model";

/// What people who decide are, as policies name it.
const REVIEWER: &str = "reviewer";

/// Names of the schema, parsed once.
#[derive(Debug)]
pub(super) struct Names {
    tenant: EntityTypeName,
    numbers: EntityTypeName,
    lists: EntityTypeName,
    role: EntityTypeName,
    key: EntityTypeName,
    tool: EntityTypeName,
    model: EntityTypeName,
    endpoint: EntityTypeName,
    workflow: EntityTypeName,
    review: EntityTypeName,
    call_tool: EntityUid,
    use_model: EntityUid,
    start_run: EntityUid,
    claim_review: EntityUid,
    decide_review: EntityUid,
}

/// Who asks to do what to which thing, and all that is known of them.
pub(super) struct Question {
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            tenant: type_name("Tenant"),
            numbers: type_name("Numbers"),
            lists: type_name("Lists"),
            role: type_name("Role"),
            key: type_name("Key"),
            tool: type_name("Tool"),
            model: type_name("Model"),
            endpoint: type_name("ModelEndpoint"),
            workflow: type_name("Workflow"),
            review: type_name("Review"),
            call_tool: action("call_tool"),
            use_model: action("use_model"),
            start_run: action("start_run"),
            claim_review: action("claim_review"),
            decide_review: action("decide_review"),
        }
    }
}

pub(super) fn type_name(name: &str) -> EntityTypeName {
    name.parse().expect("types of the schema are identifiers")
}

pub(super) fn action(name: &str) -> EntityUid {
    uid(&type_name("Action"), name)
}

/// What a step asks, for policies; `None` if the tenant's attributes cannot be read.
pub(super) fn of_step(names: &Names, subject: &Subject<'_>, ask: &Ask) -> Option<Question> {
    let mut entities = tenant(names, subject)?;
    let (action, resource) = match ask {
        Ask::CallTool { tool, region } => {
            let at = uid(&names.tool, tool.as_str());
            let mut own = vec![text("name", tool.as_str())];
            own.extend(region.as_ref().map(|region| text("region", region.as_str())));
            entities.push(entity(at.clone(), own, [])?);
            (&names.call_tool, at)
        }
        Ask::UseModel { model, endpoint, upstream, region } => {
            let at = uid(&names.endpoint, &format!("{model}@{endpoint}"));
            let mut own = vec![
                text("alias", model.as_str()),
                text("endpoint", endpoint.as_str()),
                text("model", upstream),
            ];
            own.extend(region.as_ref().map(|region| text("region", region.as_str())));
            let parents = [uid(&names.model, model.as_str()), uid(&names.tool, endpoint.as_str())];
            entities.push(entity(at.clone(), own, parents)?);
            (&names.use_model, at)
        }
        Ask::StartRun { workflow, version } => {
            let at = uid(&names.workflow, workflow.as_str());
            let version = RestrictedExpression::new_long(i64::from(*version));
            let own = vec![text("name", workflow.as_str()), ("version".to_owned(), version)];
            entities.push(entity(at.clone(), own, [])?);
            (&names.start_run, at)
        }
    };
    Some(Question {
        principal: uid(&names.tenant, subject.context.tenant.as_str()),
        action: action.clone(),
        resource,
        entities: Entities::from_entities(entities, None).ok()?,
    })
}

/// What a person asks, for policies; `None` if a tenant's attributes cannot be read.
pub(super) fn of_deed(
    names: &Names,
    person: &Person<'_>,
    deed: Deed,
    review: &Review<'_>,
) -> Option<Question> {
    let Review { tenant: owner, kind, pool } = review;
    let mut entities = tenant(names, owner)?;
    // No review has an entity of its own: what is said of one is said of all that are alike.
    let at = uid(&names.review, pool.as_str());
    let own = vec![
        reference("tenant", tenant_uid(names, owner)),
        text("kind", kind),
        text("pool", pool.as_str()),
    ];
    entities.push(entity(at.clone(), own, [])?);
    if let Some(home) = person.tenant.filter(|home| home.context.tenant != owner.context.tenant) {
        entities.extend(tenant(names, &home)?);
    }
    let principal = uid(&names.key, person.id.as_str());
    let role = reference("role", uid(&names.role, REVIEWER));
    let mut known = vec![text("id", person.id.as_str()), role];
    known.extend(person.tenant.map(|home| reference("tenant", tenant_uid(names, &home))));
    known.extend(person.region.map(|region| text("region", region.as_str())));
    entities.push(entity(principal.clone(), known, [])?);
    let action = match deed {
        Deed::ClaimReview => &names.claim_review,
        Deed::DecideReview => &names.decide_review,
    };
    let entities = Entities::from_entities(entities, None).ok()?;
    Some(Question { principal, action: action.clone(), resource: at, entities })
}

/// The tenant with its numbers and lists.
fn tenant(names: &Names, subject: &Subject<'_>) -> Option<Vec<Entity>> {
    let Subject { context, region } = subject;
    let id = context.tenant.as_str();
    let Attributes { texts, numbers, lists } = Attributes::read(&context.attributes)?;
    let (at_numbers, at_lists) = (uid(&names.numbers, id), uid(&names.lists, id));
    let mut own = vec![
        reference("tenant", tenant_uid(names, subject)),
        text("id", id),
        text("org", context.org.as_str()),
        text("tier", context.tier.as_str()),
        reference("numbers", at_numbers.clone()),
        reference("lists", at_lists.clone()),
    ];
    own.extend(region.map(|region| text("region", region.as_str())));
    own.extend(context.budget_class.as_ref().map(|class| text("budget_class", class.as_str())));
    let string = RestrictedExpression::new_string;
    let texts = texts.into_iter().map(|(name, text)| (name, string(text)));
    let numbers =
        numbers.into_iter().map(|(name, number)| (name, RestrictedExpression::new_decimal(number)));
    let lists = lists
        .into_iter()
        .map(|(name, list)| (name, RestrictedExpression::new_set(list.into_iter().map(string))));
    Some(vec![
        Entity::new_with_tags(tenant_uid(names, subject), own, [], texts).ok()?,
        Entity::new_with_tags(at_numbers, [], [], numbers).ok()?,
        Entity::new_with_tags(at_lists, [], [], lists).ok()?,
    ])
}

impl Ask {
    /// The name that answers give the tool or the workflow; of a model, its alias.
    pub fn thing(&self) -> &str {
        match self {
            Self::CallTool { tool, .. } => tool.as_str(),
            Self::UseModel { model, .. } => model.as_str(),
            Self::StartRun { workflow, .. } => workflow.as_str(),
        }
    }

    /// As policies name it.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::CallTool { .. } => STEP_ACTIONS[0].0,
            Self::UseModel { .. } => STEP_ACTIONS[1].0,
            Self::StartRun { .. } => STEP_ACTIONS[2].0,
        }
    }
}

fn tenant_uid(names: &Names, subject: &Subject<'_>) -> EntityUid {
    uid(&names.tenant, subject.context.tenant.as_str())
}

fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

fn text(name: &str, text: &str) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_string(text.to_owned()))
}

fn reference(name: &str, to: EntityUid) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_entity_uid(to))
}

fn entity<const N: usize>(
    at: EntityUid,
    attributes: Vec<(String, RestrictedExpression)>,
    parents: [EntityUid; N],
) -> Option<Entity> {
    Entity::new_with_tags(at, attributes, parents, []).ok()
}
