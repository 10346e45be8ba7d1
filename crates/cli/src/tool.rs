//! `fairlane tool`: list and show the tools of the catalog.

use clap::{Args, Subcommand};
use fairlane_api::catalog::{Endpoint, Header};
use fairlane_api::quota::{self, Breaker, Rule, Unit};

use crate::table::Table;
use crate::target::Target;
use crate::text;

/// List and show tools: what all tenants together may call of each, and how the server calls it
#[derive(Debug, Args)]
pub(crate) struct Tool {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all tools
    List,
    /// Show one tool
    Get { tool: String },
}

impl Tool {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List => printer.data(&client.tools().await?, |tools| list(tools)),
            Verb::Get { tool } => printer.data(&client.tool(&tool).await?, show),
        }
    }
}

fn list(tools: &[quota::Tool]) -> String {
    let mut table = Table::new(&["TOOL", "REGION", "LIMITS", "ENDPOINT"]);
    for tool in tools {
        let endpoint = tool.endpoint.as_ref();
        let endpoint =
            endpoint.map(|endpoint| format!("{} {}", text::word(&endpoint.protocol), endpoint.url));
        table.row([
            tool.name.clone(),
            text::or_dash(tool.region.as_ref()),
            rules(&tool.limits),
            text::or_dash(endpoint),
        ]);
    }
    table.render()
}

fn show(tool: &quota::Tool) -> String {
    let mut text = format!("{:<11} {}\n", "tool", tool.name);
    for (at, rule) in tool.limits.iter().enumerate() {
        let title = if at == 0 { "limits" } else { "" };
        text.push_str(&format!("{title:<11} {}\n", self::rule(rule)));
    }
    if tool.limits.is_empty() {
        text.push_str("limits      -\n");
    }
    let breaker = text::or_dash(tool.breaker.as_ref().map(breaker));
    text.push_str(&format!("breaker     {breaker}\n"));
    text.push_str(&format!("region      {}\n", text::or_dash(tool.region.as_ref())));
    text.push_str(&format!("keeps in    {}\n", text::or_dash(tool.storage_region.as_ref())));
    if !tool.certificates.is_empty() {
        text.push_str(&format!("certified   {}\n", tool.certificates.join(", ")));
    }
    if let Some(endpoint) = &tool.endpoint {
        show_endpoint(endpoint, &mut text);
    }
    text
}

fn show_endpoint(endpoint: &Endpoint, text: &mut String) {
    let method = endpoint.request.as_ref().map(|request| text::word(&request.method));
    let called = method.unwrap_or_else(|| text::word(&endpoint.protocol));
    let private = if endpoint.allow_private { ", may be private" } else { "" };
    let mut line = |title: &str, value: String| text.push_str(&format!("{title:<11} {value}\n"));
    line("endpoint", format!("{called} {}{private}", endpoint.url));
    let headers = endpoint.request.iter().flat_map(|request| &request.headers);
    for (name, value) in headers {
        line(
            "header",
            match value {
                Header::Text(text) => format!("{name}: {text}"),
                Header::Secret(secret) => format!("{name}: the variable {}", secret.env),
            },
        );
    }
    line("key", text::or_dash(endpoint.key_env.as_ref()));
    line("timeout", endpoint.timeout.clone());
    line("answer", format!("at most {} bytes", endpoint.answer_bytes_max));
    line("surcharge", endpoint.surcharge.to_string());
}

/// All of them in one line, or a dash.
pub(crate) fn rules(rules: &[Rule]) -> String {
    let words: Vec<String> = rules.iter().map(rule).collect();
    text::or_dash((!words.is_empty()).then(|| words.join(", ")))
}

fn rule(rule: &Rule) -> String {
    match rule {
        Rule::Window { units, every, time_zone, of } => {
            format!("{units}{} per {} ({time_zone})", tokens(*of), text::word(every))
        }
        Rule::Bucket { units, per, burst, of } => {
            format!("{units}{} per {per}, {burst} at once", tokens(*of))
        }
        Rule::Concurrent { calls } => format!("{calls} under way"),
    }
}

const fn tokens(of: Unit) -> &'static str {
    match of {
        Unit::Calls => "",
        Unit::Tokens => " tokens",
    }
}

fn breaker(breaker: &Breaker) -> String {
    let Breaker { failures, open_for } = breaker;
    match failures {
        1 => format!("open for {open_for} after a failure"),
        _ => format!("open for {open_for} after {failures} failures in a row"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_read_as_they_are_said() {
        let tools: Vec<quota::Tool> = serde_json::from_value(json!([
            { "name": "bureau", "limits": [
                { "window": { "units": 500, "every": "hour", "time_zone": "Europe/Berlin" } },
                { "bucket": { "units": 100, "per": "1s", "burst": 20, "of": "tokens" } },
                { "concurrent": { "calls": 10 } } ],
              "breaker": { "failures": 5, "open_for": "30s" },
              "region": "us-east-1", "storage_region": "none", "certificates": ["eu-us-dpf"] },
            { "name": "mail", "endpoint": { "protocol": "http", "url": "http://127.0.0.1:9/{{ to }}",
                "allow_private": true, "key_env": "FAIRLANE_SECRET_MAIL", "request": { "method": "PUT", "headers": { "A": "b", "C": { "env": "FAIRLANE_SECRET_C" } } } } }
        ]))
        .unwrap();
        expect![[r"
            TOOL    REGION     LIMITS                                                                     ENDPOINT
            bureau  us-east-1  500 per hour (Europe/Berlin), 100 tokens per 1s, 20 at once, 10 under way  -
            mail    -          -                                                                          http http://127.0.0.1:9/{{ to }}
        "]]
        .assert_eq(&list(&tools));
        expect![[r"
            tool        bureau
            limits      500 per hour (Europe/Berlin)
                        100 tokens per 1s, 20 at once
                        10 under way
            breaker     open for 30s after 5 failures in a row
            region      us-east-1
            keeps in    none
            certified   eu-us-dpf
        "]]
        .assert_eq(&show(&tools[0]));
        expect![[r"
            tool        mail
            limits      -
            breaker     -
            region      -
            keeps in    -
            endpoint    PUT http://127.0.0.1:9/{{ to }}, may be private
            header      A: b
            header      C: the variable FAIRLANE_SECRET_C
            key         FAIRLANE_SECRET_MAIL
            timeout     1m
            answer      at most 1048576 bytes
            surcharge   0
        "]]
        .assert_eq(&show(&tools[1]));
    }
}
