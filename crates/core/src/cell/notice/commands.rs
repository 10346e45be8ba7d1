//! What tenants do to their channels and notices, and what they see of them.

use std::collections::BTreeMap;

use crate::id::{ChannelName, NoticeId, TenantId};
use crate::notice::{
    ADDRESS_BYTES_MAX, CHANNELS_MAX, Channel, ChannelRow, EventKind, MAILBOXES_MAX, NoticeRow,
    OVERLAP, Receiver, Secret,
};
use crate::notices::Room;
use crate::reject::Rejection;
use crate::row::Actor;
use crate::scheduler::TenantIx;

use super::super::audit::told;
use super::super::change::Change;
use super::super::configure::{full, wide};
use super::super::effect::{ChannelView, NoticeView, Response};
use super::super::input::{NoticeCommand, NoticeStateIs, NoticesOf, QUERY_ROWS_MAX, ReplyId};
use super::super::{Cell, Turn};
use super::About;

impl Cell {
    pub(crate) fn notice(
        &mut self,
        (reply, by): (ReplyId, Option<Actor>),
        command: NoticeCommand,
        turn: &mut Turn,
    ) {
        let said = told(&command).map(|(of, code, facts)| (of.clone(), code, facts));
        let done = match command {
            NoticeCommand::Declare { channel, secret, is_dry_run } => {
                self.declare_channel(channel, secret, is_dry_run, turn)
            }
            NoticeCommand::Drop { tenant, channel } => self.drop_channel(&tenant, channel, turn),
            NoticeCommand::Rotate { tenant, channel, secret } => {
                self.rotate_channel(&tenant, &channel, secret, turn)
            }
            NoticeCommand::Test { tenant, channel } => self.test_channel(&tenant, channel, turn),
            NoticeCommand::Redeliver { tenant, notice } => self.redeliver(&tenant, notice, turn),
        };
        match done {
            Ok(response) => {
                let is_same = matches!(response, Response::Channel { changed: false, .. });
                if let Some((tenant, code, facts)) = said.filter(|_| !is_same) {
                    self.log((Some(tenant), by), code, facts.to_string(), turn);
                }
                turn.reply(reply, response);
            }
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    /// The secret is taken if the channel needs one and has none.
    fn declare_channel(
        &mut self,
        channel: Channel,
        secret: Secret,
        is_dry_run: bool,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let tenant = self.tenant_of_channel(&channel.tenant)?;
        let known = self.outbox.channel(tenant.0, &channel.name);
        let count = self.outbox.channels.get(&tenant.0).map_or(0, BTreeMap::len);
        full("channels", known.is_none(), count, CHANNELS_MAX)?;
        let kept = known.and_then(|known| known.secret);
        let takes_secret = matches!(channel.to, Receiver::Webhook { .. }) && kept.is_none();
        let (secret, previous) = match &channel.to {
            Receiver::Webhook { .. } => {
                (kept.or(Some(secret)), known.and_then(|known| known.previous))
            }
            Receiver::Email { .. } => (None, None),
        };
        let revision = known.map_or(1, |known| known.revision + 1);
        let row = ChannelRow { secret, previous, gone: None, revision, channel };
        self.check_channel(tenant, &row)?;
        let is_same =
            known.is_some_and(|known| known.channel == row.channel && known.gone.is_none());
        if !is_same && !is_dry_run {
            turn.write(Change::Channel(Box::new(row.clone())));
            self.outbox.put(tenant.0, row);
        }
        Ok(Response::Channel { changed: !is_same, takes_secret })
    }

    fn check_channel(&self, tenant: TenantIx, row: &ChannelRow) -> Result<(), Rejection> {
        let Channel { to, region, .. } = &row.channel;
        let bytes_max = ADDRESS_BYTES_MAX as u64;
        let fits = |field, text: &str| match text.len() as u64 {
            bytes if bytes > bytes_max => Err(Rejection::TooLong { field, bytes, max: bytes_max }),
            _ => Ok(()),
        };
        match to {
            Receiver::Webhook { url, .. } => fits("/webhook/url", url)?,
            Receiver::Email { to } => {
                wide("/email/to", to.len() as u64, 1, MAILBOXES_MAX as u64)?;
                to.iter().try_for_each(|address| fits("/email/to", address))?;
                if self.outbox.means.relay.is_none() {
                    return Err(Rejection::NoMailRelay);
                }
            }
        }
        self.known_regions("/region", &region.iter().cloned().collect())?;
        self.places_of(tenant, row).map_err(|(field, outside)| Rejection::ChannelOutside {
            field,
            outside: Box::new(outside),
        })
    }

    /// What was to be told through it is forgotten.
    fn drop_channel(
        &mut self,
        tenant: &TenantId,
        channel: ChannelName,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let (at, _) = self.known_channel(tenant, &channel)?;
        if let Some(channels) = self.outbox.channels.get_mut(&at.0) {
            channels.remove(&channel);
        }
        self.drop_notices_of(at, tenant, channel, turn);
        Ok(Response::Channel { changed: true, takes_secret: false })
    }

    /// Those of a tenant, with all that was to be told through them.
    pub(crate) fn drop_channels(&mut self, tenant: TenantIx, turn: &mut Turn) {
        let id = self.directory.tenants.get(tenant).declared.id.clone();
        for channel in self.outbox.channels.remove(&tenant.0).unwrap_or_default().into_keys() {
            self.drop_notices_of(tenant, &id, channel, turn);
        }
    }

    /// What a channel that is there no more still had to tell, and its row.
    fn drop_notices_of(
        &mut self,
        tenant: TenantIx,
        id: &TenantId,
        channel: ChannelName,
        turn: &mut Turn,
    ) {
        for notice in self.outbox.queue.drop_line(tenant.0, &channel) {
            turn.write(Change::DropNotice(id.clone(), notice));
        }
        turn.write(Change::DropChannel(id.clone(), channel));
    }

    /// The secret before goes on to sign for a while.
    fn rotate_channel(
        &mut self,
        tenant: &TenantId,
        channel: &ChannelName,
        secret: Secret,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let (at, mut row) = self.known_channel(tenant, channel)?;
        let before = row.secret.replace(secret);
        let Some(before) = before else {
            return Err(Rejection::NoSecret { channel: channel.clone() });
        };
        let until = self.now + OVERLAP;
        row.previous = Some((before, until));
        turn.write(Change::Channel(Box::new(row.clone())));
        self.outbox.put(at.0, row);
        Ok(Response::Rotated { until })
    }

    fn test_channel(
        &mut self,
        tenant: &TenantId,
        channel: ChannelName,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let (at, row) = self.known_channel(tenant, &channel)?;
        if !row.is_open() {
            return Err(Rejection::ChannelClosed { channel, is_gone: row.gone.is_some() });
        }
        if let Room::Full { .. } = self.outbox.queue.room(at.0, &channel) {
            let max = u64::from(crate::notices::PENDING_MAX);
            return Err(Rejection::TooMany { what: "notices that wait", max });
        }
        let event = (channel, EventKind::ChannelTest);
        Ok(Response::Noted(self.take_notice(at, event, About::default(), turn)))
    }

    fn redeliver(
        &mut self,
        tenant: &TenantId,
        notice: NoticeId,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let at = self.tenant_of_channel(tenant)?;
        let unknown = || Rejection::UnknownNotice { notice };
        let channel = self.outbox.queue.channel_of((at.0, notice)).ok_or_else(unknown)?;
        // It would wait for a channel that may never be open again, and look as if it were on its way.
        if let Some(row) = self.outbox.channel(at.0, &channel).filter(|row| !row.is_open()) {
            return Err(Rejection::ChannelClosed { channel, is_gone: row.gone.is_some() });
        }
        let again = self.outbox.queue.again((at.0, notice), self.now);
        let row = again.ok_or_else(unknown)?;
        turn.write(Change::Notice(Box::new(row)));
        Ok(Response::Noted(notice))
    }

    fn tenant_of_channel(&self, tenant: &TenantId) -> Result<TenantIx, Rejection> {
        let known = self.directory.tenants.find(tenant);
        known.ok_or_else(|| Rejection::UnknownTenant { tenant: tenant.clone() })
    }

    fn known_channel(
        &self,
        tenant: &TenantId,
        channel: &ChannelName,
    ) -> Result<(TenantIx, ChannelRow), Rejection> {
        let at = self.tenant_of_channel(tenant)?;
        let row = self.outbox.channel(at.0, channel);
        let unknown = || Rejection::UnknownChannel { channel: channel.clone() };
        Ok((at, row.ok_or_else(unknown)?.clone()))
    }

    /// A tenant's channels, by name, without their secrets.
    pub(crate) fn channels(&self, tenant: &TenantId) -> Response {
        let Some(at) = self.directory.tenants.find(tenant) else {
            return Response::Rejected(Rejection::UnknownTenant { tenant: tenant.clone() });
        };
        let view = |row: &ChannelRow| {
            let name = &row.channel.name;
            ChannelView {
                channel: row.channel.clone(),
                gone: row.gone,
                previous_until: row.previous.map(|(_, until)| until).filter(|at| *at > self.now),
                rests_until: self.outbox.queue.rests(at.0, name),
                counts: self.outbox.queue.counts(at.0, name),
            }
        };
        let own = self.outbox.channels.get(&at.0);
        Response::Channels(own.into_iter().flat_map(BTreeMap::values).map(view).collect())
    }

    /// A tenant's notices that are not delivered, by id.
    pub(crate) fn list_notices(&self, of: &NoticesOf) -> Response {
        let Some(at) = self.directory.tenants.find(&of.tenant) else {
            return Response::Rejected(Rejection::UnknownTenant { tenant: of.tenant.clone() });
        };
        let limit = of.limit.min(QUERY_ROWS_MAX) as usize;
        let found = self.outbox.queue.list(at.0, of.after);
        let is = |row: &NoticeRow, is_under_way| match (row.is_failed(), is_under_way) {
            (true, _) => NoticeStateIs::Failed,
            (false, true) => NoticeStateIs::UnderWay,
            (false, false) => NoticeStateIs::Pending,
        };
        let wanted = found.filter(|(row, is_under_way)| {
            of.state.is_none_or(|state| state == is(row, *is_under_way))
                && of.channel.as_ref().is_none_or(|channel| *channel == row.channel)
        });
        let view =
            |(row, is_under_way): (&NoticeRow, bool)| NoticeView { row: row.clone(), is_under_way };
        Response::Notices(wanted.take(limit).map(view).collect())
    }
}
