//! Streams of server-sent events over a feed of the pipeline.
//!
//! A task reads the feed and puts events into a bounded channel; the body of the answer takes them out. The task reads only while
//! the channel has a free slot. It ends the stream if the channel stays full for too long, or if the reader falls too far behind. A
//! slow reader therefore holds a bounded amount of memory, and it resumes from the cursor of the last event that it received.

use std::{convert::Infallible, future::Future};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use throughline_core::{Position, Result as Read, changes::CommitNotifications};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    Options, problem::Problem, readers::ReaderPermit, shutdown::Shutdown, state::RouterState,
    subscriber::Subscriber,
};

/// A feed whose items are sent as events.
pub(crate) trait EventSource: Send + 'static {
    /// The most events that wait for the reader.
    const WAITING: usize;

    /// Reads further events, in order. An empty list means that there are none yet.
    fn read(&mut self) -> impl Future<Output = Read<Vec<SourceEvent>>> + Send;

    /// Whether everything that was read is sent, and a commit is necessary for further events.
    fn is_at_end(&self) -> bool;

    /// Waits until there may be further events.
    fn wait_for_commit(&mut self) -> impl Future<Output = ()> + Send;

    /// The cursor behind everything that was read.
    fn cursor(&self) -> EventCursor;
}

/// An event of a feed, with the cursor behind it.
pub(crate) struct SourceEvent {
    pub(crate) cursor: EventCursor,
    pub(crate) name: &'static str,
    /// JSON. It can have line breaks, because content keeps its bytes.
    pub(crate) data: String,
}

/// The `id` of an event.
#[derive(Debug, Clone)]
pub(crate) struct EventCursor {
    pub(crate) id: String,
    pub(crate) position: Position,
}

