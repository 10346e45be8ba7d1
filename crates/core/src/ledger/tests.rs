use proptest::prelude::*;

use super::*;

mod waking;

const T: u32 = 7;
const ORG: u32 = 3;
/// 2026-03-28, noon, in UTC.
const NOW: Time = Time(1_774_699_200_000_000);
const DAY: Span = Span::from_secs(24 * 3_600);

fn cents(cents: u64) -> Nano {
    Nano::from_cents(cents)
}

fn ledger(day: Option<u64>, month: Option<u64>, org: Option<u64>) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.set_org(ORG, OrgTerms { month: org.map(cents), zone: Zone::UTC });
    ledger.set_tenant(T, terms(day, month));
    ledger
}

fn terms(day: Option<u64>, month: Option<u64>) -> TenantTerms {
    TenantTerms { org: ORG, day: day.map(cents), month: month.map(cents), zone: Zone::UTC }
}

fn available(ledger: &Ledger, key: Key) -> Option<Nano> {
    ledger.reading(NOW, key).available
}

/// Somebody waits for the tenant's account that is short of the amount.
fn wait_for(ledger: &mut Ledger, now: Time, tenant: u32, amount: u64) -> Short {
    let short = ledger.check(now, tenant, &RunAccount::default(), cents(amount)).unwrap_err();
    ledger.wait(now, short.wake);
    short
}

/// A free-tier tenant: 0.50 for a run, of which 0.05 are kept back.
#[test]
fn the_worked_example_comes_out_to_the_cent() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount { limit: Some(cents(50)), reserve: cents(5), ..RunAccount::default() };
    let passed = [
        ("verify", 2, 48),
        ("credit", 5, 43),
        ("replan", 8, 35),
        ("deep", 12, 23),
        ("replan", 8, 15),
    ];
    for (step, cost, left) in passed {
        let held = ledger.hold(NOW, T, &mut run, cents(cost)).unwrap();
        ledger.settle(T, &mut run, &held, Cost::Known(cents(cost)));
        assert_eq!(run.limit.unwrap().minus(run.posted), cents(left), "after {step}");
    }
    let refused = ledger.hold(NOW, T, &mut run, cents(15)).unwrap_err();
    assert_eq!((refused.account, refused.need, refused.left), (Account::Run, cents(15), cents(10)));
    let held = ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    ledger.settle(T, &mut run, &held, Cost::Known(cents(10)));
    assert_eq!(run.limit.unwrap().minus(run.posted), cents(5), "what is kept back is there");
    assert_eq!(ledger.hold(NOW, T, &mut run, cents(8)).unwrap_err().left, Nano::ZERO);
}

#[test]
fn an_amount_is_held_at_every_level_or_at_none() {
    let mut ledger = ledger(Some(100), Some(100), Some(10));
    let mut run = RunAccount { limit: Some(cents(100)), ..RunAccount::default() };
    let short = ledger.hold(NOW, T, &mut run, cents(20)).unwrap_err();
    assert_eq!((short.account, short.left), (Account::OrgMonth, cents(10)));
    assert_eq!(short.opens, Some(ledger.window(NOW, Key::OrgMonth(ORG)).end));
    assert_eq!(run.held, Nano::ZERO);
    for key in [Key::TenantDay(T), Key::TenantMonth(T)] {
        assert_eq!(available(&ledger, key), Some(cents(100)));
    }
}

#[test]
fn a_thousand_holds_against_money_for_fifty_are_fifty() {
    let mut ledger = ledger(None, Some(50 * 3), None);
    let holds =
        (0..1_000).filter(|_| ledger.hold(NOW, T, &mut RunAccount::default(), cents(3)).is_ok());
    assert_eq!(holds.count(), 50);
}

#[test]
fn a_settlement_above_its_hold_is_debt_and_blocks_until_it_is_let_off() {
    let mut ledger = ledger(None, Some(10), None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    ledger.settle(T, &mut run, &held, Cost::Known(cents(25)));
    let key = Key::TenantMonth(T);
    assert_eq!(ledger.reading(NOW, key).debt, cents(15));
    let short = ledger.hold(NOW, T, &mut run, cents(1)).unwrap_err();
    ledger.wait(NOW, short.wake);
    assert!(ledger.wake(NOW).is_empty());
    assert_eq!(ledger.adjust(NOW, key, Nano::ZERO, cents(15)), Some(true));
    assert_eq!(ledger.adjust(NOW, key, Nano::ZERO, cents(15)), Some(false));
    assert_eq!(ledger.wake(NOW), [short.wake]);
    assert!(ledger.hold(NOW, T, &mut run, cents(1)).is_err());
    assert_eq!(ledger.adjust(NOW, key, cents(1), cents(15)), Some(true));
    assert!(ledger.hold(NOW, T, &mut run, cents(1)).is_ok());
    assert_eq!(ledger.adjust(NOW, Key::TenantDay(T), cents(1), Nano::ZERO), None, "no bound there");
}

#[test]
fn a_hold_is_settled_in_its_own_period() {
    let mut ledger = ledger(Some(10), None, None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    let tomorrow = NOW + DAY;
    assert_eq!(ledger.reading(tomorrow, Key::TenantDay(T)).available, Some(cents(10)));
    ledger.settle(T, &mut run, &held, Cost::Uncertain(cents(10)));
    assert_eq!(ledger.reading(tomorrow, Key::TenantDay(T)).available, Some(cents(10)));
    let yesterdays = ledger.reading(NOW, Key::TenantDay(T));
    assert_eq!((yesterdays.state.posted, yesterdays.state.uncertain), (cents(10), cents(10)));
}

/// One thing that happens to a ledger.
#[derive(Clone, Debug)]
enum Event {
    Hold { tenant: u32, cents: u64 },
    Settle { which: usize, percent: u64, is_certain: bool },
    Release { which: usize },
    Pass { hours: u64 },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_u32, 1..40_u64).prop_map(|(tenant, cents)| Event::Hold { tenant, cents }),
        3 => (0..99_usize, 0..200_u64, any::<bool>())
            .prop_map(|(which, percent, is_certain)| Event::Settle { which, percent, is_certain }),
        1 => (0..99_usize).prop_map(|which| Event::Release { which }),
        1 => (1..30_u64).prop_map(|hours| Event::Pass { hours }),
        1 => Just(Event::Restart),
    ]
}

