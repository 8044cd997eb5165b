//! Parts of a step that run side by side.
//!
//! The output of a part goes to a file and is shown as one text when the part ends, so that the texts of two parts never mix.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::process::Process;

/// Programs that check something, one after the other.
#[derive(Debug)]
pub(super) struct Part {
    name: String,
    processes: Vec<Process>,
    /// Whether the others still run after one has failed.
    runs_all: bool,
}

impl Part {
    pub(super) fn new(name: impl Into<String>, process: Process) -> Self {
        Self { name: name.into(), processes: vec![process], runs_all: false }
    }

    /// Programs that all run, also after one of them has failed.
    pub(super) fn of_all(name: impl Into<String>, processes: Vec<Process>) -> Self {
        Self { name: name.into(), processes, runs_all: true }
    }

    /// Adds a program that runs after the others, unless one of them fails.
    pub(super) fn then(mut self, process: Process) -> Self {
        self.processes.push(process);
        self
    }

    /// Runs them. The text of an error names its cause.
    fn run(self, folder: &Path) -> Ended {
        let Self { name, processes, runs_all } = self;
        let start = Instant::now();
        let log = folder.join(format!("{}.log", name.replace(['/', ' '], "-")));
        let check = || -> Result {
            let file = File::create(&log)?;
            let mut failed = Vec::new();
            for process in processes {
                match process.output(&file)?.run() {
                    Err(error) if runs_all => failed.push(error.to_string()),
                    ended => ended?,
                }
            }
            if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
        };
        let failure = check().err().map(|error| error.to_string());
        let output = fs::read(&log).unwrap_or_default();
        Ended { name, took: start.elapsed(), failure, output: String::from_utf8_lossy(&output).into_owned() }
    }
}

/// A part that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) failure: Option<String>,
    output: String,
}

impl Ended {
    fn show(&self) {
        let verdict = if self.failure.is_some() { "FAILED" } else { "ok" };
        println!("\n--- {}: {verdict} after {:.1} s\n{}", self.name, self.took.as_secs_f64(), self.output);
        if let Some(why) = &self.failure {
            println!("FAILED: {}: {why}", self.name);
        }
    }

    /// The last lines of its output, which name the checks that failed.
    fn end(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        lines[lines.len().saturating_sub(END_LINES)..].join("\n")
    }
}

/// So many lines of a part that failed are shown again at the end of its step: a part that ends later can print thousands after them.
const END_LINES: usize = 60;

/// How many parts run at a time: one for each processor. More would only make them slower, and they have time limits.
pub(super) fn at_once() -> usize {
    thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

/// Runs all parts, so many at a time, in their order, and returns them in the order in which they ended. Their logs are in `folder`.
pub(super) fn run(parts: Vec<Part>, at_once: usize, folder: &Path) -> Result<Vec<Ended>> {
    fs::create_dir_all(folder)?;
    let waiting = Mutex::new(VecDeque::from(parts));
    let ended = Mutex::new(Vec::new());
    let worker = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(part) = next else { return };
            let part = part.run(folder);
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            part.show();
            ended.push(part);
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(worker);
        }
    });
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    for part in ended.iter().filter(|part| part.failure.is_some()) {
        println!("\n--- {}: FAILED; its last lines again:\n{}", part.name, part.end());
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, script: &str) -> Part {
        Part::new(name, Process::new("sh", Path::new(".")).args(["-c", script]))
    }

    #[test]
    fn every_part_runs_after_a_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = vec![part("a/b", "echo one; exit 3"), part("c", "echo two >&2")];
        let ended = run(parts, 1, folder.path()).expect("a folder for the logs");
        let names: Vec<_> = ended.iter().map(|part| (part.name.as_str(), part.output.as_str())).collect();
        assert_eq!(names, [("a/b", "one\n"), ("c", "two\n")]);
        assert!(ended[0].failure.as_ref().is_some_and(|why| why.contains('3')), "{ended:?}");
        assert_eq!(ended[1].failure, None);
    }

    #[test]
    fn the_end_of_a_part_is_its_last_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let short = part("short", "echo one; echo two");
        let long = part("long", "seq 1 1000");
        let ended = run(vec![short, long], 1, folder.path()).expect("a folder for the logs");
        assert_eq!(ended[0].end(), "one\ntwo");
        let end = ended[1].end();
        let lines: Vec<_> = end.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[59]), (60, "941", "1000"));
    }

    #[test]
    fn programs_of_a_part_run_one_after_the_other_until_one_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = |script: &str| Process::new("sh", Path::new(".")).args(["-c", script]);
        let all = part("all", "echo one").then(script("echo two"));
        let stopped = part("stopped", "echo one").then(script("exit 4")).then(script("echo three"));
        let ended = run(vec![all, stopped], 1, folder.path()).expect("a folder for the logs");
        let seen: Vec<_> = ended.iter().map(|part| (part.output.as_str(), part.failure.is_some())).collect();
        assert_eq!(seen, [("one\ntwo\n", false), ("one\n", true)]);
    }

    #[test]
    fn programs_of_a_part_of_all_run_after_a_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = |script: &str| Process::new("sh", Path::new(".")).args(["-c", script]);
        let all =
            Part::of_all("all", vec![script("echo one; exit 4"), script("exit 5"), script("echo three")]);
        let ended = run(vec![all], 1, folder.path()).expect("a folder for the logs");
        assert_eq!(ended[0].output, "one\nthree\n");
        let failure = ended[0].failure.as_deref().unwrap_or_default();
        assert!(failure.contains("exit status: 4") && failure.contains("exit status: 5"), "{failure}");
    }

    #[test]
    fn two_workers_run_two_parts_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        // Each waits until the other one has begun; with one worker the first would be ended by its limit.
        let file = |name: &str| folder.path().join(name).display().to_string();
        let meets = |mine: &str, other: &str| {
            let script = format!("touch {}; until [ -e {} ]; do sleep 0.01; done", file(mine), file(other));
            let Part { name, processes, runs_all } = part(mine, &script);
            let limited = |process: Process| process.limit(Duration::from_secs(60));
            Part { name, processes: processes.into_iter().map(limited).collect(), runs_all }
        };
        let ended = run(vec![meets("a", "b"), meets("b", "a")], 2, folder.path()).expect("a folder");
        assert!(ended.iter().all(|part| part.failure.is_none()), "{ended:?}");
    }
}
