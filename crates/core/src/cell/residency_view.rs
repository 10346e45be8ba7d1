//! Which live work rests on the adequacy of a country, and which is where it may not be any more: for people, from the
//! same answers that the gates give.

use crate::id::{RunId, StepName, TenantId, ToolName};
use crate::residency::Country;
use crate::router::Because;
use crate::scheduler::TenantIx;
use crate::tenant::Context;
use crate::time::Time;

use super::Cell;
use super::live::{At, State};
use super::rules::Binding;

/// Uses of each kind that one view shows at most.
pub const USES_SHOWN_MAX: usize = 1_000;

/// What live work may be where, at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResidencyView {
    pub at: Time,
    /// What may go on as long as the country is adequate.
    pub adequate: Vec<(Use, Country)>,
    /// What may not go on, and why: it is withdrawn.
    pub outside: Vec<(Use, Because)>,
    /// There is more of either.
    pub is_cut: bool,
}

/// A tool or an endpoint that is being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub tenant: TenantId,
    /// The run and the step for which; `None` if it is the tenant's own call.
    pub run: Option<(RunId, StepName)>,
    pub tool: ToolName,
}

impl Cell {
    pub(crate) fn residency_view(&self) -> ResidencyView {
        let mut view = ResidencyView { at: self.now, ..ResidencyView::default() };
        for run in self.runs.places() {
            let live = self.runs.get(run);
            if live.held == 0 {
                continue;
            }
            for node in 0..u32::try_from(live.nodes.len()).expect("a run's nodes are bounded") {
                if let Some((tool, may)) = self.tool_in_use(At { run, node }) {
                    let of = (live.key.run, live.step(node).name.clone());
                    let tenant = live.key.tenant.clone();
                    view.add(Use { tenant, run: Some(of), tool: tool.clone() }, may);
                }
            }
        }
        for (tenant, at, route) in self.open_calls() {
            let (binding, run) = match at {
                Some(at) => {
                    let run = self.runs.get(at.run);
                    let of = (run.key.run, run.step(at.node).name.clone());
                    (self.directory.binding(run), Some(of))
                }
                None => (Binding::newest(self.context_of(tenant)), None),
            };
            let may = self.may_use_now(binding, &route.endpoint);
            let tenant = self.context_of(tenant).tenant.clone();
            view.add(Use { tenant, run, tool: route.endpoint.clone() }, may);
        }
        view
    }

    /// The tool that a leased node uses, and whether it may, and on which country's adequacy that rests.
    pub(crate) fn tool_in_use(
        &self,
        at: At,
    ) -> Option<(&ToolName, Result<Option<Country>, Because>)> {
        let run = self.runs.get(at.run);
        let State::Leased(lease) = &run.node(at.node).state else { return None };
        let tool = match &lease.passed.route {
            Some(route) => &route.endpoint,
            None => run.tool(at.node)?,
        };
        Some((tool, self.may_use_now(self.directory.binding(run), tool)))
    }

    fn may_use_now(
        &self,
        binding: Binding<'_>,
        tool: &ToolName,
    ) -> Result<Option<Country>, Because> {
        self.directory.may_use(binding, (tool, self.directory.location(tool)), self.now)
    }

    fn context_of(&self, tenant: TenantIx) -> &Context {
        self.directory.tenants.get(tenant).context()
    }
}

impl ResidencyView {
    fn add(&mut self, used: Use, may: Result<Option<Country>, Because>) {
        match may {
            Ok(None) => {}
            Ok(Some(country)) if self.adequate.len() < USES_SHOWN_MAX => {
                self.adequate.push((used, country));
            }
            Err(because) if self.outside.len() < USES_SHOWN_MAX => {
                self.outside.push((used, because));
            }
            Ok(Some(_)) | Err(_) => self.is_cut = true,
        }
    }
}
