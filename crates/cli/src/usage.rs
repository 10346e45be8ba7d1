//! `fairlane calls` and `fairlane usage`: a tenant's calls of models, one by one and summed up.

use clap::Args;
use fairlane_api::Timestamp;
use fairlane_api::residency::Passed;
use fairlane_api::usage::{Call, CallStatus, Usage as Summed, Used};
use fairlane_api::view::Route;
use fairlane_client::{CallFilter, Period};

use crate::table::Table;
use crate::target::{ForTenant, Target};
use crate::{input, text};

/// List a tenant's calls of models, newest first: who served them, and what they cost
#[derive(Debug, Args)]
pub(crate) struct Calls {
    #[command(flatten)]
    of: ForTenant,
    /// Only calls that were made for this run
    #[arg(long)]
    run: Option<String>,
    /// Go on where the last list ended
    #[arg(long)]
    cursor: Option<String>,
    /// Most calls to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// Sum up what a tenant's calls of models used, by model, who served it and where
#[derive(Debug, Args)]
pub(crate) struct Usage {
    #[command(flatten)]
    of: ForTenant,
    /// Calls that began then or later: a day such as 2026-12-01 (in UTC), or a time; the beginning of the
    /// tenant's month if not given
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    from: Option<Timestamp>,
    /// Calls that began before; the end of the tenant's month if not given
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

impl Calls {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let Self { of, run, cursor, limit } = self;
        let filter = CallFilter { run, cursor, limit: Some(limit) };
        let page = client.calls(of.tenant()?, &filter).await?;
        printer.data(&page, |page| list(&page.items))?;
        if let Some(next) = page.next.as_ref().filter(|_| !printer.is_json()) {
            printer.note(&format!("There are older ones: --cursor {next}"));
        }
        Ok(())
    }
}

impl Usage {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let period = Period { from: self.from, until: self.until };
        let usage = target.client()?.usage(self.of.tenant()?, period).await?;
        target.printer().data(&usage, show)
    }
}

/// What every table of calls shows of one.
const CALL: [&str; 8] =
    ["MODEL", "SERVED BY", "DEGRADED", "STATUS", ">IN", ">CACHED", ">OUT", ">COST"];

fn cells(call: &Call) -> [String; CALL.len()] {
    [
        call.model.clone(),
        served_by(&call.served_by, &call.endpoint),
        text::or_dash(call.degraded.as_ref().map(text::word)),
        status(call).to_owned(),
        call.tokens.input.to_string(),
        call.tokens.cached.to_string(),
        call.tokens.output.to_string(),
        cost(call),
    ]
}

fn list(calls: &[Call]) -> String {
    let mut table = Table::new(&[&["BEGAN", "RUN", "STEP"][..], &CALL].concat());
    for call in calls {
        let step = call.step.as_ref().map(|step| match call.part {
            Some(part) => text::step(step, part),
            None => step.clone(),
        });
        let of = [text::time(call.began_at), text::or_dash(call.run.as_ref()), text::or_dash(step)];
        table.row([&of[..], &cells(call)].concat());
    }
    table.render()
}

/// The last calls of a run's steps, by step.
pub(crate) fn of_steps(calls: &[(String, Call)]) -> String {
    let mut table = Table::new(&[&["STEP"][..], &CALL].concat());
    for (step, call) in calls {
        table.row([&[step.clone()][..], &cells(call)].concat());
    }
    table.render()
}

/// Which way a call goes that is under way, in words.
pub(crate) fn route_words(route: &Route) -> String {
    let Route { model, endpoint, served_by, input_tokens, max_tokens, .. } = route;
    let at = place(route.region.as_ref(), route.adequate.as_ref());
    let degraded =
        route.degraded.map_or_else(String::new, |rung| format!(" ({})", text::word(&rung)));
    format!(
        "`{model}` as `{served_by}` at `{endpoint}`{at}{degraded}, {input_tokens} tokens in and at most \
         {max_tokens} out"
    )
}

/// What a call used that has ended, in words.
pub(crate) fn call_words(call: &Call) -> String {
    let Call { model, endpoint, served_by, tokens, .. } = call;
    let at = place(call.region.as_ref(), call.adequate.as_ref());
    let degraded =
        call.degraded.map_or_else(String::new, |rung| format!(" ({})", text::word(&rung)));
    let certain = if call.certain { "" } else { " that nobody has confirmed" };
    format!(
        "`{model}` as `{served_by}` at `{endpoint}`{at}{degraded}, {} tokens in and {} out, for {}{certain}",
        tokens.input, tokens.output, call.cost
    )
}

