//! What policy costs a step: evaluations, and the time of a look-up beside that of an evaluation.
//!
//! ```text
//! cargo run --release -p fairlane-core --example policy_cost -- [RUNS [TENANTS]]
//! ```
//!
//! All runs are under way at once, and their steps come in turns: the first step of each, then the second of each, as in a
//! busy cell. A step asks for one of the tools or models of its workflow, under twenty policies. After the first round a
//! tenant has nothing to ask that is not known; what follows must cost no evaluation.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures time, which the core itself does not know"
)]

use std::sync::Arc;
use std::time::Instant;

use fairlane_core::id::{ModelName, OrgId, PolicyName, TenantId, TierName, ToolName};
use fairlane_core::policy::{Ask, Decisions, Policies, Source, Subject, compile};
use fairlane_core::tenant::{Context, Rules};

const RUNS: u32 = 100_000;
const TENANTS: u32 = 1_000;
/// Steps of a run: each asks for something else.
const STEPS: u32 = 10;
const POLICIES: u32 = 20;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let runs: u32 = numbers.next().unwrap_or(RUNS);
    let tenants: u32 = numbers.next().unwrap_or(TENANTS);
    let policies = policies();
    let contexts: Vec<Context> = (0..tenants).map(context).collect();
    let asks: Vec<Ask> = (0..STEPS).map(ask).collect();

    let began = Instant::now();
    let mut denied = 0_u64;
    for context in &contexts {
        for ask in &asks {
            denied += u64::from(policies.decide(&subject(context), ask).is_err());
        }
    }
    let questions = u64::from(tenants) * u64::from(STEPS);
    let evaluation = began.elapsed().as_nanos() / u128::from(questions);

    let mut decisions = Decisions::new(policies);
    let round = |decisions: &mut Decisions| {
        let began = Instant::now();
        let mut denied = 0_u64;
        for ask in &asks {
            for run in 0..runs {
                let tenant = run % tenants;
                let subject = subject(&contexts[tenant as usize]);
                denied += u64::from(decisions.decide(tenant, &subject, ask).is_err());
            }
        }
        (began.elapsed().as_nanos() / (u128::from(runs) * u128::from(STEPS)), denied)
    };
    let (first, _) = round(&mut decisions);
    let evaluated = decisions.evaluations();
    let (look_up, refused) = round(&mut decisions);
    let again = decisions.evaluations() - evaluated;

    println!("{runs} runs of {tenants} tenants, {STEPS} steps each, {POLICIES} policies");
    println!("evaluation            {evaluation:>9} ns   ({denied} of {questions} denied)");
    println!("first round, a step   {first:>9} ns   {evaluated} evaluations");
    println!("afterwards, a step    {look_up:>9} ns   {again} evaluations   ({refused} denied)");
    println!("an evaluation is {} look-ups", evaluation / look_up.max(1));
    assert_eq!(evaluated, questions.min(u64::from(runs) * u64::from(STEPS)), "each question once");
    assert_eq!(again, 0, "what was asked before is looked up");
}

fn policies() -> Policies {
    let sources: Vec<Source> = (0..POLICIES)
        .map(|at| Source {
            name: PolicyName::parse(&format!("p{at}")).expect("a name"),
            text: match at % 2 {
                0 => format!(
                    "forbid (principal, action == Action::\"call_tool\", resource == Tool::\"tool-{at}\") \
                     when {{ principal.tier == \"free\" }};"
                ),
                _ => format!(
                    "forbid (principal, action == Action::\"use_model\", resource in Model::\"model-{at}\") \
                     unless {{ principal.hasTag(\"premium\") && principal.getTag(\"premium\") == \"true\" }};"
                ),
            }
            .into(),
        })
        .collect();
    compile(&sources).expect("the policies are right")
}

fn context(at: u32) -> Context {
    let tier = if at.is_multiple_of(3) { "free" } else { "standard" };
    Context {
        review_class: 4,
        reviewer_pool: None,
        version: 1,
        tenant: TenantId::parse(&format!("tenant-{at}")).expect("a name"),
        org: OrgId::parse("org").expect("a name"),
        tier: TierName::parse(tier).expect("a name"),
        weight: 1,
        cap: 10,
        burst: None,
        urgent_share_permille: 0,
        runs_max: 1_000,
        sla: None,
        budget_class: None,
        suspended: false,
        rules: Rules::default(),
        rules_since: 1,
        attributes: Arc::from(
            r#"{"premium": true, "threshold": 0.8, "repositories": ["core", "web"]}"#,
        ),
    }
}

const fn subject(context: &Context) -> Subject<'_> {
    Subject { context, region: None }
}

fn ask(at: u32) -> Ask {
    match at % 2 {
        0 => Ask::CallTool {
            tool: ToolName::parse(&format!("tool-{at}")).expect("a name"),
            region: None,
        },
        _ => Ask::UseModel {
            model: ModelName::parse(&format!("model-{at}")).expect("a name"),
            endpoint: ToolName::parse("endpoint").expect("a name"),
            upstream: "upstream".into(),
            region: None,
        },
    }
}
