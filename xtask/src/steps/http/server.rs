//! A server of the HTTP interface with a store of its own, on the loopback interface.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use crate::Result;
use crate::workspace::Workspace;

/// The token of the caller.
pub(super) const TOKEN: &str = "secret";

/// The server opens an empty store. One that takes longer until it prints its address hangs.
const START: Duration = Duration::from_secs(60);

/// A running server. A drop ends it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts the example with an empty store, and waits until it listens.
    pub(super) fn start(workspace: &Workspace, executable: &Path, name: &str) -> Result<Self> {
        let folder = workspace.metadata().target.join("xtask").join("http").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut child = Command::new(executable)
            .current_dir(&folder)
            .args(["--address", "127.0.0.1:0", "--db", "chat.db", "--token", TOKEN, "--empty"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut server = Self { child, address: String::new() };
        let (sender, receiver) = mpsc::channel();
        // The thread ends with the server. It reads on, because the server must always be able to write.
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            let read = output.read_line(&mut line);
            if sender.send(read.map(|_| line)).is_ok() {
                let _ = io::copy(&mut output, &mut io::sink());
            }
        });
        let line = receiver
            .recv_timeout(START)
            .map_err(|_| format!("the server did not print its address within {} s", START.as_secs()))??;
        let address = line.trim().strip_prefix("serving http://");
        server.address = address.ok_or("the server did not print its address")?.to_owned();
        Ok(server)
    }

    /// The URL of its root, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It can have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
