use std::{net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, sync::OnceCell};

use super::{Events, schema::Document};

/// A client with a new connection for each call.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<&'static str>,
    document: Arc<OnceCell<Document>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Returns a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns the JSON of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Checks that the answer is a problem document with this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
        assert_eq!(problem["type"], format!("urn:throughline:problem:{code}"));
        problem
    }
}

/// A request before it is sent.
pub(crate) struct Call {
    client: Client,
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, token: None, document: Arc::default() }
    }

    pub(crate) fn with_token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) fn call(&self, method: &str, target: &str) -> Call {
        Call {
            client: self.clone(),
            method: method.parse().unwrap(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call("GET", target).send().await
    }

    pub(crate) async fn post(&self, target: &str, json: Value) -> Answer {
        self.call("POST", target).json(&json).send().await
    }

    /// Opens a stream of changes.
    pub(crate) async fn stream(&self, target: &str, last_event_id: Option<&str>) -> Events {
        let mut call = self.call("GET", target).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            call = call.header("last-event-id", id);
        }
        let response = call.open().await;
        assert_eq!(response.status(), StatusCode::OK);
        Events::new(response)
    }

    async fn document(&self) -> &Document {
        let load = async {
            let response = exchange(self.address, Request::get("/openapi.json"), Bytes::new()).await;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            Document::new(serde_json::from_slice(&body).unwrap())
        };
        self.document.get_or_init(|| load).await
    }
}

async fn exchange(address: SocketAddr, request: http::request::Builder, body: Bytes) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = request.header("host", address.to_string()).body(Full::new(body)).unwrap();
    sender.send_request(request).await.unwrap()
}

impl Call {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn json(self, json: &Value) -> Self {
        self.header("content-type", "application/json").body(json.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request and returns the begin of its answer.
    pub(crate) async fn open(self) -> Response<Incoming> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        if let Some(token) = self.client.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        exchange(self.client.address, request, self.body).await
    }

    /// Sends the request, and checks the answer against the OpenAPI document.
    pub(crate) async fn send(self) -> Answer {
        let (client, method, target) = (self.client.clone(), self.method.clone(), self.target.clone());
        let answer = self.send_unchecked().await;
        client.document().await.check(&method, &target, &answer);
        answer
    }

    /// Sends the request. The answer is not checked.
    pub(crate) async fn send_unchecked(self) -> Answer {
        let (parts, body) = self.open().await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}
