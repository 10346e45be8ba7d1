//! Recorded arrivals as a CSV file: what `fairlane export-arrivals` writes and `fairlane simulate` plays.
//!
//! A row is a run. Its first columns are those that `fairlane replay` takes too: `tenant`, `arrival_ms`, `service_ms` and
//! `org`. The last one, `steps`, says what each step took, in milliseconds with up to three decimals, separated by spaces:
//!
//! | a step | means |
//! |---|---|
//! | `verify=5000` | its attempt held a slot for five seconds and succeeded |
//! | `verify=!1200+5000` | an attempt before that failed |
//! | `verify=!1200` | it failed |
//! | `verify=x1200` | it was called off |
//! | `think=900@500/200` | a call of a model, with the tokens that went in and came out |
//! | `ask=~60000` | it waited, without a slot |
//! | `check=-` | it was skipped |
//! | `each=*3 each[0]=10 each[1]=10 each[2]=10` | it was mapped over three items |
//! | `verify[undo]=100` | what undid it |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use csv::StringRecord;
use fairlane_core::row::{Lane, Part, RunStatus};
use fairlane_core::time::Span;

use crate::exit::Usage;

/// Runs of one file: as many as a scenario plays.
const RUNS_MAX: usize = 1_000_000;
const COLUMNS: [&str; 13] = [
    "tenant",
    "arrival_ms",
    "service_ms",
    "org",
    "run",
    "parent",
    "workflow",
    "version",
    "lane",
    "outcome",
    "latency_ms",
    "spent",
    "steps",
];

/// A run as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) tenant: String,
    pub(crate) org: String,
    /// After the beginning.
    pub(crate) at: Span,
    /// Its number in the file, from 1.
    pub(crate) run: u32,
    /// The run and the step that called it.
    pub(crate) parent: Option<(u32, Place)>,
    pub(crate) workflow: String,
    pub(crate) version: u32,
    pub(crate) lane: Lane,
    pub(crate) outcome: RunStatus,
    /// From its arrival to its end.
    pub(crate) latency: Span,
    /// For people: nothing is computed with it.
    pub(crate) spent: String,
    pub(crate) steps: BTreeMap<Place, Taken>,
}

/// An instance of a step, by the step's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) step: String,
    pub(crate) part: Part,
}

/// What became of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Skipped,
    /// Items of a map.
    Mapped(u32),
    /// Without a slot: a wait, a review, a child.
    Waited {
        took: Span,
        end: End,
    },
    /// With a slot, attempt by attempt: how long each took. All but the last have failed.
    Worked {
        attempts: Vec<Span>,
        end: End,
        tokens: Option<(u32, u32)>,
    },
}

/// How an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Failed,
    /// Called off.
    Cut,
}

impl Recorded {
    /// Slot time of all its attempts.
    pub(crate) fn service(&self) -> Span {
        let worked = self.steps.values().map(|taken| match taken {
            Taken::Worked { attempts, .. } => attempts.iter().map(|span| span.0).sum(),
            _ => 0,
        });
        Span(worked.sum())
    }

    /// When it was cancelled, after its arrival, if it was.
    pub(crate) fn cancelled(&self) -> Option<Span> {
        (self.outcome == RunStatus::Cancelled).then_some(self.latency)
    }
}

/// The file's text; the runs are in order of their arrival.
pub(crate) fn write(runs: &[Recorded]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for run in runs {
        let parent = run.parent.as_ref().map(|(run, place)| format!("{run}/{}", place.text()));
        let steps: Vec<String> = run
            .steps
            .iter()
            .map(|(place, taken)| format!("{}={}", place.text(), taken.text()))
            .collect();
        writer.write_record([
            run.tenant.as_str(),
            &millis(run.at),
            &millis(run.service()),
            &run.org,
            &run.run.to_string(),
            &parent.unwrap_or_default(),
            &run.workflow,
            &run.version.to_string(),
            lane_word(run.lane),
            outcome_word(run.outcome),
            &millis(run.latency),
            &run.spent,
            &steps.join(" "),
        ])?;
    }
    writer.into_inner().context("cannot write to memory")
}

/// Reads a file that `write` has written.
///
/// # Errors
/// With the line, if it is not such a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Recorded>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_path(path).with_context(cannot)?;
    let wrong = |line: u64, error: &str| {
        anyhow::Error::from(Usage(format!("{}, line {line}: {error}", path.display())))
    };
    let head = reader.headers().with_context(cannot)?.clone();
    let columns = Columns::find(&head).map_err(|error| wrong(1, &error))?;
    let mut runs: Vec<Recorded> = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut record = StringRecord::new();
    loop {
        let line = reader.position().line();
        if !reader.read_record(&mut record).with_context(cannot)? {
            break;
        }
        let line = record.position().map_or(line, csv::Position::line);
        let run = columns.row(&record).map_err(|error| wrong(line, &error))?;
        if let Some(last) = runs.last().filter(|last| last.at > run.at) {
            let (is, was) = (millis(run.at), millis(last.at));
            let error = format!(
                "arrival_ms is {is}, earlier than {was} in the row before: sort the file by arrival_ms"
            );
            return Err(wrong(line, &error));
        }
        if numbers.insert(run.run, line).is_some() {
            return Err(wrong(line, &format!("run is {}, as in a row before", run.run)));
        }
        if runs.len() == RUNS_MAX {
            return Err(wrong(line, &format!("more than {RUNS_MAX} runs")));
        }
        runs.push(run);
    }
    if runs.is_empty() {
        return Err(wrong(1, "no arrivals follow"));
    }
    Ok(runs)
}

