//! Readings of a tenant and of the whole cell, made when somebody asks.

use std::collections::BTreeMap;

use crate::cell::view::{
    DiagnosisView, FairnessView, HeldView, HolderView, InterferenceView, PlatformView,
    PoolReadings, ReasonView, ReviewersView, SharedReason, Spread, TierReadings, WindowView,
    WorkView, code_of,
};
use crate::id::TenantId;
use crate::reading::diagnosis::{self, Diagnosis, Facts, Reason, Shared, State, diagnose};
use crate::reading::{
    Cause, Held, Merge, Place, Served, Sketch, Window, Windows, WorkAt, jain_permille,
};
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};

use super::Cell;
use super::observe::{Full, Share};
use super::reading::Tally;

/// Tenants of a pool that are named.
const HOLDERS_SHOWN: usize = 12;
/// Tenants that are named as examples of those that something touches.
const EXAMPLES_SHOWN: usize = 5;
/// Pairs of a loud tenant and a place that are told.
const INTERFERENCE_SHOWN: usize = 32;
/// As many tenants must want slots of one full pool for it to be too small.
const CROWD: u64 = 3;
/// A pool is full if it was for more than this part of the last minute, in thousandths.
const FULL_PERMILLE: u32 = 500;
/// A pool is unfair if Jain's index is below this, in thousandths; it is fair at 950.
const UNFAIR_PERMILLE: u32 = 900;
/// As many steps, one after the other, must have ended before it is said.
const STEPS_JUDGED: u64 = 4;
const UNFAIR: &str = "unfair";

/// Tenants that are slow, and why.
#[derive(Default)]
struct Ill {
    active: u64,
    expected: u64,
    others: u64,
    by_reason: BTreeMap<Reason, (u64, Vec<TenantId>)>,
}

impl Cell {
    /// What is slow of what tenants share.
    pub(crate) fn shared(&self) -> Shared {
        let now = self.now;
        let slow = |windows: &Windows<Sketch>| {
            diagnosis::is_slower(&windows.over(now, Window::Minute), usual(windows, now))
        };
        let work = self.watch.work.iter().filter(|(_, windows)| slow(windows));
        let commits = &self.watch.commits;
        let short = self.watch.reviews.keys().filter(|at| self.is_short_of_reviewers(**at));
        Shared {
            short_reviewers: short.map(|(pool, _)| *pool).collect(),
            slow_work: work.map(|(at, _)| *at).collect(),
            unfair_pools: (0..)
                .zip(&self.pools)
                .filter(|(_, pool)| pool.watch.is_unfair)
                .map(|(at, _)| at)
                .collect(),
            is_store_slow: diagnosis::is_store_slow(
                &commits.over(now, Window::Minute),
                usual(commits, now),
            ),
        }
    }

    fn is_short_of_reviewers(&self, (pool, class): (u32, u8)) -> bool {
        let turnover = &self.watch.reviews[&(pool, class)];
        let hour = turnover.over(self.now, Window::Hour);
        let lately = turnover.over(self.now, Window::TenMinutes);
        let open = self.desk.queue.open_in(pool, class);
        diagnosis::is_short(open, (hour.opened, lately.opened), hour.ended)
    }

    /// O(1) for a tenant to which nothing happened that could make it slow.
    pub(crate) fn diagnose(&self, tenant: TenantIx, shared: &Shared) -> Diagnosis {
        let entry = self.directory.tenants.get(tenant);
        let (reading, now) = (&entry.reading, self.now);
        let mut may_be_slow = !shared.slow_work.is_empty();
        reading.each(now, Window::TenMinutes, |tally| {
            may_be_slow |= tally.late > 0
                || !tally.held.is_empty()
                || !tally.reviewing.is_empty()
                || tally.queue.is_above(SLOW);
        });
        if !may_be_slow {
            return Diagnosis::default();
        }
        let minute = reading.over(now, Window::Minute);
        let runs = |window| {
            let mut counts = (0, 0);
            reading.each(now, window, |tally| {
                counts = (counts.0 + tally.aimed, counts.1 + tally.late);
            });
            counts
        };
        let mut held_lately = Held::default();
        reading.each(now, Window::TenMinutes, |tally| held_lately.merge(&tally.held));
        let half = |window| reading.sketch(now, window, |tally| &tally.work).percentile(500);
        diagnose(
            &Facts {
                sla: entry.context().sla,
                queue: &minute.queue,
                work: &minute.work,
                held: &minute.held,
                held_lately: &held_lately,
                reviewing: &minute.reviewing,
                stood: minute.stood,
                waiting: self.waiting_of(tenant),
                minute: (minute.aimed, minute.late),
                ten_minutes: runs(Window::TenMinutes),
                hour: runs(Window::Hour),
                usual_work: half(Window::Hour).min(half(Window::Day)),
            },
            shared,
        )
    }

