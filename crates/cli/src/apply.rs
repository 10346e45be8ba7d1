//! `fairlane apply`: declares what files say. All files are read and checked first, and all mistakes shown;
//! only then is anything written.

mod definition;
pub(crate) mod located;
mod references;
pub(crate) mod resource;
mod set;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use fairlane_api::Problem;
use fairlane_api::review::ReviewerPoolSpec;
use fairlane_client::{Client, Error, Write};
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

pub(crate) use definition::Definition;

use crate::mistake::{self, Mistake};
use crate::printer::Printer;
use crate::target::Target;
use references::Names;
use resource::{Declaration, Kind, MISTAKES_MAX, Origin, Spec};
use set::Set;

/// Requests under way at once.
const CONCURRENCY: usize = 16;

/// Declare organisations, tiers, pools, tenants, the catalog, budget classes and workflows from files
///
/// A file has the sections `regions`, `zones`, `adequacy`, `orgs`, `tiers`, `pools`, `tenants`, `tools`, `models`,
/// `prices`, `policies`, `budget_classes` (each an object by name) and `valve`, or it is a workflow, or a policy in Cedar
/// that is named like the file. All files are checked before anything is written.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A file, or a folder of .yaml, .yml, .json and .cedar files; can be given several times
    #[arg(long = "file", short, value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,
    /// Check only, against the server too, and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let (set, mistakes) = Set::read(&self.files)?;
        let client = match target.client() {
            Ok(client) => client,
            Err(error) => {
                mistake::report(printer, mistakes)?;
                return Err(error);
            }
        };
        check(&client, printer, &set, mistakes).await?;
        let applied = if self.dry_run {
            set.all().map(|declaration| Applied::new(declaration, None)).collect()
        } else {
            write(&client, printer, &set).await?
        };
        printer.data(&applied, |applied| applied.iter().map(Applied::line).collect())
    }
}

/// Declares what the files say; for commands that do it by the way.
pub(crate) async fn load(
    client: &Client,
    printer: Printer,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    let (set, mistakes) = Set::read(files)?;
    check(client, printer, &set, mistakes).await?;
    let applied = write(client, printer, &set).await?;
    let changed = applied.iter().filter(|applied| applied.changed == Some(true)).count();
    printer.note(&format!("{} declarations read, {changed} of them new or changed", applied.len()));
    Ok(())
}

