//! A process that writes: the program itself, as a server.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::kit::{program, run, run_on, store};

/// A running `throughline serve`, which is killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(store: &Path) -> Self {
        Self::start_with(store, &[])
    }

    pub(crate) fn start_with(store: &Path, arguments: &[&str]) -> Self {
        let mut command = program();
        command
            .arg("--store")
            .arg(store)
            .args(["serve", "--listen", "127.0.0.1:0", "--json"])
            .args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let reported: Value =
            serde_json::from_str(&first).unwrap_or_else(|error| panic!("{error}: {first:?}"));
        Self { process, address: reported["address"].as_str().unwrap().to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Reads over HTTP. Returns the status and the JSON of the answer.
    pub(crate) fn get(&self, target: &str) -> io::Result<(u16, Value)> {
        let address = &self.address;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((status_of(&answer)?, serde_json::from_str(body)?))
    }

    /// Adds a user message with this id. Returns the status, or the error of a connection that ended.
    pub(crate) fn add(&self, thread: &str, id: &str, text: &str) -> io::Result<u16> {
        add(&self.address, None, thread, id, text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Adds a user message over HTTP.
pub(crate) fn add(address: &str, token: Option<&str>, thread: &str, id: &str, text: &str) -> io::Result<u16> {
    let body = json!({ "role": "user", "text": text, "id": id }).to_string();
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "POST /v1/threads/{thread}/messages HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: {id}\r\n{token}\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    status_of(&answer)
}

fn status_of(answer: &str) -> io::Result<u16> {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[test]
fn a_token_is_shown_once_and_the_server_accepts_it_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (path, tokens) = (folder.path().join("chat.db"), folder.path().join("tokens"));
    let file = tokens.to_str().unwrap();
    let added = run(&["token", "add", "laptop", "--file", file, "--threads-under", "chat:"]);
    assert_eq!(added.code, 0, "{added:?}");
    let token = added.out.trim();
    assert!(token.starts_with("tl_") && token.len() == 46, "{token}");
    let kept = std::fs::read_to_string(&tokens).unwrap();
    assert!(!kept.contains(token), "the file has the token itself: {kept}");
    assert_eq!(run(&["token", "add", "laptop", "--file", file]).code, 1);
    let bad = run(&["token", "add", "bad", "--file", file, "--verbs", "fly"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("`verbs` has a name that is none of read"), "{bad:?}");
    assert_eq!(std::fs::read_to_string(&tokens).unwrap(), kept);

    let server = Server::start_with(&path, &["--tokens", file]);
    assert_eq!(add(server.address(), Some(token), "chat:1", "m-1", "hello").unwrap(), 201);
    assert_eq!(add(server.address(), Some(token), "other", "m-1", "hello").unwrap(), 403);
    assert_eq!(add(server.address(), None, "chat:1", "m-2", "hello").unwrap(), 401);

    let listed = run(&["token", "list", "--file", file, "--json"]).json();
    assert_eq!(listed["tokens"][0]["name"], "laptop");
    assert_eq!(listed["tokens"][0]["threads"], "chat:*");
    let plan = run(&["token", "revoke", "laptop", "--file", file]);
    assert_eq!((plan.code, std::fs::read_to_string(&tokens).unwrap()), (0, kept));
    assert_eq!(run(&["token", "revoke", "laptop", "--file", file, "--apply"]).code, 0);
    assert_eq!(std::fs::read_to_string(&tokens).unwrap(), "");
    assert_eq!(run(&["token", "revoke", "laptop", "--file", file]).code, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_ends_in_order_when_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let mut server = Server::start(&path);
    server.add("trip", "live-1", "hello").unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    // The store was closed: it has no WAL.
    assert!(!folder.path().join("chat.db-wal").exists());
    assert_eq!(run_on(&path, &["verify"]).code, 0);
}

#[test]
fn a_server_without_tokens_listens_on_the_loopback_interface_only() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run_on(&folder.path().join("chat.db"), &["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("--tokens"), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
