//! Random senders against a reference that keeps one list and looks at all of it each time.

use proptest::prelude::*;

use super::*;
use crate::notice::EventKind;
use crate::time::Span;

const TENANTS: u32 = 3;
const CHANNELS: [&str; 2] = ["mail", "ops"];

#[derive(Clone, Debug)]
enum Op {
    Put { tenant: u32, channel: usize, wait: u64 },
    Begin,
    Accept(usize),
    Miss(usize, u64),
    Fail(usize),
    Again(usize),
    Rest { tenant: u32, channel: usize, span: u64 },
    Open { tenant: u32, channel: usize, open: bool },
    Drop { tenant: u32, channel: usize },
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let line = || (0..TENANTS, 0..CHANNELS.len());
    prop_oneof![
        6 => (line(), 0..20_u64)
            .prop_map(|((tenant, channel), wait)| Op::Put { tenant, channel, wait }),
        8 => Just(Op::Begin),
        2 => any::<usize>().prop_map(Op::Accept),
        2 => (any::<usize>(), 0..30_u64).prop_map(|(at, wait)| Op::Miss(at, wait)),
        1 => any::<usize>().prop_map(Op::Fail),
        1 => any::<usize>().prop_map(Op::Again),
        1 => (line(), 1..30_u64)
            .prop_map(|((tenant, channel), span)| Op::Rest { tenant, channel, span }),
        2 => (line(), any::<bool>())
            .prop_map(|((tenant, channel), open)| Op::Open { tenant, channel, open }),
        1 => line().prop_map(|(tenant, channel)| Op::Drop { tenant, channel }),
        4 => (1..10_u64).prop_map(Op::Wait),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Waits(Time),
    Flies,
    Failed,
}

#[derive(Clone, Debug)]
struct Known {
    tenant: u32,
    channel: usize,
    sequence: u64,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, Default)]
struct KnownLine {
    is_open: bool,
    rests: Option<Time>,
    served: u64,
}

#[derive(Debug, Default)]
struct Reference {
    now: Time,
    notices: Vec<Known>,
    lines: BTreeMap<(u32, usize), KnownLine>,
    served: BTreeMap<u32, u64>,
    turns: u64,
}

impl Reference {
    fn count(&self, is: impl Fn(&Known) -> bool) -> usize {
        self.notices.iter().filter(|known| is(known)).count()
    }

    /// The notice of a line that can begin.
    fn first_of(&self, line: (u32, usize)) -> Option<u64> {
        let known = self.lines.get(&line)?;
        let of_line = |known: &&Known| (known.tenant, known.channel) == line;
        let flying = self.count(|known| of_line(&known) && known.stands == Stands::Flies);
        let rests = known.rests.is_some_and(|until| until > self.now);
        if !known.is_open || rests || flying >= LINE_FLIGHT_MAX as usize {
            return None;
        }
        let is_due = |known: &&Known| matches!(known.stands, Stands::Waits(due) if due <= self.now);
        let due = self.notices.iter().filter(of_line).filter(is_due);
        due.map(|known| known.sequence).min()
    }

    fn next(&self) -> Option<(u32, u64)> {
        let lines = |tenant| {
            let served = |line: &(u32, usize)| self.lines[line].served;
            let mut all: Vec<_> = (0..CHANNELS.len()).map(|channel| (tenant, channel)).collect();
            all.retain(|line| self.first_of(*line).is_some());
            all.into_iter().min_by_key(|line| (served(line), line.1))
        };
        let key = |tenant: &u32| {
            let flying =
                self.count(|known| known.tenant == *tenant && known.stands == Stands::Flies);
            (flying, self.served.get(tenant).copied().unwrap_or(0), *tenant)
        };
        let tenant = (0..TENANTS).filter(|tenant| lines(*tenant).is_some()).min_by_key(key)?;
        Some((tenant, self.first_of(lines(tenant)?)?))
    }

    /// A notice of those that stand so, chosen by a number.
    fn pick(&self, at: usize, is: impl Fn(Stands) -> bool) -> Option<usize> {
        let found: Vec<usize> =
            (0..self.notices.len()).filter(|one| is(self.notices[*one].stands)).collect();
        (!found.is_empty()).then(|| found[at % found.len()])
    }
}

fn channel(at: usize) -> ChannelName {
    CHANNELS[at].parse().unwrap()
}

fn key(known: &Known) -> Key {
    (known.tenant, NoticeId(RunId(known.sequence.into())))
}

fn row(known: &Known, due: Time) -> NoticeRow {
    NoticeRow {
        tenant: format!("t{}", known.tenant).parse().unwrap(),
        id: key(known).1,
        sequence: known.sequence,
        channel: channel(known.channel),
        event: EventKind::RunFailed,
        at: Time(0),
        run: None,
        review: None,
        state: NoticeState::Pending { due },
        attempts: 0,
        last: None,
    }
}

fn miss() -> Miss {
    Miss { at: Time(0), class: "x".into(), status: None }
}

