//! The report as one page: pictures and tables in a file that needs no network, no script and nothing beside it.

use std::cmp::Reverse;
use std::fmt::Write as _;

use fairlane_core::time::Span;
use fairlane_workflow::show_span;

use super::gains::{self, Effect};
use super::groups::{self, Group};
use super::{Play, Report, reviews, span};
use crate::text;

/// Groups with a colour of their own: those with most runs. The rest are one more.
const COLOURED: usize = 7;
/// Rows of the table.
const ROWS_MAX: usize = 400;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 200.0;
/// Room for the numbers beside and below.
const LEFT: f64 = 56.0;
const BELOW: f64 = 24.0;
const ABOVE: f64 = 8.0;
const TICKS: u32 = 4;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5d6470; --line: #dfe2e7; --paper: #ffffff; --late: #b3261e;
  --c0: #2f6fd0; --c1: #d2622a; --c2: #23875a; --c3: #8257c2; --c4: #a98100; --c5: #bd4174; --c6: #2b8aa0; --c7: #8b919c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a2a9b4; --line: #34383f; --paper: #16181c; --late: #f2867e;
  --c0: #6ea1f0; --c1: #ee8f5c; --c2: #55b98a; --c3: #ab8be0; --c4: #d0ad3d; --c5: #e57ba5; --c6: #62b6ca; --c7: #7d838d; } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; } h3 { font-size: .9rem; font-weight: 600; margin: 0; }
p { color: var(--soft); margin: .25rem 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; width: 100%; }
.wide { overflow-x: auto; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
td.late { color: var(--late); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1.5rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); } .series { fill: none; stroke-width: 2; stroke-linejoin: round; }
ul { list-style: none; padding: 0; margin: .5rem 0 0; display: flex; flex-wrap: wrap; gap: .25rem 1.2rem; font-size: .85rem; }
li i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem; vertical-align: -1px; }
";

/// The whole page.
pub(in crate::simulate) fn page(report: &Report) -> String {
    let title = escape(&report.scenario);
    let lasts = show_span(Span(report.lasts_us));
    let start = text::time(report.start);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n\
         <h1>{title}</h1>\n<p>{lasts} from {start}, by the scheduler, the limits and the budgets of the server.</p>\n"
    );
    table(&mut out, report);
    let coloured = coloured(report);
    let most = |of: fn(&Group) -> f64| {
        report.plays.iter().flat_map(|play| &play.groups).map(of).fold(0.0, f64::max)
    };
    let longest = most(|group| {
        float(group.latency_p95_us.iter().flatten().copied().max().unwrap_or_default())
    });
    let held = report.plays.iter().map(held_most).fold(1.0, f64::max);
    differences(&mut out, report);
    for play in &report.plays {
        let _ = write!(out, "<h2>{}</h2>\n<div class=\"plots\">\n", escape(&play.name));
        out.push_str("<figure style=\"margin:0\"><h3>Slots held</h3>\n");
        slots(&mut out, play, &coloured, (held, report.lasts_us));
        out.push_str(
            "</figure>\n<figure style=\"margin:0\"><h3>Latency p95, by time of submission</h3>\n",
        );
        latency(&mut out, play, &coloured, (longest.max(1.0), report.lasts_us));
        out.push_str("</figure>\n</div>\n");
        legend(&mut out, play, &coloured);
        tenants(&mut out, play);
    }
    out.push_str(
        "<p style=\"margin-top:2rem\">Wait: to the first attempt. Latency: to the end, of completed runs. Late: runs beyond their \
         tenant's target. SLA missed: tenants of which more were late than it lets be.</p>\n</body></html>\n",
    );
    out
}

