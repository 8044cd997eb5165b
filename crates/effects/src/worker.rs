//! The worker of one consumer: reads the change feed, starts deliveries and moves the cursor.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::{
    consumer::Rebuilt,
    delivery::{Delivery, Outcome, STORE_LIMIT},
    settings::Waits,
    status::ConsumerState,
    thread_queues::{Key, ThreadQueues},
};
use throughline_core::{
    ErrorKind, PersistError, Position, Result,
    changes::{Change, ChangeFeed, CommitNotifications, GetCursor, MoveCursor, ResetCursor},
    contain::catch_future,
    threads::ListThreads,
};

/// The most events that are read and not done. If all of them wait for open messages, the worker stops reading for a while.
const WINDOW: usize = 8192;

/// The cursor moves after this number of events, or this time after the first of them.
const MOVE_AFTER: u64 = 256;
const MOVE_EVERY: Duration = Duration::from_millis(200);

/// The cursor also moves after this number of positions without an event for the consumer. Otherwise the store could drop the
/// changes after the cursor.
const MOVE_PAST: u64 = 10_000;

/// While the window is full, the interval in which waiting events check their messages again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    delivery: Arc<Delivery>,
    queues: ThreadQueues,
    at_work: JoinSet<Outcome>,
    keys: HashMap<Id, Key>,
    /// The cursor in the store.
    cursor: Position,
    /// The last position that the feed has read.
    read: Position,
    /// The number of done events since the last move of the cursor, and the instant of the next move.
    unmoved: u64,
    move_at: Option<Instant>,
    waits: Waits,
    /// The cursor was moved back: all changes after this position are delivered again.
    restart_at: Option<Position>,
    commits: Option<CommitNotifications>,
}

/// A read of the feed, which returns the feed. It is never dropped during a read because of another event.
type Reading = Pin<Box<dyn Future<Output = (Box<ChangeFeed>, Result<Vec<Change>>)> + Send>>;

/// When to read the feed.
#[derive(Debug, Clone, Copy)]
enum When {
    Now,
    AtNextCommit,
    /// After a failure.
    After(Duration),
}

enum Next {
    Stop,
    Ended(Option<Result<(Id, Outcome), JoinError>>),
    Read(Box<ChangeFeed>, Result<Vec<Change>>),
    Move,
    LookAgain,
}

impl Worker {
    pub(super) fn new(delivery: Arc<Delivery>, cursor: Position) -> Self {
        let (waits, commits) = (delivery.settings.waits(), delivery.db.commit_notifications());
        Self {
            delivery,
            queues: ThreadQueues::default(),
            at_work: JoinSet::new(),
            keys: HashMap::new(),
            cursor,
            read: cursor,
            unmoved: 0,
            move_at: None,
            waits,
            restart_at: None,
            commits,
        }
    }

    pub(super) async fn run(mut self) {
        let why = self.follow().await;
        // Running deliveries are finished; failed ones that wait are dropped.
        while let Some(ended) = self.at_work.join_next_with_id().await {
            self.ended(ended);
        }
        self.move_cursor().await;
        self.publish_status();
        self.delivery.status.put(|status| status.state = ConsumerState::Stopped { why });
    }

