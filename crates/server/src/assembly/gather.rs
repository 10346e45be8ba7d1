//! Finding payloads: in the cache, then in the store. The output of a map is the list of its items' outputs,
//! that of a call is the output of the child run.

use fairlane_core::auth::AllTenants;
use fairlane_core::id::{RunId, StepName};
use fairlane_core::plan::{StepIndex, StepKind, Workflow};
use fairlane_core::row::{Failure, Instance, Part, Payload, RunKey, StepRow, StepState};
use fairlane_core::tenant::TenantScope;
use fairlane_store::{Error, Payloads, Read};
use fairlane_workflow::{Item, Refs, Scope, StepResult};

use super::plan::plan_here;
use crate::cache::{Cache, Known, Slot, ended};
use crate::reads::Reads;
use crate::registry::Registry;

/// Largest output that is put together from others'.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
const DONE: &str = "done";

/// Why a payload was not found.
#[derive(Debug)]
pub(super) enum Miss {
    /// It may be in the store, which was not asked.
    Store,
    Unavailable,
    Failed(Failure),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        tracing::error!(event = "payload-unread", %error, "a payload could not be read from the store");
        Self::Unavailable
    }
}

/// Finds the payloads of one run.
#[derive(Debug)]
pub(super) struct Gatherer<'a> {
    pub(super) cache: &'a Cache,
    pub(super) registry: &'a Registry,
    /// `None`: look in the cache only.
    pub(super) reads: Option<&'a Reads>,
    pub(super) rights: AllTenants,
    pub(super) key: &'a RunKey,
    pub(super) workflow: &'a Workflow,
}

/// The payloads that an evaluation reads.
#[derive(Debug)]
pub(super) struct Gathered {
    input: Option<Payload>,
    steps: Vec<(StepName, Ended)>,
    pub(super) item: Option<(Payload, u32)>,
    /// Their size.
    pub(super) bytes: usize,
}

/// How a step ended, as expressions see it.
#[derive(Clone, Debug)]
struct Ended {
    status: &'static str,
    output: Option<Payload>,
}

impl Gathered {
    /// The output of the step itself, which nobody has stored yet.
    pub(super) fn own(&mut self, name: &StepName, output: Payload) {
        self.steps.push((name.clone(), Ended { status: DONE, output: Some(output) }));
    }

    pub(super) fn steps(&self) -> Vec<StepResult<'_>> {
        let results = self.steps.iter().map(|(name, ended)| StepResult {
            name,
            status: ended.status,
            output: ended.output.as_deref(),
        });
        results.collect()
    }

    pub(super) fn scope<'a>(
        &'a self,
        steps: &'a [StepResult<'a>],
        tenant: &'a [u8],
        run: RunId,
    ) -> Scope<'a> {
        Scope {
            input: self.input.as_deref().unwrap_or(b"null"),
            steps,
            tenant,
            run,
            item: self.item.as_ref().map(|(value, index)| Item { value, index: *index }),
        }
    }
}

/// The output of a completed run, as a JSON object.
pub(super) fn run_output(
    gatherer: &mut Gatherer<'_>,
    workflow: &Workflow,
) -> Result<Payload, Miss> {
    let mut is_awaited = vec![false; workflow.steps.len()];
    let there = workflow.indexed().filter(|(index, _)| workflow.has(*index));
    for before in there.flat_map(|(_, step)| &step.after) {
        is_awaited[usize::from(before.0)] = true;
    }
    let mut object = Joined::new(b'{', b'}');
    for (index, step) in workflow.indexed() {
        if is_awaited[usize::from(index.0)] || !workflow.has(index) {
            continue;
        }
        let output = gatherer.step(index)?.output;
        object.next();
        object.bytes.extend_from_slice(format!("\"{}\":", step.name).as_bytes());
        object.add(output.as_deref().unwrap_or(b"null"))?;
    }
    Ok(object.finish())
}

