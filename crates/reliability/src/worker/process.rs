//! A worker as its parent holds it.

use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::Job;

/// A worker that was started. Dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End(ExitStatus);

impl Worker {
    /// Starts `program` with this job.
    ///
    /// # Errors
    /// What the operating system answers.
    ///
    /// # Panics
    /// Never: both pipes were asked for.
    pub fn start(program: impl AsRef<OsStr>, job: &Job) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(job.to_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Ok(Self { child, input, output })
    }

    /// The next line that it says; nothing when it has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(read) if read > 0 => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    /// Says a line to it. One that has ended hears nothing.
    pub fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // In one call, and no error: it may have been killed.
            drop(input.write_all(format!("{line}\n").as_bytes()));
        }
    }

    /// Tells it that nothing more will be said.
    pub fn tell_no_more(&mut self) {
        self.input = None;
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Asks it to end, as an operator does. It has no answer to that of its own.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops it, and returns when none of its threads runs any more.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        match waitpid(Some(self.pid()), WaitOptions::UNTRACED)? {
            Some((_, status)) if status.stopped() => Ok(()),
            _ => Err(io::Error::other("it ended instead")),
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn go_on(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn end(&mut self) -> io::Result<End> {
        Ok(End(self.child.wait()?))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that was waited for is not there any more, and `Child` knows.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl End {
    /// Whether it was killed.
    #[must_use]
    pub fn was_killed(self) -> bool {
        self.0.signal() == Some(Signal::KILL.as_raw())
    }

    /// Whether it ended by itself, and well.
    #[must_use]
    pub fn was_good(self) -> bool {
        self.0.success()
    }
}
