//! A server in the process of the test, and a plain client.

use std::{io, net::SocketAddr};

use axum::Router;
use serde_json::Value;
use throughline::{Persistence, memory::MemoryBackend};
use throughline_http::{NoAuth, Options, router, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Returns a pipeline over memory.
pub(crate) fn memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

/// Serves a pipeline without authentication, and returns the address of its web page.
pub(crate) async fn page_of(db: &Persistence) -> String {
    serving(router(db.clone(), NoAuth::single_tenant("default".parse().unwrap()))).await
}

/// Serves this router, and returns the address of its web page.
pub(crate) async fn serving(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, Options::new()).into_future());
    format!("http://{address}/ui/")
}

/// Sends a request with a JSON body, and returns the status and the body of the answer.
pub(crate) async fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
) -> io::Result<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all((head + &body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, serde_json::from_str(body)?))
}