/// Pools, and who gains and who loses in each play.
fn differences(out: &mut String, report: &Report) {
    out.push_str("<h2>Pools</h2>\n");
    rows(out, &["Pool", "Play", "Slots", "Used", "Full", "Jain"], report.pool_rows());
    out.push_str(
        "<p>Full: all slots held. Jain's index: over service / min(demand, entitlement) of the tenants that contend then; \
         1 is even.</p>\n",
    );
    for (heads, of) in [
        (reviews::DESKS, reviews::desks(&report.plays)),
        (reviews::WHOSE, reviews::whose(&report.plays)),
    ] {
        if !of.is_empty() {
            let _ = writeln!(out, "<h2>{}</h2>", capital(heads[0]));
            rows(out, &heads.map(capital).each_ref().map(|head| &**head), of);
            let _ = writeln!(out, "<p>{}</p>", reviews::WORDS);
        }
    }
    for difference in &report.differences {
        let words = difference.tenants.words("tenant", "tenants");
        let (play, to) = (escape(&difference.play), escape(&difference.to));
        let _ = write!(out, "<h2>{play}, beside {to}</h2>\n<p>{words}</p>\n");
        let moved = difference.tenants.moved().take(ROWS_MAX).map(Effect::cells);
        let heads = gains::HEADS.map(capital);
        rows(out, &heads.each_ref().map(|head| &**head), moved.collect());
    }
}

/// Each tenant by itself, those that wait longest first.
fn tenants(out: &mut String, play: &Play) {
    let mut all: Vec<_> = play.tenants.iter().collect();
    all.sort_by_key(|(id, tenant)| (Reverse(tenant.wait.p95_us), *id));
    let _ = writeln!(out, "<details><summary>{} tenants</summary>", all.len());
    let heads = [
        "Tenant",
        "Tier",
        "Runs",
        "Done",
        "Failed",
        "Live",
        "Wait p50",
        "p95",
        "Latency p50",
        "p95",
        "Late",
        "Slot time",
        "Share",
        "Spent",
        "Out of money",
    ];
    let cells = all.iter().take(ROWS_MAX).map(|(id, tenant)| {
        [
            (*id).clone(),
            tenant.tier.clone(),
            (tenant.runs + tenant.refused).to_string(),
            tenant.completed.to_string(),
            (tenant.failed + tenant.cancelled + tenant.refused).to_string(),
            tenant.live.to_string(),
            span(tenant.wait.p50_us),
            span(tenant.wait.p95_us),
            span(tenant.latency.p50_us),
            span(tenant.latency.p95_us),
            tenant.sla.map_or_else(|| "-".to_owned(), |sla| sla.late.to_string()),
            span(tenant.service_us),
            format!("{:.1} %", tenant.share * 100.0),
            tenant.spent.clone(),
            tenant.short_of_money.to_string(),
        ]
    });
    rows(out, &heads, cells.collect());
    if let Some(more @ 1..) = all.len().checked_sub(ROWS_MAX) {
        let _ =
            writeln!(out, "<p>and {more} tenants more, which wait no longer: --json has them</p>");
    }
    out.push_str("</details>\n");
}

/// A head of a table of text as one of the page.
fn capital(head: &str) -> String {
    let mut letters = head.trim_start_matches('>').chars();
    let first = letters.next().into_iter();
    let head = first.chain(letters.flat_map(char::to_lowercase)).collect::<String>();
    head.replace("Sla", "SLA")
}

