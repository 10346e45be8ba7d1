//! Rows to try a store with: valid, and with every field set to something that a mistake would show in.

mod notices;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use fairlane_core::calendar::{Calendar, TimeZone};
use fairlane_core::catalog::{
    Candidate, Endpoint, Header, Metered, Method, Model, Price, PriceVersion, Protocol, Rates,
    Request, Usage,
};
use fairlane_core::cell::change::Snapshot;
use fairlane_core::erasure::{Erased, ErasureRow, Subject};
use fairlane_core::id::{ErasureId, ReviewId, RunId, TenantId};
use fairlane_core::money::Nano;
use fairlane_core::plan::{
    Compensation, Expr, Judge, Map, ModelCall, Overlap, Retry, Schedule, Step, StepIndex, StepKind,
    Timeouts, Wait, Workflow,
};
use fairlane_core::policy::{self, Source};
use fairlane_core::pool::{LongSteps, Policy, Pool, Valve};
use fairlane_core::quota::{Breaker, Budget, BudgetClass, OrgBudget, Rule, Rung, Tool, Unit};
use fairlane_core::replan::{
    Confidence, Diff, Parts, ReplanRow, Replanning, Revised, Scope, Trigger, Trust, Unfit, Verdict,
};
use fairlane_core::residency::{
    Adequacy, Country, Declaration, Location, Region, Residency, Storage, Zone,
};
use fairlane_core::review::{Claim, Escalation, Member, Overdue, Proposal, ReviewerPool, Terms};
use fairlane_core::router::{Because, Passed};
use fairlane_core::row::{
    AccountRow, Actor, CallAttempt, CallRow, Considered, Credential, Decision, Failure, Halt, Hold,
    IdempotencyRow, Instance, KeyRow, Lane, Owner, Parent, Part, Payload, ReviewCause, ReviewEvent,
    ReviewEventRow, ReviewRow, ReviewState, Role, Route, RunKey, RunMoney, RunRow, RunStatus,
    ScheduleRow, SignIn, SignalRow, StepRow, StepState, UseRow, Used,
};
use fairlane_core::tenant::{
    AfterOutage, Burst, Context, Org, Outage, Rules, Sla, Tenant, TenantScope, Tier,
};
use fairlane_core::time::{Span, Time};
use fairlane_core::trace::{SpanId, Trace, TraceId};

pub use self::notices::{channel, mail_channel, notice, pending_notice};

/// Any kind of name.
pub fn name<T: FromStr>(text: &str) -> T {
    text.parse().ok().expect("the samples use valid names")
}

pub fn scope(tenant: &str) -> TenantScope {
    Snapshot::default().all_tenants().scope(&name(tenant))
}

pub fn key(tenant: &str, run: u128) -> RunKey {
    RunKey { tenant: name(tenant), run: RunId(run) }
}

pub const fn whole(step: u16) -> Instance {
    Instance { step: StepIndex(step), part: Part::Whole }
}

pub const fn item(step: u16, at: u32) -> Instance {
    Instance { step: StepIndex(step), part: Part::Item(at) }
}

/// A payload of that many bytes, none of them equal to its neighbour.
pub fn payload(bytes: usize) -> Payload {
    (0..bytes).map(|at| b"0123456789"[at % 10]).collect()
}

/// A run that waits, without anything optional; created at its id, in microseconds.
pub fn run(key: &RunKey) -> RunRow {
    RunRow {
        is_bare: false,
        requester: None,
        subject: None,
        trace: None,
        key: key.clone(),
        workflow: name("loan"),
        version: 1,
        context: 1,
        lane: Lane::Normal,
        status: RunStatus::Running,
        outcome: None,
        created: Time(u64::try_from(key.run.0).unwrap_or(u64::MAX)),
        ended: None,
        deadline: None,
        failure: None,
        parent: None,
        schedule: None,
        revision: 1,
        input_bytes: 0,
        money: RunMoney::default(),
        replans: 0,
        input: None,
    }
}

/// An erasure that is asked for at its id, in microseconds.
pub fn erasure(tenant: &str, id: u64, of: Erased) -> ErasureRow {
    ErasureRow {
        tenant: name(tenant),
        id: ErasureId(RunId(id.into())),
        of,
        asked: Time(id),
        by: Some(Actor::Key(name("key-1"))),
        runs: 0,
        done: None,
    }
}

