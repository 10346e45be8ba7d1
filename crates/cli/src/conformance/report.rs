//! What came of it, operation by operation.

use std::fmt::Write as _;

use serde::Serialize;

use super::made::Left;
use super::timing::Timing;
use super::wire::Answer;
use crate::table::Table;

/// The whole result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) passed: bool,
    pub(super) operations: Vec<Row>,
    /// Requests in all.
    pub(super) requests: usize,
    /// Absent if it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timing: Option<Power>,
    /// What of A's reads otherwise after others have asked. There must be none.
    pub(super) changed: Vec<String>,
    pub(super) attempts: Attempts,
    pub(super) left: Left,
}

/// How often one tenant has named another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Attempts {
    pub(super) made: u64,
    /// What the server's readings say. Absent: it does not count.
    pub(super) counted: Option<u64>,
}

/// One operation.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) operation: String,
    pub(super) verdict: Verdict,
    pub(super) probes: usize,
    pub(super) requests: usize,
    /// Parameters of its query or headers that no case tries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) untried: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) timings: Vec<Timed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// What is another tenant's is answered as what does not exist.
    Alike,
    /// It is not.
    Differs,
    /// The server has the operation and the suite has no case for it.
    NotCovered,
    /// The suite has a case for it and the server does not have it.
    Gone,
    /// Its own tenant is answered as nobody: the requests prove nothing.
    ProvesNothing,
}

/// Two answers that can be told apart, or one that has what it must not.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// Who asked for what.
    pub(super) probe: String,
    pub(super) request: String,
    pub(super) difference: String,
    /// As it came, but with what was asked for replaced by `{asked}`.
    pub(super) foreign: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<Answer>,
}

/// How long one pair of requests took.
#[derive(Debug, Serialize)]
pub(super) struct Timed {
    pub(super) probe: String,
    #[serde(flatten)]
    pub(super) timing: Timing,
}

/// How large a difference of time could have been found.
#[derive(Debug, Serialize)]
pub(super) struct Power {
    pub(super) samples: usize,
    pub(super) comparisons: usize,
    /// In half of the comparisons.
    pub(super) detectable_us_median: Option<u64>,
    /// In the least certain of them; absent if in some nothing could have been found.
    pub(super) detectable_us_max: Option<u64>,
}

impl Power {
    pub(super) fn of(rows: &[Row], samples: usize) -> Self {
        let all = rows.iter().flat_map(|row| &row.timings).map(|timed| timed.timing.detectable_us);
        // What could not be found at all comes last.
        let mut all: Vec<u64> = all.map(|found| found.unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        let found = |at: Option<&u64>| at.copied().filter(|one| *one < u64::MAX);
        Self {
            samples,
            comparisons: all.len(),
            detectable_us_median: found(all.get(all.len() / 2)),
            detectable_us_max: found(all.last()),
        }
    }
}

impl Attempts {
    pub(super) fn are_counted(self) -> bool {
        self.counted == Some(self.made)
    }
}

impl Verdict {
    const fn words(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Differs => "DIFFERS",
            Self::NotCovered => "NOT COVERED",
            Self::Gone => "GONE",
            Self::ProvesNothing => "PROVES NOTHING",
        }
    }
}

impl Report {
    /// How many operations are not as they have to be.
    pub(super) fn bad(&self) -> usize {
        self.operations.iter().filter(|row| row.verdict != Verdict::Alike).count()
    }

    pub(super) fn render(&self) -> String {
        let mut table = Table::new(&["OPERATION", ">PROBES", ">REQUESTS", "VERDICT"]);
        for row in &self.operations {
            table.row([
                row.operation.clone(),
                row.probes.to_string(),
                row.requests.to_string(),
                match &row.untried[..] {
                    [] => row.verdict.words().to_owned(),
                    names => format!("{}: {}", row.verdict.words(), names.join(", ")),
                },
            ]);
        }
        let mut text = table.render();
        for row in &self.operations {
            for finding in &row.findings {
                finding.write(&row.operation, &mut text);
            }
        }
        text.push('\n');
        for target in &self.changed {
            let _ = writeln!(text, "CHANGED by what others asked: {target}");
        }
        text.push_str(&self.time());
        let Attempts { made, counted } = self.attempts;
        let counted = counted.map_or("none".to_owned(), |counted| counted.to_string());
        let _ = writeln!(
            text,
            "The server has counted {counted} of {made} requests of a tenant that named another one."
        );
        let alike = self.operations.len() - self.bad();
        let _ = writeln!(
            text,
            "{alike} of {} operations give nothing away, by {} requests.",
            self.operations.len(),
            self.requests
        );
        text
    }

    fn time(&self) -> String {
        let Some(power) = &self.timing else { return "Time was not looked at.\n".to_owned() };
        let shown =
            |found: Option<u64>| found.map_or("nothing".to_owned(), |us| format!("{us} us"));
        format!(
            "Time: {} comparisons of 2 x {} answers. A difference of {} would have been found in half of them, \
             of {} in all.\n",
            power.comparisons,
            power.samples,
            shown(power.detectable_us_median),
            shown(power.detectable_us_max),
        )
    }
}

impl Finding {
    fn write(&self, operation: &str, text: &mut String) {
        let Self { probe, request, difference, foreign, missing } = self;
        let _ = write!(text, "\n{operation}: {probe}: {difference}\n  {request}\n");
        let mut show = |title: &str, answer: &Answer| {
            let Answer { status, headers, body } = answer;
            let headers: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let _ =
                writeln!(text, "  {title:<8} {status}  {}\n           {body}", headers.join(", "));
        };
        show("foreign", foreign);
        if let Some(missing) = missing {
            show("missing", missing);
        }
    }
}
