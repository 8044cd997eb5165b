use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{Failure, host::TOKEN};

/// A connection that adds messages to one thread, one request after the other.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    target: String,
    body: Bytes,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr, thread: &str, text: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let body = serde_json::json!({"role": "user", "text": text}).to_string().into();
        Ok(Self { sender, target: format!("/v1/threads/{thread}/messages"), body })
    }

    /// Adds one message, and reads the answer to its end.
    pub(crate) async fn add(&mut self) -> Result<(), Failure> {
        let request = Request::post(&self.target)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?;
        self.sender.ready().await?;
        let mut response = self.sender.send_request(request).await?;
        let status = response.status();
        while let Some(frame) = response.frame().await {
            frame?;
        }
        if status != StatusCode::CREATED {
            return Err(format!("an add was answered with {status}").into());
        }
        Ok(())
    }
}