/// Where the columns stand.
struct Columns([usize; COLUMNS.len()]);

impl Columns {
    fn find(head: &StringRecord) -> Result<Self, String> {
        let mut places = [0; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            *place = head.iter().position(|column| column == name).ok_or_else(|| {
                let found: Vec<&str> = head.iter().collect();
                format!("the first line has no column {name:?}, only {}", found.join(", "))
            })?;
        }
        Ok(Self(places))
    }

    fn row(&self, record: &StringRecord) -> Result<Recorded, String> {
        let cell = |name: &str| {
            let at = COLUMNS.iter().position(|column| *column == name).unwrap_or_default();
            record.get(self.0[at]).ok_or_else(|| format!("the row ends before its {name}"))
        };
        let time = |name: &str| {
            let text = cell(name)?;
            span(text)
                .ok_or_else(|| format!("{name} is {text:?}: expected milliseconds, 0 or more"))
        };
        let number = |name: &str| {
            let text = cell(name)?;
            let number = text.parse::<u32>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("{name} is {text:?}: expected a number from 1 on"))
        };
        let parent = cell("parent")?;
        let steps = cell("steps")?;
        let (lane, outcome) = (cell("lane")?, cell("outcome")?);
        Ok(Recorded {
            tenant: cell("tenant")?.to_owned(),
            org: cell("org")?.to_owned(),
            at: time("arrival_ms")?,
            run: number("run")?,
            parent: if parent.is_empty() { None } else { Some(caller(parent)?) },
            workflow: cell("workflow")?.to_owned(),
            version: number("version")?,
            lane: LANES.into_iter().find(|one| lane_word(*one) == lane).ok_or_else(|| {
                format!("lane is {lane:?}: expected urgent, normal or background")
            })?,
            outcome: OUTCOMES.into_iter().find(|one| outcome_word(*one) == outcome).ok_or_else(
                || format!("outcome is {outcome:?}: expected completed, failed or cancelled"),
            )?,
            latency: time("latency_ms")?,
            spent: cell("spent")?.to_owned(),
            steps: steps.split_whitespace().map(step).collect::<Result<_, _>>()?,
        })
    }
}

const LANES: [Lane; 3] = [Lane::Urgent, Lane::Normal, Lane::Background];
const OUTCOMES: [RunStatus; 3] = [RunStatus::Completed, RunStatus::Failed, RunStatus::Cancelled];

const fn lane_word(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Normal => "normal",
        Lane::Background => "background",
    }
}

const fn outcome_word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        _ => "cancelled",
    }
}

fn caller(text: &str) -> Result<(u32, Place), String> {
    let wrong =
        || format!("parent is {text:?}: expected the number of a run and a step, such as 7/score");
    let (run, place) = text.split_once('/').ok_or_else(wrong)?;
    Ok((run.parse().map_err(|_| wrong())?, Place::read(place).ok_or_else(wrong)?))
}

fn step(text: &str) -> Result<(Place, Taken), String> {
    let read = || {
        let (place, taken) = text.split_once('=')?;
        Some((Place::read(place)?, Taken::read(taken)?))
    };
    read().ok_or_else(|| {
        format!(
            "steps has {text:?}: expected a step and what it took, such as verify=5000, verify=!1200+5000, verify=- or ask=~60000"
        )
    })
}

impl Place {
    fn text(&self) -> String {
        match self.part {
            Part::Whole => self.step.clone(),
            Part::Item(at) => format!("{}[{at}]", self.step),
            Part::Compensation => format!("{}[undo]", self.step),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (step, part) = match text.split_once('[') {
            None => (text, Part::Whole),
            Some((step, rest)) => match rest.strip_suffix(']')? {
                "undo" => (step, Part::Compensation),
                item => (step, Part::Item(item.parse().ok()?)),
            },
        };
        (!step.is_empty()).then(|| Self { step: step.to_owned(), part })
    }
}

impl Taken {
    fn text(&self) -> String {
        match self {
            Self::Skipped => "-".to_owned(),
            Self::Mapped(items) => format!("*{items}"),
            Self::Waited { took, end } => format!("{}~{}", end.mark(), millis(*took)),
            Self::Worked { attempts, end, tokens } => {
                let mut text = String::new();
                for (at, took) in attempts.iter().enumerate() {
                    let is_last = at + 1 == attempts.len();
                    let mark = if is_last { end.mark() } else { End::Failed.mark() };
                    let plus = if at == 0 { "" } else { "+" };
                    let _ = write!(text, "{plus}{mark}{}", millis(*took));
                }
                if let Some((input, output)) = tokens {
                    let _ = write!(text, "@{input}/{output}");
                }
                text
            }
        }
    }

