//! `fairlane notice`: what a tenant is still to be told.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use fairlane_api::notice;
use fairlane_client::NoticeFilter;

use crate::table::Table;
use crate::target::{ForTenant, Target};
use crate::text;

/// List notices that are not delivered, and deliver those that were given up
#[derive(Debug, Args)]
pub(crate) struct Notice {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List notices that are not delivered, oldest first
    List {
        #[command(flatten)]
        of: ForTenant,
        /// Only those of this state
        #[arg(long, value_parser = PossibleValuesParser::new(["pending", "sending", "failed"]))]
        state: Option<String>,
        /// Only those of this channel
        #[arg(long)]
        channel: Option<String>,
        /// Go on where the last list ended
        #[arg(long)]
        cursor: Option<String>,
        /// Most notices to list
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Deliver notices that were given up, or at once those that wait
    Redeliver {
        #[arg(required = true)]
        notices: Vec<String>,
        #[command(flatten)]
        of: ForTenant,
    },
}

impl Notice {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List { of, state, channel, cursor, limit } => {
                let state = state.map(serde_json::Value::String);
                let state = state.map(serde_json::from_value).transpose()?;
                let filter = NoticeFilter { state, channel, cursor, limit: Some(limit) };
                let page = client.notices(of.tenant()?, &filter).await?;
                printer.data(&page, |page| list(&page.items))?;
                if let Some(next) = page.next.as_ref().filter(|_| !printer.is_json()) {
                    printer.note(&format!("There are newer ones: --cursor {next}"));
                }
                Ok(())
            }
            Verb::Redeliver { notices, of } => {
                let tenant = of.tenant()?;
                let mut noted = Vec::with_capacity(notices.len());
                for notice in &notices {
                    noted.push(client.redeliver(tenant, notice).await?);
                }
                printer.data(&noted, |noted| {
                    let line = |one: &notice::Noted| format!("{} is on its way", one.notice);
                    noted.iter().map(line).collect::<Vec<_>>().join("\n")
                })
            }
        }
    }
}

fn list(notices: &[notice::Notice]) -> String {
    let mut table = Table::new(&["NOTICE", "CHANNEL", "EVENT", "AT", "STATE", ">TRIES", "WHY"]);
    for notice in notices {
        table.row([
            notice.id.clone(),
            notice.channel.clone(),
            notice.event.clone(),
            text::time(notice.at),
            text::word(&notice.state),
            notice.attempts.to_string(),
            why(notice),
        ]);
    }
    table.render()
}

/// How the last attempt ended, and why there is no other or when it is.
fn why(notice: &notice::Notice) -> String {
    let last = notice.last.as_ref().map(|last| match last.status {
        Some(status) => format!("{} {status}", last.class),
        None => last.class.clone(),
    });
    let next = match (&notice.because, notice.due_at) {
        (Some(because), _) => Some(because.detail.clone()),
        (None, Some(due)) if notice.attempts > 0 => Some(format!("again at {}", text::time(due))),
        (None, _) => None,
    };
    let words: Vec<String> = last.into_iter().chain(next).collect();
    text::or_dash((!words.is_empty()).then(|| words.join("; ")))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_notice_says_why_it_is_not_delivered() {
        let at = "2026-01-31T09:30:00.000000Z";
        let notices: Vec<notice::Notice> = serde_json::from_value(json!([
            { "id": "n1", "channel": "ops", "type": "run.failed", "at": at, "state": "sending", "attempts": 0 },
            { "id": "n2", "channel": "ops", "type": "run.failed", "at": at, "state": "pending", "attempts": 2,
              "due_at": "2026-01-31T09:32:00.000000Z",
              "last": { "at": at, "class": "receiver-failed", "status": 500 } },
            { "id": "n3", "channel": "people", "type": "review.opened", "at": at, "state": "failed", "attempts": 0,
              "failed_at": at,
              "because": { "code": "outside-zone", "detail": "the receiver does not say in which region it works" } }
        ]))
        .unwrap();
        expect![[r#"
            NOTICE  CHANNEL  EVENT          AT                    STATE    TRIES  WHY
            n1      ops      run.failed     2026-01-31T09:30:00Z  sending      0  -
            n2      ops      run.failed     2026-01-31T09:30:00Z  pending      2  receiver-failed 500; again at 2026-01-31T09:32:00Z
            n3      people   review.opened  2026-01-31T09:30:00Z  failed       0  the receiver does not say in which region it works
        "#]].assert_eq(&list(&notices));
    }
}