    /// Its steps that are ready now.
    fn waiting_of(&self, tenant: TenantIx) -> u64 {
        let flows = self.pools.iter().map(|pool| pool.scheduler.flow(self.now, tenant));
        flows.map(|flow| u64::from(flow.waiting)).sum()
    }

    pub(crate) fn diagnosis_view(&self, diagnosis: &Diagnosis) -> DiagnosisView {
        DiagnosisView {
            state: diagnosis.state,
            reason: diagnosis.reason.map(|reason| self.reason_view(reason)),
            held: diagnosis.held,
            held_in_all: diagnosis.held_in_all,
        }
    }

    /// A tenant's, over each window.
    pub(crate) fn window_views(&self, tenant: TenantIx) -> Vec<WindowView> {
        let reading = &self.directory.tenants.get(tenant).reading;
        let view = |window| {
            let share = self.share_over(tenant, window);
            self.window_view(window, reading.over(self.now, window), share)
        };
        Window::ALL.map(view).into()
    }

    /// What a tenant got of what it was entitled to, over all pools.
    pub(crate) fn share_over(&self, tenant: TenantIx, window: Window) -> Served {
        let mut share = Share::default();
        for shares in self.pools.iter().filter_map(|pool| pool.watch.shares.get(&tenant)) {
            shares.each(self.now, window, |part| share.merge(part));
        }
        share.0
    }

    fn window_view(&self, window: Window, mut tally: Tally, share: Served) -> WindowView {
        tally.held.merge(&tally.reviewing);
        let held = tally.held.sorted();
        WindowView {
            window,
            queue: tally.queue.percentiles(),
            start: tally.start.percentiles(),
            end: tally.end.percentiles(),
            work: tally.work.percentiles(),
            aimed: tally.aimed,
            late: tally.late,
            service: tally.service,
            share_permille: share.permille(),
            held: held.into_iter().map(|held| self.held_view(held)).collect(),
        }
    }

    fn held_view(&self, (cause, time): (Cause, Span)) -> HeldView {
        HeldView { cause: cause.code(), place: self.where_is(cause), time, is_own: cause.is_own() }
    }

    fn where_is(&self, cause: Cause) -> Option<String> {
        match cause {
            Cause::TenantCap { pool }
            | Cause::OrgCap { pool }
            | Cause::OwnShare { pool }
            | Cause::Slots { pool }
            | Cause::LongSlots { pool }
            | Cause::Workers { pool } => Some(self.pool_name(pool)),
            Cause::OwnQuota { tool } | Cause::Provider { tool } => self.tool_name(tool),
            Cause::Reviewers { pool } => self.desk.queue.name_of(pool).map(ToString::to_string),
            Cause::Budget(account) => Some(account.code().to_owned()),
            Cause::Suspended | Cause::Rules => None,
        }
    }

    fn pool_name(&self, pool: u32) -> String {
        self.directory.pools.names[pool as usize].to_string()
    }

    fn tool_name(&self, tool: u32) -> Option<String> {
        let is_known = self.directory.knows_tool(tool);
        is_known.then(|| self.directory.tool_name(tool).to_string())
    }

    fn reason_view(&self, reason: Reason) -> ReasonView {
        let (code, place) = match reason {
            Reason::Waits(cause) => (cause.code(), self.where_is(cause)),
            Reason::Unfair { pool } => (UNFAIR, Some(self.pool_name(pool))),
            Reason::SlowWork(WorkAt::Pool(pool)) => ("slow-work", Some(self.pool_name(pool))),
            Reason::SlowWork(WorkAt::Tool(tool)) => ("slow-tool", self.tool_name(tool)),
            Reason::SlowStore => ("slow-store", None),
            Reason::Unknown => ("unknown", None),
        };
        ReasonView { code, place, is_own: reason.is_own() }
    }

