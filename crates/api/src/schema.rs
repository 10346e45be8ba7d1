//! What the derived schemas of the document cannot say.

use utoipa::openapi::schema::{Object, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::{OneOfBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::run::{Event, RunDetail};

/// The fields of `T` inside of an answer that has others besides. `T` alone, as a body, forbids them, and would do so
/// here too.
pub(crate) fn open<T: PartialSchema>() -> RefOr<Schema> {
    let mut schema = T::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.additional_properties = None;
    }
    schema
}

/// One server-sent event of a run's stream. It is written line by line and never built: this is how it is described.
#[derive(Debug)]
pub enum RunEvent {}

impl PartialSchema for RunEvent {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .description(Some("One server-sent event: first a snapshot, then the changes."))
            .item(sent::<RunDetail>("snapshot"))
            .item(sent::<Event>("change"))
            .into()
    }
}

impl ToSchema for RunEvent {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((RunDetail::name().into(), RunDetail::schema()));
        schemas.push((Event::name().into(), Event::schema()));
        RunDetail::schemas(schemas);
        Event::schemas(schemas);
    }
}

/// An event of this name, whose data is a `T` as JSON.
fn sent<T: ToSchema>(event: &str) -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let data = text()
        .content_media_type("application/json")
        .content_schema(Some(Ref::from_schema_name(T::name())));
    ObjectBuilder::new()
        .property("event", text().enum_values(Some([event])))
        .property("id", text().description(Some("The revision of the run.")))
        .property("data", data)
        .required("event")
        .required("id")
        .required("data")
        .build()
}
