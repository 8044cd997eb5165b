//! What a worker is told, as its arguments.

use std::{ffi::OsString, io, path::PathBuf, time::Duration};

use throughline_sqlite::Failpoint;

use crate::vfs::Lie;

/// Everything that a worker is told.
#[derive(Debug, Clone)]
pub struct Job {
    /// What it does.
    pub work: Work,
    /// The file of the store.
    pub store: PathBuf,
    /// The directory of the logs; its own is named by `process`.
    pub acks: PathBuf,
    /// Names it in every message that it writes.
    pub process: String,
    /// How many tasks write at once.
    pub tasks: u64,
    /// How many calls each task makes; without end if it is nothing.
    pub operations: Option<u64>,
    /// Which calls.
    pub mix: Mix,
    /// How long each call is waited for.
    pub deadline: Option<Duration>,
    /// The seed of its random choices.
    pub seed: u64,
    /// Says `open` when the store is open, and waits for a line before it writes.
    pub waits: bool,
    /// What happens to it inside the writer.
    pub interference: Option<Interference>,
    /// The commit that fails with an error of the disk, counted from 1; 0 for none.
    pub failing_commit: u64,
    /// What its disk claims.
    pub lie: Lie,
    /// Stays for a while when it has written everything, so that the store is looked after.
    pub lingers: bool,
    /// Ends without closing the store.
    pub leaves: bool,
    /// Keeps the log of who did what, sealed with [`audit_key`](super::audit_key).
    pub audited: bool,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Writes, and keeps a log of it.
    Write,
    /// Makes the same keyed calls as everybody else with this work, each several times, and notes the answers.
    Repeat,
    /// Reads paths from its input, and opens, writes to and closes the store at each.
    Open,
}

/// Which calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Every kind that the log knows.
    All,
    /// Single messages only.
    Adds,
}

/// Something that happens as the writer comes through a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interference {
    /// The place.
    pub point: Failpoint,
    /// The how-manieth time, from 1.
    pub hit: u64,
    /// What happens.
    pub then: Then,
}

/// What happens at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// `kill -9`.
    Kill,
    /// Says `held`, and waits there for a line.
    Hold,
}

/// Names of values, as they stand in arguments.
trait Named: Copy + 'static {
    const ALL: &'static [(&'static str, Self)];
}

impl Named for Work {
    const ALL: &'static [(&'static str, Self)] =
        &[("write", Self::Write), ("repeat", Self::Repeat), ("open", Self::Open)];
}

impl Named for Mix {
    const ALL: &'static [(&'static str, Self)] = &[("all", Self::All), ("adds", Self::Adds)];
}

impl Named for Then {
    const ALL: &'static [(&'static str, Self)] = &[("kill", Self::Kill), ("hold", Self::Hold)];
}

impl Named for Lie {
    const ALL: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("nosync", Self::NoSync), ("normal", Self::NormalSync)];
}

fn name<T: Named + PartialEq>(value: T) -> String {
    let found = T::ALL.iter().find(|(_, other)| *other == value);
    found.expect("every value has a name").0.to_owned()
}

