//! Mutants: defective backends and layers, each of which a named check must catch.
//!
//! Without a mutant that breaks it, a check is not known to check anything. Each check has a mutant, or states next to its id why only
//! the core could break it. [`main`] is a test target of its own: every mutant is a
//! trial that passes when each of the checks that are named for it fails, and the sound versions they were made from are
//! trials that pass when they keep every check.
//!
//! With `THROUGHLINE_CONFORMANCE_MATRIX=full` every check is run against every mutant, and the table says which check
//! catches which.

mod layer;
mod matrix;
mod store;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use libtest_mimic::{Arguments, Trial};

use self::matrix::Killed;
use crate::{Check, checks, child, erased::Subject, laws, runner};

/// Random sequences are the same ones in every run: whether a mutant is caught must not be a matter of luck.
const SEED: u64 = 1;

/// Runs every mutant against the checks that are to catch it, and prints who caught whom.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(role) = child::requested() {
        return match store::named(role.backend()) {
            Some(subject) => role.play(&subject),
            None => ExitCode::FAILURE,
        };
    }
    let arguments = Arguments::from_args();
    let killed = Arc::new(Mutex::new(Vec::new()));
    let backends = store::all().into_iter().map(|mutant| backend(mutant, &killed));
    let layers = layer::all().into_iter().map(|mutant| layer(mutant, &killed));
    let sound = checks().iter().copied().filter_map(sound_backend).chain(sound_layers());
    let only_ones = laws::with_a_layer_of_their_own().map(only_one_to_catch);
    let trials = backends.chain(layers).chain(sound).chain(only_ones).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let killed = killed.lock().unwrap_or_else(PoisonError::into_inner);
    if !arguments.list && killed.len() > 1 {
        drop(writeln!(std::io::stdout(), "{}", matrix::table(&killed)));
    }
    if !arguments.list && matrix::is_wanted_in_full() {
        drop(writeln!(std::io::stdout(), "{}", matrix::in_full()));
    }
    conclusion.exit_code()
}

/// A mutant of a backend: a trial of all checks that must catch it. The trial is ignored where this machine cannot measure the result of
/// these checks.
fn backend(mutant: &'static store::Mutant, killed: &Arc<Mutex<Vec<Killed>>>) -> Trial {
    let killed = Arc::clone(killed);
    let unmeasurable = mutant.killed_by.iter().all(|id| named(id).needs.unmeasurable().is_some());
    let run = move || {
        let subject: Arc<dyn Subject> = Arc::new(store::Mutated::new(mutant));
        let claims = mutant.claims();
        let reported =
            mutant.killed_by.iter().map(|id| named(id)).filter(|check| check.needs.unmeasurable().is_none());
        let escaped = reported.filter(|check| {
            assert_eq!(check.why_not_applicable(&claims), None, "`{}` does not apply to it", check.id);
            runner::run(&subject, check, &claims, SEED, runner::HANGS_AFTER_IN_MEMORY).is_ok()
        });
        let escaped: Vec<_> = escaped.map(|check| check.id).collect();
        settle(mutant.name, mutant.about, mutant.killed_by, &escaped, &killed)
    };
    Trial::test(format!("backend.{}", mutant.name), run).with_kind("mutant").with_ignored_flag(unmeasurable)
}

/// The check of this id.
fn named(id: &str) -> &'static Check {
    let check = checks().iter().copied().find(|check| check.id == id);
    check.unwrap_or_else(|| panic!("there is no check `{id}`"))
}

/// A mutant of a layer.
fn layer(mutant: &'static layer::Mutant, killed: &Arc<Mutex<Vec<Killed>>>) -> Trial {
    let killed = Arc::clone(killed);
    let run = move || {
        let subject = mutant.subject();
        let escaped = mutant.killed_by.iter().copied().filter(|id| {
            let law = laws::all().find(|law| law.id == *id);
            let law = law.unwrap_or_else(|| panic!("there is no law `{id}`"));
            assert_eq!(law.why_not_applicable(&subject.profile()), None, "`{id}` does not apply to it");
            laws::run_law(&subject, law).is_ok()
        });
        settle(mutant.name, mutant.about, mutant.killed_by, &escaped.collect::<Vec<_>>(), &killed)
    };
    Trial::test(format!("layer.{}", mutant.name), run).with_kind("mutant")
}

