//! Who may do what: policies in Cedar, what they say about one question, and the answers that are remembered.
//!
//! A policy is text by the operator, checked against a schema that the product ships ([`SCHEMA`]): what does not parse,
//! has a type error, can never apply, or would leave no step anything to do is refused with all its mistakes, each with
//! its place. Two policies are there without being declared:
//!
//! - `base` forbids what crosses the line between two tenants. It cannot be declared, and so neither changed nor removed;
//!   and since in Cedar a `forbid` wins over every `permit`, no other policy can undo it.
//! - `default` permits what nothing forbids. Declaring one by that name replaces it, so that an operator can begin with
//!   nothing permitted; removing that brings it back.
//!
//! INVARIANT: what cannot be decided is denied. An error in one policy denies, also if others permit.
//!
//! Steps ask often and about few things, so their answers are kept in [`Decisions`] for each version of a tenant's
//! context: a step costs a look-up. Cedar orders by hash inside; whatever comes out of here is sorted.
//!
//! This module knows no cell, no catalog and no gates: whoever asks brings the tenant and the thing.

mod attributes;
mod check;
mod decisions;
mod deeds;
mod entity;
mod total;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use cedar_policy::{Authorizer, Context, Decision, Entities, PolicyId, PolicySet, Request};
use serde::{Deserialize, Serialize};

use crate::id::{ModelName, PolicyName, RegionName, ToolName, WorkflowName};
use crate::time::Time;

pub use decisions::Decisions;
pub use deeds::Deeds;
pub use entity::{Deed, Person, Review, Subject, USE_MODEL};

use entity::{Names, Question};

/// What policies can speak about.
pub const SCHEMA: &str = include_str!("policy/schema.cedarschema");
/// The policy that is always in force.
pub const BASE: &str = include_str!("policy/base.cedar");
/// What is in force by the name `default` until the operator declares another.
pub const DEFAULT: &str = include_str!("policy/default.cedar");

/// The name of what cannot be declared.
pub const BASE_NAME: &str = "base";
/// The name of what is permitted where nothing else is declared.
pub const DEFAULT_NAME: &str = "default";

/// Most policies that are declared at once: an answer that is not known yet costs the evaluation of all of them.
pub const POLICIES_MAX: usize = 1_000;
/// Longest text of one policy, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Versions of a policy that are kept: enough to see what was changed lately and to go back.
pub const VERSIONS_KEPT: usize = 10;

/// A policy as the operator declares it: one or more statements of Cedar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub name: PolicyName,
    pub text: Arc<str>,
}

/// A policy and the versions of it that are kept, oldest first. The last one is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub name: PolicyName,
    pub versions: Vec<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts from 1.
    pub version: u32,
    pub declared: Time,
    pub text: Arc<str>,
}

/// One thing that is wrong with a policy. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mistake {
    pub policy: PolicyName,
    pub line: u32,
    pub column: u32,
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// What a step asks for. Equal questions have equal answers for one version of a tenant's context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    CallTool {
        tool: ToolName,
        region: Option<RegionName>,
    },
    UseModel {
        model: ModelName,
        endpoint: ToolName,
        /// What the endpoint calls the model.
        upstream: Arc<str>,
        region: Option<RegionName>,
    },
    StartRun {
        workflow: WorkflowName,
        version: u32,
    },
}

/// The answer no, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Denied {
    /// The policy's name; `NAME#ID` if it has several statements, where `ID` is the `@id` of the one that decided, or its
    /// number.
    pub policy: Arc<str>,
    pub because: Because,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It forbids it.
    Forbidden,
    /// Nothing permits it, `default` included.
    NotPermitted,
    /// It could not be evaluated, for example because a sum is too large.
    Failed,
}

/// A set of policies that is in force together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policies(Arc<State>);

#[derive(Debug)]
enum State {
    Open(Box<Compiled>),
    /// One of them is wrong: everything is denied in its name.
    Shut(Arc<str>),
}

#[derive(Debug)]
struct Compiled {
    set: PolicySet,
    names: Names,
    authorizer: Authorizer,
}

/// Checks policies that shall be in force together, and makes them ready. All mistakes at once, sorted.
pub fn compile(sources: &[Source]) -> Result<Policies, Vec<Mistake>> {
    let (set, names) = check::check(sources)?;
    let compiled = Compiled { set, names, authorizer: Authorizer::new() };
    Ok(Policies(Arc::new(State::Open(Box::new(compiled)))))
}

