//! The cron schedules of a workflow.

use std::sync::Arc;

use fairlane_core::id::{StepName, TenantId};
use fairlane_core::plan::{Overlap, Schedule};
use fairlane_core::time::Time;

use super::reader::{Fields, Reader};
use crate::mistake::{Code, nearest};
use crate::schedule::{next_fire, parse_cron, parse_time_zone, time_zone_names};
use crate::schema;
use crate::tree::{Entry, Node, Value, quote};

/// Most schedules of one workflow.
pub(super) const SCHEDULES_MAX: usize = 100;

const FIELDS: &[&str] = &["tenant", "cron", "time_zone", "overlap", "input"];

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    schema: Option<&Arc<str>>,
) -> Vec<Schedule> {
    let Value::Object(entries) = &node.value else {
        reader.wrong_type(node, "an object with one entry for each schedule");
        return Vec::new();
    };
    if entries.len() > SCHEDULES_MAX {
        let message = format!("there are {} schedules", entries.len());
        reader.at(node, Code::TooLarge, message, format!("at most {SCHEDULES_MAX}"));
        return Vec::new();
    }
    entries.iter().filter_map(|entry| schedule(reader, entry, schema)).collect()
}

fn schedule(reader: &mut Reader<'_>, entry: &Entry, schema: Option<&Arc<str>>) -> Option<Schedule> {
    let node = &entry.node;
    let name = StepName::parse(&entry.key)
        .map_err(|error| {
            let message = format!("{} is no name of a schedule: it {error}", quote(&entry.key));
            reader.at_key(entry, Code::BadName, message, "1 to 64 letters, digits and _");
        })
        .ok();
    let fields = reader.object(node, "a schedule", FIELDS, &[])?;
    let tenant = reader
        .required(&fields, node, "tenant", "the id of the tenant whose runs it starts")
        .and_then(|node| reader.name(node, "a tenant", TenantId::parse));
    let time_zone = match fields.get("time_zone") {
        Some(node) => time_zone(reader, node),
        None => Some(Arc::from("UTC")),
    };
    let cron = reader
        .required(&fields, node, "cron", "a pattern such as 30 2 * * 1-5")
        .and_then(|node| cron(reader, node));
    let overlap =
        fields.get("overlap").map_or(Some(Overlap::default()), |node| overlap(reader, node));
    let input = input(reader, &fields, node, schema);
    Some(Schedule {
        name: name?,
        tenant: tenant?,
        cron: cron?,
        time_zone: time_zone?,
        overlap: overlap?,
        input: input?,
    })
}

fn cron(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let expected = "five fields (minute hour day month weekday) or six with seconds first";
    let text = reader.text(node, expected)?;
    if let Err(error) = parse_cron(text) {
        let message = format!("{} is not a cron pattern: {error}", quote(text));
        reader.at(node, Code::BadCron, message, expected);
        return None;
    }
    // A pattern can be well formed and name no day, such as the 30th of February.
    if next_fire(text, "UTC", Time(0)).is_none() {
        reader.at(
            node,
            Code::BadCron,
            format!("{} never fires", quote(text)),
            "a pattern of days that there are",
        );
        return None;
    }
    Some(Arc::from(text))
}

fn time_zone(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let text = reader.text(node, "a time zone such as Europe/Berlin")?;
    if parse_time_zone(text).is_some() {
        return Some(Arc::from(text));
    }
    let names = time_zone_names();
    let expected = match nearest(text, names.iter().map(String::as_str)) {
        Some(meant) => format!("{meant} (did you mean that?)"),
        None => "a name of the IANA database such as Europe/Berlin".to_owned(),
    };
    reader.at(
        node,
        Code::UnknownTimeZone,
        format!("there is no time zone {}", quote(text)),
        expected,
    );
    None
}

fn overlap(reader: &mut Reader<'_>, node: &Node) -> Option<Overlap> {
    let expected = "skip, queue or allow";
    match reader.text(node, expected)? {
        "skip" => Some(Overlap::Skip),
        "queue" => Some(Overlap::Queue),
        "allow" => Some(Overlap::Allow),
        other => {
            reader.at(
                node,
                Code::OutOfRange,
                format!("there is no overlap {}", quote(other)),
                expected,
            );
            None
        }
    }
}

/// The input of the runs, which must fit the schema: otherwise no run would ever be admitted.
fn input(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    of: &Node,
    schema: Option<&Arc<str>>,
) -> Option<Arc<str>> {
    let given = fields.get("input").copied();
    let json = given.map_or_else(|| serde_json::json!({}), Node::to_json);
    let compiled = schema
        .and_then(|schema| serde_json::from_str(schema).ok())
        .and_then(|schema| schema::compile(&schema).ok());
    if let Some(Err(violations)) = compiled.map(|compiled| schema::violations(&compiled, &json)) {
        for violation in violations {
            let message = format!("the input does not fit input.schema: {violation}");
            reader.at(
                given.unwrap_or(of),
                Code::InputMismatch,
                message,
                "an input that the schema allows",
            );
        }
        return None;
    }
    Some(Arc::from(json.to_string()))
}
