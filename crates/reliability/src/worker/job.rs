//! The job of a worker, passed as arguments.

use std::{ffi::OsString, io, path::PathBuf, time::Duration};

use throughline_sqlite::Failpoint;

use crate::vfs::Lie;

/// The job of a worker.
#[derive(Debug, Clone)]
pub struct Job {
    /// The kind of work.
    pub work: Work,
    /// The file of the store.
    pub store: PathBuf,
    /// The directory of the logs; the log of the worker has the name `process`.
    pub acks: PathBuf,
    /// The name of the process in every message that it writes.
    pub process: String,
    /// The number of concurrent tasks.
    pub tasks: u64,
    /// The number of calls of each task; `None` for no end.
    pub operations: Option<u64>,
    /// The kinds of calls.
    pub mix: Mix,
    /// The deadline of each call.
    pub deadline: Option<Duration>,
    /// The seed of the random choices.
    pub seed: u64,
    /// Whether the worker prints `open` when the store is open, and waits for a line before it writes.
    pub waits: bool,
    /// A fault inside the writer.
    pub interference: Option<Interference>,
    /// The number of the commit that fails with a disk error, from 1; 0 for none.
    pub failing_commit: u64,
    /// Which syncs its disk only pretends to do.
    pub lie: Lie,
    /// Whether the worker stays idle for a while at the end, so that the store does its maintenance.
    pub stays: bool,
    /// Whether the worker ends without closing the store.
    pub leaves: bool,
    /// Whether it keeps an audit log with [`audit_key`](super::audit_key).
    pub audited: bool,
    /// Whether nearly every content is in a file next to the store.
    pub blobs: bool,
}

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Writes, and logs the calls.
    Write,
    /// Makes the same calls with idempotency keys as the other workers, each several times, and records the
    /// answers.
    Repeat,
    /// Gives the free pages of the store back, and prints a line before each step.
    Compact,
    /// Reads paths from its input, and opens, writes to and closes the store at each.
    Open,
}

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Every kind of [`Call`](crate::acks::Call).
    All,
    /// Single messages only.
    Adds,
}

/// A fault at a failpoint of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interference {
    /// The failpoint.
    pub point: Failpoint,
    /// The number of the hit that triggers, from 1.
    pub hit: u64,
    /// The action.
    pub then: Then,
}

/// The action at a failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// `kill -9`.
    Kill,
    /// Prints `held` and waits for a line.
    Hold,
}

/// Names of values in arguments.
trait Named: Copy + 'static {
    const ALL: &'static [(&'static str, Self)];
}

impl Named for Work {
    const ALL: &'static [(&'static str, Self)] =
        &[("write", Self::Write), ("repeat", Self::Repeat), ("compact", Self::Compact), ("open", Self::Open)];
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
    /// Creates a job that writes without end, with 32 tasks and every kind of call.
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
            stays: false,
            leaves: false,
            audited: false,
            blobs: false,
        }
    }

    /// Returns the arguments of the program.
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
        args.extend(self.stays.then(|| "--stays".into()));
        args.extend(self.leaves.then(|| "--leaves".into()));
        args.extend(self.audited.then(|| "--audited".into()));
        args.extend(self.blobs.then(|| "--blobs".into()));
        args
    }

    /// Parses the arguments of this process.
    ///
    /// # Errors
    /// Returns an error for invalid arguments.
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
                Long("stays") => job.stays = true,
                Long("leaves") => job.leaves = true,
                Long("audited") => job.audited = true,
                Long("blobs") => job.blobs = true,
                _ => return Err(arg.unexpected()),
            }
        }
        job.interference = interferes.then_some(interference);
        Ok(job)
    }
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "unknown value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_parsed_back() {
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
            stays: true,
            leaves: true,
            audited: true,
            blobs: true,
            ..Job::new("a b.db", "acks", "1.2")
        };
        for job in [job, Job::new("a", "b", "c")] {
            let args = std::iter::once(OsString::from("worker")).chain(job.to_args());
            let back = Job::parse(lexopt::Parser::from_iter(args)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{job:?}"));
        }
    }
}
