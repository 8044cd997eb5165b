//! Requests whose answers are lost, before or after the commit, and which the client repeats with their keys.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::json;
use throughline_core::{
    Message, PersistRequest, Persistence, Phase,
    messages::{PageFrom, Visibility},
    plugin::{NextRequest, from_fn},
};
use throughline_sqlite::SqliteBackend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

use crate::support::Host;

const REQUESTS: usize = 1000;
/// The clients that send at the same time.
const CLIENTS: usize = 8;

/// How the connection of the first request ends.
const LOSSES: [Loss; 4] = [Loss::BeforeCommit, Loss::BeforeCommitAndRepeated, Loss::AtOnce, Loss::Incomplete];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The client closes the connection while the call is in the pipeline, before the store has it.
    BeforeCommit,
    /// As before, and the repeated request arrives while the first call is still there.
    BeforeCommitAndRepeated,
    /// The client closes the connection after the last byte of the request.
    AtOnce,
    /// The client closes the connection within the body.
    Incomplete,
}

/// A point in the pipeline at which the calls with certain keys wait.
#[derive(Clone, Default)]
struct Barrier(Arc<Mutex<HashMap<String, Waiting>>>);

#[derive(Clone)]
struct Waiting {
    arrived: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Barrier {
    /// Makes each call with this key wait until the release.
    fn close(&self, key: &str) -> Waiting {
        let waiting = Waiting { arrived: Arc::new(Semaphore::new(0)), released: Arc::new(Semaphore::new(0)) };
        self.0.lock().unwrap().insert(key.to_owned(), waiting.clone());
        waiting
    }

    async fn pass(&self, key: &str) {
        let waiting = self.0.lock().unwrap().get(key).cloned();
        if let Some(waiting) = waiting {
            waiting.arrived.add_permits(1);
            // A closed semaphore is the release.
            assert!(waiting.released.acquire().await.is_err());
        }
    }
}

impl Waiting {
    /// Waits until another call has arrived.
    async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    fn release(&self) {
        self.released.close();
    }
}

/// A host over SQLite whose calls can be stopped on their way to the store.
async fn host(folder: &std::path::Path, barrier: &Barrier) -> Host {
    let barrier = barrier.clone();
    let pass = from_fn("barrier", Phase::Guard, move |request: PersistRequest, next: NextRequest| {
        let barrier = barrier.clone();
        async move {
            let key = request.context.idempotency().map(|keyed| keyed.key.clone());
            if let Some(key) = key {
                barrier.pass(key.as_str()).await;
            }
            next.run(request).await
        }
    });
    let backend = SqliteBackend::open(folder.join("chat.db")).await.unwrap();
    Host::over(Persistence::builder().layer(pass).backend(backend).build().unwrap()).await
}

/// One message that a client adds.
struct Request {
    address: SocketAddr,
    number: usize,
}

impl Request {
    fn key(&self) -> String {
        format!("key-{}", self.number)
    }

    fn text(&self) -> String {
        format!("message {}", self.number)
    }

    fn bytes(&self) -> Vec<u8> {
        let body = json!({"role": "user", "text": self.text()}).to_string();
        let head = format!(
            "POST /v1/threads/t/messages HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer alice-token\r\n\
             content-type: application/json\r\nidempotency-key: {}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            self.address,
            self.key(),
            body.len()
        );
        head.into_bytes()
    }

    /// Sends the first bytes of the request, up to this many from its end.
    async fn send(&self, missing: usize) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let bytes = self.bytes();
        connection.write_all(&bytes[..bytes.len() - missing]).await.unwrap();
        connection
    }

    /// Loses the answers of two requests, and returns the answer of a third one.
    async fn run(self, barrier: Barrier) -> String {
        let loss = LOSSES[self.number % LOSSES.len()];
        let is_held = matches!(loss, Loss::BeforeCommit | Loss::BeforeCommitAndRepeated);
        let waiting = is_held.then(|| barrier.close(&self.key()));
        let first = self.send(if loss == Loss::Incomplete { 3 } else { 0 }).await;
        if let Some(waiting) = &waiting {
            waiting.arrival().await;
        }
        drop(first);
        if let (Some(waiting), Loss::BeforeCommit) = (&waiting, loss) {
            waiting.release();
        }
        let mut second = self.send(0).await;
        if let (Some(waiting), Loss::BeforeCommitAndRepeated) = (&waiting, loss) {
            waiting.arrival().await;
            waiting.release();
        }
        // The server answers after the commit, and the client closes the connection within the answer.
        let mut byte = [0];
        second.read_exact(&mut byte).await.unwrap();
        drop(second);
        let mut answer = String::new();
        self.send(0).await.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Returns the members of an answer that a client relies on: its first line, whether it is a replay, and its body.
fn read(answer: &str) -> (&str, bool, serde_json::Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let is_replay = head.contains("\r\nidempotency-replayed: true");
    (head.lines().next().unwrap(), is_replay, serde_json::from_str(body).unwrap())
}

async fn stored(host: &Host) -> Vec<Message> {
    let thread = host.db.for_tenant("alice".parse().unwrap()).thread("t");
    let mut walk = thread.walk(PageFrom::Start, Visibility::All);
    let mut messages = Vec::new();
    while let Some(message) = walk.next().await.unwrap() {
        messages.push(message);
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_whose_answers_are_lost_add_one_message_each() {
    let folder = tempfile::tempdir().unwrap();
    let barrier = Barrier::default();
    let host = host(folder.path(), &barrier).await;
    let mut answers = HashMap::new();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (address, barrier) = (host.address, barrier.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for number in (client..REQUESTS).step_by(CLIENTS) {
                let request = Request { address, number };
                let text = request.text();
                answers.push((text, request.run(barrier.clone()).await));
            }
            answers
        });
    }
    while let Some(of_client) = clients.join_next().await {
        answers.extend(of_client.unwrap());
    }
    assert_eq!(answers.len(), REQUESTS);
    let messages = stored(&host).await;
    assert_eq!(messages.len(), REQUESTS, "one message for each key");
    for message in messages {
        let text = message.text();
        // Each third request is a replay: the second one was answered after the commit.
        let answer = answers.remove(&text).unwrap_or_else(|| panic!("{text} was added twice"));
        let (status, is_replay, body) = read(&answer);
        assert_eq!((status, is_replay), ("HTTP/1.1 200 OK", true), "{text}");
        assert_eq!((&body["id"], &body["seq"]), (&message.id.as_str().into(), &message.seq.get().into()));
    }
}
