//! `fairlane channel`: where a tenant is told of things.

use clap::{Args, Subcommand};
use fairlane_api::notice::{self, ChannelSpec, Email, Webhook};
use fairlane_client::Write;
use serde_json::json;

use crate::table::Table;
use crate::target::{ForTenant, Target};
use crate::text;

/// List, show, set, delete, rotate and test channels: where a tenant is told of things, and of which
#[derive(Debug, Args)]
pub(crate) struct Channel {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a tenant's channels
    List {
        #[command(flatten)]
        of: ForTenant,
    },
    /// Show one channel
    #[command(visible_alias = "get")]
    Show {
        channel: String,
        #[command(flatten)]
        of: ForTenant,
    },
    /// Declare a channel, or declare it anew; a new webhook's secret is printed once
    Set(Set),
    /// Delete a channel, and what was to be told through it
    Delete {
        channel: String,
        #[command(flatten)]
        of: ForTenant,
    },
    /// Give a webhook a new secret, which is printed once; the one before signs too for a day
    Rotate {
        channel: String,
        #[command(flatten)]
        of: ForTenant,
    },
    /// Send a notice that is of no other use
    Test {
        channel: String,
        #[command(flatten)]
        of: ForTenant,
    },
}

#[derive(Debug, Args)]
struct Set {
    channel: String,
    #[command(flatten)]
    of: ForTenant,
    /// Where signed requests go
    #[arg(long, value_name = "URL", required_unless_present = "email")]
    webhook: Option<String>,
    /// Where mail goes; may be given up to ten times
    #[arg(long, value_name = "ADDRESS", conflicts_with = "webhook")]
    email: Vec<String>,
    /// What is told, such as `review.opened`; may be given several times
    #[arg(long = "event", value_name = "EVENT", required = true)]
    events: Vec<String>,
    /// The region where the receiver is; needed if the tenant's data is bound to places
    #[arg(long)]
    region: Option<String>,
    /// The webhook may be at a private address, and without TLS; with an operator's key only
    #[arg(long, requires = "webhook")]
    allow_private: bool,
    /// Send nothing for now
    #[arg(long)]
    disabled: bool,
    /// Check only, write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Channel {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List { of } => {
                printer.data(&client.channels(of.tenant()?).await?, |channels| list(channels))
            }
            Verb::Show { channel, of } => {
                printer.data(&client.channel(of.tenant()?, &channel).await?, show)
            }
            Verb::Set(set) => set.execute(target).await,
            Verb::Delete { channel, of } => {
                client.delete_channel(of.tenant()?, &channel).await?;
                let done = json!({ "channel": channel, "deleted": true });
                printer.data(&done, |_| format!("{channel} deleted"))
            }
            Verb::Rotate { channel, of } => {
                let rotated = client.rotate_channel(of.tenant()?, &channel).await?;
                printer.data(&rotated, |rotated| rotated.secret.clone())?;
                printer.note(&format!(
                    "This secret cannot be shown again. The one before signs too until {}.",
                    text::time(rotated.previous_until)
                ));
                Ok(())
            }
            Verb::Test { channel, of } => {
                let noted = client.test_channel(of.tenant()?, &channel).await?;
                printer.data(&noted, |noted| noted.notice.clone())?;
                printer.note(
                    "It is on its way: `fairlane notice list` shows it until it is delivered.",
                );
                Ok(())
            }
        }
    }
}

impl Set {
    async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let Self { channel, of, webhook, email, events, region, allow_private, disabled, dry_run } =
            self;
        let spec = ChannelSpec {
            webhook: webhook.map(|url| Webhook { url, allow_private }),
            email: (!email.is_empty()).then_some(Email { to: email }),
            events,
            region,
            disabled,
        };
        let write = if dry_run { Write::Check } else { Write::Apply };
        let applied = client.put_channel(of.tenant()?, &channel, &spec, write).await?;
        let words = match (applied.dry_run, applied.changed) {
            (true, _) => "could be declared",
            (false, true) => "declared",
            (false, false) => "unchanged",
        };
        printer.data(&applied, |applied| {
            applied.secret.clone().unwrap_or_else(|| format!("{channel} {words}"))
        })?;
        if applied.secret.is_some() {
            printer.note("Requests are signed with this secret. It cannot be shown again.");
        }
        Ok(())
    }
}

fn list(channels: &[notice::Channel]) -> String {
    let mut table =
        Table::new(&["CHANNEL", "TO", "STATE", "REGION", ">PENDING", ">FAILED", ">LOST"]);
    for channel in channels {
        table.row([
            channel.name.clone(),
            receiver(&channel.spec),
            text::word(&channel.state),
            text::or_dash(channel.spec.region.as_ref()),
            channel.pending.to_string(),
            channel.failed.to_string(),
            channel.lost.to_string(),
        ]);
    }
    table.render()
}

fn show(channel: &notice::Channel) -> String {
    let mut text = list(std::slice::from_ref(channel));
    let mut line = |title: &str, value: String| text.push_str(&format!("{title:<11} {value}\n"));
    line(
        "events",
        text::or_dash(Some(channel.spec.events.join(", ")).filter(|all| !all.is_empty())),
    );
    for (title, at) in [
        ("gone since", channel.gone_at),
        ("rests until", channel.rests_until),
        ("2 secrets", channel.previous_until),
    ] {
        if let Some(at) = at {
            line(title, text::time(at));
        }
    }
    text
}

fn receiver(spec: &ChannelSpec) -> String {
    let mail = spec.email.as_ref().map(|email| email.to.join(", "));
    text::or_dash(spec.webhook.as_ref().map(|webhook| webhook.url.clone()).or(mail))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_channel_says_where_it_goes_and_how_it_is() {
        let channels: Vec<notice::Channel> = serde_json::from_value(json!([
            { "name": "ops", "webhook": { "url": "https://hooks.example/x" }, "events": ["run.failed", "run.halted"],
              "region": "eu-west-1", "state": "gone", "gone_at": "2026-01-31T09:30:00.000000Z",
              "pending": 3, "failed": 1, "lost": 0 },
            { "name": "people", "email": { "to": ["a@b.example", "c@d.example"] }, "events": [],
              "state": "open", "pending": 0, "failed": 0, "lost": 12 }
        ]))
        .unwrap();
        expect![[r#"
            CHANNEL  TO                        STATE  REGION     PENDING  FAILED  LOST
            ops      https://hooks.example/x   gone   eu-west-1        3       1     0
            people   a@b.example, c@d.example  open   -                0       0    12
        "#]]
        .assert_eq(&list(&channels));
        expect![[r#"
            CHANNEL  TO                       STATE  REGION     PENDING  FAILED  LOST
            ops      https://hooks.example/x  gone   eu-west-1        3       1     0
            events      run.failed, run.halted
            gone since  2026-01-31T09:30:00Z
        "#]]
        .assert_eq(&show(&channels[0]));
    }
}