#[expect(clippy::too_many_lines, reason = "a flat match, one case per operation")]
fn step(notices: &mut Notices, reference: &mut Reference, op: &Op) {
    match *op {
        Op::Put { tenant, channel: at, wait } => {
            let sequence = reference.turns + 1;
            reference.turns = sequence;
            let due = reference.now + Span(wait);
            let known = Known { tenant, channel: at, sequence, stands: Stands::Waits(due) };
            notices.put(tenant, row(&known, due));
            reference.lines.entry((tenant, at)).or_default();
            reference.notices.push(known);
        }
        Op::Begin => {
            let Some((tenant, sequence)) = reference.next() else { return };
            notices.begin(
                (tenant, NoticeId(RunId(sequence.into()))),
                Flight { fence: sequence, revision: 1 },
            );
            reference.turns += 1;
            let turn = reference.turns;
            let known = reference.notices.iter_mut().find(|known| known.sequence == sequence);
            let known = known.unwrap();
            known.stands = Stands::Flies;
            reference.served.insert(tenant, turn);
            reference.lines.get_mut(&(tenant, known.channel)).unwrap().served = turn;
        }
        Op::Accept(at) => {
            let Some(at) = reference.pick(at, |stands| stands == Stands::Flies) else { return };
            let known = reference.notices.remove(at);
            assert!(notices.under_way(key(&known), known.sequence).is_some());
            notices.forget(key(&known));
        }
        Op::Miss(at, wait) => {
            let Some(at) = reference.pick(at, |stands| stands == Stands::Flies) else { return };
            let due = reference.now + Span(wait);
            reference.notices[at].stands = Stands::Waits(due);
            notices.missed(key(&reference.notices[at]), miss(), due);
        }
        Op::Fail(at) => {
            let Some(at) = reference.pick(at, |stands| stands != Stands::Failed) else { return };
            reference.notices[at].stands = Stands::Failed;
            let because = (reference.now, GivenUp::Refused);
            let (_, evicted) = notices.fail(key(&reference.notices[at]), None, because);
            assert_eq!(evicted, None);
        }
        Op::Again(at) => {
            let Some(at) = reference.pick(at, |_| true) else { return };
            let known = &mut reference.notices[at];
            assert!(notices.again(key(known), reference.now).is_some());
            assert!(notices.again((TENANTS, key(known).1), reference.now).is_none());
            if known.stands != Stands::Flies {
                known.stands = Stands::Waits(reference.now);
            }
        }
        Op::Rest { tenant, channel: at, span } => {
            let Some(line) = reference.lines.get_mut(&(tenant, at)) else { return };
            let until = reference.now + Span(span);
            line.rests = Some(until);
            notices.rest(tenant, &channel(at), until);
        }
        Op::Open { tenant, channel: at, open } => {
            reference.lines.entry((tenant, at)).or_default().is_open = open;
            notices.put_line(tenant, &channel(at), open);
        }
        Op::Drop { tenant, channel: at } => {
            let of_line = |known: &Known| (known.tenant, known.channel) == (tenant, at);
            let dropped = notices.drop_line(tenant, &channel(at));
            assert_eq!(dropped.len(), reference.count(of_line));
            reference.notices.retain(|known| !of_line(known));
            reference.lines.remove(&(tenant, at));
        }
        Op::Wait(span) => reference.now = reference.now + Span(span),
    }
}

fn agree(notices: &mut Notices, reference: &Reference) {
    notices.pass(reference.now);
    let next = notices.next().map(|(tenant, row)| (tenant, row.sequence));
    assert_eq!(next, reference.next());
    for (tenant, at) in reference.lines.keys() {
        let of_line = |known: &Known| (known.tenant, known.channel) == (*tenant, *at);
        let failed = reference.count(|known| of_line(known) && known.stands == Stands::Failed);
        let counts = notices.counts(*tenant, &channel(*at));
        assert_eq!(counts.failed as usize, failed);
        assert_eq!(counts.pending as usize + failed, reference.count(of_line));
    }
    for tenant in 0..TENANTS {
        let listed = notices.list(tenant, None).map(|(row, flies)| (row.sequence, flies));
        let own = reference.notices.iter().filter(|known| known.tenant == tenant);
        let expected = own.map(|known| (known.sequence, known.stands == Stands::Flies));
        assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    let waits = reference.notices.iter().filter_map(|known| match known.stands {
        Stands::Waits(due) if due > reference.now => Some(due),
        _ => None,
    });
    let rests = reference.lines.values().filter_map(|line| line.rests);
    let later = waits.chain(rests.filter(|until| *until > reference.now)).min();
    assert_eq!(notices.next_due(), later);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_next_is_what_a_look_at_everything_finds(ops in prop::collection::vec(op(), 1..120)) {
        let (mut notices, mut reference) = (Notices::default(), Reference::default());
        for op in &ops {
            step(&mut notices, &mut reference, op);
            agree(&mut notices, &reference);
        }
    }
}
