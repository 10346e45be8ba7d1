//! Channels and notices: what is dropped is gone, and only for the tenant that it was dropped of.

use fairlane_core::cell::change::Change;
use fairlane_core::id::{NoticeId, RunId};
use fairlane_core::notice::{ChannelRow, NoticeRow};

use super::samples::{channel, name, notice};
use super::{Place, checks, claimed};
use crate::error::Error;

checks! {
    a_notice_that_is_delivered_is_gone
    a_channel_that_is_dropped_is_gone_and_declared_again_is_new
}

fn put(row: NoticeRow) -> Change {
    Change::Notice(Box::new(row))
}

fn a_notice_that_is_delivered_is_gone(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let rows = [notice("acme", 1), notice("acme", 2), notice("bolt", 1)];
    store.commit(epoch, &rows.map(put))?;
    let later = NoticeRow { attempts: 5, ..notice("acme", 2) };
    let gone = Change::DropNotice(name("acme"), NoticeId(RunId(1)));
    store.commit(epoch, &[gone, put(later.clone())])?;
    assert_eq!(store.load()?.notices, [later, notice("bolt", 1)]);
    Ok(())
}

fn a_channel_that_is_dropped_is_gone_and_declared_again_is_new(
    place: &dyn Place,
) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let put = |row: ChannelRow| Change::Channel(Box::new(row));
    let drop = Change::DropChannel(name("acme"), name("ops"));
    store.commit(epoch, &[put(channel("acme", "ops")), put(channel("bolt", "ops")), drop])?;
    assert_eq!(store.load()?.channels, [channel("bolt", "ops")]);
    let again = ChannelRow { previous: None, revision: 9, ..channel("acme", "ops") };
    store.commit(epoch, &[put(again.clone())])?;
    assert_eq!(store.load()?.channels, [again, channel("bolt", "ops")]);
    Ok(())
}
