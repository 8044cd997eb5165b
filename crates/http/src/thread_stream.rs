//! The route of one thread's stream: its changes, with the content that they bring, as server-sent events.

use axum::{extract::State, http::HeaderMap, response::Response};
use throughline_core::{
    Result, ThreadId,
    changes::{StreamCursor, StreamEvent, ThreadEvent, ThreadStream},
};

use crate::{
    event_stream::{self, EventCursor, EventSource, SourceEvent},
    extract::{Ids, Params},
    problem::Problem,
    schema::{self, Problems},
    shutdown::Shutdown,
    state::RouterState,
    subscriber::Subscriber,
};

/// The changes of a thread after a cursor, with the content that they bring.
///
/// The answer is a stream of server-sent events. `id` is the durable cursor: resume with `Last-Event-ID` or `after`, on any
/// replica, and no content is lost or repeated. Begin with the `position` of a page. The data of each event is described by the
/// schema `ThreadEvent`, whose members are the names of the events. An event `lagged` ends a stream whose reader is too slow; an
/// event `problem` ends it with a problem document, whose code `too_old` says to load the thread again.
#[utoipa::path(
    get, path = "/v1/threads/{thread}/stream", operation_id = "streamThread", tag = "changes",
    params(schema::ThreadPath, schema::StreamQuery, schema::TicketQuery, schema::LastEventIdHeader),
    responses(
        (status = 200, description = "The stream", content(
            (schema::ThreadEvent = "text/event-stream"),
        )),
        Problems,
    ),
)]
pub(crate) async fn stream(
    State(state): State<RouterState>,
    subscriber: Subscriber,
    shutdown: Shutdown,
    Ids(thread): Ids<ThreadId>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let cursor = resume_from(&headers, &mut params)?;
    params.end()?;
    let permit = state.readers().admit(subscriber.caller())?;
    let stream = subscriber.caller().handle(state.db()).thread(thread.as_str()).follow(cursor);
    event_stream::open(state, stream, subscriber, permit, shutdown).await
}

/// Returns the cursor to resume from: the header `Last-Event-ID`, or else the parameter `after`.
fn resume_from(headers: &HeaderMap, params: &mut Params) -> Result<StreamCursor, Problem> {
    let after = params.take("after")?;
    let last =
        match headers.get("last-event-id") {
            None => None,
            Some(value) => {
                let cursor = value.to_str().ok().and_then(|text| text.parse().ok());
                Some(cursor.ok_or_else(|| {
                    Problem::invalid("the header `Last-Event-ID` is no cursor of this stream")
                })?)
            }
        };
    last.or(after).ok_or_else(|| {
        Problem::invalid("say where to begin: `after=0` for the whole thread, or the `position` of a page")
    })
}

impl EventSource for ThreadStream {
    /// An event can have a whole message, so that only one waits.
    const WAITING: usize = 1;

    async fn read(&mut self) -> Result<Vec<SourceEvent>> {
        Ok(self.next_now().await?.iter().map(event).collect())
    }

    fn is_at_end(&self) -> bool {
        Self::is_at_end(self)
    }

    async fn wait_for_commit(&mut self) {
        Self::wait_for_commit(self).await;
    }

    fn cursor(&self) -> EventCursor {
        at(Self::cursor(self))
    }
}

fn at(cursor: &StreamCursor) -> EventCursor {
    EventCursor { id: cursor.to_string(), position: cursor.position() }
}

fn event(StreamEvent { cursor, event }: &StreamEvent) -> SourceEvent {
    SourceEvent { cursor: at(cursor), name: event.as_str(), data: data(event) }
}

/// Returns the JSON of an event without its name.
fn data(event: &ThreadEvent) -> String {
    let json = serde_json::to_string(event).expect("an event serializes into memory");
    // `{"name":data}`
    json[event.as_str().len() + r#"{"":"#.len()..json.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{Seq, changes::DeletedMessage};

    #[test]
    fn the_data_of_an_event_is_without_its_name() {
        let deleted = DeletedMessage { id: "m".parse().unwrap(), seq: Seq::new(3) };
        assert_eq!(data(&ThreadEvent::Deleted(deleted)), r#"{"id":"m","seq":3}"#);
        assert_eq!(data(&ThreadEvent::ThreadDeleted {}), "{}");
        assert_eq!(data(&ThreadEvent::Pruned { through: Seq::new(9) }), r#"{"through":9}"#);
    }

    #[test]
    fn the_header_takes_precedence() {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "9;1.0.3.2".parse().unwrap());
        let cursor = resume_from(&headers, &mut Params::parse("after=7")).unwrap();
        assert_eq!(cursor.to_string(), "9;1.0.3.2");
        assert_eq!(resume_from(&HeaderMap::new(), &mut Params::parse("after=7")).unwrap().to_string(), "7");
        headers.insert("last-event-id", "x".parse().unwrap());
        assert!(resume_from(&headers, &mut Params::parse("after=7")).is_err());
        assert!(resume_from(&HeaderMap::new(), &mut Params::parse("")).is_err());
    }
}
