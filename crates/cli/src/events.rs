//! `fairlane events`: what happens to a run, line by line.

use clap::Args;
use fairlane_api::run::{Event, RunDetail};
use fairlane_client::RunEvent;
use serde::Serialize;

use crate::run::UnderWay;
use crate::target::{OneRun, Target};
use crate::text;

/// Follow what happens to a run until it ends
///
/// A line for each event: the run's revision, its status, and the step that changed. Exit code 0 however the
/// run ends.
#[derive(Debug, Args)]
pub(crate) struct Events {
    #[command(flatten)]
    run: OneRun,
}

/// As the event stream names them.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Told<'e> {
    Snapshot(&'e RunDetail),
    Change(&'e Event),
}

impl Events {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let OneRun { run, of } = &self.run;
        let mut events = target.client()?.events(of.tenant()?, run).await?;
        while let Some(event) = events.next().await? {
            let told = match &event {
                RunEvent::Snapshot(detail) => Told::Snapshot(detail),
                RunEvent::Change(event) => Told::Change(event),
            };
            printer.line(&told, |_| line(&event))?;
        }
        Ok(())
    }
}

fn line(event: &RunEvent) -> String {
    let (what, failure) = match event {
        RunEvent::Snapshot(detail) => {
            let mut under_way = UnderWay::default();
            under_way.follow(event);
            (under_way.describe(), &detail.run.failure)
        }
        RunEvent::Change(change) => {
            let step = change.step.as_ref().map(|step| {
                format!("{}: {}", text::step(&step.name, step.part), text::word(&step.phase))
            });
            (step.unwrap_or_default(), &change.failure)
        }
    };
    let parts = [
        event.revision().to_string(),
        text::word(&event.status()),
        what,
        failure.as_ref().map_or_else(String::new, text::failure),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}
