//! Channels and notices.

use fairlane_core::id::{NoticeId, ReviewId, RunId};
use fairlane_core::notice::{
    Channel, ChannelRow, EventKind, GivenUp, Miss, NoticeRow, NoticeState, Receiver, Secret,
};
use fairlane_core::residency::{Because, Outside, Part};
use fairlane_core::time::Time;

use super::name;

/// A webhook with two secrets, whose receiver is gone.
pub fn channel(tenant: &str, channel: &str) -> ChannelRow {
    ChannelRow {
        channel: Channel {
            tenant: name(tenant),
            name: name(channel),
            to: Receiver::Webhook { url: "https://a.example/\u{e9}?x".into(), allow_private: true },
            events: EventKind::SUBSCRIBABLE.into(),
            region: Some(name("eu-west-1")),
            disabled: true,
        },
        secret: Some(Secret([0xa5; 32])),
        previous: Some((Secret([0x5a; 32]), Time(99))),
        gone: Some(Time(7)),
        revision: 3,
    }
}

/// Mail, with nothing that a channel need not have.
pub fn mail_channel(tenant: &str, channel: &str) -> ChannelRow {
    ChannelRow {
        channel: Channel {
            tenant: name(tenant),
            name: name(channel),
            to: Receiver::Email { to: vec!["a@b.example".into(), "c@d.example".into()] },
            events: [].into(),
            region: None,
            disabled: false,
        },
        secret: None,
        previous: None,
        gone: None,
        revision: 1,
    }
}

/// A notice that was given up, with all that a notice can have.
pub fn notice(tenant: &str, id: u128) -> NoticeRow {
    let outside = Outside {
        of: Part::Processing,
        region: Some(name("us-1")),
        country: None,
        because: Because::NotInZone,
    };
    NoticeRow {
        tenant: name(tenant),
        id: NoticeId(RunId(id)),
        sequence: u64::MAX,
        channel: name("ops"),
        event: EventKind::ReviewEscalated,
        at: Time(4),
        run: Some(RunId(8)),
        review: Some(ReviewId(RunId(9))),
        state: NoticeState::Failed {
            at: Time(6),
            because: GivenUp::Outside { outside: Box::new(outside) },
        },
        attempts: 3,
        last: Some(Miss { at: Time(5), class: "provider-status".into(), status: Some(500) }),
    }
}

/// A notice that waits, with nothing that it need not have.
pub fn pending_notice(tenant: &str, id: u128) -> NoticeRow {
    NoticeRow {
        event: EventKind::ChannelTest,
        run: None,
        review: None,
        state: NoticeState::Pending { due: Time(12) },
        attempts: 0,
        last: None,
        ..notice(tenant, id)
    }
}