/// Where an endpoint is, behind its name.
fn place(region: Option<&String>, adequate: Option<&String>) -> String {
    let rests = adequate.map_or_else(String::new, |of| format!(", by the adequacy of {of}"));
    region.map_or_else(String::new, |region| format!(" in {region}{rests}"))
}

/// The candidates that a call does not go to, each in a line of its own.
pub(crate) fn passed_lines(passed: &[Passed]) -> String {
    let line = |one: &Passed| {
        format!(
            "  not `{}` at `{}`: {} [{}]\n",
            one.served_by,
            one.endpoint,
            one.reason,
            text::word(&one.code)
        )
    };
    passed.iter().map(line).collect()
}

fn served_by(model: &str, endpoint: &str) -> String {
    format!("{model} at {endpoint}")
}

const fn status(call: &Call) -> &'static str {
    match call.status {
        CallStatus::Open => "open",
        CallStatus::Ended if call.certain => "ended",
        CallStatus::Ended => "uncertain",
    }
}

/// What it cost, or what is held for it.
fn cost(call: &Call) -> String {
    match &call.held {
        Some(held) => format!("{held} held"),
        None => call.cost.to_string(),
    }
}

fn show(usage: &Summed) -> String {
    let mut table = Table::new(&[
        "MODEL",
        "SERVED BY",
        "REGION",
        ">CALLS",
        ">IN",
        ">CACHED",
        ">OUT",
        ">COST",
        ">UNCERTAIN",
    ]);
    let mut row = |model: &str, [served, region]: [String; 2], used: &Used| {
        table.row([
            model.to_owned(),
            served,
            region,
            used.calls.to_string(),
            used.tokens.input.to_string(),
            used.tokens.cached.to_string(),
            used.tokens.output.to_string(),
            used.cost.to_string(),
            used.uncertain.to_string(),
        ]);
    };
    for of in &usage.models {
        let served = served_by(&of.served_by, &of.endpoint);
        row(&of.model, [served, text::or_dash(of.region.as_ref())], &of.used);
    }
    row("total", [String::new(), String::new()], &usage.total);
    let (from, until) = (text::time(usage.starts_at), text::time(usage.ends_at));
    format!("calls that began from {from} until {until}\n\n{}", table.render())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_has_a_line_for_each_model_and_one_for_all() {
        let used = json!({
            "calls": 2, "tokens": { "input": 240, "cached": 20, "output": 60 },
            "cost": "0.000342", "uncertain": "0.00",
        });
        let usage: Summed = serde_json::from_value(json!({
            "starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z", "total": used,
            "models": [{ "model": "reasoner", "endpoint": "eu", "served_by": "large",
                         "region": "eu-west-1", "used": used }],
        }))
        .unwrap();
        expect![[r"
            calls that began from 2026-11-01T00:00:00Z until 2026-12-01T00:00:00Z

            MODEL     SERVED BY    REGION     CALLS   IN  CACHED  OUT      COST  UNCERTAIN
            reasoner  large at eu  eu-west-1      2  240      20   60  0.000342       0.00
            total                                 2  240      20   60  0.000342       0.00
        "]]
        .assert_eq(&show(&usage));
    }

    #[test]
    fn a_call_says_for_what_it_was_and_what_it_cost_or_holds() {
        let ended = json!({
            "id": "7", "run": "0190a", "step": "check", "part": { "item": 4 }, "attempt": 1,
            "model": "reasoner", "endpoint": "eu", "served_by": "small", "status": "ended",
            "degraded": "cheaper_model", "began_at": "2026-11-01T09:30:00Z",
            "ended_at": "2026-11-01T09:30:01Z", "certain": false, "cost": "0.01",
            "tokens": { "input": 120, "cached": 20, "output": 30 },
        });
        let mut open = ended.clone();
        for field in ["run", "step", "part", "attempt", "degraded", "ended_at"] {
            open.as_object_mut().unwrap().remove(field);
        }
        open["status"] = json!("open");
        open["held"] = json!("0.05");
        let calls: Vec<Call> = serde_json::from_value(json!([ended, open])).unwrap();
        expect![[r"
            BEGAN                 RUN    STEP      MODEL     SERVED BY    DEGRADED       STATUS      IN  CACHED  OUT       COST
            2026-11-01T09:30:00Z  0190a  check[4]  reasoner  small at eu  cheaper_model  uncertain  120      20   30       0.01
            2026-11-01T09:30:00Z  -      -         reasoner  small at eu  -              open       120      20   30  0.05 held
        "]]
        .assert_eq(&list(&calls));
    }
}