/// The run when it has ended.
pub fn ended(key: &RunKey, status: RunStatus) -> RunRow {
    let row = run(key);
    RunRow { status, ended: Some(row.created + Span::from_secs(1)), revision: 9, ..row }
}

/// A live run with all that a run can have.
pub fn full_run(key: &RunKey) -> RunRow {
    RunRow {
        version: u32::MAX,
        context: 2,
        lane: Lane::Urgent,
        status: RunStatus::Compensating,
        outcome: Some(RunStatus::Cancelled),
        deadline: Some(Time::MAX),
        failure: Some(failure()),
        parent: Some(Parent { run: RunId(u128::MAX - 1), instance: item(3, 4), depth: 5 }),
        schedule: Some(name("Nightly")),
        requester: Some(name("ada/1")),
        subject: Some(Subject([7; 16])),
        trace: Some(Trace { id: TraceId(u128::MAX), parent: Some(SpanId(u64::MAX)) }),
        replans: 2,
        revision: u64::MAX,
        input_bytes: 5,
        money: RunMoney {
            limit: Some(Nano::MAX),
            reserve: Nano(1),
            posted: Nano(2),
            uncertain: Nano(3),
            halt: Some(Halt {
                rung: Rung::Escalate,
                step: StepIndex(4),
                need: Nano(5),
                left: Nano(6),
                since: Time(7),
                review: Some(ReviewId(RunId(9))),
                is_for_holds: true,
            }),
            allows_cheaper: true,
        },
        input: Some(payload(5)),
        ..run(key)
    }
}

pub fn step(key: &RunKey, instance: Instance, state: StepState) -> StepRow {
    StepRow {
        key: key.clone(),
        instance,
        state,
        attempt: 3,
        fence: u64::MAX,
        since: Time(20),
        ready: Time(10),
        trust: Trust::Derived,
        worked: [Span(7), Span(0)].into_iter().collect(),
        output: None,
    }
}

/// A completed step with its output.
pub fn done(key: &RunKey, instance: Instance, output: &Payload) -> StepRow {
    StepRow { output: Some(Arc::clone(output)), ..step(key, instance, StepState::Done) }
}

/// Every state that a step can be in.
fn hold() -> Hold {
    Hold {
        amount: Nano::MAX,
        tenant_day: Some(Time(1)),
        tenant_month: None,
        org_month: Some((name("banks"), Time::MAX)),
    }
}

fn route() -> Route {
    Route {
        model: name("reasoner"),
        endpoint: name("models/eu"),
        upstream: "maker/large-1".into(),
        price: price_version(Time(7)),
        surcharge_permille: 100,
        input: 900,
        output: 800,
        rung: Some(Rung::ShorterOutput),
        considered: considered(),
    }
}

fn considered() -> Considered {
    let passed = Passed {
        endpoint: name("models/us"),
        upstream: "maker/fast-1".into(),
        because: Because::Limit { rule: "concurrent".into() },
    };
    let (region, adequate) = (Some(name("eu-1")), Some(country("JP")));
    Considered { region, adequate, passed: vec![passed] }
}

fn price_version(from: Time) -> PriceVersion {
    let rates = Rates { input: Nano(1), cached: Some(Nano(2)), output: Nano::MAX };
    let long = Some((200_000, Rates { cached: None, ..rates }));
    PriceVersion { from, rates, long, context: Some(u32::MAX), output_max: None }
}

pub fn states() -> Vec<StepState> {
    vec![
        StepState::Ready,
        StepState::Leased {
            worker: name("host:1/worker.A"),
            pool: name("default"),
            until: Time(30),
            hold: None,
            route: None,
        },
        StepState::Leased {
            worker: name("w"),
            pool: name("default"),
            until: Time(31),
            hold: Some(Box::new(hold())),
            route: Some(Box::new(route())),
        },
        StepState::Backoff { until: Time::MAX, failure: failure() },
        StepState::Sleeping { until: Time(40) },
        StepState::Listening { signal: name("Approved") },
        StepState::Calling { child: RunId(u128::MAX / 3) },
        StepState::Reviewing { review: ReviewId(RunId(u128::MAX / 5)) },
        StepState::Mapping { items: u32::MAX },
        StepState::Disputed { trigger: Trigger::Failed, failure: failure(), doubt: None },
        StepState::Disputed {
            trigger: Trigger::LowConfidence,
            failure: failure(),
            doubt: Some(Confidence { permille: 620, least_permille: 800 }),
        },
        StepState::Proposed,
        StepState::Done,
        StepState::Skipped,
        StepState::Failed { failure: Failure { step: None, ..failure() } },
        StepState::Cancelled,
    ]
}