    /// The whole cell. O(tenants), most of them at a few steps each, and the sort of those that are active.
    pub(crate) fn platform_view(&self) -> PlatformView {
        let shared = self.shared();
        let mut ill = self.look_for_ill(&shared);
        let interference = self.interference();
        let valve = self.queue.view(&self.directory.valve);
        let (state, reasons) = self.state_of_all(&mut ill, &shared, &interference, valve.open);
        PlatformView {
            at: self.now,
            tenants: self.directory.tenants.len() as u64,
            active: ill.active,
            slow_expected: ill.expected,
            slow: ill.others,
            state,
            reasons,
            pools: (0..self.pools.len()).map(|pool| self.pool_readings(pool)).collect(),
            tiers: self.tier_readings(),
            work: self.work_views(&shared),
            commits: Window::ALL
                .into_iter()
                .filter_map(|window| {
                    let commits = self.watch.commits.over(self.now, window).percentiles()?;
                    Some((code_of(window), commits))
                })
                .collect(),
            reviewers: self.reviewers_views(),
            interference,
            valve,
            decisions: self
                .watch
                .decisions
                .iter()
                .map(|(code, count)| (code.clone(), *count))
                .collect(),
        }
    }

    fn look_for_ill(&self, shared: &Shared) -> Ill {
        let mut ill = Ill::default();
        for (tenant, entry) in self.directory.tenants.indexed() {
            if entry.reading.since(self.now) > Window::Minute.span() {
                continue;
            }
            ill.active += 1;
            let diagnosis = self.diagnose(tenant, shared);
            let Some(reason) = diagnosis.reason else { continue };
            let is_own = reason.is_own();
            ill.expected += u64::from(is_own);
            ill.others += u64::from(!is_own);
            let (count, examples) = ill.by_reason.entry(reason).or_default();
            *count += 1;
            if examples.len() < EXAMPLES_SHOWN {
                examples.push(entry.declared.id.clone());
            }
        }
        ill
    }

    /// The state of the platform, and each reason that is not one tenant's own.
    fn state_of_all(
        &self,
        ill: &mut Ill,
        shared: &Shared,
        interference: &[InterferenceView],
        is_valve_open: bool,
    ) -> (State, Vec<SharedReason>) {
        let mut reasons: Vec<SharedReason> = Vec::new();
        for (reason, (tenants, examples)) in std::mem::take(&mut ill.by_reason) {
            let crowded = self.is_crowded(reason, tenants);
            if reason.is_own() && !crowded {
                continue;
            }
            let mut reason = self.reason_view(reason);
            if crowded {
                ill.expected -= tenants;
                ill.others += tenants;
                reason = ReasonView { code: "slots", is_own: false, ..reason };
            }
            match reasons.iter_mut().find(|known| known.reason == reason) {
                Some(known) => {
                    known.tenants += tenants;
                    let room = EXAMPLES_SHOWN - known.examples.len();
                    known.examples.extend(examples.into_iter().take(room));
                }
                None => reasons.push(SharedReason { reason, tenants, examples }),
            }
        }
        let mut add = |reason: ReasonView| {
            if reasons.iter().all(|known| known.reason != reason) {
                reasons.push(SharedReason { reason, tenants: 0, examples: Vec::new() });
            }
        };
        shared.slow_work.iter().for_each(|at| add(self.reason_view(Reason::SlowWork(*at))));
        for pool in &shared.unfair_pools {
            add(self.reason_view(Reason::Unfair { pool: *pool }));
        }
        if shared.is_store_slow {
            add(self.reason_view(Reason::SlowStore));
        }
        if !is_valve_open {
            add(ReasonView { code: "valve", place: None, is_own: false });
        }
        for found in interference.iter().filter(|found| found.found.is_significant) {
            let place = found.place.clone();
            add(ReasonView {
                code: "interference",
                place: Some(place.unwrap_or_else(|| found.at.to_owned())),
                is_own: false,
            });
        }
        // What became slow may be why others wait, and not the other way round.
        reasons.sort_by_key(|shared| {
            let code = shared.reason.code;
            let is_first = code.starts_with("slow-") || code == UNFAIR;
            (!is_first, std::cmp::Reverse(shared.tenants))
        });
        let state = if reasons.is_empty() {
            State::Healthy
        } else if ill.active > 1 && ill.others * 2 > ill.active {
            State::Broken
        } else {
            State::Degrading
        };
        (state, reasons)
    }

    /// Whether so many tenants want more than their part of a pool that it is too small for them.
    fn is_crowded(&self, reason: Reason, tenants: u64) -> bool {
        let Reason::Waits(Cause::OwnShare { pool }) = reason else { return false };
        tenants >= CROWD && self.full_permille(pool as usize) > FULL_PERMILLE
    }

