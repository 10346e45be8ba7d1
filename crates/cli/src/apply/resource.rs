//! One declaration of a file: read with all its mistakes, put, and what the server's refusal means in the file.

use std::sync::Arc;

use fairlane_api::catalog::{ModelSpec, PriceSpec};
use fairlane_api::policy::PolicySpec;
use fairlane_api::quota::{BudgetClassSpec, ToolSpec};
use fairlane_api::residency::{AdequacySpec, RegionSpec, ZoneSpec};
use fairlane_api::resource::{OrgSpec, PoolSpec, TenantSpec, TierSpec, ValveSpec};
use fairlane_api::review::ReviewerPoolSpec;
use fairlane_api::{Problem, words};
use fairlane_client::{self as client, Client, Error, Write};
use fairlane_core::id::{
    ClassName, ModelName, OrgId, PolicyName, PoolName, PriceName, RegionName, ReviewerPoolName,
    TenantId, TierName, ToolName, ZoneName,
};
use fairlane_core::residency::Country;
use fairlane_workflow::Format;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Definition;
use super::located::{Located, Place};
use crate::mistake::Mistake;

/// Mistakes that are looked for in one declaration.
pub(super) const MISTAKES_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Region,
    Zone,
    Adequacy,
    Tool,
    Price,
    Class,
    Tier,
    Org,
    Pool,
    Reviewers,
    Valve,
    Policy,
    Model,
    Tenant,
    Workflow,
}

impl Kind {
    /// The order of writing: what is referred to comes first.
    pub(super) const PHASES: [&[Self]; 7] = [
        &[Self::Region],
        &[
            Self::Zone,
            Self::Adequacy,
            Self::Tool,
            Self::Price,
            Self::Class,
            Self::Org,
            Self::Pool,
            Self::Reviewers,
            Self::Valve,
        ],
        &[Self::Tier],
        &[Self::Tenant],
        &[Self::Model],
        &[Self::Workflow],
        // Last: what they speak about is there then.
        &[Self::Policy],
    ];
    /// Sections of a file, by the kind of what is in them.
    pub(super) const SECTIONS: [(&str, Self); 13] = [
        ("regions", Self::Region),
        ("zones", Self::Zone),
        ("adequacy", Self::Adequacy),
        ("tools", Self::Tool),
        ("prices", Self::Price),
        ("policies", Self::Policy),
        ("models", Self::Model),
        ("budget_classes", Self::Class),
        ("orgs", Self::Org),
        ("tiers", Self::Tier),
        ("pools", Self::Pool),
        ("reviewer_pools", Self::Reviewers),
        ("tenants", Self::Tenant),
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Zone => "zone",
            Self::Adequacy => "adequacy",
            Self::Tool => "tool",
            Self::Price => "price",
            Self::Model => "model",
            Self::Class => "budget class",
            Self::Tier => "tier",
            Self::Org => "org",
            Self::Pool => "pool",
            Self::Reviewers => "reviewer pool",
            Self::Valve => "valve",
            Self::Policy => "policy",
            Self::Tenant => "tenant",
            Self::Workflow => "workflow",
        }
    }
}

#[derive(Debug)]
pub(super) enum Spec {
    Region(RegionSpec),
    Zone(ZoneSpec),
    Adequacy(AdequacySpec),
    Tool(ToolSpec),
    Price(PriceSpec),
    Model(ModelSpec),
    Class(BudgetClassSpec),
    Org(OrgSpec),
    Tier(TierSpec),
    Pool(PoolSpec),
    Reviewers(ReviewerPoolSpec),
    Valve(ValveSpec),
    Policy(PolicySpec),
    Tenant(TenantSpec),
    Workflow(Definition),
}

#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) spec: Spec,
    /// What the spec was read from; of a workflow nothing.
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Where a declaration stands.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) file: Arc<str>,
    pub(crate) root: Arc<Located>,
    /// JSON pointer to its value.
    pub(crate) pointer: String,
}