pub fn failure() -> Failure {
    Failure {
        class: "attempt-timeout".into(),
        message: "took \"too\" long:\n\u{1f40c}\0".into(),
        step: Some(name("Credit_check")),
    }
}

pub fn signal(key: &RunKey, sequence: u64, payload: &Payload) -> SignalRow {
    SignalRow {
        key: key.clone(),
        sequence,
        name: name("Approved"),
        at: Time(7),
        payload: Arc::clone(payload),
    }
}

pub fn idempotency(tenant: &str, key: &str, created: Time) -> IdempotencyRow {
    IdempotencyRow {
        tenant: name(tenant),
        key: key.into(),
        digest: std::array::from_fn(|at| u8::try_from(at).unwrap_or(u8::MAX)),
        run: RunId(1 << 100),
        created,
    }
}

pub fn schedule(tenant: &str, schedule: &str) -> ScheduleRow {
    ScheduleRow {
        tenant: name(tenant),
        workflow: name("loan"),
        name: name(schedule),
        next: Some(Time(99)),
        last: Some(RunId(u128::MAX / 5)),
        queued: true,
    }
}

pub fn decision(tenant: Option<&str>, at: u64) -> Decision {
    Decision {
        tenant: tenant.map(name),
        at: Time(at),
        code: "cap-reached".into(),
        by: None,
        facts: r#"{"cap":20}"#.into(),
    }
}

/// A call that is under way, with as many tokens as its id says.
pub fn call(tenant: &str, id: u32, run: Option<&RunKey>) -> CallRow {
    CallRow {
        tenant: name(tenant),
        id: u64::from(id),
        attempt: run.map(|key| CallAttempt { run: key.run, instance: item(2, 3), attempt: 4 }),
        model: name("reasoner"),
        endpoint: name("models/eu"),
        upstream: "maker/large-1".into(),
        rung: Some(Rung::CheaperModel),
        considered: considered(),
        began: Time(u64::from(id)),
        ended: None,
        hold: Some(Box::new(hold())),
        metered: Metered {
            usage: Usage { input: 10 * id, cached: id, output: 2 * id },
            is_certain: id.is_multiple_of(2),
        },
        cost: Nano(u64::from(id)),
    }
}

pub fn ended_call(tenant: &str, id: u32, run: Option<&RunKey>) -> CallRow {
    CallRow { ended: Some(Time(100)), hold: None, rung: None, ..call(tenant, id, run) }
}

pub fn org(org: &str) -> Org {
    Org { id: name(org), weight: 7, cap: Some(70), budget: Some(org_budget()) }
}

pub fn tier(tier: &str) -> Tier {
    Tier {
        review_class: 4,
        reviewer_pool: None,
        name: name(tier),
        weight: 3,
        cap: 20,
        burst: Some(Burst { extra_slots: 5, credit: Span::from_secs(60) }),
        urgent_share_permille: 250,
        runs_max: 10_000,
        sla: Some(Sla { percentile_permille: 990, latency: Span::from_secs(45) }),
        budget_class: Some(name("basic")),
        rules: Rules {
            allowed_tools: Some([name("credit/bureau")].into()),
            model_tier: Some(name("premium")),
            outage: Some(Outage {
                alternative: false,
                wait: Some(Span::from_secs(600)),
                then: AfterOutage::Escalate,
            }),
            audit_retention_days: Some(2_557),
            payload_retention_days: Some(30),
            review_retention_days: Some(400),
            run_retention_days: Some(401),
            legal_hold: Some(true),
            replan_approval: Some(true),
            ..Rules::default()
        },
    }
}

pub fn tenant(tenant: &str) -> Tenant {
    Tenant {
        reviewer_pool: None,
        id: name(tenant),
        org: name("banks"),
        tier: name("standard"),
        weight: Some(2),
        cap: None,
        burst: None,
        sla: None,
        budget_class: Some(name("high-volume")),
        rules: Rules {
            data_residency: Some(Residency {
                zone: Some(name("eea+adequate")),
                regions: [name("eu-1")].into(),
                adequate: [country("JP")].into(),
            }),
            denied_tools: [name("scraper")].into(),
            ..Rules::default()
        },
        suspended: true,
        attributes: r#"{"country":"DE"}"#.into(),
    }
}

