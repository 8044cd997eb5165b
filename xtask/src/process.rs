//! Starting other programs.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::process_group::ProcessGroup;

/// The variables by which cargo describes the package of the program that it runs. A child that inherited them would take
/// itself for xtask.
const OWN_PACKAGE: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// A program to run: without input, and shown before it starts.
#[derive(Debug)]
pub(crate) struct Process {
    command: Command,
    /// The words of the command line that [`Process::env`] has put in front.
    shown_env: Vec<String>,
    limit: Option<Duration>,
}

impl Process {
    /// A program, and the folder it runs in.
    pub(crate) fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        for (key, _) in std::env::vars_os() {
            if key.to_str().is_some_and(|key| OWN_PACKAGE.iter().any(|prefix| key.starts_with(prefix))) {
                command.env_remove(key);
            }
        }
        Self { command, shown_env: Vec::new(), limit: None }
    }

    /// Adds arguments.
    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable that is part of what is asked for, and shows it.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.shown_env.push(format!("{key}={}", quoted(value.as_ref())));
        self.setting(key, value)
    }

    /// Sets an environment variable that only changes how things are done.
    pub(crate) fn setting(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Writes its output and its errors into a file, in the order in which it makes them, instead of showing them.
    pub(crate) fn output(mut self, file: &File) -> Result<Self> {
        self.command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        Ok(self)
    }

    /// Ends the program, and every program that it has started, if [`Process::run`] takes longer than this.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs it with its output visible; anything but success is an error.
    pub(crate) fn run(mut self) -> Result {
        self.show();
        let status = match self.limit {
            None => self.command.status().map_err(|error| self.not_started(&error))?,
            Some(limit) => self.wait(limit)?,
        };
        self.demand_success(status)
    }

    /// Runs it and returns its standard output; its standard error stays visible.
    pub(crate) fn capture(mut self) -> Result<String> {
        self.command.stderr(Stdio::inherit());
        let output = self.command.output().map_err(|error| self.not_started(&error))?;
        self.demand_success(output.status)?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Whether it can be run, with success. Nothing is shown.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    /// Prints the command line.
    pub(crate) fn show(&self) {
        println!("    $ {}", self.line());
    }

    /// The command line as a person would type it, the program by its name.
    fn line(&self) -> String {
        let mut words = self.shown_env.clone();
        let program = Path::new(self.command.get_program());
        words.push(quoted(program.file_name().unwrap_or(program.as_os_str())));
        words.extend(self.command.get_args().map(quoted));
        words.join(" ")
    }

    fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut group = ProcessGroup::start(&mut self.command).map_err(|error| self.not_started(&error))?;
        let start = Instant::now();
        loop {
            if let Some(status) = group.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                drop(group);
                return Err(format!("`{}` was ended after {} s", self.line(), limit.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn demand_success(&self, status: ExitStatus) -> Result {
        if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", self.line()).into()) }
    }

    fn not_started(&self, error: &std::io::Error) -> Box<dyn std::error::Error> {
        format!("`{}` could not be started: {error}", self.line()).into()
    }
}

/// A word of a command line, in quotes if it needs them.
fn quoted(word: &OsStr) -> String {
    let word = word.display().to_string();
    if word.is_empty() || word.contains([' ', '"', '$', '*']) { format!("'{word}'") } else { word }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    fn shell(script: &str) -> Process {
        Process::new("sh", Path::new(".")).args(["-c", script])
    }

    #[test]
    fn success_failure_and_absence_are_different_results() {
        assert!(shell("exit 0").run().is_ok());
        let failure = shell("exit 3").run().expect_err("a failure").to_string();
        assert!(failure.contains("sh -c 'exit 3'") && failure.contains('3'), "{failure}");
        let absent =
            Process::new("no-such-program-here", Path::new(".")).run().expect_err("absent").to_string();
        assert!(absent.contains("could not be started"), "{absent}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let start = Instant::now();
        let error = Process::new("sleep", Path::new(".")).args(["60"]).limit(Duration::from_millis(50)).run();
        assert!(error.expect_err("a hang").to_string().contains("was ended"));
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_program_that_hangs_ends_with_the_programs_that_it_started() {
        let file = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        // The inner shell writes the file when it is asked to end, and ends by itself at last.
        let inner = format!(
            "trap 'echo ended > {}; exit' TERM; for _ in 1 2 3 4 5 6 7 8 9; do sleep 1; done",
            file.display()
        );
        let error = Process::new("sh", Path::new("."))
            .args(["-c", "sh -c \"$1\" & wait", "outer", &inner])
            .limit(Duration::from_secs(2))
            .run();
        assert!(error.expect_err("a hang").to_string().contains("was ended"));
        assert_eq!(std::fs::read_to_string(&file).expect("the inner program was asked to end"), "ended\n");
        std::fs::remove_file(file).expect("a file of this test");
    }

    #[test]
    fn output_and_errors_go_to_one_file() {
        let mut file = tempfile::tempfile().expect("a file");
        let process = shell("echo one; echo two >&2; echo three").output(&file).expect("its handles");
        process.run().expect("a success");
        file.seek(SeekFrom::Start(0)).expect("its start");
        assert_eq!(std::io::read_to_string(file).expect("text"), "one\ntwo\nthree\n");
    }

    #[test]
    fn there_is_no_input_and_no_word_of_xtask() {
        let seen = shell("cat; echo \"[$CARGO_PKG_NAME]\"").capture().expect("output");
        assert_eq!(seen.trim(), "[]");
    }

    #[test]
    fn a_line_shows_what_a_person_would_type() {
        let process = Process::new("/usr/bin/tool", Path::new(".")).args(["a b"]);
        let process = process.env("FLAGS", "-D x").setting("NO_COLOR", "1");
        assert_eq!(process.line(), "FLAGS='-D x' tool 'a b'");
    }
}
