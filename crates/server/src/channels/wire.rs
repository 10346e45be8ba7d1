//! Between wire and domain: channels and notices.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::Uri;
use fairlane_api::Code;
use fairlane_api::notice::{self as wire, ChannelSpec, Email, Webhook};
use fairlane_core::cell::effect::{ChannelView, NoticeView};
use fairlane_core::cell::input::NoticeStateIs;
use fairlane_core::id::{ChannelName, TenantId};
use fairlane_core::notice::{Channel, EventKind, GivenUp, Miss, NoticeRow, NoticeState, Receiver};
use lettre::Address;

use crate::catalog::endpoint::check_host;
use crate::places::outside_words;
use crate::problem::Refused;
use crate::quotas::Check;
use crate::upstream::address::forbidden_host;
use crate::wire::{name, timestamp};

/// Reads a channel with all its mistakes. `is_operator`: whoever declares it may let it go to private addresses.
pub(super) fn read(
    tenant: &TenantId,
    channel: ChannelName,
    spec: &ChannelSpec,
    is_operator: bool,
) -> Result<Channel, Refused> {
    let mut check = Check::default();
    let to = check.keep(receiver(spec, is_operator));
    let events = events(&mut check, &spec.events);
    let region = spec.region.as_deref().map(|region| name(region, "/region"));
    let region = region.and_then(|region| check.keep(region));
    let read = to.map(|to| Channel {
        tenant: tenant.clone(),
        name: channel,
        to,
        events,
        region,
        disabled: spec.disabled,
    });
    check.finish(read)?.ok_or_else(|| Refused::internal(&"a channel was read without its receiver"))
}

fn receiver(spec: &ChannelSpec, is_operator: bool) -> Result<Receiver, Refused> {
    match (&spec.webhook, &spec.email) {
        (Some(webhook), None) => self::webhook(webhook, is_operator),
        (None, Some(email)) => mailboxes(email),
        (Some(_), Some(_)) => Err(Refused::new(Code::InvalidValue)
            .detail("the channel has two receivers")
            .at("/email")
            .expected("either `webhook` or `email`")),
        (None, None) => Err(Refused::new(Code::InvalidValue)
            .detail("the channel has no receiver")
            .at("")
            .expected("`webhook` or `email`")),
    }
}

fn webhook(given: &Webhook, is_operator: bool) -> Result<Receiver, Refused> {
    let expected = "a URL such as `https://hooks.example/fairlane`, without a name or password";
    let wrong = |detail: &str| {
        Refused::new(Code::InvalidValue).detail(detail).at("/webhook/url").expected(expected)
    };
    check_host(&given.url).map_err(|(detail, _)| wrong(detail))?;
    let url = given.url.parse::<Uri>().map_err(|_| wrong("this is no URL"))?;
    if given.allow_private && !is_operator {
        return Err(Refused::new(Code::Forbidden)
            .at("/webhook/allow_private")
            .expected("an operator's key, for receivers at private addresses"));
    }
    let host = url.host().unwrap_or_default();
    if let Some(why) = forbidden_host(host, given.allow_private) {
        let expected = match forbidden_host(host, true) {
            None => "a host that anybody can reach; a private one only with `allow_private`",
            Some(_) => "a host that can be reached from elsewhere",
        };
        return Err(wrong(why).expected(expected));
    }
    if !given.allow_private && !given.url.starts_with("https://") {
        return Err(wrong("what is sent could be read on its way")
            .expected("a URL with `https://`; `http://` only with `allow_private`"));
    }
    Ok(Receiver::Webhook { url: given.url.as_str().into(), allow_private: given.allow_private })
}

fn mailboxes(given: &Email) -> Result<Receiver, Refused> {
    let one = |(at, address): (usize, &String)| match address.parse::<Address>() {
        Ok(_) => Ok(Arc::from(address.as_str())),
        Err(_) => Err(Refused::new(Code::InvalidValue)
            .detail("this is no mail address")
            .at(format!("/email/to/{at}"))
            .expected("an address such as `ops@bank.example`")),
    };
    let to = given.to.iter().enumerate().map(one).collect::<Result<_, _>>()?;
    Ok(Receiver::Email { to })
}

