//! Asks what the table says, in a random order of the two kinds, and judges the answers.

use std::collections::BTreeMap;

use fairlane_client::Client;

use super::cases::{Case, Of, TENANT_HEADER};
use super::fixture::{Fixture, Who};
use super::probe::{self, Expects, Probe, Twin, difference, leaked, masked};
use super::report::{Finding, Row, Timed, Verdict};
use super::timing::Samples;
use super::wire::{Answer, Request, Wire};
use crate::load::random::Random;

/// Pairs of answers that are compared before their times count: the first ones fill caches.
const WARM: usize = 1;

/// Who asks, and what is known meanwhile.
pub(super) struct Asker<'a> {
    pub(super) wire: Wire,
    pub(super) fixture: &'a Fixture,
    pub(super) random: Random,
    /// Pairs of answers whose times are compared; none: time is not looked at.
    pub(super) samples: usize,
    pub(super) requests: usize,
    /// Requests that named another tenant, as the server should have counted them.
    pub(super) attempts: u64,
}

/// What the probes of one operation came to, before all times are known.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) findings: Vec<Finding>,
    pub(super) requests: usize,
    pub(super) probes: usize,
    samples: Vec<(String, String, Samples, [Answer; 2])>,
    /// What others were answered who asked for what is A's.
    refusal: Option<Answer>,
}

impl Asker<'_> {
    /// Asks all probes of an operation.
    pub(super) async fn operation(&mut self, probes: &[Probe]) -> anyhow::Result<Asked> {
        let before = self.requests;
        let mut asked = Asked { probes: probes.len(), ..Asked::default() };
        for probe in probes {
            match &probe.expects {
                Expects::Alike(twin) => self.pair(probe, twin, &mut asked).await?,
                Expects::Forbidden | Expects::Clean => self.one(probe, &mut asked).await?,
            }
        }
        asked.requests = self.requests - before;
        Ok(asked)
    }

    async fn one(&mut self, probe: &Probe, asked: &mut Asked) -> anyhow::Result<()> {
        let (answer, _) = self.send(probe, &probe.request).await?;
        let is_forbidden = matches!(probe.expects, Expects::Forbidden);
        let expected = if is_forbidden { answer.status == 403 } else { answer.status < 300 };
        let wrong = (!expected).then(|| format!("the status is {}", answer.status));
        let leak = leaked(&self.fixture.words, &probe.request, &answer);
        let leak = leak.map(|word| format!("the answer has `{word}` in it"));
        if let Some(difference) = leak.or(wrong) {
            asked.findings.push(finding(probe, difference, answer, None));
        }
        Ok(())
    }

    /// Sends both kinds of a request so often, in a random order.
    async fn pair(&mut self, probe: &Probe, twin: &Twin, asked: &mut Asked) -> anyhow::Result<()> {
        let times = WARM + self.samples.max(1);
        let mut order: Vec<bool> = [true, false].repeat(times);
        shuffle(&mut order[2 * WARM..], &mut self.random);
        let (mut foreign, mut missing) = (Vec::with_capacity(times), Vec::with_capacity(times));
        for is_foreign in order {
            let request = if is_foreign { &probe.request } else { &twin.request };
            let answered = self.send(probe, request).await?;
            if is_foreign { foreign.push(answered) } else { missing.push(answered) }
        }
        asked.refusal.get_or_insert_with(|| foreign[0].0.clone());
        for ((foreign, _), (missing, _)) in foreign.iter().zip(&missing) {
            if let Some(finding) = self.judge(probe, twin, foreign, missing) {
                asked.findings.push(finding);
                return Ok(());
            }
        }
        let shown = [
            masked(&foreign[0].0, &twin.foreign, twin.is_fresh),
            masked(&missing[0].0, &twin.missing, twin.is_fresh),
        ];
        let took =
            |answers: &[(Answer, _)]| answers[WARM..].iter().map(|(_, took)| *took).collect();
        let samples = Samples { foreign: took(&foreign), missing: took(&missing) };
        if self.samples > 0 {
            asked.samples.push((probe.what(), line(&probe.request), samples, shown));
        }
        Ok(())
    }

    fn judge(&self, probe: &Probe, twin: &Twin, one: &Answer, other: &Answer) -> Option<Finding> {
        let foreign = masked(one, &twin.foreign, twin.is_fresh);
        let missing = masked(other, &twin.missing, twin.is_fresh);
        let leak = leaked(&self.fixture.words, &probe.request, one);
        let leak = leak.map(|word| format!("the answer has `{word}` in it"));
        let granted = || {
            let is_granted = twin.is_refused && !(400..500).contains(&one.status);
            is_granted.then(|| format!("nobody is refused: the status is {}", one.status))
        };
        let difference = leak.or_else(|| difference(&foreign, &missing)).or_else(granted)?;
        Some(finding(probe, difference, foreign, Some(missing)))
    }

    async fn send(
        &mut self,
        probe: &Probe,
        request: &Request,
    ) -> anyhow::Result<(Answer, std::time::Duration)> {
        self.requests += 1;
        self.attempts += u64::from(probe.who == Who::Tenant && self.names_other(request));
        self.wire.ask(request, self.fixture.key(probe.who)).await
    }

    /// Whether a request of B names another tenant in its path or header, as the server should count.
    fn names_other(&self, request: &Request) -> bool {
        let own = self.fixture.things["tenant"].own.as_deref();
        let below = request.target.strip_prefix("/v1/tenants/");
        let named = below.and_then(|below| below.split(['/', '?']).next());
        let is_other = |name: &str| Some(name) != own;
        named.is_some_and(is_other)
            || request.headers.iter().any(|(name, value)| *name == TENANT_HEADER && is_other(value))
    }

    /// How many such requests the server says that it has had.
    pub(super) async fn counted(&mut self, client: &Client) -> anyhow::Result<Option<u64>> {
        let tenant = self.fixture.things["tenant"].own.clone().unwrap_or_default();
        Ok(client.readings(&tenant).await?.cross_tenant_attempts)
    }

    /// What A sees of what it has.
    pub(super) async fn state(&mut self) -> anyhow::Result<BTreeMap<String, Answer>> {
        let things = &self.fixture.things;
        let first = |name: &str| things[name].foreign[0].clone();
        let tenant = first("tenant");
        let mut targets = vec![format!("/v1/tenants/{tenant}/channels"), "/v1/reviews".to_owned()];
        for run in &things["run"].foreign {
            targets.push(format!("/v1/tenants/{tenant}/runs/{run}"));
        }
        for review in &things["review"].foreign {
            targets.push(format!("/v1/reviews/{review}"));
        }
        let mut state = BTreeMap::new();
        for target in targets {
            let (headers, body) = (Vec::new(), None);
            let request = Request { method: hyper::Method::GET, target, headers, body };
            let (answer, _) = self.wire.ask(&request, self.fixture.key(Who::Owner)).await?;
            state.insert(request.target, answer);
        }
        Ok(state)
    }

    /// What A was answered last, if not even for one of its things it was answered otherwise than the others were.
    pub(super) async fn vain(
        &mut self,
        case: &Case,
        asked: &Asked,
    ) -> anyhow::Result<Option<Finding>> {
        let controls = probe::controls(case, self.fixture)?;
        let Some(refusal) = &asked.refusal else { return Ok(None) };
        let (mut proves, mut vain) = (false, None);
        for (who, request) in controls {
            self.requests += 1;
            let (answer, _) = self.wire.ask(&request, self.fixture.key(who)).await?;
            proves |= match case.of {
                // All that is asked for at once may be there, with an answer of the same status.
                Of::Named => answer.status != refusal.status || answer.body != refusal.body,
                // It is there: it was read or done, or it is in no state to do that.
                _ => answer.status < 300 || answer.status == 409,
            };
            vain = Some(Finding {
                probe: format!("{} asks", who.name()),
                request: line(&request),
                difference: "is answered as if it were not there".to_owned(),
                foreign: answer,
                missing: None,
            });
        }
        Ok(vain.filter(|_| !proves))
    }
}

