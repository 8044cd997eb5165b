//! A program with a process group of its own: the processes that it starts end with it.

use std::io;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// Waits for the end of its input. Then it asks the group of processes `$1` to end, and kills after 5 seconds what is left of it.
const GUARD: &str = r#"read -r _
kill -s TERM -- "-$1" || exit 0
polls=0
while [ "$polls" -lt 50 ] && kill -s 0 -- "-$1"; do sleep 0.1; polls=$((polls + 1)); done
kill -s KILL -- "-$1""#;

/// A running program. A drop ends it and every process of its group.
///
/// A terminal sends Ctrl-C to its own group only. For that reason a guard, a shell in one more group, ends the program: its input closes
/// when this value is dropped, and also when xtask itself is killed.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    child: Child,
    guard: Option<Guard>,
}

#[derive(Debug)]
struct Guard {
    shell: Child,
    input: ChildStdin,
}

impl ProcessGroup {
    /// Starts the program. On a system without process groups, a drop ends only the program itself.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        separate(command);
        let mut group = Self { child: command.spawn()?, guard: None };
        if cfg!(unix) {
            group.guard = Some(Guard::start(group.child.id())?);
        }
        Ok(group)
    }

    /// Returns the status of the program if it has ended.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Guard {
    fn start(group: u32) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "guard", &group.to_string()]);
        separate(&mut shell);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let input = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { shell, input })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The program and the guard can have ended by themselves.
        match self.guard.take() {
            Some(Guard { mut shell, input }) => {
                drop(input);
                let _ = self.child.wait();
                let _ = shell.wait();
            }
            None => {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

#[cfg(unix)]
fn separate(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn separate(_: &mut Command) {}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    /// A shell that starts a program of its own and waits for it.
    fn parent_and_child(trap: &str) -> (ProcessGroup, BufReader<std::process::ChildStdout>) {
        let script = format!("{trap}sleep 300 & echo started; wait; wait");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut group = ProcessGroup::start(&mut command).expect("a shell");
        let mut output = BufReader::new(group.child.stdout.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, "started\n");
        (group, output)
    }

    #[test]
    fn a_drop_ends_the_program_and_its_children() {
        let (group, mut output) = parent_and_child("");
        drop(group);
        // The output has an end only when no process holds it.
        assert_eq!(output.read_to_end(&mut Vec::new()).expect("the end"), 0);
    }

    #[test]
    fn a_program_that_ignores_the_request_to_end_is_killed() {
        let (group, mut output) = parent_and_child("trap '' TERM; ");
        drop(group);
        assert_eq!(output.read_to_end(&mut Vec::new()).expect("the end"), 0);
    }

    #[test]
    fn the_guard_ends_the_group_when_its_input_closes() {
        let (mut group, mut output) = parent_and_child("");
        // The same happens when xtask is killed.
        let guard = group.guard.take().expect("a guard");
        let Guard { mut shell, input } = guard;
        drop(input);
        assert_eq!(output.read_to_end(&mut Vec::new()).expect("the end"), 0);
        let _ = group.child.wait();
        let _ = shell.wait();
    }
}
