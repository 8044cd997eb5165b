//! A client of HTTP/1.1 in its smallest form, for the check: one connection for each request.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    fn parse(answer: &str) -> Self {
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, text: text.to_owned() }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.text)
    }
}

async fn send(server: SocketAddr, request: String) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Reads a whole answer.
pub(crate) async fn get(server: SocketAddr, path: &str) -> io::Result<Answer> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    send(server, head).await?.read_to_string(&mut text).await?;
    Ok(Answer::parse(&text))
}

/// Sends a JSON body, and reads the whole answer. An empty key sends none.
pub(crate) async fn post(server: SocketAddr, path: &str, key: &str, body: &Value) -> io::Result<Answer> {
    let body = body.to_string();
    let key = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}\r\n") };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\n{key}\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut text = String::new();
    send(server, head + &body).await?.read_to_string(&mut text).await?;
    Ok(Answer::parse(&text))
}

/// Opens the stream of changes after a position.
pub(crate) async fn changes(server: SocketAddr, after: &str) -> io::Result<Changes> {
    let head = format!(
        "GET /v1/changes?after=0 HTTP/1.1\r\nHost: {server}\r\n\
         Accept: text/event-stream\r\nLast-Event-ID: {after}\r\n\r\n"
    );
    Ok(Changes { stream: BufReader::new(send(server, head).await?), id: after.to_owned() })
}

/// A stream of changes.
#[derive(Debug)]
pub(crate) struct Changes {
    stream: BufReader<TcpStream>,
    /// The position of the last event, from which another stream continues.
    pub(crate) id: String,
}

impl Changes {
    /// Returns the next change.
    pub(crate) async fn next(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        while self.stream.read_line(&mut line).await? > 0 {
            if let Some(id) = line.strip_prefix("id: ") {
                id.trim_end().clone_into(&mut self.id);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Ok(serde_json::from_str(data)?);
            }
            line.clear();
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
