//! What rests on the adequacy of countries, in tables.

use fairlane_api::report::{CountryReport, LiveUse, ResidencyReport};

use crate::table::Table;
use crate::text;

/// Tenants that are named in one line; the others are counted.
const TENANTS_NAMED_MAX: usize = 5;

pub(super) fn show(report: &ResidencyReport) -> String {
    let mut shown = format!("at {}\n", text::time(report.at));
    if report.countries.is_empty() {
        shown.push_str("\nNo adequacy decision is declared: nothing rests on one.\n");
    } else {
        shown.push_str(&format!("\n{}", countries(&report.countries)));
    }
    let live = report.countries.iter().flat_map(|of| of.live.iter().map(move |one| (of, one)));
    let live: Vec<_> = live.collect();
    if !live.is_empty() {
        let mut table = Table::new(&["UNDER WAY IN", "TENANT", "RUN", "STEP", "ENDPOINT"]);
        for (of, one) in live {
            let LiveUse { tenant, run, step, endpoint } = one;
            let [run, step] = [run, step].map(|name| text::or_dash(name.as_ref()));
            table.row([of.country.clone(), tenant.clone(), run, step, endpoint.clone()]);
        }
        shown.push_str(&format!("\n{}", table.render()));
    }
    if !report.outside.is_empty() {
        let mut table = Table::new(&["CALLED BACK FROM", "TENANT", "RUN", "STEP", "WHY"]);
        for one in &report.outside {
            let [run, step] = [&one.run, &one.step].map(|name| text::or_dash(name.as_ref()));
            let why = format!("{} [{}]", one.reason, text::word(&one.code));
            table.row([one.endpoint.clone(), one.tenant.clone(), run, step, why]);
        }
        shown.push_str(&format!("\n{}", table.render()));
    }
    if !report.stores.is_empty() {
        let mut table = Table::new(&["RESTS OUTSIDE", "REGION", "WHY"]);
        for one in &report.stores {
            let why = format!("{} [{}]", one.reason, text::word(&one.code));
            table.row([one.tenant.clone(), one.region.clone(), why]);
        }
        shown.push_str(&format!("\n{}", table.render()));
    }
    for ending in &report.ending {
        let until = text::time(ending.until);
        shown.push_str(&format!("\n{} ends soon: {} at {until}", ending.country, ending.name));
    }
    if report.cut {
        shown.push_str("\nThere is more under way than one report has.");
    }
    shown.trim_end().to_owned() + "\n"
}

fn countries(countries: &[CountryReport]) -> String {
    let mut table = Table::new(&["COUNTRY", "DECISION", "UNTIL", ">TENANTS", ">LIVE", "NAMED"]);
    for of in countries {
        let decision = of.decision.as_ref();
        let in_force = match decision {
            Some(decision) => decision.name.clone(),
            None if of.suspended => "(suspended)".to_owned(),
            None => "(none in force)".to_owned(),
        };
        let named = of.tenant_ids.iter().take(TENANTS_NAMED_MAX).cloned();
        let mut named: Vec<String> = named.collect();
        let rest = of.tenants.saturating_sub(named.len() as u64);
        named.extend((rest > 0).then(|| format!("and {rest} more")));
        table.row([
            of.country.clone(),
            in_force,
            text::or_dash(decision.and_then(|decision| decision.until).map(text::time)),
            of.tenants.to_string(),
            of.live.len().to_string(),
            named.join(", "),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_says_who_rests_on_what_what_is_outside_and_what_ends_soon() {
        let ids: Vec<String> = (1..=5).map(|number| format!("bank-{number}")).collect();
        let report: ResidencyReport = serde_json::from_value(json!({
            "at": "2026-12-01T00:00:00Z", "cut": true,
            "countries": [
                { "country": "GB", "suspended": false, "tenants": 7, "tenant_ids": ids,
                  "decision": { "name": "(EU) 2021/1772", "from": "2021-06-28T00:00:00Z",
                                "until": "2026-12-27T00:00:00Z" },
                  "live": [{ "tenant": "bank-1", "run": "0190a", "step": "ask", "endpoint": "london" },
                           { "tenant": "bank-2", "endpoint": "london" }] },
                { "country": "US", "suspended": true, "tenants": 0, "tenant_ids": [], "live": [] },
            ],
            "outside": [{ "tenant": "bank-3", "run": "0190b", "step": "ask", "endpoint": "us",
                          "code": "adequacy-suspended", "reason": "the adequacy of US is suspended" }],
            "stores": [{ "tenant": "bank-4", "region": "us-east-1", "code": "adequacy-suspended",
                         "reason": "the adequacy of US is suspended" }],
            "ending": [{ "country": "GB", "name": "(EU) 2021/1772", "until": "2026-12-27T00:00:00Z" }],
        }))
        .unwrap();
        expect![[r"
            at 2026-12-01T00:00:00Z

            COUNTRY  DECISION        UNTIL                 TENANTS  LIVE  NAMED
            GB       (EU) 2021/1772  2026-12-27T00:00:00Z        7     2  bank-1, bank-2, bank-3, bank-4, bank-5, and 2 more
            US       (suspended)     -                           0     0

            UNDER WAY IN  TENANT  RUN    STEP  ENDPOINT
            GB            bank-1  0190a  ask   london
            GB            bank-2  -      -     london

            CALLED BACK FROM  TENANT  RUN    STEP  WHY
            us                bank-3  0190b  ask   the adequacy of US is suspended [adequacy-suspended]

            RESTS OUTSIDE  REGION     WHY
            bank-4         us-east-1  the adequacy of US is suspended [adequacy-suspended]

            GB ends soon: (EU) 2021/1772 at 2026-12-27T00:00:00Z
            There is more under way than one report has.
        "]]
        .assert_eq(&show(&report));
    }
}
