//! The ledger against a list of all that was ever held and spent in it, which says what must pass and what is left.

use proptest::prelude::*;

use super::*;

const TENANTS: u32 = 3;
const ORGS: u32 = 2;
const RUN: u64 = 200;

/// One thing that happens to a ledger.
#[derive(Clone, Debug)]
enum Event {
    Hold { tenant: u32, cents: u64 },
    Settle { which: usize, percent: u64, is_certain: bool },
    Release { which: usize },
    TopUp { tenant: u32, which: usize, cents: u64 },
    Move { tenant: u32, org: u32 },
    Pass { hours: u64 },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let tenant = || 0..TENANTS;
    prop_oneof![
        8 => (tenant(), 0..40_u64).prop_map(|(tenant, cents)| Event::Hold { tenant, cents }),
        6 => (0..99_usize, 0..200_u64, any::<bool>())
            .prop_map(|(which, percent, is_certain)| Event::Settle { which, percent, is_certain }),
        2 => (0..99_usize).prop_map(|which| Event::Release { which }),
        1 => (tenant(), 0..3_usize, 1..30_u64)
            .prop_map(|(tenant, which, cents)| Event::TopUp { tenant, which, cents }),
        1 => (tenant(), 0..ORGS).prop_map(|(tenant, org)| Event::Move { tenant, org }),
        2 => (1..30_u64).prop_map(|hours| Event::Pass { hours }),
        2 => Just(Event::Restart),
    ]
}

/// A hold, open or not, and what became of it.
struct Entered {
    tenant: u32,
    held: Held,
    is_open: bool,
    posted: Nano,
    uncertain: Nano,
}

struct Books {
    ledger: Ledger,
    now: Time,
    orgs: [u32; TENANTS as usize],
    stored: BTreeMap<(Key, Time), AccountState>,
    runs: [RunAccount; TENANTS as usize],
    entered: Vec<Entered>,
    topped_up: BTreeMap<(Key, Time), Nano>,
}

/// What a list says of one account.
#[derive(Default)]
struct Sums {
    held: Nano,
    posted: Nano,
    uncertain: Nano,
    /// By how much settlements were above their holds.
    above: Nano,
}

impl Books {
    fn new() -> Self {
        let mut books = Self {
            ledger: Ledger::default(),
            now: NOW,
            orgs: [0, 0, 1],
            stored: BTreeMap::new(),
            runs: [limited(RUN); TENANTS as usize],
            entered: Vec::new(),
            topped_up: BTreeMap::new(),
        };
        books.declare();
        books
    }

    fn declare(&mut self) {
        self.ledger = Ledger::default();
        for org in 0..ORGS {
            let terms = OrgTerms { month: budget(Key::OrgMonth(org)), zone: zone() };
            self.ledger.set_org(org, terms);
        }
        for tenant in 0..TENANTS {
            self.ledger.set_tenant(tenant, self.terms(tenant));
        }
    }

    fn terms(&self, tenant: u32) -> TenantTerms {
        TenantTerms {
            org: self.orgs[tenant as usize],
            day: budget(Key::TenantDay(tenant)),
            month: budget(Key::TenantMonth(tenant)),
            zone: zone(),
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Hold { tenant, cents: amount } => self.hold(tenant, cents(amount)),
            Event::Settle { which, percent, is_certain } => {
                let Some(at) = self.nth_open(which) else { return };
                // A hold of nothing can cost something too.
                let spent = Nano(self.entered[at].held.amount.0.max(cents(1).0) * percent / 100);
                self.settle(at, spent, is_certain);
            }
            Event::Release { which } => {
                let Some(at) = self.nth_open(which) else { return };
                let Entered { tenant, held, is_open, .. } = &mut self.entered[at];
                *is_open = false;
                self.ledger.release(*tenant, &mut self.runs[*tenant as usize], held);
            }
            Event::TopUp { tenant, which, cents: more } => self.top_up(tenant, which, cents(more)),
            Event::Move { tenant, org } => {
                self.orgs[tenant as usize] = org;
                self.ledger.set_tenant(tenant, self.terms(tenant));
            }
            Event::Pass { hours } => self.now = self.now + Span::from_secs(hours * 3_600),
            Event::Restart => self.restart(),
        }
    }