fn events(check: &mut Check, given: &[String]) -> BTreeSet<EventKind> {
    let one = |(at, text): (usize, &String)| {
        EventKind::parse(text).ok_or_else(|| {
            let known = EventKind::SUBSCRIBABLE.map(|kind| format!("`{}`", kind.as_str()));
            Refused::new(Code::InvalidValue)
                .detail(format!("there is no event `{text}`"))
                .at(format!("/events/{at}"))
                .expected(known.join(", "))
        })
    };
    // A list that is longer than all there is repeats itself.
    let read = given.iter().take(1_000).enumerate().map(one);
    read.filter_map(|event| check.keep(event)).collect()
}

pub(super) const fn state(state: wire::NoticeState) -> NoticeStateIs {
    match state {
        wire::NoticeState::Pending => NoticeStateIs::Pending,
        wire::NoticeState::Sending => NoticeStateIs::UnderWay,
        wire::NoticeState::Failed => NoticeStateIs::Failed,
    }
}

pub(super) fn channel_out(view: &ChannelView) -> wire::Channel {
    let ChannelView { channel, gone, previous_until, rests_until, counts } = view;
    let (webhook, email) = match &channel.to {
        Receiver::Webhook { url, allow_private } => {
            (Some(Webhook { url: url.to_string(), allow_private: *allow_private }), None)
        }
        Receiver::Email { to } => {
            (None, Some(Email { to: to.iter().map(ToString::to_string).collect() }))
        }
    };
    wire::Channel {
        name: channel.name.to_string(),
        spec: ChannelSpec {
            webhook,
            email,
            events: channel.events.iter().map(|event| event.as_str().to_owned()).collect(),
            region: channel.region.as_ref().map(ToString::to_string),
            disabled: channel.disabled,
        },
        state: match (channel.disabled, gone) {
            (true, _) => wire::ChannelState::Disabled,
            (false, Some(_)) => wire::ChannelState::Gone,
            (false, None) => wire::ChannelState::Open,
        },
        gone_at: gone.map(timestamp),
        rests_until: rests_until.map(timestamp),
        previous_until: previous_until.map(timestamp),
        pending: counts.pending,
        failed: counts.failed,
        lost: counts.lost,
    }
}

pub(super) fn notice_out(view: &NoticeView) -> wire::Notice {
    let NoticeView { row, is_under_way } = view;
    let NoticeRow { state, .. } = row;
    let (due_at, failed) = match state {
        NoticeState::Pending { due } => (Some(*due).filter(|_| !is_under_way), None),
        NoticeState::Failed { at, because } => (None, Some((*at, because))),
    };
    wire::Notice {
        id: row.id.to_string(),
        channel: row.channel.to_string(),
        event: row.event.as_str().to_owned(),
        at: timestamp(row.at),
        run: row.run.map(|run| run.to_string()),
        review: row.review.map(|review| review.to_string()),
        state: match (is_under_way, failed) {
            (true, _) => wire::NoticeState::Sending,
            (false, None) => wire::NoticeState::Pending,
            (false, Some(_)) => wire::NoticeState::Failed,
        },
        attempts: row.attempts,
        due_at: due_at.map(timestamp),
        last: row.last.as_ref().map(attempt),
        failed_at: failed.map(|(at, _)| timestamp(at)),
        because: failed.map(|(_, because)| given_up(because)),
    }
}

fn attempt(miss: &Miss) -> wire::Attempt {
    wire::Attempt { at: timestamp(miss.at), class: miss.class.to_string(), status: miss.status }
}

fn given_up(because: &GivenUp) -> wire::GivenUp {
    let (code, detail) = match because {
        GivenUp::Attempts => ("attempts-used", "all attempts are used up".to_owned()),
        GivenUp::Refused => ("refused", "no further attempt would do better".to_owned()),
        GivenUp::Gone => ("gone", "the receiver answered that it is no more".to_owned()),
        GivenUp::Outside { outside } => {
            ("outside-zone", format!("the receiver or its relay {}", outside_words(outside)))
        }
        GivenUp::NoRelay => ("no-mail-relay", "this server has no relay for mail".to_owned()),
    };
    wire::GivenUp { code: code.to_owned(), detail }
}
