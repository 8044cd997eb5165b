//! The processes of a server: a shell starts them and ends them with the test process; tests stop, freeze or kill
//! them.

use std::{
    fs, io,
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::StartError;

/// The longest time until a server answers.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The shell between the test process and the server. It starts the server for each line of the pipe. At the end of
/// the pipe, it ends the server and removes the folder.
const SHELL: &str = r#"folder=$1; signal=$2; shift 2
while read -r word; do
    [ -z "$server" ] || wait $server
    "$@" >>"$folder/log" 2>&1 </dev/null &
    server=$!
done
if [ -n "$server" ]; then
    kill -CONT $server 2>/dev/null
    kill -$signal $server 2>/dev/null
    wait $server
fi
rm -rf "$folder""#;

/// The program of a server: where it writes its process id, and how to see that it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Postgres,
    /// PgBouncer reports no state; a connection to its port shows that it answers.
    Pooler {
        port: u16,
    },
}

impl Kind {
    const fn pid_file(self) -> &'static str {
        match self {
            Self::Postgres => "data/postmaster.pid",
            Self::Pooler { .. } => POOLER_PID_FILE,
        }
    }

    /// Returns the signal that ends the server at once. A shell makes its background processes ignore `QUIT`;
    /// Postgres handles it nevertheless.
    const fn end(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::Pooler { .. } => "KILL",
        }
    }

    fn is_ready(self, state: &str) -> bool {
        match self {
            // A standby writes `standby`, a primary `ready`.
            Self::Postgres => {
                state.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
            }
            Self::Pooler { port } => {
                !state.is_empty() && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            }
        }
    }
}

/// The file name, in the folder of the pooler.
pub(crate) const POOLER_PID_FILE: &str = "pooler.pid";

/// A server and the shell that runs it.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    kind: Kind,
    shell: Child,
}

impl Server {
    /// Prepares a server in a folder, with the command that runs it. It does not start the server.
    pub(crate) fn new(folder: &Path, kind: Kind, command: &Command) -> Result<Self, StartError> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SHELL, "sh"])
            .arg(folder)
            .arg(kind.end())
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A test runner kills the process group of a test. The shell must outlive that for a moment, so it has
            // a group of its own.
            .process_group(0)
            .spawn()
            .map_err(StartError::io("/bin/sh"))?;
        Ok(Self { folder: folder.to_owned(), kind, shell })
    }

    /// Starts the server and waits until it answers. A former process must have ended.
    pub(crate) fn start(&mut self) -> Result<(), StartError> {
        drop(fs::remove_file(self.pid_file()));
        let pipe = self.shell.stdin.as_mut().ok_or_else(|| StartError::new("the shell has ended"))?;
        pipe.write_all(b"start\n").map_err(StartError::io("/bin/sh"))?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&self) -> Result<(), StartError> {
        let begun = Instant::now();
        loop {
            let state = fs::read_to_string(self.pid_file()).unwrap_or_default();
            if self.kind.is_ready(&state) {
                return Ok(());
            }
            if begun.elapsed() > TIMEOUT {
                return Err(StartError::new(format!("the server does not answer: {}", self.log())));
            }
            if state.is_empty() && begun.elapsed() > Duration::from_secs(5) {
                return Err(StartError::new(format!("the server did not start: {}", self.log())));
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(self.kind.pid_file())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Returns the id of the first process of the server, if it runs.
    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.pid_file()).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Returns whether the first process exists.
    pub(crate) fn runs(&self) -> bool {
        self.pid().and_then(process).is_some_and(|process| process.state != 'Z')
    }

    /// Returns every process of the server, the first one first.
    fn processes(&self) -> Vec<u32> {
        let Some(first) = self.pid() else { return Vec::new() };
        let children = processes().into_iter().filter(|process| process.parent == first);
        [first].into_iter().chain(children.map(|process| process.pid)).collect()
    }

    /// Sends a signal to every process of the server. The server itself ends the processes that it starts in the
    /// meantime.
    pub(crate) fn signal(&self, signal: &str) -> Result<Vec<u32>, StartError> {
        let pids = self.processes();
        if pids.is_empty() {
            return Err(StartError::new("the server does not run"));
        }
        let pids_as_text = pids.iter().map(ToString::to_string);
        // A process may have ended in the meantime; that is no failure.
        Command::new("kill")
            .arg(format!("-{signal}"))
            .args(pids_as_text)
            .stderr(Stdio::null())
            .status()
            .map_err(StartError::io("kill"))?;
        Ok(pids)
    }

    /// Sends a signal to the first process only.
    pub(crate) fn signal_first(&self, signal: &str) -> Result<Vec<u32>, StartError> {
        let pids = self.processes();
        let first = pids.first().ok_or_else(|| StartError::new("the server does not run"))?;
        Command::new("kill")
            .args([format!("-{signal}"), first.to_string()])
            .status()
            .map_err(StartError::io("kill"))?;
        Ok(pids)
    }

    /// Waits until these processes and their children have ended.
    pub(crate) fn wait_until_ended(&self, pids: &[u32]) -> Result<(), StartError> {
        let begun = Instant::now();
        while begun.elapsed() < TIMEOUT {
            let runs = |process: &Process| {
                let is_one = pids.contains(&process.pid) || pids.contains(&process.parent);
                is_one && process.state != 'Z'
            };
            if !processes().iter().any(runs) {
                return Ok(());
            }
            sleep(Duration::from_millis(5));
        }
        Err(StartError::new("the server does not end"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped process does not handle the signal that ends it.
        drop(self.signal("CONT"));
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

/// A process of the system.
struct Process {
    pid: u32,
    state: char,
    parent: u32,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(io::Result::ok);
    entries.filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses and may contain any character.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some(Process { pid, state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}