impl Declaration {
    pub(super) const fn kind(&self) -> Kind {
        match &self.spec {
            Spec::Region(_) => Kind::Region,
            Spec::Zone(_) => Kind::Zone,
            Spec::Adequacy(_) => Kind::Adequacy,
            Spec::Tool(_) => Kind::Tool,
            Spec::Price(_) => Kind::Price,
            Spec::Model(_) => Kind::Model,
            Spec::Class(_) => Kind::Class,
            Spec::Org(_) => Kind::Org,
            Spec::Tier(_) => Kind::Tier,
            Spec::Pool(_) => Kind::Pool,
            Spec::Reviewers(_) => Kind::Reviewers,
            Spec::Valve(_) => Kind::Valve,
            Spec::Policy(_) => Kind::Policy,
            Spec::Tenant(_) => Kind::Tenant,
            Spec::Workflow(_) => Kind::Workflow,
        }
    }

    /// Whether it changed anything.
    pub(super) async fn put(&self, client: &Client, write: Write) -> Result<bool, Error> {
        let name = &self.name;
        let applied = match &self.spec {
            Spec::Region(spec) => client.put_region(name, spec, write).await?,
            Spec::Zone(spec) => client.put_zone(name, spec, write).await?,
            Spec::Adequacy(spec) => client.put_adequacy(name, spec, write).await?,
            Spec::Tool(spec) => client.put_tool(name, spec, write).await?,
            Spec::Price(spec) => client.put_price(name, spec, write).await?,
            Spec::Model(spec) => client.put_model(name, spec, write).await?,
            Spec::Class(spec) => client.put_budget_class(name, spec, write).await?,
            Spec::Org(spec) => client.put_org(name, spec, write).await?,
            Spec::Tier(spec) => client.put_tier(name, spec, write).await?,
            Spec::Reviewers(spec) => client.put_reviewer_pool(name, spec, write).await?,
            Spec::Pool(spec) => client.put_pool(name, spec, write).await?,
            Spec::Valve(spec) => client.put_valve(spec, write).await?,
            Spec::Policy(spec) => {
                return client.put_policy(name, &spec.text, write).await.map(|put| put.changed);
            }
            Spec::Tenant(spec) => client.put_tenant(name, spec, write).await?,
            Spec::Workflow(definition) => {
                let text = definition.text.as_str();
                let definition = match definition.format {
                    Format::Json => client::Definition::Json(text),
                    Format::Yaml | Format::Auto => client::Definition::Yaml(text),
                };
                return client.put_workflow(name, definition, write).await.map(|put| put.changed);
            }
        };
        Ok(applied.changed)
    }

    /// What the server refused, where it stands in the file.
    pub(super) fn mistakes(&self, problem: &Problem) -> Vec<Mistake> {
        if let Spec::Workflow(definition) = &self.spec
            && !problem.mistakes.is_empty()
        {
            return Mistake::in_text(&definition.file, problem);
        }
        let file = &self.origin.file;
        if let Spec::Policy(_) = &self.spec
            && !problem.mistakes.is_empty()
        {
            return policy_mistakes(&self.origin, problem);
        }
        if !problem.mistakes.is_empty() {
            let all = problem.mistakes.iter();
            return all.map(|one| Mistake::told(file, self.origin.told(one), one)).collect();
        }
        let pointer = problem.pointer.as_deref().unwrap_or_default();
        vec![Mistake::refused(file, self.origin.place(pointer), problem)]
    }
}

/// A file of Cedar is the text itself; elsewhere the text is a value, whose lines are counted from its first.
fn policy_mistakes(origin: &Origin, problem: &Problem) -> Vec<Mistake> {
    let mut mistakes = Mistake::in_text(&origin.file, problem);
    if origin.file.ends_with(".cedar") {
        return mistakes;
    }
    let (line, column) = origin.place("/text");
    for mistake in &mut mistakes {
        let (of_text, in_it) = (mistake.line, mistake.column);
        mistake.message =
            format!("line {of_text}, column {in_it} of the text: {}", mistake.message);
        (mistake.line, mistake.column) = (line, column);
    }
    mistakes
}

impl Declaration {
    /// The same with other numbers in these places, for the server to find what else is wrong.
    pub(super) fn mended(&self, pointers: &[String]) -> Option<Self> {
        let mut value = self.value.clone();
        for pointer in pointers {
            let wrong = value.pointer_mut(pointer).filter(|wrong| wrong.is_number())?;
            *wrong = Value::from(1);
        }
        let (read, mistakes) = read(self.kind(), &self.name, value, &self.origin);
        let (spec, value) = read.filter(|_| mistakes.is_empty())?;
        Some(Self { name: self.name.clone(), spec, value, origin: self.origin.clone() })
    }
}

