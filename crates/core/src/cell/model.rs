//! Calls of models at the gates: a way that the tenant's tier may go, that can be paid for, and whose endpoint has room.

use crate::catalog::Metered;
use crate::gate::{Refusal, Verdict, WakeKey};
use crate::id::{ModelName, ToolName};
use crate::ledger::Short;
use crate::limiter::{Blocked, Caller, Taken, Units};
use crate::money::Nano;
use crate::plan::{ModelCall, Step, StepKind};
use crate::policy::{Ask, Denied};
use crate::quota::{Rung, Tool};
use crate::reject::Rejection;
use crate::router::{self, Because, Choice, Demand, NoWay, NoneFound, Passed as PassedOver, Way};
use crate::row::{CallRow, Considered, Part, Route};
use crate::scheduler::TenantIx;
use crate::tenant::{Context, Outage};
use crate::time::Time;

use super::change::Change;
use super::directory::Directory;
use super::gates::{Gates, blocked_by, lacking, limited, short_of, tool_caller};
use super::live::{At, Passed, Run, State};
use super::outage::may_pass_on;
use super::policy::{forbidden, way_ask};
use super::rules::Binding;
use super::{Cell, Turn};

/// Who waits for a way waits under this key, until the catalog changes.
pub(crate) const WAY: WakeKey = WakeKey(1 << 61);

/// What a call may be, as far as catalog and money say: at least one choice.
pub(crate) struct Options {
    pub(crate) ways: Vec<Way>,
    pub(crate) choices: Vec<Choice>,
    /// Candidates that are no ways.
    pub(crate) passed: Vec<PassedOver>,
    /// What the tenant wants where an endpoint is down.
    pub(crate) outage: Option<Outage>,
}

/// A call of a model that wants to pass.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) model: ModelName,
    pub(crate) demand: Demand,
    pub(crate) is_optional: bool,
    /// Cheaper candidates may stand in, whatever the ladder says.
    pub(crate) allows_cheaper: bool,
    /// Endpoints that are left out.
    pub(crate) avoid: Vec<ToolName>,
    /// The endpoint that is tried last, since the attempt before failed there.
    pub(crate) last: Option<ToolName>,
}

impl Wanted {
    pub(crate) fn of(run: &Run, node: u32, call: &ModelCall) -> Self {
        let ModelCall { max_tokens, min_tokens, .. } = *call;
        let input = run.node(node).tokens;
        let demand = Demand { input, max_output: max_tokens, min_output: min_tokens, answers: 1 };
        Wanted {
            model: call.model.clone(),
            demand,
            is_optional: run.step(node).optional && run.node(node).instance.part == Part::Whole,
            allows_cheaper: run.allows_cheaper,
            avoid: Vec::new(),
            last: run.node(node).broken.as_deref().cloned(),
        }
    }
}

