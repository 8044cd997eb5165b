//! A reply that grows while the page is loaded again and the server is killed.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    driver::{Browser, HANG},
    server::send,
};

/// A server in a process of its own.
struct Host {
    address: SocketAddr,
    process: Child,
}

impl Host {
    async fn start(address: SocketAddr, file: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_page_host"))
            .arg(address.to_string())
            .arg(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < HANG, "the server does not listen on {address}");
            sleep(Duration::from_millis(10)).await;
        }
        Self { address, process }
    }

    /// Kills the process, which gets no chance to end its streams.
    async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// Sends a write until the server answers it. The numbers of appends make the repetition harmless.
async fn write(server: SocketAddr, path: &str, body: &Value) -> Value {
    let begun = Instant::now();
    loop {
        match send(server, "POST", path, body).await {
            Ok((200 | 201, answer)) => return answer,
            Ok((status, answer)) => panic!("{path}: {status} {answer}"),
            Err(error) => {
                assert!(begun.elapsed() < HANG, "{path}: {error}");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

const APPENDS: u64 = 240;

/// The text of an append, with what a display could lose: line breaks, marks, surrogate pairs and markup.
fn chunk(number: u64) -> String {
    match number % 5 {
        0 => format!("\n\n## Part {number}\n"),
        1 => format!("word{number} **bold** 𝄞 "),
        2 => "`code` & <b>markup</b>\n".to_owned(),
        3 => format!("```\ncode {number}\n```\n"),
        _ => "  a  b\t\u{202e}c\u{200b} é\n".to_owned(),
    }
}

/// The text of the reply on the page.
const TEXT: &str = "document.querySelector('[data-role=assistant] .message-body')?.textContent ?? ''";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_and_the_death_of_the_server_end_with_the_text_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    // A free port, which stays free for the next process.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut host = Host::start(free, &file).await;
    let server = host.address;
    write(server, "/v1/threads/t/messages", &json!({"role": "user", "text": "Go on."})).await;
    write(server, "/v1/threads/t/drafts", &json!({"id": "reply"})).await;

    let browser = Browser::start().await;
    browser.open(&format!("http://{server}/ui/#/threads/t")).await;
    browser.until("document.querySelector('[data-id=reply]') !== null").await;
    // The page says once whether it was loaded again: a reload would lose this.
    browser.run("window.sameDocument = true").await;

    let mut expected = String::new();
    for number in 1..=APPENDS {
        match number {
            60 | 140 => {
                host.kill().await;
                browser.until("document.getElementById('link').dataset.state !== 'live'").await;
                host = Host::start(free, &file).await;
            }
            // The page must have what was written before, without a reload.
            100 => {
                let known = serde_json::to_string(&expected).unwrap();
                browser.until(&format!("({TEXT}) === {known} && window.sameDocument === true")).await;
                browser.reload().await;
            }
            _ => {}
        }
        let text = chunk(number);
        write(server, "/v1/threads/t/drafts/reply/append", &json!({"number": number, "text": text})).await;
        expected.push_str(&text);
    }
    write(server, "/v1/threads/t/drafts/reply/finish", &json!({})).await;

    let (status, stored) = send(server, "GET", "/v1/threads/t/messages/reply", &Value::Null).await.unwrap();
    assert_eq!((status, &stored["state"]), (200, &"final".into()));
    assert_eq!(stored["content"], json!([{"type": "text", "text": expected}]));
    browser.until("document.querySelector('[data-id=reply]').dataset.state === 'final'").await;
    assert_eq!(browser.value(TEXT).await, Value::from(expected));
    // A reader that does not see the page hears of the end.
    browser.until("document.getElementById('announce').textContent.includes('The reply is complete')").await;
    browser.close().await;
    host.kill().await;
}