fn value<T: Named>(text: &str) -> Option<T> {
    T::ALL.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

fn point(text: &str) -> Option<Failpoint> {
    Failpoint::ALL.into_iter().find(|point| format!("{point:?}") == text)
}

impl Job {
    /// Writes without end, with 32 tasks, every kind of call.
    pub fn new(store: impl Into<PathBuf>, acks: impl Into<PathBuf>, process: impl Into<String>) -> Self {
        Self {
            work: Work::Write,
            store: store.into(),
            acks: acks.into(),
            process: process.into(),
            tasks: 32,
            operations: None,
            mix: Mix::All,
            deadline: None,
            seed: 0,
            waits: false,
            interference: None,
            failing_commit: 0,
            lie: Lie::None,
            lingers: false,
            leaves: false,
            audited: false,
        }
    }

    /// As arguments of the program.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![name(self.work).into()];
        let mut add = |key: &str, value: OsString| args.extend([key.into(), value]);
        add("--store", self.store.clone().into());
        add("--acks", self.acks.clone().into());
        add("--process", self.process.clone().into());
        add("--tasks", self.tasks.to_string().into());
        add("--mix", name(self.mix).into());
        add("--lie", name(self.lie).into());
        add("--seed", self.seed.to_string().into());
        add("--failing-commit", self.failing_commit.to_string().into());
        if let Some(operations) = self.operations {
            add("--operations", operations.to_string().into());
        }
        if let Some(deadline) = self.deadline {
            add("--deadline", deadline.as_millis().to_string().into());
        }
        if let Some(Interference { point, hit, then }) = self.interference {
            add("--failpoint", format!("{point:?}").into());
            add("--hit", hit.to_string().into());
            add("--then", name(then).into());
        }
        args.extend(self.waits.then(|| "--waits".into()));
        args.extend(self.lingers.then(|| "--lingers".into()));
        args.extend(self.leaves.then(|| "--leaves".into()));
        args.extend(self.audited.then(|| "--audited".into()));
        args
    }

    /// From the arguments of this process.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_args() -> Result<Self, lexopt::Error> {
        Self::parse(lexopt::Parser::from_env())
    }

    fn parse(mut args: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut job = Self::new("", "", "");
        let mut interference = Interference { point: Failpoint::Begun, hit: 1, then: Then::Kill };
        let mut interferes = false;
        while let Some(arg) = args.next()? {
            match arg {
                Value(work) => job.work = work.parse_with(|text| value(text).ok_or(unknown()))?,
                Long("store") => job.store = args.value()?.into(),
                Long("acks") => job.acks = args.value()?.into(),
                Long("process") => job.process = args.value()?.string()?,
                Long("tasks") => job.tasks = args.value()?.parse()?,
                Long("operations") => job.operations = Some(args.value()?.parse()?),
                Long("mix") => job.mix = args.value()?.parse_with(|text| value(text).ok_or(unknown()))?,
                Long("lie") => job.lie = args.value()?.parse_with(|text| value(text).ok_or(unknown()))?,
                Long("deadline") => job.deadline = Some(Duration::from_millis(args.value()?.parse()?)),
                Long("seed") => job.seed = args.value()?.parse()?,
                Long("failing-commit") => job.failing_commit = args.value()?.parse()?,
                Long("failpoint") => {
                    interferes = true;
                    interference.point = args.value()?.parse_with(|text| point(text).ok_or(unknown()))?;
                }
                Long("hit") => interference.hit = args.value()?.parse()?,
                Long("then") => {
                    interference.then = args.value()?.parse_with(|text| value(text).ok_or(unknown()))?;
                }
                Long("waits") => job.waits = true,
                Long("lingers") => job.lingers = true,
                Long("leaves") => job.leaves = true,
                Long("audited") => job.audited = true,
                _ => return Err(arg.unexpected()),
            }
        }
        job.interference = interferes.then_some(interference);
        Ok(job)
    }
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "there is no such one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back() {
        let job = Job {
            work: Work::Repeat,
            tasks: 3,
            operations: Some(7),
            mix: Mix::Adds,
            deadline: Some(Duration::from_millis(20)),
            seed: 9,
            waits: true,
            interference: Some(Interference { point: Failpoint::Fenced, hit: 4, then: Then::Hold }),
            failing_commit: 2,
            lie: Lie::NormalSync,
            lingers: true,
            leaves: true,
            audited: true,
            ..Job::new("a b.db", "acks", "1.2")
        };
        for job in [job, Job::new("a", "b", "c")] {
            let args = std::iter::once(OsString::from("worker")).chain(job.to_args());
            let back = Job::parse(lexopt::Parser::from_iter(args)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{job:?}"));
        }
    }
}