impl Gates<'_> {
    /// Tries the gates of a model's call, and takes what the first choice that passes asks for.
    pub(crate) fn pass_model(&mut self, at: At) -> Result<Passed, Verdict> {
        let run = self.runs.get(at.run);
        let call = run.model_call(at.node).expect("only calls of models come here");
        let wanted = Wanted::of(run, at.node, call);
        let tenant = run.tenant;
        let binding = self.directory.binding(run);
        let may = |ask: &Ask| self.policed.decide(self.directory, tenant, ask);
        let can_pay = |need| self.ledger.check(self.now, tenant.0, &run.money, need);
        let options = match options(self.directory, binding, &wanted, self.now, (may, can_pay)) {
            Ok(options) => options,
            Err(Without::Way(none)) => {
                let is_for_good = denies_all(&run.context, &none);
                return Err(no_way(&wanted.model, none, is_for_good));
            }
            Err(Without::Policy(denied)) => return Err(self.policed.park(tenant, denied)),
            Err(Without::Money(short)) => {
                self.ledger.wait(self.now, short.wake);
                return Err(short_of(&short));
            }
        };
        let (choice, taken, full) = self.take_way(tenant, wanted.demand, &options)?;
        let route = route(&wanted, &options, &choice, &full);
        let run = self.runs.get_mut(at.run);
        let held = self.ledger.hold(self.now, tenant.0, &mut run.money, choice.need);
        let held = held.expect("what was just checked can be held");
        Ok(Passed { held: Some(Box::new(held)), taken: Some(taken), route: Some(Box::new(route)) })
    }

    /// Takes a call of the first endpoint that has room. If none has, waits for them all.
    fn take_way(
        &mut self,
        tenant: TenantIx,
        demand: Demand,
        options: &Options,
    ) -> Result<(Choice, Box<Taken>, Full), Verdict> {
        // Only who finds no room anywhere waits: a take that is refused stands in its line.
        let mut full = Full::new();
        for choice in &options.choices {
            let caller = way_caller(self.directory, tenant, &options.ways[choice.way]);
            let units = units(demand, choice);
            let blocked = match self.limiter.would_block(self.now, &caller, units) {
                Some(blocked) => blocked,
                None => match self.limiter.take(self.now, &caller, units) {
                    Ok(taken) => return Ok((*choice, Box::new(taken), full)),
                    Err(blocked) => blocked,
                },
            };
            let may_pass_on = may_pass_on(options.outage, &blocked.rule);
            full.push((choice.way, blocked.rule));
            if !may_pass_on {
                break;
            }
        }
        let tried = full.len();
        let mut waits = Vec::with_capacity(tried);
        for choice in &options.choices[..tried] {
            let caller = way_caller(self.directory, tenant, &options.ways[choice.way]);
            match self.limiter.take(self.now, &caller, units(demand, choice)) {
                Ok(taken) => return Ok((*choice, Box::new(taken), full)),
                Err(blocked) => waits.push((blocked, caller)),
            }
        }
        waits.sort_by_key(|(blocked, _)| (blocked.is_never, blocked.opens));
        let (first, caller) = waits.first().expect("there is at least one choice");
        for (other, _) in &waits[1..] {
            if other.wake != first.wake {
                self.others.entry(other.wake).or_default().insert(first.wake);
            }
        }
        Err(blocked_by(self.directory, caller, first))
    }
}

/// Ways that have no room, by their places, and by which rule.
pub(crate) type Full = Vec<(usize, std::sync::Arc<str>)>;

/// Why a call may not be made, before limits are asked.
pub(crate) enum Without {
    Way(NoneFound),
    /// Policy forbids all that there are; this is what it says of the best.
    Policy(Denied),
    Money(Short),
}

/// What a call may be, as far as catalog and money say.
pub(crate) fn options(
    directory: &Directory,
    binding: Binding<'_>,
    wanted: &Wanted,
    now: Time,
    (may_go, can_pay): (impl FnMut(&Ask) -> Result<(), Denied>, impl Fn(Nano) -> Result<(), Short>),
) -> Result<Options, Without> {
    let Wanted { model, demand, is_optional, allows_cheaper, avoid, last } = wanted;
    let (demand, is_optional) = (*demand, *is_optional);
    let context = binding.newest;
    let may = |tool: &Tool| directory.may_use(binding, (&tool.name, &tool.location), now);
    let found = router::ways(directory, now, (model, context.model_tier()), demand, &may);
    let router::Found { mut ways, mut passed } = found.map_err(Without::Way)?;
    ways.retain(|way| {
        let is_avoided = avoid.contains(&way.endpoint);
        if is_avoided {
            passed.push(passed_over(way, Because::Broken));
        }
        !is_avoided
    });
    if ways.is_empty() {
        return Err(Without::Way(NoneFound { because: NoWay::Endpoint, passed }));
    }
    passed.extend(pass_over_forbidden(model, &mut ways, may_go).map_err(Without::Policy)?);
    let rungs = router::model_rungs(directory.ladder(context), is_optional);
    let allowed = allows_cheaper.then_some(Rung::CheaperModel);
    let rungs = allowed.into_iter().chain(rungs.filter(|rung| Some(*rung) != allowed));
    let mut choices = router::choices(&ways, demand, rungs, can_pay).map_err(Without::Money)?;
    let outage = context.rules.outage;
    if outage.is_none_or(|outage| outage.alternative) {
        // Among what can be paid for; a dear one that failed opens no way that the ladder does not.
        choices.sort_by_key(|choice| last.as_ref() == Some(&ways[choice.way].endpoint));
    }
    Ok(Options { ways, choices, passed, outage })
}