impl Origin {
    pub(crate) fn place(&self, pointer: &str) -> Place {
        self.root.place(&format!("{}{pointer}", self.pointer))
    }

    /// The place of one of several mistakes that the server has found.
    fn told(&self, mistake: &fairlane_api::Mistake) -> Place {
        self.place(mistake.pointer.as_deref().unwrap_or_default())
    }

    pub(crate) fn key_place(&self, pointer: &str) -> Place {
        self.root.key_place(&format!("{}{pointer}", self.pointer))
    }

    pub(crate) fn mistake(
        &self,
        (line, column): Place,
        code: &str,
        message: String,
        expected: Option<String>,
    ) -> Mistake {
        Mistake {
            file: self.file.to_string(),
            line,
            column,
            message,
            expected,
            code: code.to_owned(),
        }
    }
}

/// Reads a declaration: all that is wrong with it, and what is left of it without that, if it can stand so.
pub(super) fn read(
    kind: Kind,
    name: &str,
    value: Value,
    origin: &Origin,
) -> (Option<(Spec, Value)>, Vec<Mistake>) {
    if let Some(mistake) = wrong_name(kind, name, origin) {
        return (None, vec![mistake]);
    }
    // Nothing behind the name is a declaration that leaves all to the defaults.
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    let mut reading = Reading { value, mistakes: Vec::new(), taken: Vec::new(), made: Vec::new() };
    let spec = match kind {
        Kind::Region => reading.spec(origin).map(Spec::Region),
        Kind::Zone => reading.spec(origin).map(Spec::Zone),
        Kind::Adequacy => reading.spec(origin).map(Spec::Adequacy),
        Kind::Tool => reading.spec(origin).map(Spec::Tool),
        Kind::Price => reading.spec(origin).map(Spec::Price),
        Kind::Model => reading.spec(origin).map(Spec::Model),
        Kind::Class => reading.spec(origin).map(Spec::Class),
        Kind::Org => reading.spec(origin).map(Spec::Org),
        Kind::Tier => reading.spec(origin).map(Spec::Tier),
        Kind::Pool => reading.spec(origin).map(Spec::Pool),
        Kind::Reviewers => reading.spec(origin).map(Spec::Reviewers),
        Kind::Valve => reading.spec(origin).map(Spec::Valve),
        Kind::Policy => reading.spec(origin).map(Spec::Policy),
        Kind::Tenant => reading.spec(origin).map(Spec::Tenant),
        Kind::Workflow => None,
    };
    (spec.map(|spec| (spec, reading.value)), reading.mistakes)
}

/// Reads a value of any other form in the same way: all that is wrong with it.
pub(crate) fn read_as<T: DeserializeOwned>(
    value: Value,
    origin: &Origin,
) -> (Option<T>, Vec<Mistake>) {
    let mut reading = Reading { value, mistakes: Vec::new(), taken: Vec::new(), made: Vec::new() };
    let read = reading.spec(origin);
    (read, reading.mistakes)
}

fn wrong_name(kind: Kind, name: &str, origin: &Origin) -> Option<Mistake> {
    if kind == Kind::Adequacy {
        let unknown = Country::parse(name).err()?;
        let message = format!("{name:?} is no country");
        let expected = Some(unknown.expected());
        return Some(origin.mistake(origin.key_place(""), "bad-name", message, expected));
    }
    let allowed = match kind {
        Kind::Zone => "a-z 0-9 - _ +",
        Kind::Tool | Kind::Model | Kind::Price => "a-z A-Z 0-9 - _ . : /",
        _ => "a-z 0-9 - _",
    };
    let error = match kind {
        Kind::Region => RegionName::parse(name).err(),
        Kind::Zone => ZoneName::parse(name).err(),
        Kind::Tool => ToolName::parse(name).err(),
        Kind::Price => PriceName::parse(name).err(),
        Kind::Model => ModelName::parse(name).err(),
        Kind::Class => ClassName::parse(name).err(),
        Kind::Org => OrgId::parse(name).err(),
        Kind::Tier => TierName::parse(name).err(),
        Kind::Pool => PoolName::parse(name).err(),
        Kind::Reviewers => ReviewerPoolName::parse(name).err(),
        Kind::Policy => PolicyName::parse(name).err(),
        Kind::Tenant => TenantId::parse(name).err(),
        Kind::Adequacy | Kind::Valve | Kind::Workflow => None,
    }?;
    let message = format!("the name {name:?} {error}");
    let expected = Some(format!("1 to 64 of {allowed}"));
    Some(origin.mistake(origin.key_place(""), "bad-name", message, expected))
}