/// Declares values that were made, each with its section, its name and where it is said; for commands that change what is
/// declared.
pub(crate) async fn change(
    client: &Client,
    printer: Printer,
    changes: Vec<(&'static str, String, Value, Origin)>,
) -> anyhow::Result<()> {
    let (set, mistakes) = Set::made(changes);
    check(client, printer, &set, mistakes).await?;
    write(client, printer, &set).await.map(drop)
}

/// What became of one declaration.
#[derive(Debug, Serialize)]
struct Applied {
    kind: &'static str,
    name: String,
    /// `null` for a dry run.
    changed: Option<bool>,
}

impl Applied {
    fn new(declaration: &Declaration, changed: Option<bool>) -> Self {
        Self { kind: declaration.kind().word(), name: declaration.name.clone(), changed }
    }

    fn line(&self) -> String {
        let became = match self.changed {
            None => "checked",
            Some(true) => "changed",
            Some(false) => "unchanged",
        };
        format!("{} {} {became}\n", self.kind, self.name)
    }
}

/// Asks the server about each declaration, and shows everything that it would refuse, with the mistakes that
/// the files have anyway.
async fn check(
    client: &Client,
    printer: Printer,
    set: &Set,
    mut mistakes: Vec<Mistake>,
) -> anyhow::Result<()> {
    let mut doubts = Vec::new();
    match refusals(client, printer, set, &mut doubts).await {
        Ok(refusals) => mistakes.extend(refusals),
        // What the files have is worth saying before that the server cannot be asked.
        Err(_) if !mistakes.is_empty() => {}
        Err(error) => return Err(error),
    }
    mistake::report(printer, mistakes)?;
    for doubt in doubts {
        printer.note(&doubt);
    }
    Ok(())
}

async fn refusals(
    client: &Client,
    printer: Printer,
    set: &Set,
    doubts: &mut Vec<String>,
) -> anyhow::Result<Vec<Mistake>> {
    let names = Names::read(client, set).await?;
    doubts.extend(set.all().flat_map(|declaration| names.doubts(declaration)));
    let bar = printer.bar(set.len() as u64, "checking");
    let mut mistakes: Vec<Mistake> =
        set.all().flat_map(|declaration| names.missing(declaration)).collect();
    for (declaration, answer) in put(client, set.all(), Write::Check, &bar).await {
        match answer {
            Ok(_) => {}
            Err(Error::Problem(problem)) if is_mistake(&problem) => {
                mistakes.extend(set.refused(&declaration, &problem));
                mistakes.extend(further(client, (set, &declaration), &problem).await);
            }
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    Ok(mistakes)
}

/// What else the server would refuse: unless it has said all, it says one thing, so it is asked again without that.
async fn further(
    client: &Client,
    (set, declaration): (&Set, &Declaration),
    first: &Problem,
) -> Vec<Mistake> {
    if !first.mistakes.is_empty() {
        return Vec::new();
    }
    let mut mistakes = Vec::new();
    let mut mended: Vec<String> = first.pointer.iter().cloned().collect();
    while (1..MISTAKES_MAX).contains(&mended.len())
        && let Some(rest) = declaration.mended(&mended)
        && let Err(Error::Problem(problem)) = rest.put(client, Write::Check).await
        && let Some(pointer) = problem.pointer.clone().filter(|pointer| !mended.contains(pointer))
    {
        mistakes.extend(set.refused(declaration, &problem));
        mended.push(pointer);
    }
    mistakes
}

/// Declares all of it, what others refer to first.
async fn write(client: &Client, printer: Printer, set: &Set) -> anyhow::Result<Vec<Applied>> {
    let bar = printer.bar(set.len() as u64, "declaring");
    let mut applied = Vec::new();
    for phase in Kind::PHASES {
        if phase.contains(&Kind::Reviewers) {
            begin_pools(client, set).await?;
        }
        let declarations =
            set.all().filter(|declaration| phase.contains(&set.written_as(declaration)));
        let mut mistakes: Vec<Mistake> = Vec::new();
        for (declaration, answer) in put(client, declarations, Write::Apply, &bar).await {
            match answer {
                Ok(changed) => applied.push(Applied::new(&declaration, Some(changed))),
                Err(Error::Problem(problem)) if is_mistake(&problem) => {
                    mistakes.extend(declaration.mistakes(&problem));
                }
                Err(error) => return Err(error.into()),
            }
        }
        mistake::report(printer, mistakes)?;
    }
    bar.finish_and_clear();
    Ok(applied)
}

/// A pool that names tenants of the set is declared after them; they may name it as theirs, so it is there before them
/// with nobody in it.
async fn begin_pools(client: &Client, set: &Set) -> anyhow::Result<()> {
    let late = set.all().filter(|declaration| {
        declaration.kind() == Kind::Reviewers && set.written_as(declaration) != Kind::Reviewers
    });
    let late: Vec<&Declaration> = late.map(Arc::as_ref).collect();
    if late.is_empty() {
        return Ok(());
    }
    let known = client.reviewer_pools().await?;
    for declaration in late {
        let Spec::Reviewers(spec) = &declaration.spec else { continue };
        if known.iter().all(|known| known.name != declaration.name) {
            let nobody = ReviewerPoolSpec { tenant: None, members: Vec::new(), ..spec.clone() };
            client.put_reviewer_pool(&declaration.name, &nobody, Write::Apply).await?;
        }
    }
    Ok(())
}

/// The file is wrong, not the key or the server.
const fn is_mistake(problem: &Problem) -> bool {
    matches!(problem.status, 400 | 404 | 409 | 413 | 422 | 451)
}

/// Puts declarations that do not need each other, a few at a time. The answers are in their order.
async fn put<'s>(
    client: &Client,
    declarations: impl Iterator<Item = &'s Arc<Declaration>>,
    write: Write,
    bar: &indicatif::ProgressBar,
) -> Vec<(Arc<Declaration>, Result<bool, Error>)> {
    let mut under_way = JoinSet::new();
    let mut answers = Vec::new();
    let mut declarations = declarations.cloned().enumerate();
    loop {
        while under_way.len() < CONCURRENCY
            && let Some((at, declaration)) = declarations.next()
        {
            let client = client.clone();
            under_way.spawn(async move {
                let answer = declaration.put(&client, write).await;
                (at, declaration, answer)
            });
        }
        match under_way.join_next().await {
            Some(Ok(answer)) => {
                bar.inc(1);
                answers.push(answer);
            }
            Some(Err(_)) => {}
            None => break,
        }
    }
    answers.sort_by_key(|(at, ..)| *at);
    answers.into_iter().map(|(_, declaration, answer)| (declaration, answer)).collect()
}