/// Takes out what policy forbids, unless it is all that there is.
fn pass_over_forbidden(
    model: &ModelName,
    ways: &mut Vec<Way>,
    mut may_go: impl FnMut(&Ask) -> Result<(), Denied>,
) -> Result<Vec<PassedOver>, Denied> {
    let mut passed = Vec::new();
    let mut first = None;
    ways.retain(|way| {
        let Err(denied) = may_go(&way_ask(model, way)) else { return true };
        passed.push(passed_over(way, Because::Policy { policy: denied.policy.clone() }));
        first.get_or_insert(denied);
        false
    });
    match first.filter(|_| ways.is_empty()) {
        Some(denied) => Err(denied),
        None => Ok(passed),
    }
}

/// Whether the rules that a run is pinned to deny every endpoint that is denied to it.
fn denies_all(pinned: &Context, NoneFound { because, passed }: &NoneFound) -> bool {
    let is_denied = |passed: &&PassedOver| passed.because == Because::Denied;
    let mut denied = passed.iter().filter(is_denied);
    *because == NoWay::Denied && denied.all(|passed| !pinned.rules.allows(&passed.endpoint))
}

/// A prompt that is too long stays so, and so does what a run was admitted without; anything else is mended by the catalog.
fn no_way(
    model: &ModelName,
    NoneFound { because, passed }: NoneFound,
    is_for_good: bool,
) -> Verdict {
    let refusal = Refusal::Route { model: model.clone(), because, passed };
    match because {
        _ if is_for_good => Verdict::Aside(refusal),
        NoWay::Context => Verdict::Aside(refusal),
        _ => Verdict::Park { refusal, wake: WAY },
    }
}

/// What a choice takes of the limits of its endpoint.
pub(crate) fn units(demand: Demand, choice: &Choice) -> Units {
    Units { calls: 1, tokens: u64::from(demand.input) + u64::from(choice.output) }
}

pub(crate) fn way_caller<'a>(directory: &'a Directory, tenant: TenantIx, way: &Way) -> Caller<'a> {
    let caller = tool_caller(directory, tenant, &way.endpoint);
    caller.expect("the endpoint of a way is declared, and has its number")
}

/// What is recorded of a call that goes this way: the way, and every candidate that it does not go to.
pub(crate) fn route(wanted: &Wanted, options: &Options, choice: &Choice, full: &Full) -> Route {
    let Options { ways, choices, passed, .. } = options;
    let mut passed = passed.clone();
    for (at, way) in ways.iter().enumerate().filter(|(at, _)| *at != choice.way) {
        let is_full = full.iter().find(|(full, _)| *full == at);
        let because = if let Some((_, rule)) = is_full {
            Because::Limit { rule: rule.clone() }
        } else if choices.iter().any(|other| other.way == at) || at > choice.way {
            Because::NotNeeded
        } else {
            Because::Money { need: way.cost(wanted.demand.input, way.output) }
        };
        passed.push(passed_over(way, because));
    }
    let way = &ways[choice.way];
    Route {
        model: wanted.model.clone(),
        endpoint: way.endpoint.clone(),
        upstream: way.upstream.clone(),
        price: way.price,
        surcharge_permille: way.surcharge_permille,
        input: wanted.demand.input,
        output: choice.output,
        rung: choice.rung,
        considered: Considered { region: way.region.clone(), adequate: way.adequate, passed },
    }
}

fn passed_over(way: &Way, because: Because) -> PassedOver {
    PassedOver { endpoint: way.endpoint.clone(), upstream: way.upstream.clone(), because }
}

