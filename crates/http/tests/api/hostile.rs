//! Hostile clients: what each of them gets, and that the others are answered meanwhile.
//!
//! Every client is on the loopback interface, and bounded in connections, bytes and time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use throughline_http::Options;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::support::Host;

/// The longest time of a hostile client. A longer one is a hang.
const HANG: Duration = Duration::from_secs(60);

/// The longest time of an honest request meanwhile. It is far above the usual one, because the machine of a test can be slow.
const ANSWERED: Duration = Duration::from_secs(5);

/// Sends requests until it is stopped, and counts the answers. Each must be right and in time.
struct Honest {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Honest {
    fn on(host: &Host) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, count, client) = (Arc::clone(&is_over), Arc::clone(&answered), host.client());
        let task = tokio::spawn(async move {
            while !over.load(SeqCst) {
                let at = count.load(SeqCst);
                let body = json!({"id": format!("m{at}"), "role": "user", "text": "x"});
                let begun = Instant::now();
                client.post("/v1/threads/honest/messages", body).await.expect(201);
                assert!(begun.elapsed() < ANSWERED, "an honest request took {:?}", begun.elapsed());
                count.fetch_add(1, SeqCst);
            }
        });
        Self { is_over, answered, task }
    }

    /// Waits for some more answers, which begin after this call.
    async fn is_answered(&self) {
        let before = self.answered.load(SeqCst);
        let more = async {
            while self.answered.load(SeqCst) < before + 5 && !self.task.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, more).await.expect("honest requests are answered");
    }

    async fn end(self) {
        self.is_over.store(true, SeqCst);
        self.task.await.unwrap();
    }
}

/// Reads what the server sends until it closes the connection.
async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    let read = async {
        // A reset closes the connection too: the server does not read the rest of the request.
        while let Ok(count) = stream.read(&mut part).await {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&part[..count]);
        }
    };
    timeout(HANG, read).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

const HEAD: &str = "POST /v1/threads/t/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice-token\r\n\
                    Content-Type: application/json\r\n";

async fn connect(address: SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_are_refused_in_time() {
    let limit = Duration::from_millis(400);
    let options = Options::new().body_idle_timeout(limit).body_timeout(limit * 2).header_timeout(limit);
    let host = Host::memory_with(options).await;
    let honest = Honest::on(&host);
    let mut clients = JoinSet::new();
    for at in 0..100 {
        let address = host.address;
        clients.spawn(async move {
            let mut stream = connect(address, &format!("{HEAD}Content-Length: 100000\r\n\r\n")).await;
            // One half sends nothing more; the other half sends one byte from time to time.
            let begun = Instant::now();
            let is_dripping = at % 2 == 0;
            let (mut read, mut write) = stream.split();
            let drip = async {
                while is_dripping && write.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(limit / 4).await;
                }
                std::future::pending::<()>().await;
            };
            let mut answer = String::new();
            let answered = async {
                let mut part = [0; 4096];
                while !answer.contains("\r\n\r\n") {
                    let count = read.read(&mut part).await.unwrap();
                    assert_ne!(count, 0, "closed without an answer");
                    answer.push_str(&String::from_utf8_lossy(&part[..count]));
                }
            };
            tokio::select! {
                () = drip => {}
                answered = timeout(HANG, answered) => answered.expect("an answer"),
            }
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(begun.elapsed() >= limit);
        });
    }
    honest.is_answered().await;
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    honest.end().await;
    host.client().get("/v1/threads/t").await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_headers_are_refused() {
    let host = Host::memory().await;
    let honest = Honest::on(&host);
    // Up to the bound of the parser, the router refuses with a problem document; beyond it, the parser refuses.
    for (count, has_problem) in [(100, true), (10_000, false)] {
        let headers: String = (0..count).map(|at| format!("X-{at}: {at}\r\n")).collect();
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let request = format!("GET /v1/threads HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        // The server can close the connection before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = read_to_close(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 ") || answer.is_empty() && !has_problem,
            "{count}: {answer}"
        );
        assert_eq!(answer.contains(r#""code":"headers_too_large""#), has_problem, "{count}: {answer}");
    }
    // One header that never ends.
    let mut stream = connect(host.address, "GET /v1/threads HTTP/1.1\r\nX: ").await;
    let part = vec![b'x'; 64 << 10];
    for _ in 0..64 {
        if stream.write_all(&part).await.is_err() {
            break;
        }
    }
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
    honest.is_answered().await;
    honest.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_gigabyte_is_refused_at_its_bound() {
    let host = Host::memory_with(Options::new().max_body_bytes(1 << 20)).await;
    let honest = Honest::on(&host);
    const GIGABYTE: usize = 1 << 30;
    // A stated length is refused before a byte of the body.
    let mut stream = connect(host.address, &format!("{HEAD}Content-Length: {GIGABYTE}\r\n\r\n")).await;
    let mut begin = [0; 13];
    timeout(HANG, stream.read_exact(&mut begin)).await.unwrap().unwrap();
    assert_eq!(&begin, b"HTTP/1.1 413 ");
    drop(stream);
    // Without one, the server stops reading at the bound, and closes the connection.
    let mut stream = connect(host.address, &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = [format!("{:x}\r\n", 1 << 16).into_bytes(), vec![b' '; 1 << 16], b"\r\n".to_vec()].concat();
    let mut sent = 0;
    let write = async {
        while sent < GIGABYTE && stream.write_all(&chunk).await.is_ok() {
            sent += 1 << 16;
        }
    };
    timeout(HANG, write).await.expect("the server closes the connection");
    // The buffers of the system hold what the server does not read.
    assert!(sent < 64 << 20, "the server read {sent} bytes");
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") || answer.is_empty(), "{answer}");
    honest.is_answered().await;
    honest.end().await;
    assert!(host.client().get("/v1/threads/t").await.status == 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_streams_hold_nothing_up() {
    const STREAMS: usize = 400;
    let host = Host::memory_with(Options::new().max_streams(STREAMS)).await;
    let honest = Honest::on(&host);
    let request = "GET /v1/changes?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bob-token\r\n\
                   Accept: text/event-stream\r\n\r\n";
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        // None of them reads more than the begin of its answer.
        let mut stream = connect(host.address, request).await;
        let mut begin = [0; 13];
        timeout(HANG, stream.read_exact(&mut begin)).await.unwrap().unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 ");
        streams.push(stream);
    }
    honest.is_answered().await;
    // The caller has all of its streams, and another caller is not affected.
    let mut refused = connect(host.address, request).await;
    let mut begin = [0; 13];
    timeout(HANG, refused.read_exact(&mut begin)).await.unwrap().unwrap();
    assert_eq!(&begin, b"HTTP/1.1 429 ");
    let mut events = host.client().stream("/v1/changes?after=0", None).await;
    assert!(events.next_with_data().await.is_some());
    honest.end().await;
    // A closed stream returns its permit.
    drop(streams);
    let reopened = async {
        loop {
            let mut stream = connect(host.address, request).await;
            stream.read_exact(&mut begin).await.unwrap();
            if &begin == b"HTTP/1.1 200 " {
                return;
            }
        }
    };
    timeout(HANG, reopened).await.expect("a closed stream is not counted");
}