impl Gatherer<'_> {
    pub(super) fn gather(&mut self, refs: &Refs) -> Result<Gathered, Miss> {
        let mut gathered = Gathered { input: None, steps: Vec::new(), item: None, bytes: 0 };
        if refs.input {
            let input = self.input()?;
            gathered.bytes += input.len();
            gathered.input = Some(input);
        }
        for name in refs.steps.iter().chain(&refs.statuses) {
            if gathered.steps.iter().any(|(known, _)| known == name) {
                continue;
            }
            let found = self.workflow.indexed().find(|(_, step)| step.name == *name);
            let Some((index, _)) = found else { continue };
            let ended = if refs.steps.contains(name) {
                self.step(index)?
            } else {
                Ended { status: self.status(index)?, output: None }
            };
            gathered.bytes += ended.output.as_ref().map_or(0, |output| output.len());
            gathered.steps.push((name.clone(), ended));
        }
        Ok(gathered)
    }

    fn input(&self) -> Result<Payload, Miss> {
        if let Some(Known::Payload(input)) = self.cache.get(self.key, Slot::Input) {
            return Ok(input);
        }
        let input = self.read(|reader, scope| reader.input(scope, self.key.run))?;
        input.ok_or_else(|| missing("the run's input"))
    }

    fn status(&self, step: StepIndex) -> Result<&'static str, Miss> {
        match self.cache.get(self.key, whole(step)) {
            Some(Known::Payload(_) | Known::Elsewhere) => Ok(DONE),
            Some(Known::Absent(status)) => Ok(status),
            None => Ok(self.row(step)?.map_or("pending", |row| status(&row.state))),
        }
    }

    /// How the step ended, with its output.
    fn step(&self, step: StepIndex) -> Result<Ended, Miss> {
        match self.cache.get(self.key, whole(step)) {
            Some(Known::Payload(output)) => {
                return Ok(Ended { status: DONE, output: Some(output) });
            }
            Some(Known::Absent(status)) => return Ok(Ended { status, output: None }),
            Some(Known::Elsewhere) | None => {}
        }
        let Some(row) = self.row(step)? else {
            return Ok(Ended { status: "pending", output: None });
        };
        let output = match row.state {
            StepState::Done => Some(self.output(&row)?),
            _ => None,
        };
        Ok(Ended { status: status(&row.state), output })
    }

    /// The output of a step that is done.
    fn output(&self, row: &StepRow) -> Result<Payload, Miss> {
        let run = self.key.run;
        if let Some(output) = self.read(|reader, scope| reader.output(scope, run, row.instance))? {
            return Ok(output);
        }
        let step = self.workflow.step(row.instance.step);
        match (&step.kind, &step.map) {
            (_, Some(_)) => self.items(row.instance.step),
            (StepKind::Call { .. }, None) => self.child_output(row),
            _ => Err(missing("a step's output")),
        }
    }

    /// The outputs of a map's items, as a list.
    fn items(&self, step: StepIndex) -> Result<Payload, Miss> {
        let is_call = matches!(self.workflow.step(step).kind, StepKind::Call { .. });
        let mut list = Joined::new(b'[', b']');
        if is_call {
            let rows = self.rows()?;
            let is_item = |row: &&StepRow| {
                row.instance.step == step && matches!(row.instance.part, Part::Item(_))
            };
            for row in rows.iter().filter(is_item) {
                list.next();
                list.add(&self.child_output(row)?)?;
            }
        } else {
            let outputs = self.read(|reader, scope| reader.outputs(scope, self.key.run, step))?;
            for (_, output) in outputs {
                list.next();
                list.add(&output)?;
            }
        }
        Ok(list.finish())
    }

    /// The output of the child that a call has run.
    fn child_output(&self, row: &StepRow) -> Result<Payload, Miss> {
        let (run, instance) = (self.key.run, row.instance);
        let found = self.read(|reader, scope| match self.cache.child(self.key, instance) {
            Some(child) => reader.run(scope, child, Payloads::Leave),
            None => reader.child(scope, run, instance),
        })?;
        let found = found.ok_or_else(|| missing("a child run"))?;
        let workflow =
            self.read(|reader, scope| plan_here(self.registry, reader, scope, &found))?;
        let workflow = workflow.ok_or_else(|| missing("a child run's workflow"))?;
        let mut gatherer = Gatherer {
            cache: self.cache,
            registry: self.registry,
            reads: self.reads,
            rights: self.rights,
            key: &found.key,
            workflow: &workflow,
        };
        // Calls nest to a bounded depth, and so does this.
        run_output(&mut gatherer, &workflow)
    }

    fn row(&self, step: StepIndex) -> Result<Option<StepRow>, Miss> {
        let instance = Instance { step, part: Part::Whole };
        Ok(self.rows()?.into_iter().find(|row| row.instance == instance))
    }

    fn rows(&self) -> Result<Vec<StepRow>, Miss> {
        self.read(|reader, scope| reader.steps(scope, self.key.run, Payloads::Leave))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&mut dyn Read, &TenantScope) -> Result<T, Error>,
    ) -> Result<T, Miss> {
        let reads = self.reads.ok_or(Miss::Store)?;
        let scope = self.rights.scope(&self.key.tenant);
        Ok(reads.here(&scope, |reader| read(reader, &scope))?)
    }
}

/// JSON values put together, up to a bound.
struct Joined {
    bytes: Vec<u8>,
    close: u8,
}

impl Joined {
    fn new(open: u8, close: u8) -> Self {
        Self { bytes: vec![open], close }
    }

    fn next(&mut self) {
        if self.bytes.len() > 1 {
            self.bytes.push(b',');
        }
    }

    fn add(&mut self, value: &[u8]) -> Result<(), Miss> {
        if self.bytes.len() + value.len() > OUTPUT_BYTES_MAX {
            let message = format!("the output has more than {OUTPUT_BYTES_MAX} bytes");
            return Err(Miss::Failed(Failure::cut("output-too-large", &message)));
        }
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    fn finish(mut self) -> Payload {
        self.bytes.push(self.close);
        Payload::from(self.bytes)
    }
}

const fn whole(step: StepIndex) -> Slot {
    Slot::Output(Instance { step, part: Part::Whole })
}

fn status(state: &StepState) -> &'static str {
    match state {
        StepState::Done => DONE,
        state => ended(state).unwrap_or("running"),
    }
}

fn missing(what: &str) -> Miss {
    Miss::Failed(Failure::cut("payload-missing", &format!("{what} is not stored any more")))
}