    fn read(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self::Skipped);
        }
        if let Some(items) = text.strip_prefix('*') {
            return Some(Self::Mapped(items.parse().ok()?));
        }
        let (end, rest) = End::read(text);
        if let Some(took) = rest.strip_prefix('~') {
            return Some(Self::Waited { took: span(took)?, end });
        }
        let (attempts, tokens) = match text.split_once('@') {
            None => (text, None),
            Some((attempts, tokens)) => {
                let (input, output) = tokens.split_once('/')?;
                (attempts, Some((input.parse().ok()?, output.parse().ok()?)))
            }
        };
        let mut spans = Vec::new();
        let mut last = End::Failed;
        for attempt in attempts.split('+') {
            // Only one that has failed is followed by another.
            if last != End::Failed {
                return None;
            }
            let (end, took) = End::read(attempt);
            spans.push(span(took)?);
            last = end;
        }
        Some(Self::Worked { attempts: spans, end: last, tokens })
    }
}

impl End {
    const fn mark(self) -> &'static str {
        match self {
            Self::Done => "",
            Self::Failed => "!",
            Self::Cut => "x",
        }
    }

    fn read(text: &str) -> (Self, &str) {
        match (text.strip_prefix('!'), text.strip_prefix('x')) {
            (Some(rest), _) => (Self::Failed, rest),
            (None, Some(rest)) => (Self::Cut, rest),
            (None, None) => (Self::Done, text),
        }
    }
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(span: Span) -> String {
    let (whole, rest) = (span.0 / 1_000, span.0 % 1_000);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').to_owned()
}

fn span(text: &str) -> Option<Span> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || rest.len() > 3 || !is_digits(whole) || !is_digits(rest) {
        return None;
    }
    let rest: u64 = format!("{rest:0<3}").parse().ok()?;
    let micros = whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(rest)?;
    Some(Span(micros)).filter(|span| *span <= Span::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(steps: &str) -> Recorded {
        Recorded {
            tenant: "a".to_owned(),
            org: "o".to_owned(),
            at: Span(1_500),
            run: 7,
            parent: Some((3, Place::read("score[2]").unwrap())),
            workflow: "w".to_owned(),
            version: 2,
            lane: Lane::Urgent,
            outcome: RunStatus::Failed,
            latency: Span(9_000_001),
            spent: "0.05".to_owned(),
            steps: steps.split_whitespace().map(|text| step(text).unwrap()).collect(),
        }
    }

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read_again_to_the_microsecond() {
        let run = recorded(
            "a=!1200+5000.001 b=!0.5 c=x10 d=900@500/200 e=~60000 f=!~3 g=- h=*2 h[0]=1 h[1]=x~2 a[undo]=7",
        );
        assert_eq!(
            run.service(),
            Span(1_200_000 + 5_000_001 + 500 + 10_000 + 900_000 + 1_000 + 7_000)
        );
        let file = file(&write(std::slice::from_ref(&run)).unwrap());
        assert_eq!(read(file.path()).unwrap(), [run]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_by_its_line() {
        let good = String::from_utf8(write(&[recorded("a=1")]).unwrap()).unwrap();
        let with = |from: &str, to: &str| {
            let file = file(good.replace(from, to).as_bytes());
            read(file.path()).unwrap_err().to_string()
        };
        for (from, to, expected) in [
            ("a=1", "a=soon", "line 2: steps has \"a=soon\": expected a step and what it took"),
            ("a=1", "a=1+2", "line 2: steps has \"a=1+2\""),
            ("a=1", "=1", "line 2: steps has \"=1\""),
            ("a,1.5,", "a,-1,", "line 2: arrival_ms is \"-1\": expected milliseconds"),
            (",7,3/", ",0,3/", "line 2: run is \"0\": expected a number from 1 on"),
            ("3/score[2]", "score", "line 2: parent is \"score\""),
            ("urgent", "fast", "line 2: lane is \"fast\": expected urgent, normal or background"),
            ("failed", "running", "line 2: outcome is \"running\""),
            (",steps", ",step", "line 1: the first line has no column \"steps\""),
        ] {
            let found = with(from, to);
            assert!(found.contains(expected), "{from} {to}: {found}");
        }
        let (head, row) = good.split_once('\n').unwrap();
        let twice = file(format!("{head}\n{row}{row}").as_bytes());
        assert!(
            read(twice.path()).unwrap_err().to_string().contains("line 3: run is 7, as in a row")
        );
        let back = file(
            format!("{head}\n{row}{}", row.replace("1.5", "1").replace(",7,", ",8,")).as_bytes(),
        );
        assert!(
            read(back.path()).unwrap_err().to_string().contains("line 3: arrival_ms is 1, earlier")
        );
        let empty = file(format!("{head}\n").as_bytes());
        assert!(read(empty.path()).unwrap_err().to_string().contains("no arrivals follow"));
    }
}
