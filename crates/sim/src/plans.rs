//! Workflows drawn from a seed: chains, diamonds, conditions, maps, waits, calls, compensations, retries and all
//! timeouts. They are built in their compiled form; the file format has tests of its own.

use std::sync::Arc;

use fairlane_core::id::{PoolName, SignalName, StepName, TaskName, ToolName, WorkflowName};
use fairlane_core::money::Nano;
use fairlane_core::plan::{
    Compensation, Expr, Judge, Map, Overlap, Retry, SERVER_POOL, Schedule, Step, StepIndex,
    StepKind, Timeouts, Wait, Workflow,
};
use fairlane_core::replan::Revised;
use fairlane_core::time::Span;

use crate::catalog;
use crate::landscape::{Landscape, millis};
use crate::people;
use crate::prng::Prng;
use crate::revision::replanning;
use crate::workload::Workload;

/// Longest list that a map takes; the evaluator sometimes gives one more.
pub const ITEMS_MAX: u32 = 4;
/// Workflows whose runs may change their plan, in thousandths.
const REPLANS: u32 = 300;
/// Names of the signals that steps listen for.
pub const SIGNALS: [&str; 2] = ["go", "stop"];

/// The workflows of one simulation. One calls only those before it, so that calls end.
pub fn draw(seed: u64, landscape: &Landscape) -> Vec<Arc<Workflow>> {
    let prng = &mut Prng::split(seed, "plans", 0);
    if Workload::of(seed) == Workload::Crowded {
        return vec![Arc::new(plain(prng, landscape))];
    }
    let names = landscape.pools.iter().map(|pool| pool.name.clone());
    let pools: Vec<PoolName> = names.filter(|name| *name != *SERVER_POOL).collect();
    let mut workflows: Vec<Arc<Workflow>> = Vec::new();
    for at in 0..prng.between(1, 3) {
        let callable: Vec<WorkflowName> =
            workflows.iter().map(|known| known.name.clone()).collect();
        let mut workflow = workflow(&mut Drawing { prng, pools: &pools, callable: &callable }, at);
        if prng.chance(100) {
            workflow.schedules.push(schedule(prng, landscape));
        }
        if !landscape.reviewers.is_empty() {
            let prng = &mut Prng::split(seed, "reviews", at);
            workflow.steps.iter_mut().for_each(|step| people::review(prng, step, landscape));
        }
        if Workload::of(seed) == Workload::Paid {
            let prng = &mut Prng::split(seed, "prices", at);
            let models = landscape.models.len() as u64;
            workflow.steps.iter_mut().for_each(|step| price(prng, step, models));
        }
        let prng = &mut Prng::split(seed, "replans", at);
        if prng.chance(REPLANS) {
            workflow.replan = Some(Arc::new(replanning(prng, &workflow, &pools[0])));
        }
        workflows.push(Arc::new(workflow));
    }
    workflows
}

/// The next version of a workflow without its schedules, so that it starts nothing any more.
pub fn retired(workflow: &Workflow) -> Workflow {
    Workflow {
        version: workflow.version + 1,
        source: "retired".into(),
        schedules: Vec::new(),
        ..workflow.clone()
    }
}

/// The next version of a workflow, with all its tasks in another pool.
pub(crate) fn moved(workflow: &Workflow, to: &PoolName) -> Workflow {
    let mut moved =
        Workflow { version: workflow.version + 1, source: "moved".into(), ..workflow.clone() };
    for step in &mut moved.steps {
        if let StepKind::Task { pool, .. } = &mut step.kind {
            *pool = to.clone();
        }
    }
    moved
}

/// Most steps cost something, and call a tool or one of so many models. Many of them the server does itself.
fn price(prng: &mut Prng, step: &mut Step, models: u64) {
    if !matches!(step.kind, StepKind::Task { .. }) {
        return;
    }
    step.cost_nano = Nano::from_cents(*prng.pick(&[0, 1, 5, 10, 20])).0;
    step.tool = prng.chance(700).then(|| tool(prng.below(catalog::TOOLS)));
    match prng.below(100) {
        0..40 => {
            step.kind = StepKind::Model(Box::new(catalog::call(prng, models)));
            (step.tool, step.cost_nano) = (None, 0);
        }
        40..50 => {
            step.kind = StepKind::Tool;
            step.tool = Some(tool(prng.below(catalog::TOOLS)));
        }
        _ => {}
    }
}

pub(crate) fn tool(at: u64) -> ToolName {
    ToolName::parse(&format!("tool-{at}")).expect("a valid name")
}

/// One step that is tried once and depends on nothing.
fn plain(prng: &mut Prng, landscape: &Landscape) -> Workflow {
    let pools = [landscape.pools[0].name.clone()];
    let mut plain = workflow(&mut Drawing { prng, pools: &pools, callable: &[] }, 0);
    let name = plain.steps[0].name.clone();
    plain.timeout = None;
    plain.steps = vec![Step {
        name,
        kind: StepKind::Task { task: task("work"), pool: pools[0].clone() },
        after: Vec::new(),
        when: None,
        with: Vec::new(),
        retry: Retry { attempts: 1, ..retry(prng) },
        timeout: Timeouts { queue: None, attempt: Span::from_secs(2), step: None },
        optional: false,
        map: None,
        compensate: None,
        tool: None,
        cost_nano: 0,
        expected: Span::from_millis(50),
        output_schema: None,
        judge: Judge::default(),
    }];
    plain
}

