use std::{collections::VecDeque, time::Duration};

use http_body_util::BodyExt;
use hyper::{HeaderMap, Response, body::Incoming};
use serde_json::Value;
use tokio::time::timeout;

/// The time after which a stream without an event counts as a hang.
const HANG: Duration = Duration::from_secs(60);

/// An event of a stream. A field that the server did not send is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) retry: String,
    pub(crate) comment: String,
}

impl Event {
    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines() {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
            let field = match name {
                "id" => &mut event.id,
                "event" => &mut event.event,
                "data" => &mut event.data,
                "retry" => &mut event.retry,
                "" => &mut event.comment,
                name => panic!("an unknown field: {name:?}"),
            };
            value.clone_into(field);
        }
        event
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    pub(crate) fn position(&self) -> u64 {
        self.id.parse().unwrap()
    }
}

/// An open stream. A drop closes its connection.
pub(crate) struct Events {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    text: String,
    bytes: usize,
    ready: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self { headers: parts.headers, body, text: String::new(), bytes: 0, ready: VecDeque::new() }
    }

    /// The bytes of the body so far.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the next event, also one without data. `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let frame = self.body.frame().await?.ok()?;
            let Ok(data) = frame.into_data() else { continue };
            self.bytes += data.len();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                self.ready.push_back(Event::parse(event.trim_end_matches('\n')));
            }
        }
    }

    /// Returns the next event with data. A stream that sends none fails the test instead of blocking it.
    pub(crate) async fn next_with_data(&mut self) -> Option<Event> {
        let next = async {
            loop {
                let event = self.next().await?;
                if !event.data.is_empty() {
                    return Some(event);
                }
            }
        };
        timeout(HANG, next).await.expect("the stream sends no event")
    }
}
