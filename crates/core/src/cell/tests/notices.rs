//! Telling tenants of what happens, in virtual time.

use super::desk::{Desk, ids, name, step, tenant, workflow};
use super::reviews::{decide, terms, waiting};
use crate::cell::effect::{ChannelView, Delivery, Effect, NoticeView, Response};
use crate::cell::input::{
    Command, Configure, Delivered, Handler, Input, NoticeCommand, NoticesOf, QUERY_ROWS_MAX, Query,
    ReviewCommand, Verdict,
};
use crate::id::{NoticeId, RunId};
use crate::money::Nano;
use crate::notice::{
    ATTEMPTS_MAX, CHANNELS_MAX, Channel, EventKind, GivenUp, NoticeState, OVERLAP, Receiver, Secret,
};
use crate::notices::{FAILED_MAX, FLIGHT_MAX, LINE_FLIGHT_MAX, PENDING_MAX};
use crate::plan::Step;
use crate::reject::Rejection;
use crate::residency::Residency;
use crate::review::{Escalation, Terms};
use crate::row::Actor;
use crate::tenant::{Rules, Tenant};
use crate::time::Span;

fn webhook(of: &str, channel: &str, events: &[EventKind]) -> Channel {
    Channel {
        tenant: name(of),
        name: name(channel),
        to: Receiver::Webhook { url: "https://hooks.example".into(), allow_private: false },
        events: events.iter().copied().collect(),
        region: None,
        disabled: false,
    }
}

fn mail(of: &str, channel: &str, region: Option<&str>) -> Channel {
    Channel {
        to: Receiver::Email { to: vec!["ops@bank.example".into()] },
        region: region.map(name),
        ..webhook(of, channel, &[EventKind::RunCompleted])
    }
}

/// Tenant `of` keeps its data in the EU.
fn european(of: &str) -> Tenant {
    let residency = Residency { zone: Some(name("eu")), ..Residency::default() };
    let rules = Rules { data_residency: Some(residency), ..Rules::default() };
    Tenant { rules, ..tenant(of, "large") }
}

/// One step, and a channel `ops` of tenant `b` that is told of completed runs.
fn told() -> Desk {
    let mut desk = Desk::new(workflow("flow", vec![step("only", &[])]));
    desk.channel(webhook("b", "ops", &[EventKind::RunCompleted]));
    desk
}

fn missed() -> Verdict {
    Verdict::Missed { class: "receiver-failed".into(), status: Some(500), rest: None }
}

impl Desk {
    fn notice(&mut self, command: NoticeCommand) -> Response {
        self.ask(|reply| Input::Notice(reply, None, command))
    }

    fn declare_channel(&mut self, channel: Channel, secret: u8) -> Response {
        let secret = Secret([secret; 32]);
        self.notice(NoticeCommand::Declare { channel, secret, is_dry_run: false })
    }

    fn channel(&mut self, channel: Channel) {
        let response = self.declare_channel(channel, 1);
        assert!(matches!(response, Response::Channel { changed: true, .. }), "{response:?}");
    }

