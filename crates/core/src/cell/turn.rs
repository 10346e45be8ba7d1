//! The open turn: what inputs have changed and caused since the last commit was begun.

use super::change::Change;
use super::effect::{Effect, Response};
use super::input::ReplyId;
use crate::reject::Rejection;

/// Changes to commit, and effects to release after that.
#[derive(Debug, Default)]
pub struct Turn {
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
}

impl Turn {
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.effects.is_empty()
    }

    pub(crate) fn write(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(crate) fn cause(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn reply(&mut self, to: ReplyId, response: Response) {
        self.effects.push(Effect::Reply(to, response));
    }

    pub(crate) fn reject(&mut self, to: ReplyId, rejection: Rejection) {
        self.reply(to, Response::Rejected(rejection));
    }
}