/// The ledger, and a list of all that was ever held and spent in it.
struct Books {
    ledger: Ledger,
    now: Time,
    stored: BTreeMap<(Key, Time), AccountState>,
    runs: [RunAccount; 3],
    open: Vec<(u32, Held)>,
    /// Account, held or spent, and above its hold.
    spent: Vec<((Key, Time), Nano)>,
    over: Vec<((Key, Time), Nano)>,
}

impl Books {
    fn new() -> Self {
        let limit = Some(cents(200));
        Self {
            ledger: declared(),
            now: NOW,
            stored: BTreeMap::new(),
            runs: [RunAccount { limit, ..RunAccount::default() }; 3],
            open: Vec::new(),
            spent: Vec::new(),
            over: Vec::new(),
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Hold { tenant, cents: amount } => {
                let run = &mut self.runs[tenant as usize];
                if let Ok(held) = self.ledger.hold(self.now, tenant, run, cents(amount)) {
                    self.open.push((tenant, held));
                }
            }
            Event::Settle { which, percent, is_certain } if !self.open.is_empty() => {
                let (tenant, held) = self.open.swap_remove(which % self.open.len());
                let spent = Nano(held.amount.0 * percent / 100);
                let cost = if is_certain { Cost::Known(spent) } else { Cost::Uncertain(spent) };
                self.ledger.settle(tenant, &mut self.runs[tenant as usize], &held, cost);
                for place in places(tenant, &held) {
                    self.spent.push((place, spent));
                    self.over.push((place, spent.minus(held.amount)));
                }
            }
            Event::Release { which } if !self.open.is_empty() => {
                let (tenant, held) = self.open.swap_remove(which % self.open.len());
                self.ledger.release(tenant, &mut self.runs[tenant as usize], &held);
            }
            Event::Pass { hours } => self.now = self.now + Span::from_secs(hours * 3_600),
            Event::Restart => self.restart(),
            Event::Settle { .. } | Event::Release { .. } => {}
        }
        for (key, start, state) in self.ledger.take_changes() {
            self.stored.insert((key, start), state);
        }
        drop(self.ledger.wake(self.now));
    }

    fn restart(&mut self) {
        self.ledger = declared();
        for ((key, start), state) in &self.stored {
            self.ledger.restore(*key, *start, *state);
        }
        for run in &mut self.runs {
            run.held = Nano::ZERO;
        }
        for (tenant, held) in &self.open {
            self.ledger.resume(*tenant, &mut self.runs[*tenant as usize], held);
        }
    }

    fn check(&self) {
        for tenant in 0..3 {
            let run = self.runs[tenant as usize];
            let open = self.open.iter().filter(|(of, _)| *of == tenant);
            assert_eq!(run.held, sum(open.map(|(_, held)| held.amount)));
            for key in self.ledger.keys(tenant) {
                self.check_account(key);
            }
        }
    }

    fn check_account(&self, key: Key) {
        let reading = self.ledger.reading(self.now, key);
        let place = (key, reading.window.start);
        let of = |list: &[((Key, Time), Nano)]| {
            sum(list.iter().filter(|(at, _)| *at == place).map(|(_, amount)| *amount))
        };
        let held =
            self.open.iter().filter(|(tenant, held)| places(*tenant, held).any(|at| at == place));
        assert_eq!(reading.held, sum(held.map(|(_, held)| held.amount)), "{key:?}");
        assert_eq!(reading.state.posted, of(&self.spent), "{key:?}");
        let used = reading.state.posted.plus(reading.held);
        if let Some(budget) = reading.budget {
            assert!(used <= budget.plus(of(&self.over)), "{key:?} {reading:?}");
            assert!(reading.debt <= of(&self.over), "debt comes from settlements above holds");
        }
    }
}

fn declared() -> Ledger {
    let mut ledger = Ledger::default();
    let zone = Zone::parse("Europe/Berlin").unwrap();
    for org in 0..2 {
        ledger.set_org(org, OrgTerms { month: Some(cents(300)), zone: zone.clone() });
    }
    for tenant in 0..3 {
        let (day, month) = (Some(cents(60)), Some(cents(150)));
        ledger.set_tenant(tenant, TenantTerms { org: tenant / 2, day, month, zone: zone.clone() });
    }
    ledger
}

fn sum(amounts: impl Iterator<Item = Nano>) -> Nano {
    amounts.fold(Nano::ZERO, Nano::plus)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn posted_and_held_are_what_was_spent_and_is_open_and_never_above_the_budget(
        events in proptest::collection::vec(event(), 1..120)
    ) {
        let mut books = Books::new();
        for event in &events {
            books.apply(event);
            books.check();
        }
    }
}
