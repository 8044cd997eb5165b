//! The control of a worker by its parent.

use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::Job;

/// A running worker. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// The exit status of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End(ExitStatus);

impl Worker {
    /// Starts `program` with this job.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn start(program: impl AsRef<OsStr>, job: &Job) -> io::Result<Self> {
        Self::start_with(program, job.to_args())
    }

    /// Starts `program` with these arguments.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    ///
    /// # Panics
    /// Never: both pipes were requested.
    pub fn start_with(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Ok(Self { child, input, output })
    }

    /// Returns the next line of its output; `None` after its end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(read) if read > 0 => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    /// Sends a line to it. A worker that has ended does not read it.
    pub fn send(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // One call, and no error: the worker may have been killed.
            drop(input.write_all(format!("{line}\n").as_bytes()));
        }
    }

    /// Closes its input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends `SIGTERM`, as an operator does. The worker does not handle it.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops it with `SIGSTOP`, and returns when all of its threads are stopped.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        match waitpid(Some(self.pid()), WaitOptions::UNTRACED)? {
            Some((_, status)) if status.stopped() => Ok(()),
            _ => Err(io::Error::other("it ended instead")),
        }
    }

    /// Continues it.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn go_on(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Returns the error of the operating system.
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
        // A worker that was waited for has ended, and `Child` knows it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl End {
    /// Returns whether it was killed.
    #[must_use]
    pub fn was_killed(self) -> bool {
        self.0.signal() == Some(Signal::KILL.as_raw())
    }

    /// Returns whether it exited with success.
    #[must_use]
    pub fn was_good(self) -> bool {
        self.0.success()
    }
}
