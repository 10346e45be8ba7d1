//! One tool: the provider's rules and counts, those of its tenants, and the line of those that wait for the provider.

use std::collections::{BTreeMap, BTreeSet};

use crate::quota::{Rule, Unit};
use crate::time::Time;

use super::Units;
use super::circuit::Switch;
use super::count::{Short, Stand, Use, longer};
use super::line::Line;
use super::waits::{PACE, WAKES_MAX};

#[derive(Debug, Default)]
pub(super) struct Tool {
    /// The provider's, one for each label.
    pub(super) rules: Vec<Rule>,
    /// Counted for the provider.
    pub(super) all: Use,
    /// Counted for tenants.
    pub(super) uses: BTreeMap<u32, Use>,
    pub(super) line: Line,
    /// Those that asked for more than the provider's rules ever let pass at once.
    pub(super) stuck: BTreeSet<u32>,
    /// Whether its provider is called at all.
    pub(super) switch: Switch,
    /// When the line is to be looked at next.
    pub(super) next: Option<Time>,
    /// The batch under way: when it began, and how many were called in it.
    batch: (Time, usize),
}

/// What comes of the next one in the line.
#[derive(Debug)]
pub(super) enum Turn {
    Call(u32),
    /// It asks for more than will ever pass.
    Refuse(u32),
    Wait(Option<Time>),
}

impl Tool {
    pub(super) fn set_rules(&mut self, rules: Vec<Rule>) {
        let has_tokens = rules.iter().any(|rule| rule.unit() == Some(Unit::Tokens));
        self.line.set_unit(if has_tokens { Unit::Tokens } else { Unit::Calls });
        self.rules = rules;
    }

    /// Nothing can be in the way of a call.
    pub(super) fn is_free(&self) -> bool {
        self.rules.is_empty() && self.switch.is_closed()
    }

    /// What of the provider's is in the way of so many units of the tenant's.
    pub(super) fn short(&self, now: Time, tenant: u32, units: Units) -> Option<Short> {
        let kept = self.line.kept_from(Some(tenant));
        let shut = self.switch.short(now, kept);
        let rule = self.all.short(now, self.rules.iter().cloned(), units, kept);
        shut.into_iter().chain(rule).reduce(longer)
    }

    /// There is room, but others are next: the first rule stands for the provider.
    pub(super) fn others_first(&self, now: Time) -> Short {
        if let Some(short) = self.switch.in_trial() {
            return short;
        }
        let rule = self.rules.first().expect("nobody waits for a provider without rules");
        let Stand { used, of, .. } = self.all.stand(now, rule);
        Short { rule: rule.label().into(), used, of, opens: None, is_never: false }
    }

    /// Whether a take of the tenant would have to wait for others, had it room.
    pub(super) fn has_others_first(&self, tenant: u32) -> bool {
        let is_called = self.line.called_units(tenant).is_some();
        let is_next = is_called || self.line.first().is_none_or(|first| first == tenant);
        !self.is_free() && !is_next
    }

    pub(super) fn turn(&self, now: Time) -> Turn {
        let Some((tenant, units)) = self.line.next() else { return Turn::Wait(None) };
        match self.short(now, tenant, units) {
            None if self.left_in_batch(now) == 0 => Turn::Wait(Some(self.batch.0 + PACE)),
            None => Turn::Call(tenant),
            Some(short) if short.is_never => Turn::Refuse(tenant),
            Some(short) => Turn::Wait(short.opens),
        }
    }

    /// When the line is to be looked at again.
    pub(super) fn next_turn(&self, now: Time) -> Option<Time> {
        let turn = match self.turn(now) {
            Turn::Call(_) | Turn::Refuse(_) => Some(now),
            Turn::Wait(until) => until,
        };
        turn.into_iter().chain(self.line.due()).min()
    }

    pub(super) fn note_call(&mut self, now: Time) {
        if now >= self.batch.0 + PACE {
            self.batch = (now, 0);
        }
        self.batch.1 = self.batch.1.saturating_add(1);
    }

    /// How many may still be called now. Only a window lets many pass in one moment.
    fn left_in_batch(&self, now: Time) -> usize {
        let has_window = self.rules.iter().any(|rule| matches!(rule, Rule::Window { .. }));
        let is_over = now >= self.batch.0 + PACE;
        if !has_window || is_over { WAKES_MAX } else { WAKES_MAX.saturating_sub(self.batch.1) }
    }
}
