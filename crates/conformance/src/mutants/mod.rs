//! Who tests the tests: broken backends and broken layers, each of which a named check has to catch.
//!
//! A check that no mutant breaks is not known to check anything. [`main`] is a test target of its own: every mutant is a
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
use crate::{Check, checks, child, erased::Subject, laws, verdict};

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
    let conclusion = libtest_mimic::run(&arguments, backends.chain(layers).chain(sound).collect());
    let killed = killed.lock().unwrap_or_else(PoisonError::into_inner);
    if !arguments.list && killed.len() > 1 {
        drop(writeln!(std::io::stdout(), "{}", matrix::table(&killed)));
    }
    if !arguments.list && matrix::is_wanted_in_full() {
        drop(writeln!(std::io::stdout(), "{}", matrix::in_full()));
    }
    conclusion.exit_code()
}

/// A mutant of a backend: a trial of all checks that are to catch it.
fn backend(mutant: &'static store::Mutant, killed: &Arc<Mutex<Vec<Killed>>>) -> Trial {
    let killed = Arc::clone(killed);
    let run = move || {
        let subject: Arc<dyn Subject> = Arc::new(store::Mutated::new(mutant));
        let claims = mutant.claims();
        let escaped = mutant.killed_by.iter().copied().filter(|id| {
            let check = checks().iter().find(|check| check.id == *id);
            let check = check.unwrap_or_else(|| panic!("there is no check `{id}`"));
            assert_eq!(check.gate(&claims), None, "`{id}` does not apply to it");
            verdict::run(&subject, check, &claims, SEED).is_ok()
        });
        settle(mutant.name, mutant.about, mutant.killed_by, &escaped.collect::<Vec<_>>(), &killed)
    };
    Trial::test(format!("backend.{}", mutant.name), run).with_kind("mutant")
}

/// A mutant of a layer.
fn layer(mutant: &'static layer::Mutant, killed: &Arc<Mutex<Vec<Killed>>>) -> Trial {
    let killed = Arc::clone(killed);
    let run = move || {
        let subject = mutant.subject();
        let escaped = mutant.killed_by.iter().copied().filter(|id| {
            let law = laws::all().find(|law| law.id == *id);
            let law = law.unwrap_or_else(|| panic!("there is no law `{id}`"));
            assert_eq!(law.gate(&subject.profile()), None, "`{id}` does not apply to it");
            laws::run_law(&subject, law).is_ok()
        });
        settle(mutant.name, mutant.about, mutant.killed_by, &escaped.collect::<Vec<_>>(), &killed)
    };
    Trial::test(format!("layer.{}", mutant.name), run).with_kind("mutant")
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
    if check.gate(&claims).is_some() {
        return None;
    }
    let run = move || {
        let subject: Arc<dyn Subject> = Arc::new(store::Mutated::new(&store::SOUND));
        verdict::run(&subject, check, &claims, SEED).map_err(Into::into)
    };
    Some(Trial::test(format!("backend.{}", check.id), run).with_kind("sound"))
}

/// The layers that the mutants are made from keep every law that applies to them.
fn sound_layers() -> impl Iterator<Item = Trial> {
    layer::sound().into_iter().flat_map(|subject| {
        laws::all().filter_map(move |law| {
            let profile = subject.profile();
            law.gate(&profile).is_none().then(|| {
                let subject = Arc::clone(&subject);
                let run = move || laws::run_law(&subject, law).map_err(Into::into);
                Trial::test(format!("{}.{}", profile.name(), law.id), run).with_kind("sound")
            })
        })
    })
}