    /// Reads the feed until the worker must stop. Returns the reason if it cannot continue.
    async fn follow(&mut self) -> Option<String> {
        let mut stopping = self.delivery.stopping.clone();
        let mut reading = Some(self.read_on());
        loop {
            if let Some(position) = self.restart_at.take() {
                self.restart_from(position).await;
                reading = Some(self.read_on());
            }
            self.begin();
            self.publish_status();
            let is_full = self.queues.len() >= WINDOW;
            let look_again = Instant::now() + LOOK_AGAIN;
            let next = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => Next::Stop,
                ended = self.at_work.join_next_with_id(), if !self.at_work.is_empty() => Next::Ended(ended),
                () = at(self.move_at), if self.move_at.is_some() => Next::Move,
                () = sleep_until(look_again), if is_full => Next::LookAgain,
                (feed, read) = to_be(&mut reading), if !is_full => Next::Read(feed, read),
            };
            match next {
                Next::Stop => return None,
                Next::Ended(ended) => {
                    if let Some(ended) = ended {
                        self.ended(ended);
                    }
                    if self.unmoved >= MOVE_AFTER {
                        self.move_cursor().await;
                    }
                }
                Next::Read(feed, Ok(changes)) => {
                    self.waits = self.delivery.settings.waits();
                    let when = if changes.is_empty() { When::AtNextCommit } else { When::Now };
                    for change in changes {
                        self.queues.push(change);
                    }
                    self.read = feed.position();
                    if self.queues.done_through(self.read).get().saturating_sub(self.cursor.get())
                        >= MOVE_PAST
                    {
                        self.move_cursor().await;
                    }
                    reading = Some(reading_of(feed, when));
                }
                Next::Read(_, Err(error)) if error.kind() == ErrorKind::TooOld => {
                    if let Err(why) = self.rebuild_after(error).await {
                        return why;
                    }
                    reading = Some(self.read_on());
                }
                Next::Read(feed, Err(error)) => {
                    self.delivery.status.failed(&error.to_string());
                    reading = Some(reading_of(feed, When::After(self.waits.next())));
                }
                Next::Move => self.move_cursor().await,
                Next::LookAgain => self.queues.look_again(),
            }
        }
    }

    fn read_on(&self) -> Reading {
        let feed = self.delivery.db.changes(self.delivery.scope.clone(), self.read);
        reading_of(Box::new(feed), When::Now)
    }

    /// Restarts the delivery after this position. Changes that were delivered before are delivered again.
    async fn restart_from(&mut self, position: Position) {
        self.at_work.shutdown().await;
        self.keys.clear();
        self.queues = ThreadQueues::default();
        (self.cursor, self.read) = (position, position);
        (self.unmoved, self.move_at) = (0, None);
    }

    /// Starts every event that can start. The permits limit the concurrent calls.
    fn begin(&mut self) {
        while let Some((key, change)) = self.queues.begin() {
            let delivery = Arc::clone(&self.delivery);
            let task = self.at_work.spawn(async move { delivery.deliver(change).await });
            self.keys.insert(task.id(), key);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            // Panics of the consumer are caught, so that this is a failure of the runner. The event is not done.
            Err(error) => {
                self.delivery.status.failed(&error.to_string());
                (error.id(), Outcome::Left)
            }
        };
        let Some(key) = self.keys.remove(&id) else { return };
        match outcome {
            Outcome::Done => {
                self.queues.done(&key);
                self.unmoved += 1;
                self.move_at.get_or_insert_with(|| Instant::now() + MOVE_EVERY);
            }
            Outcome::Open => self.queues.open(&key),
            Outcome::Left => {}
        }
    }

    /// Moves the cursor to the last position up to which all events are done. A failure is retried with later events.
    async fn move_cursor(&mut self) {
        (self.unmoved, self.move_at) = (0, None);
        let to = self.queues.done_through(self.read);
        if to <= self.cursor {
            return;
        }
        let (db, name) = (self.delivery.db.with_deadline(STORE_LIMIT), self.delivery.name.clone());
        let moved = MoveCursor::new(name.clone(), to).expecting(self.cursor);
        match db.on_consumer(moved).await {
            Ok(moved) => self.cursor = moved.position,
            // Another process runs this consumer too, or a caller has reset the cursor.
            Err(error) if error.kind() == ErrorKind::Stale => {
                match db.read(GetCursor { consumer: name }).await {
                    Ok(found) if found.position < self.cursor => self.restart_at = Some(found.position),
                    Ok(found) => {
                        self.cursor = found.position;
                        self.move_at = (found.position < to).then(|| Instant::now() + MOVE_EVERY);
                    }
                    Err(error) => self.not_moved(&error),
                }
            }
            Err(error) => self.not_moved(&error),
        }
    }

    fn not_moved(&mut self, error: &PersistError) {
        self.delivery.status.failed(&error.to_string());
        self.move_at = Some(Instant::now() + self.waits.next());
    }

    /// Rebuilds the data of the consumer, because the store no longer keeps some changes. The error is the reason to stop, or
    /// `None` if the worker was stopped.
    async fn rebuild_after(&mut self, error: PersistError) -> Result<(), Option<String>> {
        // The rebuild covers the pending events.
        self.at_work.shutdown().await;
        self.keys.clear();
        let delivery = Arc::clone(&self.delivery);
        delivery.status.put(|status| {
            status.state = ConsumerState::Rebuilding;
            status.last_error = Some(error.to_string());
        });
        let mut waits = delivery.settings.waits();
        let mut stopping = delivery.stopping.clone();
        let mut made = 0;
        loop {
            let rebuilt = tokio::select! {
                rebuilt = rebuild(&delivery) => rebuilt,
                _ = stopping.wait_for(|stopping| *stopping) => return Err(None),
            };
            let why = match rebuilt {
                Ok(Some(position)) => {
                    self.restart_from(position).await;
                    delivery.status.put(|status| status.state = ConsumerState::Running);
                    return Ok(());
                }
                Ok(None) => return Err(Some(format!("the consumer cannot rebuild its data: {error}"))),
                Err(why) => why,
            };
            delivery.status.failed(&why);
            made += 1;
            if made >= delivery.settings.attempts {
                return Err(Some(format!("the rebuild of the consumer failed: {why}")));
            }
            if !delivery.waited(waits.next()).await {
                return Err(None);
            }
        }
    }

    fn publish_status(&self) {
        let done = self.queues.done_through(self.read);
        let (cursor, read, waiting) = (self.cursor, self.read, self.queues.len());
        let reached = self.commits.as_ref().map_or(read, CommitNotifications::latest);
        self.delivery.status.put(|status| {
            (status.cursor, status.done, status.waiting) = (cursor, done, waiting);
            status.reached = reached.max(read);
        });
    }
}

/// Rebuilds the data of the consumer. Returns the position from which to continue, or `None` if the consumer cannot rebuild.
async fn rebuild(delivery: &Delivery) -> Result<Option<Position>, String> {
    let as_text = |error: PersistError| error.to_string();
    // Read first, so that changes during the rebuild are delivered afterwards.
    let begun = delivery.db.threads(ListThreads::new(1).archived_too()).await.map_err(as_text)?.position;
    match catch_future(delivery.consumer.rebuild(&delivery.db))
        .await
        .map_err(|panicked| panicked.to_string())?
    {
        Ok(Rebuilt::Whole) => {}
        Ok(Rebuilt::Impossible) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let reset = ResetCursor::new(delivery.name.clone(), begun);
    let moved = delivery.db.on_consumer(reset).await.map_err(as_text)?;
    Ok(Some(moved.position))
}

/// Reads the feed once.
fn reading_of(mut feed: Box<ChangeFeed>, when: When) -> Reading {
    Box::pin(async move {
        if let When::After(wait) = when {
            sleep(wait).await;
        }
        if matches!(when, When::AtNextCommit) {
            feed.wait_for_commit().await;
        }
        let read = feed.next_batch_now().await;
        (feed, read)
    })
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn to_be(reading: &mut Option<Reading>) -> (Box<ChangeFeed>, Result<Vec<Change>>) {
    match reading {
        Some(running) => {
            let read = running.await;
            *reading = None;
            read
        }
        None => std::future::pending().await,
    }
}