pub fn context(of: &TenantId, version: u32) -> Arc<Context> {
    Arc::new(Context::resolve(&tenant(of.as_str()), &tier("standard"), version))
}

pub fn pool(pool: &str) -> Pool {
    Pool {
        name: name(pool),
        slots: 100,
        policy: Policy::Weighted,
        quantum: Span::from_millis(50),
        long: Some(LongSteps { over: Span::from_secs(10), share_permille: 400 }),
        lease: Span::from_secs(30),
        age_guard: Span::from_secs(5),
        burst_credit_max: Span::MAX,
        tasks: Some(BTreeSet::from([name("credit/check"), name("verify")])),
    }
}

pub fn valve() -> Valve {
    Valve { runs_soft: 1, runs_hard: 2, bytes_soft: 3, bytes_hard: 4, commit_slow: Span(5) }
}

pub fn api_key(id: &str, role: Role) -> KeyRow {
    KeyRow {
        id: name(id),
        credential: Credential::Secret([0xa5; 32]),
        role,
        created: Time(11),
        expires: Some(Time(12)),
        rate: Some(u32::MAX),
        label: "CI of Acme".into(),
    }
}

/// A key for whoever signs in as that.
pub fn sign_in_key(id: &str, value: &str, role: Role) -> KeyRow {
    let sign_in = SignIn { claim: "email".into(), value: value.into() };
    KeyRow { credential: Credential::SignIn(sign_in), rate: None, ..api_key(id, role) }
}

pub fn reviewer_pool(pool: &str) -> ReviewerPool {
    let member = |person: &str| Member {
        person: name(person),
        skills: [name("credit"), name("law")].into(),
        certifications: [].into(),
        region: Some(name("eu-west-1")),
        tenants: Some([name("acme")].into()),
    };
    ReviewerPool {
        name: name(pool),
        tenant: Some(name("acme")),
        lease: Span::from_secs(60),
        class_bound: 9,
        pick: true,
        members: vec![member("ada"), member("bob")],
    }
}

/// An open review with all that a review can have.
pub fn review(tenant: &str, id: u128) -> ReviewRow {
    let rung = Escalation {
        pool: Some(name("seniors")),
        class: Some(0),
        notify: true,
        within: Span::from_secs(9),
    };
    let terms = Terms {
        pool: Some(name("underwriters")),
        persons: 2,
        skills: [name("credit")].into(),
        exclude: [name("eve")].into(),
        escalate: vec![rung],
        on_overdue: Overdue::Outcome(name("rejected")),
        form: Some("{}".into()),
        ..Terms::default()
    };
    ReviewRow {
        tenant: name(tenant),
        id: ReviewId(RunId(id)),
        state: ReviewState::Claimed,
        ended: None,
        run: RunId(1),
        instance: item(3, 4),
        cause: ReviewCause::Money { need: Nano(5), left: Nano(6) },
        pool: name("underwriters"),
        class: 7,
        opened: Time(8),
        due: Time::MAX,
        rung: 1,
        digest: [7; 32],
        excluded: [name("eve"), name("ada")].into(),
        terms: Arc::new(terms),
        claim: Some(Claim { person: name("bob"), fence: u64::MAX, until: Time(9) }),
        votes: vec![name("cleo")],
        proposal: Some(Proposal { outcome: name("approved"), digest: [8; 32] }),
        events: 3,
    }
}

pub fn review_event(tenant: &str, id: u128, sequence: u32, event: ReviewEvent) -> ReviewEventRow {
    let (tenant, review) = (name(tenant), ReviewId(RunId(id)));
    ReviewEventRow { tenant, run: RunId(1), review, sequence, at: Time(sequence.into()), event }
}

pub fn tool(tool: &str) -> Tool {
    let breaker = Some(Breaker { failures: 5, open_for: Span::from_secs(30) });
    let location = Location {
        region: Some(name("eu-1")),
        storage: Some(Storage::Nothing),
        certificates: [name("dpf")].into(),
    };
    Tool { breaker, endpoint: Some(endpoint(tool)), location, ..Tool::new(name(tool), rules()) }
}

fn country(code: &str) -> Country {
    Country::parse(code).expect("the samples name countries")
}

pub fn region(region: &str) -> Declaration {
    let label = Some("a cloud".into());
    Declaration::Region(Region { name: name(region), country: country("IE"), label })
}