impl Cell {
    /// The refusal that a model's call would meet now.
    pub(crate) fn model_refusal(&self, at: At, call: &ModelCall) -> Option<Refusal> {
        let run = self.runs.get(at.run);
        let wanted = Wanted::of(run, at.node, call);
        let binding = self.directory.binding(run);
        let may = |ask: &Ask| self.policed.peek(&self.directory, run.tenant, ask);
        let can_pay = |need| self.ledger.check(self.now, run.tenant.0, &run.money, need);
        let options = match options(&self.directory, binding, &wanted, self.now, (may, can_pay)) {
            Ok(options) => options,
            Err(Without::Policy(denied)) => return Some(forbidden(denied)),
            Err(Without::Way(NoneFound { because, passed })) => {
                return Some(Refusal::Route { model: call.model.clone(), because, passed });
            }
            Err(Without::Money(short)) => return Some(lacking(&short)),
        };
        let demand = wanted.demand;
        let mut soonest: Option<(Blocked, Caller<'_>)> = None;
        for choice in &options.choices {
            let way = &options.ways[choice.way];
            let caller = way_caller(&self.directory, run.tenant, way);
            let blocked = self.limiter.would_block(self.now, &caller, units(demand, choice))?;
            let may_pass_on = may_pass_on(options.outage, &blocked.rule);
            if soonest.as_ref().is_none_or(|(before, _)| blocked.opens < before.opens) {
                soonest = Some((blocked, caller));
            }
            if !may_pass_on {
                break;
            }
        }
        soonest.map(|(blocked, caller)| limited(&self.directory, &caller, &blocked))
    }

    /// What the calls of models among these steps cost at least; refused if one has no way.
    pub(crate) fn models_cost<'a>(
        &self,
        tenant: TenantIx,
        steps: impl Iterator<Item = &'a Step>,
    ) -> Result<Nano, Rejection> {
        let context = self.directory.tenants.get(tenant).context();
        let mut total = Nano::ZERO;
        for step in steps {
            let StepKind::Model(call) = &step.kind else { continue };
            let ladder = self.directory.ladder(context);
            let mut rungs = router::model_rungs(ladder, false);
            let is_shortened = rungs.any(|rung| rung == Rung::ShorterOutput);
            let least = if is_shortened { call.min_tokens } else { call.max_tokens };
            let demand = Demand {
                input: 1,
                max_output: least,
                min_output: least.min(call.min_tokens),
                answers: 1,
            };
            let binding = Binding::newest(context);
            let may = |tool: &Tool| {
                self.directory.may_use(binding, (&tool.name, &tool.location), self.now)
            };
            let asked = (&call.model, context.model_tier());
            let found = router::ways(&self.directory, self.now, asked, demand, &may);
            let found = found.map_err(|none| Rejection::ModelUnavailable {
                step: Some(step.name.clone()),
                model: call.model.clone(),
                because: none.because,
                passed: none.passed,
            })?;
            let costs = found.ways.iter().map(|way| way.cost(demand.input, way.output));
            total = total.plus(costs.min().unwrap_or_default());
        }
        Ok(total)
    }

    /// Says that a call goes another way than it would with more money.
    pub(crate) fn log_degraded(&mut self, at: At, route: &Route, turn: &mut Turn) {
        let Some(rung) = route.rung else { return };
        let run = self.runs.get(at.run);
        let facts = serde_json::json!({
            "run": run.key.run.to_string(),
            "step": run.step(at.node).name.as_str(),
            "rung": rung,
            "model": route.model.as_str(),
            "endpoint": route.endpoint.as_str(),
            "served_by": &*route.upstream,
            "max_tokens": route.output,
        });
        let tenant = run.key.tenant.clone();
        self.decide(Some(tenant), "degraded", facts.to_string(), turn);
    }

    /// Records a call that is over.
    pub(crate) fn record_call(
        &self,
        at: At,
        route: &Route,
        (metered, cost): (Metered, Nano),
        turn: &mut Turn,
    ) {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        if !matches!(node.state, State::Leased(_)) {
            return;
        }
        turn.write(Change::Call(Box::new(CallRow {
            tenant: run.key.tenant.clone(),
            id: node.fence,
            attempt: Some(self.attempt_of(at)),
            model: route.model.clone(),
            endpoint: route.endpoint.clone(),
            upstream: route.upstream.clone(),
            rung: route.rung,
            considered: route.considered.clone(),
            // Not when its lease was found by this owner: the node has been leased since before.
            began: node.since,
            ended: Some(self.now),
            hold: None,
            metered,
            cost,
        })));
    }
}
