//! One declaration of a file: read with all its mistakes, put, and what the server's refusal means in the file.

use std::sync::Arc;

use fairlane_api::Problem;
use fairlane_api::resource::{OrgSpec, PoolSpec, TenantSpec, TierSpec, ValveSpec};
use fairlane_client::{self as client, Client, Error, Write};
use fairlane_core::id::{OrgId, PoolName, TenantId, TierName};
use fairlane_workflow::Format;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Definition;
use super::located::{Located, Place};
use crate::mistake::Mistake;

/// Mistakes that are looked for in one declaration.
const MISTAKES_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Tier,
    Org,
    Pool,
    Valve,
    Tenant,
    Workflow,
}

impl Kind {
    /// The order of writing: what is referred to comes first.
    pub(super) const PHASES: [&[Self]; 3] =
        [&[Self::Tier, Self::Org, Self::Pool, Self::Valve], &[Self::Tenant], &[Self::Workflow]];
    /// Sections of a file, by the kind of what is in them.
    pub(super) const SECTIONS: [(&str, Self); 4] = [
        ("orgs", Self::Org),
        ("tiers", Self::Tier),
        ("pools", Self::Pool),
        ("tenants", Self::Tenant),
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Org => "org",
            Self::Pool => "pool",
            Self::Valve => "valve",
            Self::Tenant => "tenant",
            Self::Workflow => "workflow",
        }
    }
}

#[derive(Debug)]
pub(super) enum Spec {
    Org(OrgSpec),
    Tier(TierSpec),
    Pool(PoolSpec),
    Valve(ValveSpec),
    Tenant(TenantSpec),
    Workflow(Definition),
}

#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) spec: Spec,
    pub(super) origin: Origin,
}

/// Where a declaration stands.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) file: Arc<str>,
    pub(super) root: Arc<Located>,
    /// JSON pointer to its value.
    pub(super) pointer: String,
}

impl Declaration {
    pub(super) const fn kind(&self) -> Kind {
        match &self.spec {
            Spec::Org(_) => Kind::Org,
            Spec::Tier(_) => Kind::Tier,
            Spec::Pool(_) => Kind::Pool,
            Spec::Valve(_) => Kind::Valve,
            Spec::Tenant(_) => Kind::Tenant,
            Spec::Workflow(_) => Kind::Workflow,
        }
    }

    /// Whether it changed anything.
    pub(super) async fn put(&self, client: &Client, write: Write) -> Result<bool, Error> {
        let name = &self.name;
        let applied = match &self.spec {
            Spec::Org(spec) => client.put_org(name, spec, write).await?,
            Spec::Tier(spec) => client.put_tier(name, spec, write).await?,
            Spec::Pool(spec) => client.put_pool(name, spec, write).await?,
            Spec::Valve(spec) => client.put_valve(spec, write).await?,
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
        if let Spec::Workflow(definition) = &self.spec {
            return Mistake::in_workflow(&definition.file, problem);
        }
        let pointer = problem.pointer.as_deref().unwrap_or_default();
        vec![Mistake::refused(&self.origin.file, self.origin.place(pointer), problem)]
    }
}

impl Origin {
    pub(super) fn place(&self, pointer: &str) -> Place {
        self.root.place(&format!("{}{pointer}", self.pointer))
    }

    pub(super) fn key_place(&self, pointer: &str) -> Place {
        self.root.key_place(&format!("{}{pointer}", self.pointer))
    }

    pub(super) fn mistake(
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

/// Reads a declaration, or finds everything that is wrong with it.
pub(super) fn read(
    kind: Kind,
    name: &str,
    value: Value,
    origin: &Origin,
) -> Result<Spec, Vec<Mistake>> {
    if let Some(mistake) = wrong_name(kind, name, origin) {
        return Err(vec![mistake]);
    }
    // Nothing behind the name is a declaration that leaves all to the defaults.
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    match kind {
        Kind::Org => spec(value, origin).map(Spec::Org),
        Kind::Tier => spec(value, origin).map(Spec::Tier),
        Kind::Pool => spec(value, origin).map(Spec::Pool),
        Kind::Valve => spec(value, origin).map(Spec::Valve),
        Kind::Tenant => spec(value, origin).map(Spec::Tenant),
        Kind::Workflow => Err(Vec::new()),
    }
}

fn wrong_name(kind: Kind, name: &str, origin: &Origin) -> Option<Mistake> {
    let error = match kind {
        Kind::Org => OrgId::parse(name).err(),
        Kind::Tier => TierName::parse(name).err(),
        Kind::Pool => PoolName::parse(name).err(),
        Kind::Tenant => TenantId::parse(name).err(),
        Kind::Valve | Kind::Workflow => None,
    }?;
    let message = format!("the name {name:?} {error}");
    let expected = Some("1 to 64 of a-z 0-9 - _".to_owned());
    Some(origin.mistake(origin.key_place(""), "bad-name", message, expected))
}

/// Takes out what is wrong, one after the other, to find what else is.
fn spec<T: DeserializeOwned>(mut value: Value, origin: &Origin) -> Result<T, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    while mistakes.len() < MISTAKES_MAX {
        let error = match parse::<T>(&value) {
            Ok(spec) if mistakes.is_empty() => return Ok(spec),
            Ok(_) => break,
            Err(error) => error,
        };
        let is_missing = error.code == "missing-field";
        let taken_out = take_out(&mut value, &error.pointer);
        // A field that was taken out before is missing now: that is no news.
        if !is_missing || mistakes.is_empty() {
            let at = match error.code {
                "unknown-field" => origin.key_place(&error.pointer),
                _ => origin.place(&error.pointer),
            };
            mistakes.push(origin.mistake(at, error.code, error.message, error.expected));
        }
        if is_missing || !taken_out {
            break;
        }
    }
    Err(mistakes)
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
        Wrong { pointer, code, message: found.to_owned(), expected }
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
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
