//! Requests over a connection of their own.

use std::{error::Error, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    http::request::Builder,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

/// The time after which a server that sends nothing counts as a hang. An idle stream has a heartbeat each 15 s.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// The error of a connection that was refused, or lost with its server.
pub(crate) type Lost = Box<dyn Error + Send + Sync>;

/// Sends a request, and returns the begin of its answer.
pub(crate) async fn open(
    address: SocketAddr,
    request: Builder,
    body: String,
) -> Result<Response<Incoming>, Lost> {
    let request = request.header("host", address.to_string()).body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok::<_, Lost>(sender.send_request(request).await?)
    };
    timeout(HANG, exchange).await.expect("the server answers")
}

/// Sends JSON, and returns the status, whether the answer is a replay, and the JSON of the answer.
pub(crate) async fn post(
    address: SocketAddr,
    target: &str,
    json: &Value,
) -> Result<(u16, bool, Value), Lost> {
    let request = Request::post(target).header("content-type", "application/json");
    whole(open(address, request, json.to_string()).await?).await
}

/// Returns the status and the JSON of an answer.
pub(crate) async fn get(address: SocketAddr, target: &str) -> Result<(u16, bool, Value), Lost> {
    whole(open(address, Request::get(target), String::new()).await?).await
}

async fn whole(response: Response<Incoming>) -> Result<(u16, bool, Value), Lost> {
    let status = response.status().as_u16();
    let is_replay = response.headers().contains_key("idempotency-replayed");
    let body = timeout(HANG, response.into_body().collect()).await.expect("the server sends the answer")?;
    Ok((status, is_replay, serde_json::from_slice(&body.to_bytes())?))
}
