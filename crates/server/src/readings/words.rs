//! What a diagnosis says, in a sentence.

use fairlane_core::cell::effect::TenantView;
use fairlane_core::cell::view::{PlatformView, ReasonView, SharedReason};
use fairlane_core::reading::diagnosis::State;

/// Why a tenant is slow, and whether that is expected.
pub(super) fn of_tenant(view: &TenantView) -> String {
    let diagnosis = &view.diagnosis;
    let Some(reason) = &diagnosis.reason else {
        return "Nothing holds it up.".to_owned();
    };
    let mut text = sentence(reason, view.cap);
    if diagnosis.held.0 > 0 && diagnosis.held_in_all.0 > 0 {
        let percent = diagnosis.held.0.saturating_mul(100) / diagnosis.held_in_all.0;
        text.push_str(&format!(
            " That is {percent} % of what its ready steps waited for in the last minute."
        ));
    }
    text.push_str(if reason.is_own {
        " Expected: it is its own, and nobody else feels it."
    } else if reason.code == "unknown" {
        " Investigate: `fairlane explain` of one of its runs shows each step."
    } else {
        ""
    });
    if diagnosis.state == State::Broken {
        text.push_str(" Its target is missed for good this hour, or nothing of it moves.");
    }
    text
}

pub(super) fn of_platform(view: &PlatformView) -> String {
    let slow = match view.slow_expected {
        0 => String::new(),
        1 => " One tenant is slow for a reason of its own.".to_owned(),
        count => format!(" {count} tenants are slow for reasons of their own."),
    };
    match view.reasons.first() {
        None => format!("All is well: {} of {} tenants active.{slow}", view.active, view.tenants),
        Some(first) => {
            let more = match view.reasons.len() - 1 {
                0 => String::new(),
                more => format!(" And {more} more."),
            };
            format!("{}{more}{slow}", of_shared(first))
        }
    }
}

pub(super) fn of_shared(shared: &SharedReason) -> String {
    let who = match (shared.tenants, shared.examples.as_slice()) {
        (0, _) => return shared_sentence(&shared.reason),
        (1, [one]) => format!("Tenant {one} is slow"),
        (count, examples) => {
            let names: Vec<String> = examples.iter().map(ToString::to_string).collect();
            let more = if count > names.len() as u64 { ", ..." } else { "" };
            format!("{count} tenants are slow ({}{more})", names.join(", "))
        }
    };
    format!("{who}: {}", lower_first(&shared_sentence(&shared.reason)))
}

fn place(reason: &ReasonView) -> &str {
    reason.place.as_deref().unwrap_or("?")
}

/// Of one tenant.
fn sentence(reason: &ReasonView, cap: u32) -> String {
    let at = place(reason);
    match reason.code {
        "suspended" => "The tenant is suspended.".to_owned(),
        "tenant-cap" => {
            format!("It holds all {cap} slots of pool `{at}` that it may hold, and has more to do.")
        }
        "org-cap" => format!("Its organisation holds all slots of pool `{at}` that it may hold."),
        "own-quota" => format!("Its own quota of `{at}` is used up."),
        "budget" => format!("Its account `{at}` is empty."),
        "rules" => "What it asks for is nowhere to be had under its rules and policies.".to_owned(),
        "own-share" => format!(
            "All slots of pool `{at}` are taken; it holds its part of them, and has more to do."
        ),
        _ => shared_sentence(reason),
    }
}

/// Of what tenants share.
fn shared_sentence(reason: &ReasonView) -> String {
    let at = place(reason);
    match reason.code {
        "slots" => {
            format!("All slots of pool `{at}` are taken: it is too small for what is asked of it.")
        }
        "long-slots" => format!("Long steps hold as many slots of pool `{at}` as they may."),
        "workers" => format!("No worker of pool `{at}` asks for more work."),
        "provider" => format!(
            "What all tenants share of `{at}` is used up, or `{at}` is left alone since it fails."
        ),
        "reviewers" => format!("Reviews come faster to pool `{at}` than its people decide them."),
        "slow-tool" => format!("`{at}` takes at least twice as long as it did."),
        "slow-work" => format!("Work in pool `{at}` takes at least twice as long as it did."),
        "slow-store" => "The store takes long for its commits.".to_owned(),
        "valve" => "The valve refuses submissions: too much is waiting.".to_owned(),
        "unfair" => format!(
            "Slots of pool `{at}` go to some tenants ahead of their parts (Jain's index is below 0.9): its policy or its weights are not what they should be."
        ),
        "interference" => format!(
            "Isolation is incomplete at `{at}`: the waits of quiet tenants follow the load of a loud one."
        ),
        _ => "Runs take too long, and nothing that is looked at says why.".to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