struct Drawing<'a> {
    prng: &'a mut Prng,
    pools: &'a [PoolName],
    callable: &'a [WorkflowName],
}

fn workflow(drawing: &mut Drawing<'_>, at: u64) -> Workflow {
    let count = drawing.prng.between(1, 6);
    let timeout = drawing.prng.chance(200).then(|| millis(drawing.prng, 3_000, 30_000));
    Workflow {
        name: WorkflowName::parse(&format!("flow-{at}")).expect("a valid name"),
        version: 1,
        source: "drawn".into(),
        input_schema: None,
        subject: None,
        steps: (0..count).map(|at| step(drawing, u16::try_from(at).expect("few steps"))).collect(),
        timeout,
        schedules: Vec::new(),
        replan: None,
        revised: Revised::default(),
    }
}

fn step(drawing: &mut Drawing<'_>, at: u16) -> Step {
    let kind = kind(drawing);
    let after = after(drawing.prng, at);
    let map = map(drawing.prng, &kind);
    let pool = drawing.prng.pick(drawing.pools).clone();
    let prng = &mut *drawing.prng;
    Step {
        name: StepName::parse(&format!("s{at}")).expect("a valid name"),
        kind,
        after,
        when: prng.chance(200).then(|| expression("when")),
        with: Vec::new(),
        retry: retry(prng),
        timeout: timeouts(prng),
        optional: prng.chance(250),
        map,
        compensate: prng.chance(250).then(|| Compensation {
            task: task("undo"),
            pool,
            with: Vec::new(),
            retry: retry(prng),
            attempt_timeout: millis(prng, 500, 5_000),
        }),
        tool: prng.chance(300).then(|| tool(prng.below(2))),
        cost_nano: 0,
        expected: millis(prng, 50, 2_000),
        output_schema: None,
        judge: Judge::default(),
    }
}

fn kind(drawing: &mut Drawing<'_>) -> StepKind {
    let prng = &mut *drawing.prng;
    match prng.below(100) {
        0..72 => StepKind::Task { task: task("work"), pool: prng.pick(drawing.pools).clone() },
        72..78 => StepKind::Wait(Wait::For(millis(prng, 0, 4_000))),
        78..82 => StepKind::Wait(Wait::Until(expression("until"))),
        82..90 => {
            let name = SignalName::parse(SIGNALS[prng.index(SIGNALS.len())]).expect("a valid name");
            StepKind::Wait(Wait::Signal(name))
        }
        _ if drawing.callable.is_empty() => StepKind::Wait(Wait::For(Span::ZERO)),
        _ => StepKind::Call { workflow: prng.pick(drawing.callable).clone(), version: None },
    }
}

/// At most two predecessors: mostly the step just before, which makes chains, else any, which makes diamonds.
fn after(prng: &mut Prng, at: u16) -> Vec<StepIndex> {
    let mut after = Vec::new();
    if at > 0 && prng.chance(700) {
        after.push(StepIndex(at - 1));
    }
    if at > 1 && prng.chance(400) {
        let other = StepIndex(u16::try_from(prng.below(u64::from(at) - 1)).expect("few steps"));
        after.insert(0, other);
    }
    after
}

fn map(prng: &mut Prng, kind: &StepKind) -> Option<Map> {
    let permille = if matches!(kind, StepKind::Task { .. }) { 180 } else { 100 };
    prng.chance(permille).then(|| Map {
        over: expression("over"),
        parallel: prng.small(1, 3),
        items_max: ITEMS_MAX,
    })
}

fn retry(prng: &mut Prng) -> Retry {
    Retry {
        attempts: prng.small(1, 3),
        backoff_min: millis(prng, 10, 500),
        backoff_max: millis(prng, 500, 3_000),
        jitter_permille: *prng.pick(&[0, 500, 1_000]),
    }
}

fn timeouts(prng: &mut Prng) -> Timeouts {
    Timeouts {
        queue: prng.chance(150).then(|| millis(prng, 500, 8_000)),
        attempt: millis(prng, 300, 6_000),
        step: prng.chance(250).then(|| millis(prng, 500, 8_000)),
    }
}

fn schedule(prng: &mut Prng, landscape: &Landscape) -> Schedule {
    Schedule {
        name: StepName::parse("often").expect("a valid name"),
        tenant: prng.pick(&landscape.tenants).id.clone(),
        cron: prng.between(2_000, 9_000).to_string().into(),
        time_zone: "UTC".into(),
        overlap: *prng.pick(&[Overlap::Skip, Overlap::Queue, Overlap::Allow]),
        input: "{}".into(),
    }
}

fn task(name: &str) -> TaskName {
    TaskName::parse(name).expect("a valid name")
}

fn expression(text: &str) -> Expr {
    Expr(text.into())
}
