//! Many seeds, some of them new each time; a failure names its seed and the command that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fairlane_sim::trace::Detail;
use fairlane_sim::world::{Outcome, Scenario, World};

fn play(seed: u64, detail: Detail) -> Result<Outcome, String> {
    let mut world = World::new(&Scenario { seed, detail, planted: None });
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let failure = match played {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(violation)) => violation.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default()
        }
    };
    let lines: Vec<&str> = world.trace().lines().collect();
    Err(format!("{}\nseed {seed}: {failure}", lines.join("\n")))
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("FAIRLANE_SEED").ok() else { return };
    let seed = seed.parse().expect("FAIRLANE_SEED is a number");
    match play(seed, Detail::Lines) {
        Ok(outcome) => println!("{outcome:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn some() {
    let from: u64 = std::env::var("FROM").map_or(0, |t| t.parse().unwrap());
    let count: u64 = std::env::var("COUNT").map_or(100, |t| t.parse().unwrap());
    let mut bad = 0;
    let mut total = 0;
    for seed in from..from + count {
        match play(seed, Detail::Hash) {
            Ok(outcome) => total += outcome.events,
            Err(failure) => {
                bad += 1;
                println!("{}", &failure[..failure.len().min(600)]);
            }
        }
    }
    println!("{bad} of {count} failed, {total} events");
}