    fn nth_open(&self, which: usize) -> Option<usize> {
        let open: Vec<usize> =
            (0..self.entered.len()).filter(|at| self.entered[*at].is_open).collect();
        open.get(which % open.len().max(1)).copied()
    }

    fn hold(&mut self, tenant: u32, amount: Nano) {
        let expected = self.first_short(tenant, amount);
        let run = &mut self.runs[tenant as usize];
        let would = self.ledger.check(self.now, tenant, run, amount);
        let answer = self.ledger.hold(self.now, tenant, run, amount);
        assert_eq!(would, answer.clone().map(|_| ()), "asking is answered as doing");
        match (answer, expected) {
            (Ok(held), None) => {
                assert_eq!(places(tenant, &held).collect::<Vec<_>>(), self.places_now(tenant));
                let (posted, uncertain) = (Nano::ZERO, Nano::ZERO);
                self.entered.push(Entered { tenant, held, is_open: true, posted, uncertain });
            }
            (Err(short), Some((account, left))) => {
                assert_eq!((short.account, short.need, short.left), (account, amount, left));
            }
            (answer, expected) => panic!("{answer:?} where the list says {expected:?}"),
        }
    }

    fn settle(&mut self, at: usize, spent: Nano, is_certain: bool) {
        let Entered { tenant, held, is_open, posted, uncertain } = &mut self.entered[at];
        *is_open = false;
        *posted = spent;
        *uncertain = if is_certain { Nano::ZERO } else { spent };
        let cost = if is_certain { Cost::Known(spent) } else { Cost::Uncertain(spent) };
        self.ledger.settle(*tenant, &mut self.runs[*tenant as usize], held, cost);
    }

    fn top_up(&mut self, tenant: u32, which: usize, more: Nano) {
        let place = self.places_now(tenant)[which];
        let sum = self.topped_up.entry(place).or_default();
        *sum = sum.plus(more);
        let changed = self.ledger.adjust(self.now, place.0, *sum, Nano::ZERO);
        assert_eq!(changed, budget(place.0).map(|_| true));
        if changed.is_none() {
            self.topped_up.remove(&place);
        }
    }

    /// A server that knows what was stored, and which holds stand.
    fn restart(&mut self) {
        self.declare();
        for ((key, start), state) in &self.stored {
            self.ledger.restore(*key, *start, *state);
        }
        for run in &mut self.runs {
            run.held = Nano::ZERO;
        }
        for Entered { tenant, held, .. } in self.entered.iter().filter(|it| it.is_open) {
            self.ledger.resume(*tenant, &mut self.runs[*tenant as usize], held);
        }
    }