pub fn empty_zone(zone: &str) -> Zone {
    Zone { name: name(zone), countries: [].into(), regions: [].into(), adequate: false }
}

pub fn zone(zone: &str) -> Declaration {
    Declaration::Zone(Zone {
        countries: [country("DE"), country("FR")].into(),
        regions: [name("eu-1")].into(),
        adequate: true,
        ..empty_zone(zone)
    })
}

pub fn adequacy(code: &str) -> Declaration {
    Declaration::Adequacy(Adequacy {
        country: country(code),
        suspended: true,
        decisions: vec![fairlane_core::residency::Decision {
            name: "(EU) 2019/419".into(),
            from: Time(7),
            until: Some(Time::MAX),
            certificate: Some(name("dpf")),
            scope: Some("operators under the APPI".into()),
        }],
    })
}

/// Of either kind: a slash in the tool's name stands for one that is called by a template.
fn endpoint(tool: &str) -> Endpoint {
    let request = Request {
        method: Method::Put,
        headers: vec![
            ("X-Tenant".into(), Header::Text("${tenant.id}".into())),
            ("X-Key".into(), Header::Secret("FAIRLANE_SECRET_BUREAU".into())),
        ],
        body: Some(r#"{"id": "${input.id}"}"#.into()),
    };
    Endpoint {
        protocol: if tool.contains('/') { Protocol::Http(request) } else { Protocol::Chat },
        url: "https://models.example/v1".into(),
        key: Some("FAIRLANE_SECRET_MODELS".into()),
        allow_private: true,
        timeout: Span::from_secs(60),
        answer_bytes_max: 1 << 20,
        surcharge_permille: 100,
    }
}

pub fn model(model: &str) -> Model {
    let candidate = |id: &str, tiers: &[&str]| Candidate {
        endpoint: name("model"),
        model: id.into(),
        price: name("gpt-5.5"),
        tiers: tiers.iter().map(|tier| name(tier)).collect(),
    };
    let candidates = vec![candidate("gpt-5.5", &["standard", "free"]), candidate("small", &[])];
    Model { name: name(model), candidates }
}

pub fn policy(policy: &str) -> policy::Policy {
    let text =
        "forbid (principal, action, resource == Tool::\"bureau\")\nwhen { true }; // \u{1f512}";
    let source = Source { name: name(policy), text: text.into() };
    policy::Policy::first(source, Time(7))
        .next("permit (principal, action, resource);".into(), Time(9))
}

pub fn price(price: &str) -> Price {
    let rates = |input, cached, output| Rates { input: Nano(input), cached, output: Nano(output) };
    let first = PriceVersion {
        from: Time(0),
        rates: rates(2_000_000_000, Some(Nano(200_000_000)), 1_000_000_000_000_000),
        long: Some((200_000, rates(4, None, 6))),
        context: Some(922_000),
        output_max: Some(128_000),
    };
    let second =
        PriceVersion { from: Time(9), long: None, context: None, output_max: None, ..first };
    Price { name: name(price), versions: vec![first, second] }
}

pub fn class(class: &str) -> BudgetClass {
    BudgetClass {
        name: name(class),
        quotas: BTreeMap::from([(name("credit/bureau"), rules()), (name("model"), vec![])]),
        budget: Budget {
            run: Some(Nano::from_cents(50)),
            reserve: Nano::from_cents(5),
            day: None,
            month: Some(Nano::MAX),
            time_zone: berlin(),
            short: vec![
                Rung::CheaperModel,
                Rung::ShorterOutput,
                Rung::SkipOptional,
                Rung::Escalate,
                Rung::Pause,
                Rung::Fail,
            ],
        },
    }
}

/// One of each kind.
fn rules() -> Vec<Rule> {
    vec![
        Rule::Window { units: 500, every: Calendar::Hour, time_zone: berlin(), of: Unit::Calls },
        Rule::Bucket { units: 100, per: Span::from_secs(1), burst: 20, of: Unit::Tokens },
        Rule::Concurrent { calls: 10 },
    ]
}

fn org_budget() -> OrgBudget {
    OrgBudget { month: Nano::from_cents(1_000), time_zone: berlin() }
}

fn berlin() -> TimeZone {
    TimeZone::parse("Europe/Berlin").expect("there is such a zone")
}

pub fn uses(tenant: Option<&str>, rule: &str, used: Used) -> UseRow {
    UseRow { tool: name("credit/bureau"), tenant: tenant.map(name), rule: rule.into(), used }
}

pub fn account(owner: Owner, every: Calendar, start: Time) -> AccountRow {
    AccountRow {
        owner,
        every,
        start,
        posted: Nano(u64::MAX),
        uncertain: Nano(2),
        topped_up: Nano(3),
        forgiven: Nano(4),
    }
}

/// A workflow that uses every kind of step.
pub fn workflow(workflow: &str, version: u32) -> Arc<Workflow> {
    let kinds = [
        StepKind::Task { task: name("verify"), pool: name("default") },
        StepKind::Wait(Wait::For(Span::from_secs(3))),
        StepKind::Wait(Wait::Until(expr("input.at"))),
        StepKind::Wait(Wait::Signal(name("Approved"))),
        StepKind::Call { workflow: name("child"), version: Some(4) },
        StepKind::Model(Box::new(ModelCall {
            model: name("reasoner"),
            system: Some("You check loans.".into()),
            prompt: "Check {{ input }}".into(),
            max_tokens: 800,
            min_tokens: 200,
        })),
        StepKind::Tool,
    ];
    Arc::new(Workflow {
        name: name(workflow),
        version,
        source: format!("name: {workflow}\n# {version}\n").into(),
        input_schema: Some(r#"{"type":"object"}"#.into()),
        subject: Some("applicant.id".into()),
        steps: kinds.into_iter().zip(0..).map(|(kind, at)| plan_step(kind, at)).collect(),
        timeout: Some(Span::from_secs(86_400)),
        schedules: vec![Schedule {
            name: name("Nightly"),
            tenant: name("acme"),
            cron: "0 3 * * *".into(),
            time_zone: "Europe/Berlin".into(),
            overlap: Overlap::Queue,
            input: "{}".into(),
        }],
        replan: Some(Arc::new(replanning())),
        revised: Revised::default(),
    })
}

fn plan_step(kind: StepKind, at: u16) -> Step {
    Step {
        name: name(&format!("step_{at}")),
        kind,
        after: (0..at).map(StepIndex).collect(),
        when: Some(expr("input.amount > 1000")),
        with: vec![("amount".to_owned(), expr("input.amount"))],
        retry: Retry { attempts: 5, ..Retry::default() },
        timeout: Timeouts { queue: Some(Span(1)), ..Timeouts::default() },
        optional: true,
        map: Some(Map { over: expr("input.items"), parallel: 3, items_max: 10 }),
        compensate: Some(Compensation {
            task: name("undo"),
            pool: name("default"),
            with: vec![],
            retry: Retry::default(),
            attempt_timeout: Span::from_secs(1),
        }),
        tool: Some(name("credit_bureau")),
        cost_nano: 50_000_000,
        expected: Span::from_millis(45),
        output_schema: Some("true".into()),
        judge: Judge {
            check: Some(expr("steps.a.output.total > 0")),
            confidence: Some(expr("steps.a.output.confidence")),
            least: Some(expr("0.8")),
        },
    }
}

fn replanning() -> Replanning {
    let mut parts = Parts::default();
    parts.add(&plan_step(StepKind::Tool, 0));
    Replanning {
        on: Trigger::ALL.into(),
        planner: plan_step(StepKind::Tool, 0),
        scope: Scope::Steps([name("step_0")].into()),
        max: 3,
        parts,
        approval: Some(Arc::new(Terms::default())),
    }
}

/// A replan of the run that was refused.
pub fn replan(key: &RunKey, number: u32) -> ReplanRow {
    ReplanRow {
        tenant: key.tenant.clone(),
        run: key.run,
        number,
        trigger: Trigger::Contradiction,
        step: StepIndex(1),
        failure: failure(),
        planner: StepIndex(7),
        began: Time(50),
        ended: Some(Time(60)),
        verdict: Some(Verdict::Refused(Unfit::TooCostly { need: Nano::MAX, left: Nano(1) })),
        reason: Some("the bureau has no file".into()),
        planned_by: vec![name("bob")],
        approved_by: vec![name("ada/1")],
        diff: Diff { added: vec![name("step_9")], ..Diff::default() },
        plan: Arc::new(Workflow {
            revised: Revised {
                replans: number,
                dropped: [StepIndex(1)].into(),
                planners: [StepIndex(7)].into(),
            },
            ..(*workflow("loan", 1)).clone()
        }),
    }
}

fn expr(text: &str) -> Expr {
    Expr(text.into())
}