/// Opens the stream of a feed. The first read happens before the answer, so that its error is the status of the answer.
pub(crate) async fn open<S: EventSource>(
    state: RouterState,
    mut source: S,
    subscriber: Subscriber,
    permit: ReaderPermit,
    shutdown: Shutdown,
) -> Result<Response, Problem> {
    let after = source.cursor();
    let first = source.read().await?;
    // One slot is for the last event, which a full channel must not stop.
    let open = state.metrics().stream_opened();
    let (events, mut body) = mpsc::channel(S::WAITING + 1);
    let last = events.clone().reserve_owned().await.map_err(|_| unreachable_receiver())?;
    let options = state.options().clone();
    let mut heartbeat = interval_at(Instant::now() + options.heartbeat, options.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pump = Pump {
        commits: state.db().commit_notifications(),
        source,
        events,
        sent: after,
        has_caught_up: false,
        options,
        state,
        subscriber,
        authenticated_at: Instant::now(),
        heartbeat,
        shutdown,
    };
    tokio::spawn(async move {
        // The permit and the counter last as long as the task, which ends with the body.
        let _held = (permit, open);
        pump.run(first, last).await;
    });
    let body = Body::from_stream(stream::poll_fn(move |cx| {
        body.poll_recv(cx).map(|event| event.map(Ok::<Bytes, Infallible>))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

/// The receiver is a local of the caller, so that the channel is open.
fn unreachable_receiver() -> Problem {
    Problem::http(crate::problem::HttpFault::Panicked, "the stream ended before it began")
}

/// Why a stream ends.
enum End {
    /// The client has disconnected.
    Disconnected,
    /// The reader is too slow.
    Lagged,
    /// The server shuts down.
    Shutdown,
    /// A read failed.
    Failed(Problem),
}

/// The task of a stream.
struct Pump<S> {
    source: S,
    commits: Option<CommitNotifications>,
    events: mpsc::Sender<Bytes>,
    /// The cursor of the last event in the channel.
    sent: EventCursor,
    /// Whether the stream has reached the end of the feed once. Before that, it is behind by what it asked for.
    has_caught_up: bool,
    options: Options,
    state: RouterState,
    subscriber: Subscriber,
    authenticated_at: Instant,
    heartbeat: Interval,
    shutdown: Shutdown,
}

impl<S: EventSource> Pump<S> {
    async fn run(mut self, first: Vec<SourceEvent>, last: mpsc::OwnedPermit<Bytes>) {
        let end = match self.stream(first).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Disconnected | End::Shutdown => {}
            End::Lagged => {
                self.state.metrics().stream_cut();
                last.send(lagged(&self.sent));
            }
            End::Failed(problem) => drop(last.send(failed(&problem))),
        }
    }

    async fn stream(&mut self, first: Vec<SourceEvent>) -> Result<Infallible, End> {
        let after = self.sent.clone();
        self.send(opening(self.options.reconnect.as_millis(), &after), after).await?;
        let mut batch = first;
        loop {
            for event in std::mem::take(&mut batch) {
                self.send(text(&event), event.cursor).await?;
            }
            if self.source.is_at_end() {
                self.has_caught_up = true;
                self.wait().await?;
            }
            // A read before there is a slot for its events would keep them in memory.
            self.wait_for_slot().await?;
            self.authenticate_again().await?;
            let read = self.source.read().await;
            batch = read.map_err(|error| End::Failed(error.into()))?;
        }
    }

    /// Once in each heartbeat, checks that the caller is still known. Otherwise a removed token could read on.
    async fn authenticate_again(&mut self) -> Result<(), End> {
        if self.authenticated_at.elapsed() < self.options.heartbeat {
            return Ok(());
        }
        let Self { events, shutdown, subscriber, state, .. } = self;
        tokio::select! {
            () = events.closed() => return Err(End::Disconnected),
            () = shutdown.begun() => return Err(End::Shutdown),
            known = subscriber.authenticate_again(state) => known.map_err(End::Failed)?,
        }
        self.authenticated_at = Instant::now();
        Ok(())
    }

    /// Puts an event into the channel. Ends the stream if the reader is too slow.
    async fn send(&mut self, event: Bytes, cursor: EventCursor) -> Result<(), End> {
        self.wait_for_slot().await?;
        // This task is the only sender, so that the slot is still free.
        self.events.try_send(event).map_err(|_| End::Disconnected)?;
        self.sent = cursor;
        Ok(())
    }

    /// Waits until the channel has a free slot. Ends the stream if the reader is too slow.
    async fn wait_for_slot(&mut self) -> Result<(), End> {
        let Self { commits, events, sent, has_caught_up, options, shutdown, .. } = self;
        let stalled = sleep(options.stream_stall);
        tokio::pin!(stalled);
        loop {
            tokio::select! {
                biased;
                slot = events.reserve() => return slot.map(drop).map_err(|_| End::Disconnected),
                () = shutdown.begun() => return Err(End::Shutdown),
                () = &mut stalled => return Err(End::Lagged),
                latest = next_commit(commits) => {
                    let lag = latest.get().saturating_sub(sent.position.get());
                    if *has_caught_up && lag > options.max_lag {
                        return Err(End::Lagged);
                    }
                }
            }
        }
    }

    /// Waits for the next commit. Sends a heartbeat when it is time.
    async fn wait(&mut self) -> Result<(), End> {
        let Self { source, events, heartbeat, shutdown, .. } = self;
        tokio::select! {
            () = events.closed() => Err(End::Disconnected),
            () = shutdown.begun() => Err(End::Shutdown),
            () = source.wait_for_commit() => Ok(()),
            _ = heartbeat.tick() => {
                // Everything up to the cursor of the feed was sent, or does not belong to the stream.
                let cursor = self.source.cursor();
                self.send(comment(&cursor), cursor).await
            }
        }
    }
}

/// Waits for a commit notification. Without notifications, it waits forever.
async fn next_commit(commits: &mut Option<CommitNotifications>) -> Position {
    if let Some(notifications) = commits {
        if let Some(position) = notifications.changed().await {
            return position;
        }
        *commits = None;
    }
    std::future::pending().await
}

/// The begin of a stream: the reconnection time, and the cursor to resume from if no event follows.
fn opening(milliseconds: u128, cursor: &EventCursor) -> Bytes {
    format!("retry: {milliseconds}\nid: {}\n\n", cursor.id).into()
}

/// A comment that keeps the connection open. The field `id` without data moves the cursor of the client.
fn comment(cursor: &EventCursor) -> Bytes {
    format!(": keep-alive\nid: {}\n\n", cursor.id).into()
}

/// A line break would end the field `data`. In JSON it only occurs between tokens, where a space means the same.
fn text(event: &SourceEvent) -> Bytes {
    let SourceEvent { cursor, name, data } = event;
    let data = data.replace(['\n', '\r'], " ");
    format!("id: {}\nevent: {name}\ndata: {data}\n\n", cursor.id).into()
}

/// The last event of a stream whose reader is too slow.
fn lagged(EventCursor { id, position }: &EventCursor) -> Bytes {
    // A position is a number in JSON, and another cursor is text.
    let after = if *id == position.to_string() { id.clone() } else { format!("\"{id}\"") };
    format!("id: {id}\nevent: lagged\ndata: {{\"after\":{after}}}\n\n").into()
}

/// The last event of a stream whose read failed. It has no `id`: the client resumes from its last event.
fn failed(problem: &Problem) -> Bytes {
    format!("event: problem\ndata: {}\n\n", problem.to_json()).into()
}