    /// Whether those that contend get very different parts of what they are entitled to, now and for a while. A slot is
    /// given on only when a step ends, so that nothing is said before a few of them have.
    /// O(contenders), once a look.
    pub(crate) fn is_unfair(&self, pool: u32) -> bool {
        let watch = &self.pools[pool as usize].watch;
        let Full(full) = watch.full.over(self.now, Window::TenMinutes);
        if full == Span::ZERO {
            return false;
        }
        let steps = Span(self.work_in(pool).percentile(950).0.saturating_mul(STEPS_JUDGED));
        let is_uneven = |window| {
            let served = watch.shares.values().map(|shares| shares.over(self.now, window).0);
            let judged = served.filter(|served| served.due > 0 && served.due >= steps.0);
            jain_permille(judged).is_some_and(|jain| jain < UNFAIR_PERMILLE)
        };
        full >= steps && is_uneven(Window::Minute) && is_uneven(Window::TenMinutes)
    }

    fn full_permille(&self, pool: usize) -> u32 {
        let Full(full) = self.pools[pool].watch.full.over(self.now, Window::Minute);
        let span = Window::Minute.span().0;
        u32::try_from(full.0.min(span) * 1_000 / span).unwrap_or(1_000)
    }

    fn pool_readings(&self, at: usize) -> PoolReadings {
        let state = &self.pools[at];
        let mut holders: Vec<(u32, u32, TenantIx)> = state
            .scheduler
            .flows_now()
            .map(|flow| {
                let waiting = state.scheduler.flow(self.now, flow.tenant).waiting;
                (flow.in_flight, waiting, flow.tenant)
            })
            .collect();
        holders.sort_by_key(|(slots, waiting, tenant)| {
            (std::cmp::Reverse((*slots, *waiting)), *tenant)
        });
        let others = holders.split_off(holders.len().min(HOLDERS_SHOWN));
        let holder = |(slots, waiting, tenant): (u32, u32, TenantIx)| {
            let entry = self.directory.tenants.get(tenant);
            HolderView {
                tenant: entry.declared.id.clone(),
                org: entry.declared.org.clone(),
                slots,
                waiting,
                cap: entry.context().cap,
            }
        };
        PoolReadings {
            pool: self.pool_view(at),
            fairness: Window::ALL.map(|window| self.fairness(at, window)).into(),
            full_permille: self.full_permille(at),
            top: holders.into_iter().map(holder).collect(),
            other_slots: others.iter().map(|(slots, ..)| slots).sum(),
            other_waiting: others.iter().map(|(_, waiting, _)| u64::from(*waiting)).sum(),
        }
    }

    fn fairness(&self, pool: usize, window: Window) -> FairnessView {
        let watch = &self.pools[pool].watch;
        let over = |shares: &Windows<Share>| shares.over(self.now, window).0;
        // What one step takes cannot be given in parts.
        let step = self.work_in(u32::try_from(pool).unwrap_or(u32::MAX)).percentile(950);
        let contend = |served: &Served| served.due > 0 && served.due >= step.0;
        let tenants: Vec<Served> = watch.shares.values().map(over).filter(contend).collect();
        let orgs: Vec<Served> = watch.orgs.values().map(over).filter(contend).collect();
        FairnessView {
            window: code_of(window),
            contenders: u32::try_from(tenants.len()).unwrap_or(u32::MAX),
            jain_permille: jain_permille(tenants.into_iter()),
            orgs: u32::try_from(orgs.len()).unwrap_or(u32::MAX),
            orgs_jain_permille: jain_permille(orgs.into_iter()),
        }
    }

    fn tier_readings(&self) -> Vec<TierReadings> {
        let mut spreads: BTreeMap<_, Vec<(Span, &TenantId)>> = BTreeMap::new();
        for (_, entry) in self.directory.tenants.indexed() {
            let end = entry.reading.sketch(self.now, Window::Minute, |tally| &tally.end);
            if end.count() > 0 {
                let tenants = spreads.entry(&entry.context().tier).or_default();
                tenants.push((end.percentile(950), &entry.declared.id));
            }
        }
        let of_tier = |(tier, windows): (&crate::id::TierName, &Windows<Tally>)| {
            let views = Window::ALL.map(|window| {
                self.window_view(window, windows.over(self.now, window), Served::default())
            });
            TierReadings {
                tier: tier.clone(),
                sla: self.directory.tiers.get(tier).and_then(|tier| tier.sla),
                windows: views.into(),
                spread: spreads.remove(tier).and_then(spread),
            }
        };
        self.watch.tiers.iter().map(of_tier).collect()
    }

