//! Other names for tenants and organisations, by the order of their first arrivals: the same within one export.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::declared::Declared;
use crate::recorded::Recorded;

pub(super) fn rename(runs: &mut [Recorded], declared: &mut Declared) {
    let (mut tenants, mut orgs) = (Names::new('t'), Names::new('o'));
    for run in runs {
        run.tenant = tenants.of(&run.tenant);
        run.org = orgs.of(&run.org);
    }
    for (section, names) in [("tenants", &mut tenants), ("orgs", &mut orgs)] {
        let Some(section) = declared.sections.get_mut(section) else { continue };
        let renamed: Map<String, Value> =
            std::mem::take(section).into_iter().map(|(name, of)| (names.of(&name), of)).collect();
        *section = renamed;
    }
    for tenant in declared.sections.get_mut("tenants").into_iter().flat_map(Map::values_mut) {
        if let Some(org) = tenant["org"].as_str() {
            tenant["org"] = orgs.of(org).into();
        }
    }
}

struct Names {
    prefix: char,
    known: BTreeMap<String, String>,
}

impl Names {
    const fn new(prefix: char) -> Self {
        Self { prefix, known: BTreeMap::new() }
    }

    fn of(&mut self, name: &str) -> String {
        let number = self.known.len() + 1;
        let new = || format!("{}{number}", self.prefix);
        self.known.entry(name.to_owned()).or_insert_with(new).clone()
    }
}
