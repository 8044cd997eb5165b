//! The stream of changes as server-sent events.

use throughline_core::{
    Position, Result,
    changes::{Change, ChangeFeed},
};

use crate::event_stream::{EventCursor, EventSource, SourceEvent};

impl EventSource for ChangeFeed {
    const WAITING: usize = 64;

    async fn read(&mut self) -> Result<Vec<SourceEvent>> {
        Ok(self.next_batch_now().await?.iter().map(event).collect())
    }

    fn is_at_end(&self) -> bool {
        Self::is_at_end(self)
    }

    async fn wait_for_commit(&mut self) {
        Self::wait_for_commit(self).await;
    }

    fn cursor(&self) -> EventCursor {
        at(self.position())
    }
}

fn at(position: Position) -> EventCursor {
    EventCursor { id: position.to_string(), position }
}

fn event(change: &Change) -> SourceEvent {
    let data = serde_json::to_string(change).expect("a change serializes into memory");
    SourceEvent { cursor: at(change.position), name: "change", data }
}
