//! Measured numbers beside the targets of the design.

use std::fmt::Write;

use serde::Serialize;

use crate::measure;
use crate::table::Table;

/// One number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<f64>,
    /// How many times as good as the target: 1 and above is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Nanoseconds,
    Bytes,
    Times,
}

impl Unit {
    /// Whether more is better.
    const fn rises(self) -> bool {
        matches!(self, Self::PerSecond)
    }

    fn show(self, value: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts, times and sizes that were measured"
        )]
        let whole = value.round().max(0.0) as u64;
        match self {
            Self::PerSecond => format!("{}/s", measure::count(whole)),
            Self::Microseconds => measure::micros(whole),
            Self::Nanoseconds => format!("{} ns", measure::count(whole)),
            Self::Bytes => measure::bytes(whole),
            Self::Times => format!("{value:.2} x"),
        }
    }
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { what: what.into(), value, unit, target: None, ratio: None }
    }

    /// A number for which the design has a target.
    pub(crate) fn with_target(
        what: impl Into<String>,
        value: f64,
        unit: Unit,
        target: f64,
    ) -> Self {
        let ratio = if unit.rises() { value / target } else { target / value };
        let ratio = Some(ratio).filter(|ratio| ratio.is_finite());
        Self { target: Some(target), ratio, ..Self::new(what, value, unit) }
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub(crate) fn micros(what: impl Into<String>, value: u64) -> Self {
        Self::new(what, value as f64, Unit::Microseconds)
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub(crate) fn micros_with_target(what: impl Into<String>, value: u64, target: u64) -> Self {
        Self::with_target(what, value as f64, Unit::Microseconds, target as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub(crate) fn bytes_with_target(what: impl Into<String>, value: u64, target: u64) -> Self {
        Self::with_target(what, value as f64, Unit::Bytes, target as f64)
    }
}

/// One part of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// How it was measured, in a sentence.
    pub(crate) method: String,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) processors: usize,
    pub(crate) folder: String,
    pub(crate) parts: Vec<Part>,
}

impl Report {
    /// For people.
    pub(crate) fn render(&self) -> String {
        let mut table = Table::new(&["MEASURED", ">VALUE", ">TARGET", ">RATIO"]);
        for part in &self.parts {
            table.row([format!("[{}]", part.name), String::new(), String::new(), String::new()]);
            for line in &part.lines {
                let target = line.target.map_or_else(String::new, |target| line.unit.show(target));
                let ratio = line.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
                table.row([format!("  {}", line.what), line.unit.show(line.value), target, ratio]);
            }
        }
        let mut text = table.render();
        text.push_str(
            "\nRATIO: how many times as good as the target of the design; 1 and above is met.\n",
        );
        let _ = writeln!(text, "{} processors, stores in {}.", self.processors, self.folder);
        for part in &self.parts {
            let _ = writeln!(text, "{}: {}.", part.name, part.method);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_than_the_target_either_way() {
        let faster = Line::with_target("runs", 6_000.0, Unit::PerSecond, 5_000.0);
        assert_eq!(faster.ratio, Some(1.2));
        assert_eq!(Line::micros_with_target("p50", 2_000, 3_000).ratio, Some(1.5));
        assert_eq!(Unit::Bytes.show(31.0 * 1024.0 * 1024.0), "31.0 MiB");
    }
}
