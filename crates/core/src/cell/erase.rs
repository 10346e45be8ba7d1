//! Erasures: what they concern is ended and cannot begin again. Rows and keys are the store's to delete; when it has, the cell
//! hears of it.

use crate::erasure::{Erased, ErasureRow, Subject};
use crate::reject::Rejection;
use crate::row::{Actor, RunKey, RunStatus};
use crate::scheduler::TenantIx;
use crate::tenant::Tenant;
use crate::time::Time;

use super::change::Change;
use super::effect::{Declared, Effect, Response};
use super::input::{Configure, Erase, ErasureDone, ReplyId};
use super::recent::KEPT;
use super::{Cell, Turn};

/// Erasures of a tenant that are not done: all are looked through when one of its runs is retried.
const OPEN_MAX: usize = 1_000;

impl Cell {
    pub(crate) fn erase(
        &mut self,
        (reply, by): (ReplyId, Option<Actor>),
        Erase { tenant, id, of }: Erase,
        turn: &mut Turn,
    ) {
        let row = ErasureRow { tenant, id, of, asked: self.now, by, runs: 0, done: None };
        match self.may_erase(&row) {
            Ok(tenant) => {
                self.end_all(tenant, &row, turn);
                if row.of == Erased::Tenant {
                    self.forget_declared(tenant, turn);
                }
                self.log_erasure("erasure-asked", &row, turn);
                turn.write(Change::Erasure(row.clone()));
                turn.reply(reply, Response::Erasure(Box::new(row.clone())));
                self.erasures.entry(row.tenant.clone()).or_default().push(row);
            }
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    fn may_erase(&self, row: &ErasureRow) -> Result<TenantIx, Rejection> {
        let unknown = || Rejection::UnknownTenant { tenant: row.tenant.clone() };
        let tenant = self.directory.tenants.find(&row.tenant).ok_or_else(unknown)?;
        if row.of == Erased::Tenant && !self.directory.tenants.get(tenant).context().suspended {
            return Err(Rejection::NotSuspended { tenant: row.tenant.clone() });
        }
        let known = self.erasures.get(&row.tenant).into_iter().flatten();
        let open = known.filter(|known| known.done.is_none()).count();
        if open >= OPEN_MAX {
            return Err(Rejection::TooMany { what: "erasures under way", max: OPEN_MAX as u64 });
        }
        Ok(tenant)
    }

    /// Cancels what is under way of it, and lets nothing of it begin by itself.
    fn end_all(&mut self, tenant: TenantIx, row: &ErasureRow, turn: &mut Turn) {
        let covered: Vec<RunKey> = match row.of {
            Erased::Run(run) => vec![RunKey { tenant: row.tenant.clone(), run }],
            Erased::Subject(_) | Erased::Tenant => {
                let live = self.runs.places().map(|place| self.runs.get(place));
                let of_tenant = live.filter(|run| run.tenant == tenant);
                let covered =
                    of_tenant.filter(|run| row.covers(&run.key, run.subject, run.created));
                covered.map(|run| run.key.clone()).collect()
            }
        };
        for key in covered {
            // What became of one may have ended others.
            if let Some(run) =
                self.runs.find(&key).filter(|run| self.runs.get(*run).outcome.is_none())
            {
                self.abandon(run, RunStatus::Cancelled, None, turn);
            }
        }
    }

    /// What a tenant's declarations say of it, apart from what the platform needs to know that it was there.
    fn forget_declared(&mut self, tenant: TenantIx, turn: &mut Turn) {
        self.drop_channels(tenant, turn);
        let known = &self.directory.tenants.get(tenant).declared;
        let bare = Tenant { attributes: "{}".into(), ..known.clone() };
        if bare != *known {
            let declared = Configure::Tenant(bare.clone());
            self.renew_tenant(bare, turn);
            turn.cause(Effect::Declared(Declared::Resource(Box::new(declared))));
        }
    }

    /// Whether rows of that run are not to be used any more.
    pub(crate) fn is_erased(&self, run: &RunKey, subject: Option<Subject>, created: Time) -> bool {
        let mut of_tenant = self.erasures.get(&run.tenant).into_iter().flatten();
        of_tenant.any(|row| row.covers(run, subject, created))
    }

    /// Something of it is gone, and some of it wholly.
    pub(crate) fn erased(&mut self, done: ErasureDone, turn: &mut Turn) {
        self.recent.forget(self.now, &done.runs);
        let now = self.now;
        // Whoever read rows before they went can still ask for a retry with them.
        self.erasures.retain(|_, rows| {
            rows.retain(|row| row.done.is_none_or(|at| now.since(at) <= KEPT));
            !rows.is_empty()
        });
        for (tenant, what, count) in done.expired {
            let facts = serde_json::json!({ "what": what, "count": count });
            self.decide(Some(tenant), "expired", facts.to_string(), turn);
        }
        for (tenant, id, runs) in done.finished {
            let mut of_tenant = self.erasures.get_mut(&tenant).into_iter().flatten();
            let found = of_tenant.find(|row| row.id == id);
            let Some(row) = found.filter(|row| row.done.is_none()) else { continue };
            (row.runs, row.done) = (runs, Some(now));
            let row = row.clone();
            self.log_erasure("erased", &row, turn);
            turn.write(Change::Erasure(row));
        }
    }

    fn log_erasure(&self, code: &'static str, row: &ErasureRow, turn: &mut Turn) {
        let mut facts = serde_json::json!({ "erasure": row.id.to_string() });
        match &row.of {
            Erased::Run(run) => facts["run"] = run.to_string().into(),
            Erased::Subject(subject) => facts["subject"] = subject.to_string().into(),
            Erased::Tenant => facts["all"] = true.into(),
        }
        if row.done.is_some() {
            facts["runs"] = row.runs.into();
        }
        // That it is done nobody has done.
        let by = row.by.clone().filter(|_| row.done.is_none());
        self.log((Some(row.tenant.clone()), by), code, facts.to_string(), turn);
    }
}
