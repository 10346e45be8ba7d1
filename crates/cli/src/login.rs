//! `fairlane login`, `logout` and `whoami`: people sign in at the identity provider of the server.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use fairlane_api::key::Me;
use fairlane_client::sign_in::Pending;
use serde_json::json;

use crate::exit::Usage;
use crate::key;
use crate::signed_in::Kept;
use crate::target::Target;
use crate::text;

/// Sign in as a person, where the server has an identity provider
#[derive(Debug, Args)]
pub(crate) struct Login {}

/// Forget that you have signed in
#[derive(Debug, Args)]
pub(crate) struct Logout {}

/// Say who you are to the server, and what keys you have
#[derive(Debug, Args)]
pub(crate) struct Whoami {}

impl Login {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        if !target.is_private() {
            return Err(Usage(format!(
                "{} is not reached by TLS, and whoever is between would have what you sign in with: use https",
                target.url()
            ))
            .into());
        }
        let provider = target.anonymous()?.identity_provider().await?.ok_or_else(|| {
            Usage("nobody signs in to this server: it takes API keys only".to_owned())
        })?;
        let pending = Pending::begin(&provider, &target.trust()?).await?;
        printer.note(&format!(
            "Signing in to {} at {} as the client `{}`.\nOpen {} and confirm the code {}",
            target.url(),
            provider.issuer,
            provider.client_id,
            pending.address(),
            pending.user_code()
        ));
        let signed_in = pending.wait().await?;
        let until = UNIX_EPOCH + Duration::from_secs(signed_in.expires_at);
        let client = target.client_of(&signed_in.token)?;
        let me = client.me().await.context("the server does not take the provider's token")?;
        Kept::lock()?.put(target.url(), signed_in)?;
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let until = fairlane_api::Timestamp(u64::try_from(until).unwrap_or(u64::MAX));
        printer.data(&json!({ "person": me.person, "until": until }), |_| {
            let person = me.person.as_deref().unwrap_or("somebody");
            format!("signed in as {person} until {}", text::time(until))
        })
    }
}

impl Logout {
    #[expect(clippy::unused_self, reason = "commands are alike")]
    pub(crate) fn execute(self, target: &Target) -> anyhow::Result<()> {
        let was_there = Kept::lock()?.drop(target.url())?;
        target.printer().data(&json!({ "was_signed_in": was_there }), |_| {
            if was_there { "signed out" } else { "you were not signed in" }.to_owned()
        })
    }
}

impl Whoami {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let me = target.client()?.me().await?;
        target.printer().data(&me, who)
    }
}

fn who(me: &Me) -> String {
    let person = me.person.as_deref().map(|person| format!("{person}, with"));
    format!("{}\n{}", person.as_deref().unwrap_or("Whoever has this key:"), key::list(&me.keys))
}