    fn commit(&mut self) {
        let changes = self.ledger.take_changes();
        assert!(changes.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
        for (key, start, state) in changes {
            assert_ne!(self.stored.insert((key, start), state), Some(state), "nothing changed");
        }
        self.ledger.wake(self.now);
    }

    fn places_now(&self, tenant: u32) -> Vec<(Key, Time)> {
        let org = Key::OrgMonth(self.orgs[tenant as usize]);
        let keys = [Key::TenantDay(tenant), Key::TenantMonth(tenant), org];
        keys.map(|key| (key, Window::at(self.now, key.every(), &zone()).start)).to_vec()
    }

    fn sums(&self, is_in: impl Fn(&Entered) -> bool) -> Sums {
        let mut sums = Sums::default();
        for it in self.entered.iter().filter(|it| is_in(it)) {
            if it.is_open {
                sums.held = sums.held.plus(it.held.amount);
            }
            sums.posted = sums.posted.plus(it.posted);
            sums.uncertain = sums.uncertain.plus(it.uncertain);
            sums.above = sums.above.plus(it.posted.minus(it.held.amount));
        }
        sums
    }

    fn sums_at(&self, place: (Key, Time)) -> Sums {
        self.sums(|it| places(it.tenant, &it.held).any(|at| at == place))
    }

    fn has(&self, place: (Key, Time)) -> Option<Nano> {
        let topped_up = self.topped_up.get(&place).copied().unwrap_or_default();
        Some(budget(place.0)?.plus(topped_up))
    }

    fn first_short(&self, tenant: u32, amount: Nano) -> Option<(Account, Nano)> {
        let of_run = self.sums(|it| it.tenant == tenant);
        let run = (Account::Run, Some(cents(RUN)), of_run);
        let accounts = self.places_now(tenant).into_iter();
        let accounts =
            accounts.map(|place| (place.0.account(), self.has(place), self.sums_at(place)));
        let mut levels = std::iter::once(run).chain(accounts);
        levels.find_map(|(account, has, sums)| {
            let left = has?.minus(sums.posted).minus(sums.held);
            (left < amount).then_some((account, left))
        })
    }

    fn check(&self) {
        for tenant in 0..TENANTS {
            let (run, sums) = (self.runs[tenant as usize], self.sums(|it| it.tenant == tenant));
            assert_eq!(
                (run.held, run.posted, run.uncertain),
                (sums.held, sums.posted, sums.uncertain)
            );
            assert!(run.posted.plus(run.held) <= cents(RUN).plus(sums.above), "P8, of a run");
            for place in self.places_now(tenant) {
                self.check_account(place);
            }
        }
        for it in self.entered.iter().filter(|it| it.is_open) {
            for place in places(it.tenant, &it.held) {
                assert_eq!(self.ledger.accounts[&place].held, self.sums_at(place).held);
            }
        }
        for (place, state) in &self.stored {
            assert_eq!(state.posted, self.sums_at(*place).posted, "stored in its period");
        }
    }

    fn check_account(&self, place: (Key, Time)) {
        let (reading, sums) = (self.ledger.reading(self.now, place.0), self.sums_at(place));
        assert_eq!(reading.window.start, place.1);
        let Reading { state, held, debt, available, .. } = reading;
        assert_eq!(
            (held, state.posted, state.uncertain),
            (sums.held, sums.posted, sums.uncertain),
            "{place:?}"
        );
        let used = state.posted.plus(held);
        let has = self.has(place);
        assert_eq!(available, has.map(|has| has.minus(used)));
        assert_eq!(debt, has.map_or(Nano::ZERO, |has| used.minus(has)));
        assert!(debt <= sums.above, "P8: only a settlement above its hold is debt: {reading:?}");
    }

    /// All holds end, one way or the other, and their periods too.
    fn close(&mut self) {
        while let Some(at) = self.nth_open(0) {
            if at % 2 == 0 {
                self.settle(at, cents(1), true);
            } else {
                self.apply(&Event::Release { which: 0 });
            }
        }
        self.commit();
        self.check();
        assert!(self.runs.iter().all(|run| run.held == Nano::ZERO));
        assert!(self.ledger.accounts.values().all(|it| it.held == Nano::ZERO), "P9");
        self.now = self.now + Span::from_secs(62 * 24 * 3_600);
        for _ in 0..200 {
            self.ledger.wake(self.now);
        }
        assert!(self.ledger.accounts.is_empty(), "{:?}", self.ledger.accounts);
    }
}

/// Some of them are not bounded.
fn budget(key: Key) -> Option<Nano> {
    match key {
        Key::TenantDay(2) | Key::TenantMonth(1) => None,
        Key::TenantDay(_) => Some(cents(60)),
        Key::TenantMonth(_) => Some(cents(120)),
        Key::OrgMonth(_) => Some(cents(180)),
    }
}

/// The clock is put forward in the night after `NOW`.
fn zone() -> TimeZone {
    TimeZone::parse("Europe/Berlin").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_passes_and_what_is_left_is_what_a_list_of_holds_and_postings_says(
        events in proptest::collection::vec(event(), 1..120)
    ) {
        let mut books = Books::new();
        for event in &events {
            books.apply(event);
            books.commit();
            books.check();
        }
        books.close();
    }
}