    fn work_views(&self, shared: &Shared) -> Vec<WorkView> {
        let views = self.watch.work.iter().filter_map(|(at, windows)| {
            let (kind, name) = match at {
                WorkAt::Pool(pool) => ("pool", self.pool_name(*pool)),
                WorkAt::Tool(tool) => ("tool", self.tool_name(*tool)?),
            };
            Some(WorkView {
                kind,
                name,
                minute: windows.over(self.now, Window::Minute).percentiles(),
                hour: windows.over(self.now, Window::Hour).percentiles(),
                is_slow: shared.slow_work.contains(at),
            })
        });
        views.collect()
    }

    fn reviewers_views(&self) -> Vec<ReviewersView> {
        let mut views: BTreeMap<(u32, u8), ReviewersView> = BTreeMap::new();
        let view = |(pool, class): (u32, u8)| ReviewersView {
            pool: self.desk.queue.name_of(pool).expect("pools are never removed").clone(),
            class,
            open: 0,
            claimed: 0,
            oldest: None,
            opened: 0,
            ended: 0,
            is_short: false,
        };
        for (id, item) in self.desk.queue.items() {
            let at = self.desk.queue.number_and_class(item);
            let view = views.entry(at).or_insert_with(|| view(at));
            *(if item.claim.is_some() { &mut view.claimed } else { &mut view.open }) += 1;
            let age = self.desk.since(id).map(|since| self.now.since(since));
            view.oldest = view.oldest.max(age);
        }
        for (at, turnover) in &self.watch.reviews {
            let view = views.entry(*at).or_insert_with(|| view(*at));
            let turnover = turnover.over(self.now, Window::Hour);
            (view.opened, view.ended) = (turnover.opened, turnover.ended);
            view.is_short = self.is_short_of_reviewers(*at);
        }
        views.into_values().collect()
    }

    /// What is unavoidable of a wait for a slot: one must be given back before it can be given on.
    fn unavoidable(&self, place: Place) -> Span {
        let Place::Slots { pool } = place else { return Span::ZERO };
        let slots = u64::from(self.directory.pools.list[pool as usize].slots.max(1));
        let work = self.work_in(pool);
        let mut gaps = Sketch::default();
        self.pools[pool as usize].watch.gaps.each(self.now, Window::Hour, |part| gaps.merge(part));
        // Where steps end one by one, and where many end at once.
        Span((work.percentile(950).0 / slots).max(gaps.percentile(950).0).saturating_mul(2))
    }

    /// What attempts in a pool may have taken in the last hour.
    fn work_in(&self, pool: u32) -> Sketch {
        let mut work = Sketch::default();
        for (at, windows) in &self.watch.work {
            if matches!(at, WorkAt::Pool(own) if *own == pool) || matches!(at, WorkAt::Tool(_)) {
                windows.each(self.now, Window::Hour, |part| work.merge(part));
            }
        }
        work
    }

    fn interference(&self) -> Vec<InterferenceView> {
        let found = self.watch.neighbours.find(|place| self.unavoidable(place));
        let view = |found: crate::reading::Interference| {
            let (at, place) = match found.place {
                Place::Slots { pool } => ("slots", Some(self.pool_name(pool))),
                Place::Limit { tool } => ("limit", self.tool_name(tool)),
                Place::Reviewers { pool } => {
                    ("reviewers", self.desk.queue.name_of(pool).map(ToString::to_string))
                }
                Place::Store => ("store", None),
            };
            let tenant = self.directory.tenants.get(TenantIx(found.tenant)).declared.id.clone();
            InterferenceView { tenant, at, place, found }
        };
        found.into_iter().take(INTERFERENCE_SHOWN).map(view).collect()
    }
}

/// No wait of an attempt below this makes a tenant slow.
const SLOW: Span = Span::from_millis(250);

/// What half of the values were below in the hour or the day, whichever is less.
fn usual(windows: &Windows<Sketch>, now: Time) -> Span {
    let over = |window| windows.over(now, window).percentile(500);
    over(Window::Hour).min(over(Window::Day))
}

/// `None` of no tenant.
fn spread(mut tenants: Vec<(Span, &TenantId)>) -> Option<Spread> {
    tenants.sort_unstable();
    let (highest, highest_of) = *tenants.last()?;
    Some(Spread {
        tenants: tenants.len() as u64,
        lowest: tenants[0].0,
        median: tenants[tenants.len() / 2].0,
        highest,
        highest_of: highest_of.clone(),
    })
}
