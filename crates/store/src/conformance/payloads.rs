//! Inputs, outputs and signals of every size.

use std::sync::Arc;

use fairlane_core::cell::change::Change;
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{Instance, Part, Payload, RunRow, StepRow, StepState};

use super::samples::{done, item, key, payload, run, scope, signal, step, whole};
use super::{Place, checks, claimed};
use crate::error::Error;
use crate::read::{Payloads, Read};

checks! {
    payloads_of_every_size_come_back
    a_row_without_payload_leaves_the_stored_one
    a_payload_replaces_one_of_another_size
    a_reader_leaves_payloads_unless_asked
    a_signal_becomes_the_output
    a_dropped_step_loses_its_outputs_of_every_size
    outputs_of_items_come_in_order
}

/// Around each border at which a store may place a payload elsewhere, and far beyond.
const SIZES: [usize; 10] = [0, 1, 100, 1_023, 1_024, 1_025, 4_096, 70_000, 1 << 20, 3 << 20];

fn input(store: &mut dyn Read, run: u128) -> Result<Option<Payload>, Error> {
    let (scope, run) = (scope("acme"), key("acme", run).run);
    let input = store.input(&scope, run)?;
    let row = store.run(&scope, run, Payloads::Read)?;
    assert_eq!(row.and_then(|row| row.input), input, "the row tells the same as the input alone");
    Ok(input)
}

fn output(store: &mut dyn Read, instance: Instance) -> Result<Option<Payload>, Error> {
    let (scope, run) = (scope("acme"), key("acme", 1).run);
    let output = store.output(&scope, run, instance)?;
    let row = store.steps(&scope, run, Payloads::Read)?;
    let row = row.into_iter().find(|row| row.instance == instance);
    assert_eq!(
        row.and_then(|row| row.output),
        output,
        "the row tells the same as the output alone"
    );
    Ok(output)
}

fn payloads_of_every_size_come_back(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    for (size, at) in SIZES.into_iter().zip(0u16..) {
        let submitted =
            RunRow { input: Some(payload(size)), ..run(&key("acme", u128::from(at) + 1)) };
        let steps = [whole(at), item(at, 0), Instance { part: Part::Compensation, ..whole(at) }]
            .map(|instance| Change::Step(Box::new(done(&acme, instance, &payload(size)))));
        store.commit(epoch, &[Change::Run(Box::new(submitted))])?;
        store.commit(epoch, &steps)?;
    }
    store.close()?;

    let mut reader = place.open()?.reader()?;
    for (size, at) in SIZES.into_iter().zip(0u16..) {
        assert_eq!(input(&mut *reader, u128::from(at) + 1)?, Some(payload(size)), "{size} bytes");
        for instance in [whole(at), item(at, 0), Instance { part: Part::Compensation, ..whole(at) }]
        {
            assert_eq!(output(&mut *reader, instance)?, Some(payload(size)), "{size} bytes");
        }
    }
    Ok(())
}

fn a_row_without_payload_leaves_the_stored_one(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    for size in SIZES {
        let submitted = RunRow { input: Some(payload(size)), ..run(&acme) };
        let completed = done(&acme, whole(0), &payload(size));
        store.commit(
            epoch,
            &[Change::Run(Box::new(submitted)), Change::Step(Box::new(completed.clone()))],
        )?;
        store.commit(
            epoch,
            &[
                Change::Run(Box::new(RunRow { revision: 77, ..run(&acme) })),
                Change::Step(Box::new(StepRow { attempt: 9, output: None, ..completed })),
            ],
        )?;
        let mut reader = store.reader()?;
        assert_eq!(input(&mut *reader, 1)?, Some(payload(size)), "{size} bytes");
        assert_eq!(output(&mut *reader, whole(0))?, Some(payload(size)), "{size} bytes");
        let (row, steps) = reader
            .run_and_steps(&scope("acme"), acme.run, Payloads::Leave)?
            .expect("the run was committed");
        assert_eq!((row.revision, steps[0].attempt), (77, 9));
    }
    Ok(())
}

fn a_payload_replaces_one_of_another_size(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    for size in [10, 5_000, 20, 6_000, 7_000, 0, 30] {
        let submitted = RunRow { input: Some(payload(size)), ..run(&acme) };
        let completed = done(&acme, whole(0), &payload(size));
        store.commit(
            epoch,
            &[Change::Run(Box::new(submitted)), Change::Step(Box::new(completed))],
        )?;
        let mut reader = store.reader()?;
        assert_eq!(input(&mut *reader, 1)?, Some(payload(size)), "{size} bytes");
        assert_eq!(output(&mut *reader, whole(0))?, Some(payload(size)), "{size} bytes");
    }
    Ok(())
}