    fn test_channel(&mut self, of: &str, channel: &str) -> NoticeId {
        match self.notice(NoticeCommand::Test { tenant: name(of), channel: name(channel) }) {
            Response::Noted(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Attempts that have begun since the last call.
    fn deliveries(&mut self) -> Vec<Delivery> {
        let mut found = Vec::new();
        self.released.retain(|effect| {
            let Effect::Deliver(delivery) = effect else { return true };
            found.push((**delivery).clone());
            false
        });
        found
    }

    /// What they tell.
    fn events(&mut self) -> Vec<&'static str> {
        self.deliveries().iter().map(|delivery| delivery.row.event.as_str()).collect()
    }

    fn ended(&mut self, delivery: &Delivery, verdict: Verdict) {
        self.input(Input::Delivered(Delivered {
            tenant: delivery.row.tenant.clone(),
            notice: delivery.row.id,
            fence: delivery.fence,
            verdict,
        }));
    }

    fn one_delivery(&mut self) -> Delivery {
        let mut found = self.deliveries();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn complete_one(&mut self, of: &str) -> RunId {
        let run = self.submit(of, "flow").run;
        let grants = self.lease("w");
        self.complete("w", &ids(&grants));
        run
    }

    fn notices(&mut self, of: &str) -> Vec<NoticeView> {
        let of =
            NoticesOf { tenant: name(of), state: None, channel: None, after: None, limit: 1_000 };
        match self.ask(|reply| Input::Query(reply, Query::Notices(of))) {
            Response::Notices(views) => views,
            other => panic!("{other:?}"),
        }
    }

    fn channel_view(&mut self, of: &str) -> ChannelView {
        match self.ask(|reply| Input::Query(reply, Query::Channels(name(of)))) {
            Response::Channels(mut views) => views.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn stored(&self) -> usize {
        self.disk().snapshot().notices.len()
    }
}

#[test]
fn a_run_that_completes_is_told_in_its_turn_and_forgotten_when_it_is_delivered() {
    let mut desk = told();
    let run = desk.complete_one("b");
    let delivery = desk.one_delivery();
    assert_eq!((delivery.row.event, delivery.row.run), (EventKind::RunCompleted, Some(run)));
    assert_eq!((delivery.secrets.clone(), desk.stored()), (vec![Secret([1; 32])], 1));
    desk.ended(&delivery, Verdict::Accepted);
    assert_eq!((desk.stored(), desk.notices("b").len()), (0, 0));
    // The answer comes twice: nothing happens.
    desk.ended(&delivery, Verdict::Accepted);
    assert_eq!(desk.deliveries().len(), 0);
}

#[test]
fn only_what_a_channel_subscribes_to_makes_a_row() {
    let mut desk = told();
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Cancel);
    desk.complete_one("a");
    assert_eq!((desk.stored(), desk.deliveries().len()), (0, 0));
}

#[test]
fn a_run_that_another_has_called_is_not_told_of() {
    let mut desk = told();
    let call = crate::plan::StepKind::Call { workflow: name("flow"), version: None };
    let parent = workflow("parent", vec![Step { kind: call, ..step("call", &[]) }]);
    desk.declare(Configure::Workflow(std::sync::Arc::new(parent)));
    let run = desk.submit("b", "parent");
    desk.evaluate(Ok(crate::cell::input::Value::Input(super::desk::payload("{}"))));
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    assert_eq!(desk.one_delivery().row.run, Some(run.run));
}

#[test]
fn a_notice_that_is_missed_is_tried_again_later_each_time_and_then_given_up() {
    let mut desk = told();
    desk.complete_one("b");
    let begun = desk.now();
    let mut waits = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for attempt in 1..=ATTEMPTS_MAX {
        let delivery = desk.one_delivery();
        assert_eq!(delivery.row.attempts, attempt - 1);
        ids.insert(delivery.row.id);
        let at = desk.now();
        desk.ended(&delivery, missed());
        if let Some(NoticeView { row, .. }) = desk.notices("b").first()
            && let NoticeState::Pending { due } = row.state
        {
            waits.push(due.since(at));
            desk.pass(Span(due.since(at).0 - 1));
            assert_eq!(desk.deliveries().len(), 0);
            desk.pass(Span(1));
        }
    }
    assert_eq!((ids.len(), waits.len()), (1, 11));
    let [first, last] = [waits[0], waits[10]].map(|wait| wait.0 / 1_000_000);
    assert!((22..=30).contains(&first) && (23_000..=30_720).contains(&last), "{waits:?}");
    let hours = desk.now().since(begun).0 / 3_600_000_000;
    assert!((12..=17).contains(&hours), "{hours}");
    let views = desk.notices("b");
    let row = &views[0].row;
    assert!(
        matches!(&row.state, NoticeState::Failed { because: GivenUp::Attempts, .. }),
        "{row:?}"
    );
    assert_eq!((row.attempts, row.last.as_ref().unwrap().status), (ATTEMPTS_MAX, Some(500)));
    assert_eq!((desk.decided("notice-failed").len(), desk.stored()), (1, 1));
    desk.pass(Span::from_secs(100_000));
    assert_eq!(desk.deliveries().len(), 0);
}

#[test]
fn what_was_given_up_is_delivered_again_when_somebody_asks_with_all_attempts() {
    let mut desk = told();
    desk.complete_one("b");
    let delivery = desk.one_delivery();
    let refused = Verdict::Refused { class: "relay-refused".into(), status: Some(550) };
    desk.ended(&delivery, refused);
    assert_eq!(desk.channel_view("b").counts.failed, 1);
    let again = NoticeCommand::Redeliver { tenant: name("a"), notice: delivery.row.id };
    let response = desk.notice(again);
    assert!(matches!(response, Response::Rejected(Rejection::UnknownNotice { .. })));
    let again = NoticeCommand::Redeliver { tenant: name("b"), notice: delivery.row.id };
    let response = desk.notice(again);
    assert!(matches!(response, Response::Noted(id) if id == delivery.row.id), "{response:?}");
    let delivery = desk.one_delivery();
    assert_eq!(delivery.row.attempts, 0);
    desk.ended(&delivery, Verdict::Accepted);
    assert_eq!(desk.stored(), 0);
}

#[test]
fn notices_begin_in_order_and_a_few_at_once() {
    let mut desk = told();
    let ids: Vec<NoticeId> = (0..5).map(|_| desk.test_channel("b", "ops")).collect();
    let first = desk.deliveries();
    assert_eq!(first.len(), LINE_FLIGHT_MAX as usize);
    assert_eq!([first[0].row.id, first[1].row.id], [ids[0], ids[1]]);
    desk.ended(&first[1], Verdict::Accepted);
    let next = desk.one_delivery();
    assert_eq!(next.row.id, ids[2]);
    // One that waits for its next attempt lets those behind it pass.
    desk.ended(&first[0], missed());
    assert_eq!(desk.one_delivery().row.id, ids[3]);
}

#[test]
fn a_slow_receiver_holds_up_no_other_channel_and_many_of_them_no_other_tenant() {
    let mut desk = told();
    for at in 0..CHANNELS_MAX {
        desk.channel(webhook("a", &format!("slow{at}"), &[]));
    }
    for at in 0..CHANNELS_MAX {
        for _ in 0..20 {
            desk.test_channel("a", &format!("slow{at}"));
        }
    }
    // Nothing of them ends, and that is no matter to the others.
    assert_eq!(desk.deliveries().len(), CHANNELS_MAX * LINE_FLIGHT_MAX as usize);
    desk.complete_one("b");
    assert_eq!(desk.one_delivery().row.tenant, name("b"));
}

#[test]
fn past_the_bound_of_all_the_tenant_with_fewest_under_way_is_next() {
    let mut desk = told();
    let tenants: Vec<String> = (0..8).map(|at| format!("t{at}")).collect();
    for id in &tenants {
        desk.declare(Configure::Tenant(tenant(id, "large")));
        for at in 0..CHANNELS_MAX {
            desk.channel(webhook(id, &format!("slow{at}"), &[]));
            for _ in 0..3 {
                desk.test_channel(id, &format!("slow{at}"));
            }
        }
    }
    let begun = desk.deliveries();
    assert_eq!(begun.len(), FLIGHT_MAX as usize);
    desk.complete_one("b");
    assert_eq!(desk.deliveries().len(), 0);
    desk.ended(&begun[0], missed());
    assert_eq!(desk.one_delivery().row.tenant, name("b"));
}

#[test]
fn a_kill_loses_no_notice_and_an_answer_to_the_life_before_means_nothing() {
    let mut desk = told();
    desk.complete_one("b");
    let before = desk.one_delivery();
    desk.restart();
    let after = desk.one_delivery();
    assert_eq!((after.row.id, after.row.attempts), (before.row.id, 0));
    assert_ne!(after.fence, before.fence);
    desk.ended(&before, Verdict::Gone { class: "receiver-gone".into(), status: Some(410) });
    assert_eq!((desk.stored(), desk.channel_view("b").gone), (1, None));
    desk.ended(&after, missed());
    desk.restart();
    assert_eq!((desk.deliveries().len(), desk.notices("b")[0].row.attempts), (0, 1));
    desk.pass(Span::from_secs(30));
    let last = desk.one_delivery();
    desk.ended(&last, Verdict::Accepted);
    desk.restart();
    assert_eq!((desk.stored(), desk.deliveries().len()), (0, 0));
}

#[test]
fn a_receiver_that_is_gone_closes_its_channel_until_it_is_declared_again() {
    let mut desk = told();
    desk.complete_one("b");
    desk.test_channel("b", "ops");
    desk.test_channel("b", "ops");
    let begun = desk.deliveries();
    desk.ended(&begun[0], Verdict::Gone { class: "receiver-gone".into(), status: Some(410) });
    assert_eq!(desk.channel_view("b").gone, Some(desk.now()));
    assert_eq!(desk.decided("channel-gone").len(), 1);
    desk.complete_one("b");
    assert_eq!((desk.deliveries().len(), desk.channel_view("b").counts.pending), (0, 2));
    let test = NoticeCommand::Test { tenant: name("b"), channel: name("ops") };
    let response = desk.notice(test);
    assert!(
        matches!(response, Response::Rejected(Rejection::ChannelClosed { is_gone: true, .. })),
        "{response:?}"
    );
    let notice = begun[0].row.id;
    let response = desk.notice(NoticeCommand::Redeliver { tenant: name("b"), notice });
    assert!(
        matches!(response, Response::Rejected(Rejection::ChannelClosed { is_gone: true, .. })),
        "{response:?}"
    );
    desk.restart();
    assert!(desk.channel_view("b").gone.is_some());
    assert_eq!(desk.deliveries().len(), 0);
    desk.channel(webhook("b", "ops", &[EventKind::RunCompleted]));
    assert_eq!((desk.channel_view("b").gone, desk.deliveries().len()), (None, 2));
}

#[test]
fn an_old_receiver_that_is_gone_does_not_close_the_channel_of_a_newer_one() {
    let mut desk = told();
    desk.complete_one("b");
    let delivery = desk.one_delivery();
    let to = Receiver::Webhook { url: "https://new.example".into(), allow_private: false };
    desk.channel(Channel { to, ..webhook("b", "ops", &[EventKind::RunCompleted]) });
    desk.ended(&delivery, Verdict::Gone { class: "receiver-gone".into(), status: Some(410) });
    assert_eq!(desk.channel_view("b").gone, None);
}

#[test]
fn what_waits_goes_out_when_a_disabled_channel_is_enabled_again() {
    let mut desk = told();
    desk.complete_one("b");
    let delivery = desk.one_delivery();
    let channel = || webhook("b", "ops", &[EventKind::RunCompleted]);
    desk.channel(Channel { disabled: true, ..channel() });
    desk.ended(&delivery, missed());
    desk.complete_one("b");
    desk.pass(Span::from_secs(3_600));
    assert_eq!((desk.deliveries().len(), desk.stored()), (0, 1));
    desk.channel(channel());
    assert_eq!(desk.one_delivery().row.id, delivery.row.id);
}

#[test]
fn a_receiver_that_asks_for_a_rest_is_left_alone_for_a_bounded_time() {
    let mut desk = told();
    desk.complete_one("b");
    let delivery = desk.one_delivery();
    let rest = Some(Span::from_secs(100_000));
    desk.ended(&delivery, Verdict::Missed { class: "x".into(), status: Some(429), rest });
    desk.test_channel("b", "ops");
    let hour = Span::from_secs(3_600);
    assert_eq!(desk.channel_view("b").rests_until, Some(desk.now() + hour));
    desk.pass(Span(hour.0 - 1));
    assert_eq!(desk.deliveries().len(), 0);
    desk.pass(Span(1));
    assert_eq!(desk.deliveries().len(), 2);
}

#[test]
fn both_secrets_sign_while_they_overlap() {
    let mut desk = told();
    let secret = Secret([2; 32]);
    let rotate = || NoticeCommand::Rotate { tenant: name("b"), channel: name("ops"), secret };
    let response = desk.notice(rotate());
    assert!(matches!(response, Response::Rotated { .. }), "{response:?}");
    desk.restart();
    desk.test_channel("b", "ops");
    assert_eq!(desk.one_delivery().secrets, [secret, Secret([1; 32])]);
    desk.pass(OVERLAP);
    desk.test_channel("b", "ops");
    assert_eq!(desk.one_delivery().secrets, [secret]);
    // A declaration brings no other secret.
    let channel = Channel { disabled: true, ..webhook("b", "ops", &[]) };
    let response = desk.declare_channel(channel, 9);
    assert!(matches!(response, Response::Channel { changed: true, takes_secret: false }));
    desk.channel(mail("b", "mail", None));
    let rotate = NoticeCommand::Rotate { tenant: name("b"), channel: name("mail"), secret };
    let response = desk.notice(rotate);
    assert!(matches!(response, Response::Rejected(Rejection::NoSecret { .. })), "{response:?}");
}

#[test]
fn a_channel_outside_of_the_tenants_zone_is_refused() {
    let mut desk = told();
    desk.declare(Configure::Tenant(european("b")));
    let refused = |response| match response {
        Response::Rejected(Rejection::ChannelOutside { field, outside }) => {
            (field, outside.region.map(|region| region.to_string()))
        }
        other => panic!("{other:?}"),
    };
    let at = |region: Option<&str>| Channel {
        region: region.map(name),
        ..webhook("b", "new", &[EventKind::RunCompleted])
    };
    let response = desk.declare_channel(at(None), 1);
    assert_eq!(refused(response), ("/region", None));
    let response = desk.declare_channel(at(Some("us-east-1")), 1);
    assert_eq!(refused(response), ("/region", Some("us-east-1".to_owned())));
    let response = desk.declare_channel(at(Some("nowhere")), 1);
    assert!(matches!(response, Response::Rejected(Rejection::UnknownRegion { .. })));
    desk.channel(at(Some("eu-central-1")));
    desk.channel(mail("b", "mail", Some("eu-central-1")));
}

#[test]
fn nothing_leaves_for_where_the_tenants_data_may_not_be_any_more() {
    let mut desk = told();
    let at = |region: &str| Channel {
        region: Some(name(region)),
        ..webhook("b", region, &[EventKind::RunCompleted])
    };
    desk.channel(at("us-east-1"));
    desk.channel(at("eu-west-1"));
    // What is under way has left; what waits has not.
    desk.test_channel("b", "us-east-1");
    let delivery = desk.one_delivery();
    desk.declare(Configure::Tenant(european("b")));
    desk.ended(&delivery, missed());
    desk.complete_one("b");
    desk.pass(Span::from_secs(60));
    let channels: Vec<String> =
        desk.deliveries().iter().map(|delivery| delivery.row.channel.to_string()).collect();
    assert_eq!(channels, ["eu-west-1"]);
    let failed = desk.notices("b").into_iter().filter(|view| view.row.is_failed());
    let failed: Vec<_> = failed.map(|view| view.row.state).collect();
    // Those of `ops`, which says nothing of where it is, and of us-east-1.
    assert_eq!(failed.len(), 3);
    for state in failed {
        assert!(
            matches!(&state, NoticeState::Failed { because: GivenUp::Outside { .. }, .. }),
            "{state:?}"
        );
    }
    // The tenant's zone is lifted: they go out when somebody asks.
    desk.declare(Configure::Tenant(tenant("b", "large")));
    assert_eq!(desk.deliveries().len(), 0);
    let again = NoticeCommand::Redeliver { tenant: name("b"), notice: delivery.row.id };
    desk.notice(again);
    assert_eq!(desk.one_delivery().row.id, delivery.row.id);
}

#[test]
fn a_backlog_is_bounded_and_what_is_lost_is_counted_and_said_once() {
    let mut desk = told();
    desk.channel(Channel { disabled: false, ..webhook("a", "ops", &[EventKind::RunCompleted]) });
    for _ in 0..PENDING_MAX {
        desk.test_channel("a", "ops");
    }
    desk.complete_one("a");
    desk.complete_one("a");
    let counts = desk.channel_view("a").counts;
    assert_eq!((counts.pending, counts.lost), (PENDING_MAX, 2));
    assert_eq!(desk.decided("notices-lost").len(), 1);
    let test = NoticeCommand::Test { tenant: name("a"), channel: name("ops") };
    let response = desk.notice(test);
    assert!(matches!(response, Response::Rejected(Rejection::TooMany { .. })), "{response:?}");
    // The other tenant has its own room.
    desk.complete_one("b");
    assert_eq!(desk.channel_view("b").counts.lost, 0);
}

#[test]
fn a_query_gives_a_full_page_and_shows_that_there_is_more() {
    let mut desk = told();
    for _ in 0..=QUERY_ROWS_MAX {
        desk.test_channel("b", "ops");
    }
    let limit = QUERY_ROWS_MAX;
    let of = NoticesOf { tenant: name("b"), state: None, channel: None, after: None, limit };
    let Response::Notices(views) = desk.ask(|reply| Input::Query(reply, Query::Notices(of))) else {
        panic!("a list of notices")
    };
    assert_eq!(views.len(), 1_001, "a page of 1,000, and one more");
}

#[test]
fn of_those_that_were_given_up_the_newest_are_kept() {
    let mut desk = told();
    let refused = || Verdict::Refused { class: "relay-refused".into(), status: Some(550) };
    let mut ids = Vec::new();
    for _ in 0..=FAILED_MAX {
        ids.push(desk.test_channel("b", "ops"));
        let delivery = desk.one_delivery();
        desk.ended(&delivery, refused());
    }
    let kept: Vec<NoticeId> = desk.notices("b").iter().map(|view| view.row.id).collect();
    assert_eq!((kept.len(), desk.stored()), (FAILED_MAX, FAILED_MAX));
    assert!(!kept.contains(&ids[0]) && kept.contains(&ids[1]));
}

#[test]
fn a_channel_that_is_dropped_takes_its_notices_along() {
    let mut desk = told();
    for _ in 0..4 {
        desk.test_channel("b", "ops");
    }
    let begun = desk.deliveries();
    let drop = || NoticeCommand::Drop { tenant: name("b"), channel: name("ops") };
    desk.notice(drop());
    assert_eq!((desk.stored(), desk.disk().snapshot().channels.len()), (0, 0));
    desk.ended(&begun[0], missed());
    assert_eq!(desk.stored(), 0);
    let response = desk.notice(drop());
    assert!(matches!(response, Response::Rejected(Rejection::UnknownChannel { .. })));
    // Places in the air are free again.
    desk.channel(webhook("b", "ops", &[]));
    for _ in 0..2 {
        desk.test_channel("b", "ops");
    }
    assert_eq!(desk.deliveries().len(), 2);
}

#[test]
fn channels_are_few() {
    let mut desk = told();
    for at in 1..CHANNELS_MAX {
        desk.channel(webhook("b", &format!("c{at}"), &[]));
    }
    let response = desk.declare_channel(webhook("b", "more", &[]), 1);
    assert!(
        matches!(response, Response::Rejected(Rejection::TooMany { what: "channels", .. })),
        "{response:?}"
    );
    let same = desk.declare_channel(webhook("b", "c1", &[]), 1);
    assert!(matches!(same, Response::Channel { changed: false, takes_secret: false }), "{same:?}");
    let dry = NoticeCommand::Declare {
        channel: Channel { disabled: true, ..webhook("b", "c1", &[]) },
        secret: Secret([3; 32]),
        is_dry_run: true,
    };
    let response = desk.notice(dry);
    assert!(matches!(response, Response::Channel { changed: true, .. }), "{response:?}");
    assert!(!desk.channel_view("b").channel.disabled);
}

const OF_REVIEWS: &[EventKind] = &[
    EventKind::ReviewOpened,
    EventKind::ReviewEscalated,
    EventKind::ReviewOverdue,
    EventKind::ReviewDecided,
];

/// A review with these rungs, which is open, and a channel that is told of reviews.
fn reviewed(rungs: &[bool]) -> Desk {
    let rung = |notify: &bool| Escalation {
        pool: Some(name("seniors")),
        class: None,
        notify: *notify,
        within: Span::from_secs(60),
    };
    let terms = Terms { escalate: rungs.iter().map(rung).collect(), ..terms() };
    let (mut desk, _) = waiting(terms);
    desk.channel(webhook("b", "ops", OF_REVIEWS));
    let run = desk.submit("b", "flow");
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(crate::cell::input::Value::Digest([7; 32])));
    let opened = desk.one_delivery();
    assert_eq!((opened.row.event, opened.row.run), (EventKind::ReviewOpened, Some(run.run)));
    assert!(opened.row.review.is_some());
    desk.ended(&opened, Verdict::Accepted);
    desk
}

#[test]
fn a_rung_is_told_of_if_it_says_so() {
    let mut desk = reviewed(&[false, true]);
    desk.pass(Span::from_secs(3_600));
    assert_eq!(desk.events(), <[&str; 0]>::default());
    desk.pass(Span::from_secs(60));
    // Of both reviews, that of the run before the channel was declared too.
    assert_eq!(desk.events(), ["review.escalated", "review.escalated"]);
}

#[test]
fn a_review_that_somebody_escalates_is_told_of_too() {
    let mut desk = reviewed(&[true]);
    let (view, _) = desk.next_review("ada").unwrap();
    let by = Handler::Owner { by: Actor::Key(name("k")), tenant: None };
    let escalate = ReviewCommand::Escalate { review: view.id, by };
    desk.ask(|reply| Input::Review(reply, escalate));
    assert_eq!(desk.events(), ["review.escalated"]);
}

#[test]
fn reviews_that_are_decided_or_overdue_are_told_of() {
    let mut desk = reviewed(&[]);
    let (view, fence) = desk.next_review("ada").unwrap();
    desk.decide(decide(view.id, "ada", fence, "approved")).unwrap();
    assert_eq!(desk.events(), ["review.decided"]);
    desk.pass(Span::from_secs(3_600));
    assert_eq!(desk.events(), ["review.overdue"]);
}

#[test]
fn a_run_that_is_halted_for_want_of_money_is_told_of() {
    let dear = Step { cost_nano: Nano::from_cents(10).0, ..step("dear", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![dear]));
    desk.channel(webhook("b", "ops", &[EventKind::RunHalted, EventKind::RunFailed]));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: Nano::from_cents(5) });
    assert_eq!(desk.lease("w").len(), 0);
    assert_eq!(desk.events(), ["run.halted"]);
    desk.command(&run, Command::Cancel);
    assert_eq!(desk.events(), <[&str; 0]>::default());
}
