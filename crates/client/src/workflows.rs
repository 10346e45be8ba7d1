//! Workflow definitions: put, read, list.

use fairlane_api::workflow::{AppliedWorkflow, Workflow, WorkflowSummary};

use crate::client::{Call, Path};
use crate::{Client, Error, Write};

/// A workflow definition as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition<'a> {
    Yaml(&'a str),
    Json(&'a str),
}

impl<'a> Definition<'a> {
    const fn parts(self) -> (&'a str, &'static str) {
        match self {
            Self::Yaml(text) => (text, "application/yaml"),
            Self::Json(text) => (text, "application/json"),
        }
    }
}

impl Client {
    /// Declares a version of a workflow. A definition with mistakes is refused with all of them
    /// (`invalid-workflow`, see [`Problem::mistakes`](fairlane_api::Problem)).
    pub async fn put_workflow(
        &self,
        name: &str,
        definition: Definition<'_>,
        write: Write,
    ) -> Result<AppliedWorkflow, Error> {
        let (text, media_type) = definition.parts();
        let path = Path::new(&["v1", "workflows", name]).query("dry_run", write.parameter());
        self.call(Call::put(path.into_string()).text(text.to_owned(), media_type)).await
    }

    /// A version of a workflow; the newest if none is named.
    pub async fn workflow(&self, name: &str, version: Option<u32>) -> Result<Workflow, Error> {
        let path = Path::new(&["v1", "workflows", name]).query("version", version);
        self.call(Call::get(path.into_string())).await
    }

    pub async fn workflows(&self) -> Result<Vec<WorkflowSummary>, Error> {
        self.list(&["v1", "workflows"]).await
    }
}
