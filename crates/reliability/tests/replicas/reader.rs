//! A reader of one thread over server-sent events, whose connections are cut between any two bytes.

use http_body_util::BodyExt as _;
use hyper::{Request, body::Incoming};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    processes::{Addresses, REPLICAS},
    request::{HANG, open},
};

/// A reader that puts together the content of one message.
pub(crate) struct Reader {
    addresses: Addresses,
    random: fastrand::Rng,
    /// The `id` of the last event.
    last: Option<String>,
    pub(crate) shown: String,
    pub(crate) is_finished: bool,
    /// The bytes of all bodies.
    pub(crate) wire: usize,
    /// The events, also those that were cut.
    pub(crate) events: usize,
    pub(crate) connections: usize,
    /// The connections that were cut within an event.
    pub(crate) cut_within_event: u64,
    /// The connections that ended with their server.
    pub(crate) lost: u64,
}

impl Reader {
    pub(crate) fn new(addresses: Addresses, random: fastrand::Rng) -> Self {
        Self {
            addresses,
            random,
            last: None,
            shown: String::new(),
            is_finished: false,
            wire: 0,
            events: 0,
            connections: 0,
            cut_within_event: 0,
            lost: 0,
        }
    }

    /// Reads until the content has at least `due` bytes and `further` bytes were received after that, or all `content` bytes that there
    /// are, or the end of the message. Then the connection is cut.
    pub(crate) async fn read(&mut self, due: usize, further: usize, content: usize) {
        let mut after = 0;
        loop {
            let mut body = self.connect().await;
            let mut event = Vec::new();
            while let Some(Ok(frame)) = timeout(HANG, body.frame()).await.expect("the stream sends something")
            {
                let Ok(data) = frame.into_data() else { continue };
                for byte in data {
                    self.wire += 1;
                    event.push(byte);
                    if event.ends_with(b"\n\n") {
                        self.take(std::str::from_utf8(&event).unwrap());
                        event.clear();
                    }
                    let is_due = self.shown.len() >= due;
                    if self.is_finished || is_due && (after == further || self.shown.len() == content) {
                        self.events += usize::from(!event.is_empty());
                        self.cut_within_event += u64::from(!event.is_empty());
                        return;
                    }
                    after += usize::from(is_due);
                }
            }
            self.events += usize::from(!event.is_empty());
            self.lost += 1;
        }
    }

    /// Opens the stream at any replica, after the last event.
    async fn connect(&mut self) -> Incoming {
        loop {
            let (_, address) = self.addresses.find(self.random.usize(..REPLICAS));
            let mut request = Request::get("/v1/threads/t/stream?after=0");
            if let Some(last) = &self.last {
                request = request.header("last-event-id", last);
            }
            // A replica that was killed refuses, and the next attempt finds the other one.
            if let Ok(response) = open(address, request, String::new()).await {
                assert_eq!(response.status(), 200);
                self.connections += 1;
                return response.into_body();
            }
        }
    }

    /// Applies an event, as a client does.
    fn take(&mut self, event: &str) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(id) = field("id") {
            self.last = Some(id.to_owned());
        }
        let Some(data) = field("data") else { return };
        self.events += 1;
        let data: Value = serde_json::from_str(data).unwrap();
        match field("event").unwrap() {
            "reserved" => assert_eq!(self.shown, "", "the message begins once"),
            "delta" => {
                let parts = data["parts"].as_array().unwrap();
                self.shown.extend(parts.iter().map(|part| part["text"].as_str().unwrap()));
            }
            "finished" => self.is_finished = true,
            // Such as `replaced`, with which content comes again.
            other => panic!("{other}: {data}"),
        }
    }
}