/// Takes out what is wrong and fills in what is missing, one after the other, to find what else is.
struct Reading {
    value: Value,
    mistakes: Vec<Mistake>,
    /// Pointers to what was taken out. It is missing then: that is no news.
    taken: Vec<String>,
    /// Pointers to what was filled in.
    made: Vec<String>,
}

impl Reading {
    fn spec<T: DeserializeOwned>(&mut self, origin: &Origin) -> Option<T> {
        if !self.value.is_object() {
            let found = if self.value.is_array() { "a list" } else { "a single value" };
            let expected = Some("an object".to_owned());
            let message = format!("this is {found}");
            self.mistakes.push(origin.mistake(
                origin.place(""),
                "invalid-value",
                message,
                expected,
            ));
            return None;
        }
        while self.mistakes.len() < MISTAKES_MAX {
            match parse::<T>(&self.value) {
                Ok(spec) => return self.made.is_empty().then_some(spec),
                Err(wrong) => self.mend(wrong, origin)?,
            }
        }
        None
    }

    /// Makes the value right in one place; `None` if that cannot be done.
    fn mend(&mut self, wrong: Wrong, origin: &Origin) -> Option<()> {
        let Wrong { pointer, code, message, expected } = wrong;
        if let Some(field) = message.strip_prefix("missing field `") {
            let missing = format!("{pointer}/{}", escape(field.trim_end_matches('`')));
            if !self.taken.contains(&missing) {
                self.mistakes.push(origin.mistake(origin.place(&pointer), code, message, expected));
            }
            put(&mut self.value, &missing, Value::from(1))?;
            self.made.push(missing);
            return Some(());
        }
        if self.made.contains(&pointer) {
            // Not a number, then.
            let made = self.value.pointer_mut(&pointer).filter(|made| made.is_number())?;
            *made = Value::from("x");
            return Some(());
        }
        let at = match code {
            "unknown-field" => origin.key_place(&pointer),
            _ => origin.place(&pointer),
        };
        self.mistakes.push(origin.mistake(at, code, message, expected));
        let taken_out = take_out(&mut self.value, &pointer);
        self.taken.push(pointer);
        taken_out.then_some(())
    }
}

struct Wrong {
    pointer: String,
    code: &'static str,
    message: String,
    expected: Option<String>,
}

fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    // As text, because payloads are read as text.
    let text = value.to_string();
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let mut pointer = pointer(error.path());
        let message = error.inner().to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let (found, expected) = match message.split_once(", expected ") {
            Some((found, expected)) => (found, Some(expected.to_owned())),
            None => (message, None),
        };
        let code = match found {
            _ if found.starts_with("unknown field") => "unknown-field",
            _ if found.starts_with("missing field") => "missing-field",
            _ => "invalid-value",
        };
        if code == "unknown-field"
            && let Some(field) = found.split('`').nth(1)
            && !pointer.ends_with(&format!("/{field}"))
        {
            pointer = format!("{pointer}/{field}");
        }
        let expected = expected.map(|expected| words::expected(&expected));
        Wrong { pointer, code, message: words::found(found), expected }
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { variant } => pointer.push_str(&format!("/{}", escape(variant))),
            Segment::Unknown => {}
        }
    }
    pointer
}

pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Adds a value at the pointer, if there is an object to add it to.
fn put(value: &mut Value, pointer: &str, new: Value) -> Option<()> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let fields = value.pointer_mut(parent)?.as_object_mut()?;
    fields.insert(key.replace("~1", "/").replace("~0", "~"), new);
    Some(())
}

/// Removes the value at the pointer. False: it is the whole.
fn take_out(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(&key).is_some(),
        Some(Value::Array(items)) => match key.parse::<usize>() {
            Ok(at) if at < items.len() => {
                items.remove(at);
                true
            }
            _ => false,
        },
        _ => false,
    }
}