/// The law catches a mutant that every other law accepts, so it says more than they do.
fn only_one_to_catch(law: &'static laws::Law) -> Trial {
    let run = move || {
        let mut alone = layer::all().into_iter().filter(|mutant| mutant.killed_by == [law.id]).peekable();
        if alone.peek().is_none() {
            return Err("no mutant is caught by this law alone".into());
        }
        for mutant in alone {
            let subject = mutant.subject();
            let applies = |law: &&laws::Law| law.why_not_applicable(&subject.profile()).is_none();
            let broken = laws::all().filter(applies).filter(|law| laws::run_law(&subject, law).is_err());
            let broken: Vec<_> = broken.map(|law| law.id).collect();
            if broken != [law.id] {
                return Err(format!("the laws that `{}` breaks are {broken:?}", mutant.name).into());
            }
        }
        Ok(())
    };
    Trial::test(format!("only.{}", law.id), run).with_kind("law")
}

fn settle(
    name: &'static str,
    about: &'static str,
    by: &'static [&'static str],
    escaped: &[&str],
    killed: &Mutex<Vec<Killed>>,
) -> Result<(), libtest_mimic::Failed> {
    if !escaped.is_empty() {
        return Err(format!("{about}\nand these do not catch it: {}", escaped.join(", ")).into());
    }
    killed.lock().unwrap_or_else(PoisonError::into_inner).push(Killed { name, about, by });
    Ok(())
}

/// The backend that the mutants are made from keeps every check that applies to it.
fn sound_backend(check: &'static Check) -> Option<Trial> {
    let claims = store::SOUND.claims();
    if check.why_not_applicable(&claims).is_some() {
        return None;
    }
    let run = move || {
        let subject: Arc<dyn Subject> = Arc::new(store::Mutated::new(&store::SOUND));
        runner::run(&subject, check, &claims, SEED, runner::HANGS_AFTER).map_err(Into::into)
    };
    Some(Trial::test(format!("backend.{}", check.id), run).with_kind("sound"))
}

/// The layers that the mutants are made from keep every law that applies to them.
fn sound_layers() -> impl Iterator<Item = Trial> {
    layer::sound().into_iter().flat_map(|subject| {
        laws::all().filter_map(move |law| {
            let profile = subject.profile();
            law.why_not_applicable(&profile).is_none().then(|| {
                let subject = Arc::clone(&subject);
                let run = move || laws::run_law(&subject, law).map_err(Into::into);
                Trial::test(format!("{}.{}", profile.name(), law.id), run).with_kind("sound")
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The declarations only: [`main`] verifies that they are correct.
    #[test]
    fn each_check_has_a_mutant_or_says_why_only_the_core_can_break_it() {
        let backends = store::all().into_iter().flat_map(|mutant| mutant.killed_by);
        let layers = layer::all().into_iter().flat_map(|mutant| mutant.killed_by);
        let caught: BTreeSet<&str> = backends.chain(layers).copied().collect();
        let alone: BTreeMap<&str, &str> = matrix::core_alone().collect();
        let ids = checks().iter().map(|check| check.id).chain(laws::all().map(|law| law.id));
        let unproved: Vec<_> = ids.filter(|id| caught.contains(id) == alone.contains_key(id)).collect();
        assert!(unproved.is_empty(), "neither a mutant nor a reason, or both: {unproved:?}");
        assert!(alone.values().all(|why| why.len() > 20), "{alone:?}");
    }

    #[test]
    fn every_check_of_a_mutant_exists_and_applies_to_it() {
        for mutant in store::all() {
            for id in mutant.killed_by {
                let unclaimed = named(id)
                    .why_not_applicable(&mutant.claims())
                    .filter(|_| named(id).needs.unmeasurable().is_none());
                assert_eq!(unclaimed, None, "`{id}` does not apply to {}", mutant.name);
            }
        }
        for mutant in layer::all() {
            let profile = mutant.subject().profile();
            for id in mutant.killed_by {
                let law = laws::all().find(|law| law.id == *id);
                assert_eq!(
                    law.map(|law| law.why_not_applicable(&profile)),
                    Some(None),
                    "`{id}` and {}",
                    mutant.name
                );
            }
        }
    }
}