fn rows<const N: usize>(out: &mut String, heads: &[&str; N], rows: Vec<[String; N]>) {
    if rows.is_empty() {
        return;
    }
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for head in heads {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn table(out: &mut String, report: &Report) {
    let rows: Vec<_> = groups::rows(report.groups()).collect();
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for head in [
        "Group",
        "Play",
        "Tenants",
        "Runs",
        "Done",
        "Failed",
        "Wait p50",
        "p95",
        "Latency p50",
        "p95",
        "Max",
        "Late",
        "SLA missed",
        "Share",
        "Spent",
        "Out of money",
        "Last end",
    ] {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for (group, play) in rows.iter().take(ROWS_MAX) {
        let late =
            if group.sla_missed.is_some_and(|missed| missed > 0) { " class=\"late\"" } else { "" };
        let target =
            |count: u64| group.sla_missed.map_or_else(|| "-".to_owned(), |_| count.to_string());
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td{late}>{}</td><td>{:.1} %</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&group.name),
            escape(play),
            group.tenants,
            group.runs,
            group.completed,
            group.failed,
            span(group.wait.p50_us),
            span(group.wait.p95_us),
            span(group.latency.p50_us),
            span(group.latency.p95_us),
            span(group.latency.max_us),
            target(group.late),
            target(group.sla_missed.unwrap_or_default()),
            group.share * 100.0,
            group.spent,
            group.short_of_money,
            group.last_end_us.map_or_else(|| "-".to_owned(), span),
        );
    }
    out.push_str("</tbody></table></div>\n");
    if let Some(more @ 1..) = rows.len().checked_sub(ROWS_MAX) {
        let _ = writeln!(out, "<p>and {more} rows more: --json has them</p>");
    }
}

/// The names of groups with a colour, those with most runs in any play first.
fn coloured(report: &Report) -> Vec<&str> {
    let mut runs = std::collections::BTreeMap::<&str, u64>::new();
    for group in report.plays.iter().flat_map(|play| &play.groups) {
        let most = runs.entry(&group.name).or_default();
        *most = (*most).max(group.runs);
    }
    let mut names: Vec<_> = runs.into_iter().collect();
    names.sort_by_key(|(name, runs)| (Reverse(*runs), *name));
    names.into_iter().take(COLOURED).map(|(name, _)| name).collect()
}

fn held_most(play: &Play) -> f64 {
    let columns = play.groups.first().map_or(0, |group| group.slots.len());
    let held = |at: usize| play.groups.iter().map(|group| group.slots[at]).sum::<f64>();
    (0..columns).map(held).fold(0.0, f64::max)
}

/// A layer for each group, one on the other.
fn slots(out: &mut String, play: &Play, coloured: &[&str], (most, lasts_us): (f64, u64)) {
    let most = nice(most);
    begin(out, &format!("Slots held over time: {}", play.name));
    for tick in 0..=TICKS {
        let value = most * f64::from(tick) / f64::from(TICKS);
        across(out, HEIGHT * (1.0 - value / most), &format!("{value:.0}"));
    }
    times(out, lasts_us);
    let columns = play.groups.first().map_or(0, |group| group.slots.len());
    let mut base = vec![0.0; columns];
    for at in 0..=coloured.len() {
        let is_here = |group: &&Group| {
            coloured.iter().position(|name| *name == group.name).unwrap_or(coloured.len()) == at
        };
        let mut top = base.clone();
        for group in play.groups.iter().filter(is_here) {
            top.iter_mut().zip(&group.slots).for_each(|(top, held)| *top += held);
        }
        if top == base {
            continue;
        }
        let point = |(at, value): (usize, &f64)| {
            format!("{:.1},{:.1}", across_at(at, columns), ABOVE + HEIGHT * (1.0 - value / most))
        };
        let above = top.iter().enumerate().map(point);
        let below = base.iter().enumerate().rev().map(point);
        let points = above.chain(below).collect::<Vec<_>>().join(" ");
        let name = coloured.get(at).map_or_else(|| "others".to_owned(), |name| escape(name));
        let _ = writeln!(
            out,
            "<polygon points=\"{points}\" fill=\"var(--c{at})\" fill-opacity=\".85\"><title>{name}</title></polygon>"
        );
        base = top;
    }
    out.push_str("</svg>\n");
}

/// A line for each group with a colour. The scale is logarithmic: from a tenth of a second to the longest.
fn latency(out: &mut String, play: &Play, coloured: &[&str], (longest, lasts_us): (f64, u64)) {
    const LEAST: f64 = 100_000.0;
    let (least, most) = (LEAST.log10(), longest.max(10.0 * LEAST).log10());
    let y = |micros: f64| HEIGHT * (1.0 - (micros.max(LEAST).log10() - least) / (most - least));
    begin(out, &format!("Latency over time: {}", play.name));
    for micros in
        [100_000, 1_000_000, 10_000_000, 60_000_000, 600_000_000, 3_600_000_000, 36_000_000_000]
    {
        if float(micros) <= longest.max(10.0 * LEAST) {
            across(out, y(float(micros)), &show_span(Span(micros)));
        }
    }
    times(out, lasts_us);
    for group in &play.groups {
        let Some(at) = coloured.iter().position(|name| *name == group.name) else { continue };
        let columns = group.latency_p95_us.len();
        let known = group.latency_p95_us.iter().enumerate();
        let known: Vec<(usize, f64)> =
            known.filter_map(|(at, p95)| Some((at, float((*p95)?)))).collect();
        let points: Vec<String> = known
            .iter()
            .map(|(at, p95)| format!("{:.1},{:.1}", across_at(*at, columns), ABOVE + y(*p95)))
            .collect();
        let name = escape(&group.name);
        if let [only] = &points[..] {
            let (x, y) = only.split_once(',').unwrap_or_default();
            let _ = writeln!(
                out,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"var(--c{at})\"><title>{name}: {}</title></circle>",
                show_span(Span(group.latency.p95_us))
            );
        } else if !points.is_empty() {
            let points = points.join(" ");
            let _ = writeln!(
                out,
                "<polyline class=\"series\" points=\"{points}\" stroke=\"var(--c{at})\"><title>{name}</title></polyline>"
            );
        }
    }
    out.push_str("</svg>\n");
}

fn legend(out: &mut String, play: &Play, coloured: &[&str]) {
    out.push_str("<ul>");
    for (at, name) in coloured.iter().enumerate() {
        let Some(group) = play.groups.iter().find(|group| group.name == *name) else { continue };
        let count =
            if group.tenants > 1 { format!(" ({} tenants)", group.tenants) } else { String::new() };
        let _ = write!(
            out,
            "<li><i style=\"background:var(--c{at})\"></i>{}{count}</li>",
            escape(name)
        );
    }
    let others = play.groups.iter().filter(|group| !coloured.contains(&&*group.name)).count();
    if others > 0 {
        let at = coloured.len();
        let _ = write!(out, "<li><i style=\"background:var(--c{at})\"></i>{others} others</li>");
    }
    out.push_str("</ul>\n");
}

fn begin(out: &mut String, label: &str) {
    let (width, height) = (LEFT + WIDTH, ABOVE + HEIGHT + BELOW);
    let label = escape(label);
    let _ =
        writeln!(out, "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">");
}

/// A line of the grid, with its number.
fn across(out: &mut String, y: f64, number: &str) {
    let (from, to, y) = (LEFT, LEFT + WIDTH, ABOVE + y);
    let _ = writeln!(
        out,
        "<line class=\"grid\" x1=\"{from}\" x2=\"{to}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>",
        from - 6.0,
        y + 4.0
    );
}

/// The times below.
fn times(out: &mut String, lasts_us: u64) {
    for tick in 0..=TICKS {
        let micros = lasts_us / u64::from(TICKS) * u64::from(tick);
        let anchor = match tick {
            0 => "start",
            TICKS => "end",
            _ => "middle",
        };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            LEFT + WIDTH * f64::from(tick) / f64::from(TICKS),
            ABOVE + HEIGHT + BELOW - 8.0,
            show_span(Span(micros))
        );
    }
}

/// The middle of a column.
fn across_at(at: usize, columns: usize) -> f64 {
    LEFT + WIDTH * (float(at as u64) + 0.5) / float(columns.max(1) as u64)
}

/// The next number with one digit that is not zero, or the half of one.
fn nice(value: f64) -> f64 {
    let step = 10_f64.powf(value.max(1.0).log10().floor()) / 2.0;
    (value / step).ceil().max(2.0) * step
}

#[expect(clippy::cast_precision_loss, reason = "it is drawn")]
const fn float(value: u64) -> f64 {
    value as f64
}

/// Text within the page.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_with_round_numbers() {
        for (value, end) in [(0.0, 1.0), (7.0, 7.0), (100.0, 100.0), (101.0, 150.0), (64.2, 65.0)] {
            assert!((nice(value) - end).abs() < 1e-9, "{value}: {}", nice(value));
        }
    }

    #[test]
    fn what_is_named_is_no_markup() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