fn a_reader_leaves_payloads_unless_asked(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    for size in [10, 5_000] {
        let submitted = RunRow { input: Some(payload(size)), ..run(&acme) };
        let completed = done(&acme, whole(0), &payload(size));
        let changes = [Change::Run(Box::new(submitted)), Change::Step(Box::new(completed.clone()))];
        store.commit(epoch, &changes)?;
        let mut reader = store.reader()?;
        let scope = scope("acme");
        let bare = StepRow { output: None, ..completed };
        assert_eq!(reader.run(&scope, acme.run, Payloads::Leave)?, Some(run(&acme)));
        let steps = vec![bare];
        assert_eq!(reader.steps(&scope, acme.run, Payloads::Leave)?, steps);
        let both = reader.run_and_steps(&scope, acme.run, Payloads::Leave)?;
        assert_eq!(both, Some((run(&acme), steps)));
    }
    Ok(())
}

fn a_signal_becomes_the_output(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    store.commit(epoch, &[Change::Run(Box::new(run(&acme)))])?;
    for (size, at) in SIZES.into_iter().zip(0u16..) {
        let sequence = u64::from(at) + 1;
        store.commit(epoch, &[Change::Signal(signal(&acme, sequence, &payload(size)))])?;
        let take = Change::TakeSignal { key: acme.clone(), sequence, instance: whole(at) };
        let ends = Change::Step(Box::new(step(&acme, whole(at), StepState::Done)));
        store.commit(epoch, &[ends, take])?;
    }
    assert_eq!(store.load()?.signals, []);
    store.close()?;

    let mut reader = place.open()?.reader()?;
    for (size, at) in SIZES.into_iter().zip(0u16..) {
        assert_eq!(output(&mut *reader, whole(at))?, Some(payload(size)), "{size} bytes");
    }
    Ok(())
}

fn a_dropped_step_loses_its_outputs_of_every_size(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let (acme, other) = (key("acme", 1), key("acme", 2));
    store.commit(epoch, &[&acme, &other].map(|key| Change::Run(Box::new(run(key)))))?;
    let instances =
        [whole(1), item(1, 0), item(1, 9), Instance { part: Part::Compensation, ..whole(1) }];
    for size in [10, 5_000] {
        let of_run = |key| {
            instances
                .into_iter()
                .chain([whole(0), whole(2)])
                .map(move |instance| Change::Step(Box::new(done(key, instance, &payload(size)))))
        };
        store.commit(epoch, &of_run(&acme).chain(of_run(&other)).collect::<Vec<_>>())?;
        store.commit(epoch, &[Change::DropStep(acme.clone(), StepIndex(1))])?;
        // The step begins anew and must not find what was dropped.
        let anew = instances.map(|at| Change::Step(Box::new(step(&acme, at, StepState::Ready))));
        store.commit(epoch, &anew)?;

        let mut reader = store.reader()?;
        for instance in instances {
            assert_eq!(output(&mut *reader, instance)?, None, "{size} bytes");
            let kept = reader.output(&scope("acme"), other.run, instance)?;
            assert_eq!(kept, Some(payload(size)), "{size} bytes");
        }
        for instance in [whole(0), whole(2)] {
            assert_eq!(output(&mut *reader, instance)?, Some(payload(size)), "{size} bytes");
        }
    }
    Ok(())
}

fn outputs_of_items_come_in_order(place: &dyn Place) -> Result<(), Error> {
    let (mut store, epoch) = claimed(place)?;
    let acme = key("acme", 1);
    store.commit(epoch, &[Change::Run(Box::new(run(&acme)))])?;
    let sizes = [(11, 5_000), (2, 20), (300, 10), (0, 2_000), (1, 0)];
    let mut changes: Vec<Change> = sizes
        .map(|(at, size)| Change::Step(Box::new(done(&acme, item(1, at), &payload(size)))))
        .into();
    // Not items of this step, or without an output.
    changes.extend(
        [
            whole(1),
            whole(0),
            item(0, 5),
            item(2, 5),
            Instance { part: Part::Compensation, ..whole(1) },
        ]
        .map(|instance| Change::Step(Box::new(done(&acme, instance, &payload(7))))),
    );
    changes.push(Change::Step(Box::new(step(&acme, item(1, 4), StepState::Skipped))));
    store.commit(epoch, &changes)?;

    let found = store.reader()?.outputs(&scope("acme"), acme.run, StepIndex(1))?;
    let found: Vec<_> = found.iter().map(|(at, output)| (*at, Arc::clone(output))).collect();
    let expected = [(0, 2_000), (1, 0), (2, 20), (11, 5_000), (300, 10)];
    assert_eq!(found, expected.map(|(at, size)| (at, payload(size))));
    Ok(())
}
