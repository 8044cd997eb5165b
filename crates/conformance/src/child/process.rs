use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{BACKEND, DIRECTORY, NAME, ROLE, Role};
use crate::rig::Rig;

/// Another process of this program that works on the store of a check. It is killed on drop.
pub(crate) struct Process {
    child: Child,
    reported: Option<ChildStdin>,
    lines: UnboundedReceiver<String>,
}

impl Process {
    pub(crate) fn start(rig: &Rig, role: Role) -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .env(ROLE, role.to_string())
            .env(BACKEND, rig.subject.profile().name())
            .env(DIRECTORY, rig.location.directory())
            .env(NAME, rig.location.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let reported = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = unbounded_channel();
        // A thread reads the output, so that a silent process does not block the check.
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, reported, lines }
    }

    /// The next line that the process prints; `None` once it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// The next acknowledgement of the process, without the word `ack`.
    pub(crate) async fn ack(&mut self) -> String {
        let line = self.line().await.expect("the process still runs");
        let ack = line.strip_prefix("ack ").map(str::to_owned);
        ack.unwrap_or_else(|| panic!("the process printed {line:?}"))
    }

    /// Lets a process continue that waits for its parent.
    pub(crate) fn go(&mut self) {
        let mut reported = self.reported.take().expect("`go` is called once");
        reported.write_all(b"go\n").expect("the process listens");
    }

    /// Kills the process, and returns the lines that it had printed by then.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        rest
    }

    /// Waits for the end of the process, and returns the remaining lines.
    pub(crate) async fn end(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "the process failed: {status}");
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process can have ended. A running one must not outlive its check.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