impl Asked {
    pub(super) fn comparisons(&self) -> usize {
        self.samples.len()
    }

    /// The operation's row, once it is known how many comparisons of times there are.
    pub(super) fn row(mut self, operation: &str, vain: Option<Finding>, comparisons: usize) -> Row {
        let mut timings = Vec::new();
        for (probe, request, samples, [foreign, missing]) in self.samples {
            let timing = samples.compare(comparisons);
            if timing.differs {
                let difference = format!(
                    "the answers take {} us and {} us, by the median",
                    timing.foreign_median_us, timing.missing_median_us
                );
                let (probe, missing) = (probe.clone(), Some(missing));
                self.findings.push(Finding { probe, request, difference, foreign, missing });
            }
            timings.push(Timed { probe, timing });
        }
        let verdict = match (self.findings.is_empty(), &vain) {
            (false, _) => Verdict::Differs,
            (true, Some(_)) => Verdict::ProvesNothing,
            (true, None) => Verdict::Alike,
        };
        self.findings.extend(vain);
        let Self { findings, requests, probes, .. } = Self { samples: Vec::new(), ..self };
        let (operation, untried) = (operation.to_owned(), Vec::new());
        Row { operation, verdict, probes, requests, untried, findings, timings }
    }
}

fn finding(probe: &Probe, difference: String, foreign: Answer, missing: Option<Answer>) -> Finding {
    let (probe, request) = (probe.what(), line(&probe.request));
    Finding { probe, request, difference, foreign, missing }
}

/// A request in one line.
fn line(request: &Request) -> String {
    let Request { method, target, headers, body } = request;
    let headers = headers.iter().map(|(name, value)| format!(" {name}: {value}"));
    let body = body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
    format!("{method} {target}{}{body}", headers.collect::<String>())
}

/// Each order is as likely (Fisher and Yates, in Durstenfeld's form), but for the bias of a remainder.
fn shuffle(order: &mut [bool], random: &mut Random) {
    for at in (1..order.len()).rev() {
        let below = u64::try_from(at + 1).unwrap_or(u64::MAX);
        let other = usize::try_from(random.next() % below).unwrap_or(at);
        order.swap(at, other);
    }
}
