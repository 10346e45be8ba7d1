//! What clients and workers wrote down themselves, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use fairlane_client::api::Json;
use fairlane_client::api::worker::{Acceptance, Lease, Receipt, Report};

/// One step of one run.
type Step = (String, String);

#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Tenant and run of each acknowledged submission, by its key.
    acknowledged: BTreeMap<String, (String, String)>,
    /// Which step, and whose, each lease is for.
    leases: BTreeMap<String, (Step, String)>,
    /// What the work on each lease came to.
    tokens: BTreeMap<String, String>,
    /// All tokens that were ever made for a step.
    made: BTreeMap<Step, BTreeSet<String>>,
    /// The token that the server said it has recorded.
    recorded: BTreeMap<Step, String>,
    /// Leases that are being worked on, by tenant, and the most at once.
    working: BTreeMap<String, u32>,
    most: BTreeMap<String, u32>,
    most_in_all: u32,
    stale: u64,
    deaths: u32,
}

impl Record {
    pub(crate) fn acknowledge(&self, tenant: &str, key: &str, run: &str) {
        let mut pages = self.pages();
        let known = pages.acknowledged.insert(key.to_owned(), (tenant.to_owned(), run.to_owned()));
        assert!(known.is_none_or(|(_, known)| known == run), "the key {key} named two runs");
    }

    pub(crate) fn acknowledged(&self) -> Vec<(String, String)> {
        self.pages().acknowledged.values().cloned().collect()
    }

    pub(crate) fn server_died(&self) {
        self.pages().deaths += 1;
    }

    pub(crate) fn begin(&self, lease: &Lease) {
        let mut pages = self.pages();
        let step = (lease.run.clone(), lease.step.clone());
        let known = pages.leases.insert(lease.lease.clone(), (step, lease.tenant.clone()));
        assert!(known.is_none(), "the lease {} was given out twice", lease.lease);
        let now = pages.working.entry(lease.tenant.clone()).or_default();
        *now += 1;
        let now = *now;
        let most = pages.most.entry(lease.tenant.clone()).or_default();
        *most = now.max(*most);
        let in_all = pages.working.values().sum();
        pages.most_in_all = pages.most_in_all.max(in_all);
    }

    /// The work on the lease is done; gives the token that stands for its outcome.
    pub(crate) fn end(&self, lease: &Lease) -> String {
        let mut pages = self.pages();
        *pages.working.get_mut(&lease.tenant).expect("work that ends has begun") -= 1;
        let token = format!("{} of {}", pages.tokens.len(), lease.lease);
        pages.tokens.insert(lease.lease.clone(), token.clone());
        let step = (lease.run.clone(), lease.step.clone());
        pages.made.entry(step).or_default().insert(token.clone());
        token
    }

    pub(crate) fn receipts(&self, reports: &[Report], accepted: &[Acceptance]) {
        assert_eq!(reports.len(), accepted.len(), "each report has a receipt");
        let mut pages = self.pages();
        for acceptance in accepted {
            match acceptance.receipt {
                Receipt::Recorded => {
                    let (step, _) = pages.leases[&acceptance.lease].clone();
                    let token = pages.tokens[&acceptance.lease].clone();
                    let known = pages.recorded.insert(step.clone(), token);
                    assert!(known.is_none(), "two outcomes of {step:?} were recorded");
                }
                // It was recorded before the server died, and its receipt was lost, or it lost its lease.
                Receipt::Stale => pages.stale += 1,
                other => panic!("a report of an outcome was answered with {other:?}"),
            }
        }
    }

    /// The outputs that the server has are those that it said it recorded, and of work that was really done.
    pub(crate) fn check_outcome(&self, run: &str, output: &Json) {
        let output: serde_json::Value =
            serde_json::from_str(output.get()).expect("an output is JSON");
        let decide = &output["decide"];
        let credit = &decide["input"]["before"];
        let verify = &credit["input"]["before"];
        let pages = self.pages();
        for (step, found) in [("decide", decide), ("credit", credit), ("verify", verify)] {
            let token = found["token"]
                .as_str()
                .unwrap_or_else(|| panic!("{step} of {run} has no token: {output}"));
            let step = (run.to_owned(), step.to_owned());
            assert!(
                pages.made[&step].contains(token),
                "{step:?} has the outcome of no work: {token}"
            );
            if let Some(recorded) = pages.recorded.get(&step) {
                assert_eq!(recorded, token, "{step:?} has another outcome than the recorded one");
            }
        }
    }

    pub(crate) fn check(&self, caps: &[(&str, u32)], slots: u32) {
        let pages = self.pages();
        assert!(
            !pages.acknowledged.is_empty(),
            "nothing was acknowledged: the test tested nothing"
        );
        for (tenant, cap) in caps {
            let most = pages.most.get(*tenant).copied().unwrap_or(0);
            assert!(most <= *cap, "{tenant} held {most} slots, its cap is {cap}");
        }
        assert!(
            pages.most_in_all <= slots,
            "{} slots were held, there are {slots}",
            pages.most_in_all
        );
    }

    pub(crate) fn summary(&self) -> String {
        let pages = self.pages();
        format!(
            "{} deaths, {} runs acknowledged, {} leases, {} outcomes recorded, {} reports stale, slots at most {:?}",
            pages.deaths,
            pages.acknowledged.len(),
            pages.leases.len(),
            pages.recorded.len(),
            pages.stale,
            pages.most
        )
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("nobody panics while writing")
    }
}
