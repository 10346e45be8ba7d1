//! Providers that are left alone: what reports say of them, and what the decision log says of it.

use crate::id::ToolName;
use crate::limiter::{Answer, Circuit, Taken};
use crate::time::Span;

use super::{Cell, Turn};

/// Longest that a provider is left alone at its wish.
const RETRY_AFTER_MAX: Span = Span::from_secs(24 * 3_600);
/// What it must say at least, so that "now" does not let everybody in.
const RETRY_AFTER_MIN: Span = Span::from_millis(1);

impl Cell {
    /// How the provider answered an attempt that failed. `retry_after` and `is_provider_down` as in
    /// [`Outcome::Failed`](super::input::Outcome::Failed). One that was to stop may have failed for that.
    pub(crate) fn answer_of_failure(
        &self,
        retry_after: Option<Span>,
        is_provider_down: bool,
        is_revoked: bool,
    ) -> Answer {
        match retry_after {
            Some(span) => {
                let span = span.max(RETRY_AFTER_MIN).min(RETRY_AFTER_MAX);
                Answer::TurnedAway { until: self.now + span }
            }
            None if is_provider_down => Answer::Broken,
            None if is_revoked => Answer::Unknown,
            None => Answer::Served,
        }
    }

    /// The call is over, and used so many tokens, if that is known; a circuit that changes by it is in the log.
    pub(crate) fn end_call(
        &mut self,
        taken: &Taken,
        (answer, tokens): (Answer, Option<u64>),
        turn: &mut Turn,
    ) {
        let before = self.limiter.circuit(self.now, taken.tool());
        self.limiter.finish(self.now, taken, answer, tokens);
        self.log_circuit(taken.tool(), before, turn);
    }

    pub(crate) fn circuit(&self, tool: &ToolName) -> Circuit {
        let number = self.directory.tool_number(tool);
        number.map_or(Circuit::Closed, |number| self.limiter.circuit(self.now, number))
    }

    /// Says in the log how the circuit of the numbered tool has changed, if it has.
    pub(crate) fn log_circuit(&mut self, tool: u32, before: Circuit, turn: &mut Turn) {
        let after = self.limiter.circuit(self.now, tool);
        let tool = self.directory.tool_name(tool).as_str();
        let (code, facts) = match (before, after) {
            (_, Circuit::Open { until, why }) if before != after => {
                let facts = serde_json::json!({ "tool": tool, "until": until, "why": why });
                ("tool-shut", facts)
            }
            (Circuit::Open { why, .. } | Circuit::HalfOpen { why }, Circuit::Closed) => {
                ("tool-open", serde_json::json!({ "tool": tool, "why": why }))
            }
            _ => return,
        };
        self.decide(None, code, facts.to_string(), turn);
    }
}
