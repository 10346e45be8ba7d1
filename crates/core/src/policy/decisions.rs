//! What policies have answered, by tenant and question.
//!
//! Everything an answer depends on is in the key: the policies (one set at a time), the version of the tenant's context,
//! and the question with all that it says of its thing. So an entry never grows old; what is forgotten is forgotten for
//! its place. Questions and refusals have numbers, which all tenants share: an answer takes eight bytes.

use std::collections::BTreeMap;

use super::{Ask, Denied, Policies, Subject};

/// Answers that are kept at most: 64 MB.
const ANSWERS_MAX: usize = 8_000_000;
/// Questions that have numbers at once at most; a tool or an endpoint that is declared anew may be another one.
const ASKS_MAX: usize = 100_000;

/// Stands for the answer yes; others are places in the list of refusals.
const YES: u32 = u32::MAX;

/// The policies in force, and their answers so far.
#[derive(Debug)]
pub struct Decisions {
    policies: Policies,
    asks: BTreeMap<Ask, u32>,
    refusals: Vec<Denied>,
    /// By the tenant's number.
    tenants: Vec<Answers>,
    /// All answers together.
    held: usize,
    answers_max: usize,
    /// The tenant that is looked at next when there is no place.
    hand: usize,
    evaluations: u64,
}

/// What one version of a tenant's context has been answered, by the question's number.
#[derive(Debug, Default)]
struct Answers {
    version: u32,
    list: Vec<(u32, u32)>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self::new(Policies::default())
    }
}

impl Decisions {
    pub fn new(policies: Policies) -> Self {
        Self::bounded(policies, ANSWERS_MAX)
    }

    /// As `new`, with another bound on the answers that are kept.
    pub fn bounded(policies: Policies, answers_max: usize) -> Self {
        Self {
            policies,
            asks: BTreeMap::new(),
            refusals: Vec::new(),
            tenants: Vec::new(),
            held: 0,
            answers_max: answers_max.max(1),
            hand: 0,
            evaluations: 0,
        }
    }

    /// Puts other policies in force.
    pub fn replace(&mut self, policies: Policies) {
        let evaluations = self.evaluations;
        *self = Self { evaluations, ..Self::bounded(policies, self.answers_max) };
    }

    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// How often policies were evaluated, rather than an answer looked up.
    pub const fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Answers that are kept.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Whether the tenant with that number may do it. Evaluates once for each version of its context.
    pub fn decide(&mut self, tenant: u32, subject: &Subject<'_>, ask: &Ask) -> Result<(), Denied> {
        if let Some(known) = self.known(tenant, subject, ask) {
            return known;
        }
        self.evaluations += 1;
        let answer = self.policies.decide(subject, ask);
        self.keep(tenant, subject.context.version, ask, &answer);
        answer
    }

    /// As `decide`, for who only looks: an answer that is not known is not kept.
    pub fn peek(&self, tenant: u32, subject: &Subject<'_>, ask: &Ask) -> Result<(), Denied> {
        self.known(tenant, subject, ask).unwrap_or_else(|| self.policies.decide(subject, ask))
    }

    fn known(&self, tenant: u32, subject: &Subject<'_>, ask: &Ask) -> Option<Result<(), Denied>> {
        let answers = self.tenants.get(tenant as usize)?;
        if answers.version != subject.context.version {
            return None;
        }
        let number = self.asks.get(ask)?;
        let at = answers.list.binary_search_by_key(number, |(ask, _)| *ask).ok()?;
        Some(match answers.list[at].1 {
            YES => Ok(()),
            refusal => Err(self.refusals[refusal as usize].clone()),
        })
    }

    fn keep(&mut self, tenant: u32, version: u32, ask: &Ask, answer: &Result<(), Denied>) {
        if self.asks.len() >= ASKS_MAX && !self.asks.contains_key(ask) {
            self.replace(self.policies.clone());
        }
        let place = tenant as usize;
        if self.tenants.len() <= place {
            self.tenants.resize_with(place + 1, Answers::default);
        }
        if self.tenants[place].version != version {
            self.forget(place);
            self.tenants[place].version = version;
        }
        while self.held >= self.answers_max {
            self.hand = (self.hand + 1) % self.tenants.len();
            self.forget(self.hand);
        }
        let next = u32::try_from(self.asks.len()).expect("questions are bounded");
        let number = *self.asks.entry(ask.clone()).or_insert(next);
        let verdict = match answer {
            Ok(()) => YES,
            Err(denied) => self.number_of(denied),
        };
        let list = &mut self.tenants[place].list;
        if let Err(at) = list.binary_search_by_key(&number, |(ask, _)| *ask) {
            list.insert(at, (number, verdict));
            self.held += 1;
        }
    }

    fn forget(&mut self, place: usize) {
        self.held -= std::mem::take(&mut self.tenants[place].list).len();
    }

    fn number_of(&mut self, denied: &Denied) -> u32 {
        let at = self.refusals.iter().position(|known| known == denied).unwrap_or_else(|| {
            self.refusals.push(denied.clone());
            self.refusals.len() - 1
        });
        u32::try_from(at).expect("there are no more refusals than statements")
    }
}