impl Default for Policies {
    /// What is in force where nothing is declared.
    fn default() -> Self {
        static SHIPPED: LazyLock<Policies> = LazyLock::new(|| {
            compile(&[]).expect("what the product ships has no mistake, as a test shows")
        });
        SHIPPED.clone()
    }
}

impl Policy {
    pub fn first(source: Source, now: Time) -> Self {
        let version = Version { version: 1, declared: now, text: source.text };
        Self { name: source.name, versions: vec![version] }
    }

    /// The same with another version in force; the oldest is forgotten if there are too many.
    #[must_use]
    pub fn next(&self, text: Arc<str>, now: Time) -> Self {
        let from = (self.versions.len() + 1).saturating_sub(VERSIONS_KEPT);
        let mut versions = self.versions[from..].to_vec();
        versions.push(Version { version: self.newest().version + 1, declared: now, text });
        Self { name: self.name.clone(), versions }
    }

    /// What is in force.
    pub fn newest(&self) -> &Version {
        self.versions.last().expect("a policy has a version")
    }

    pub fn source(&self) -> Source {
        Source { name: self.name.clone(), text: self.newest().text.clone() }
    }
}

impl Mistake {
    /// What is wrong, and what is expected instead, for whoever writes `MESSAGE; expected EXPECTED`. Help that is no such
    /// phrase goes with the message.
    pub fn told(&self) -> (String, Option<String>) {
        let Some(help) = &self.help else { return (self.message.clone(), None) };
        if let Some(expected) = help.strip_prefix("expected ") {
            return (self.message.clone(), Some(expected.to_owned()));
        }
        let meant = help.strip_prefix("did you mean ").and_then(|help| help.strip_suffix('?'));
        match meant {
            Some(meant) => (self.message.clone(), Some(meant.to_owned())),
            None => (format!("{}: {help}", self.message), None),
        }
    }
}

impl Policies {
    /// Denies everything in the name of a policy that is wrong.
    pub fn shut(policy: &str) -> Self {
        Self(Arc::new(State::Shut(policy.into())))
    }

    pub fn is_shut(&self) -> bool {
        matches!(*self.0, State::Shut(_))
    }

    /// Whether the tenant's step may do it. Evaluates all policies: [`Decisions`] remembers the answers.
    pub fn decide(&self, subject: &Subject<'_>, ask: &Ask) -> Result<(), Denied> {
        self.answer(|names| entity::of_step(names, subject, ask))
    }

    /// Whether a person may do it. Evaluates all policies: [`Deeds`] remembers the answers.
    pub fn decide_deed(
        &self,
        person: &Person<'_>,
        deed: Deed,
        review: &Review<'_>,
    ) -> Result<(), Denied> {
        self.answer(|names| entity::of_deed(names, person, deed, review))
    }

    fn answer(&self, question: impl FnOnce(&Names) -> Option<Question>) -> Result<(), Denied> {
        let compiled = match &*self.0 {
            State::Open(compiled) => compiled,
            State::Shut(policy) => {
                return Err(Denied { policy: policy.clone(), because: Because::Failed });
            }
        };
        let unreadable = || Denied { policy: BASE_NAME.into(), because: Because::Failed };
        let Question { principal, action, resource, entities } =
            question(&compiled.names).ok_or_else(unreadable)?;
        let request = Request::new(principal, action, resource, Context::empty(), None)
            .map_err(|_| unreadable())?;
        compiled.verdict(&request, &entities)
    }
}

impl Compiled {
    fn verdict(&self, request: &Request, entities: &Entities) -> Result<(), Denied> {
        let response = self.authorizer.is_authorized(request, &self.set, entities);
        let found = response.diagnostics();
        let first = |ids: &mut dyn Iterator<Item = &PolicyId>| {
            ids.min().map(|id| Arc::<str>::from(AsRef::<str>::as_ref(id)))
        };
        let is_denied = response.decision() == Decision::Deny;
        if is_denied && let Some(policy) = first(&mut found.reason()) {
            return Err(Denied { policy, because: Because::Forbidden });
        }
        let failed = first(&mut found.errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        }));
        if let Some(policy) = failed {
            return Err(Denied { policy, because: Because::Failed });
        }
        if is_denied {
            return Err(Denied { policy: DEFAULT_NAME.into(), because: Because::NotPermitted });
        }
        Ok(())
    }
}
