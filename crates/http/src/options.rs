//! The bounds of the router and of the server, each with its default.

use std::{fmt, sync::Arc, time::Duration};

use crate::store_health::StoreHealth;

/// The bounds of a [router](crate::router_with) and of a [server](crate::serve()).
///
/// ```
/// use throughline_http::Options;
///
/// let options = Options::new().max_body_bytes(1 << 20).page_limit(100);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) max_body_bytes: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) body_idle_timeout: Duration,
    pub(crate) max_headers: usize,
    pub(crate) max_header_bytes: usize,
    pub(crate) page_limit: u32,
    pub(crate) long_poll: Duration,
    pub(crate) max_streams: usize,
    pub(crate) max_lag: u64,
    pub(crate) stream_stall: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) reconnect: Duration,
    pub(crate) deadline: Option<Duration>,
    pub(crate) public_metrics: bool,
    pub(crate) ticket_lifetime: Duration,
    pub(crate) openai_conversations: bool,
    pub(crate) health: Option<HealthCheck>,
    pub(crate) web_page: bool,
    pub(crate) max_connections: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) grace: Duration,
}

/// A function of the host that states the health of its store.
#[derive(Clone)]
pub(crate) struct HealthCheck(pub(crate) Arc<dyn Fn() -> StoreHealth + Send + Sync>);

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HealthCheck(..)")
    }
}

impl Options {
    /// Returns the default bounds. Each setter documents its default.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_body_bytes: 8 << 20,
            body_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(10),
            max_headers: 64,
            max_header_bytes: 16 << 10,
            page_limit: 200,
            long_poll: Duration::from_secs(30),
            max_streams: 16,
            max_lag: 10_000,
            stream_stall: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            reconnect: Duration::from_secs(2),
            deadline: None,
            public_metrics: false,
            ticket_lifetime: Duration::from_secs(30),
            openai_conversations: false,
            health: None,
            web_page: true,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }

    /// Sets the most bytes of a request body. A larger one is refused as 413. The default is 8 MiB.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets the longest time for the whole body of a request. A slower one is refused as 408. The default is 60 seconds.
    #[must_use]
    pub const fn body_timeout(mut self, limit: Duration) -> Self {
        self.body_timeout = limit;
        self
    }

    /// Sets the longest time between two parts of a body. A slower body is refused as 408. The default is 10 seconds.
    #[must_use]
    pub const fn body_idle_timeout(mut self, limit: Duration) -> Self {
        self.body_idle_timeout = limit;
        self
    }

    /// Sets the most headers of a request. More are refused as 431. The default is 64.
    #[must_use]
    pub const fn max_headers(mut self, count: usize) -> Self {
        self.max_headers = count;
        self
    }

    /// Sets the most bytes of all header names and values. More are refused as 431. The default is 16 KiB. A
    /// [server](crate::serve()) needs at least 8 KiB for its buffer, and rounds a lower value up.
    #[must_use]
    pub const fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// Sets the most items of one page: messages, threads, changes, hits or audit entries. A larger `limit` is refused as
    /// 400. The default is 200, and no value exceeds 1000.
    #[must_use]
    pub const fn page_limit(mut self, items: u32) -> Self {
        self.page_limit = match items {
            0 => 1,
            1001.. => 1000,
            items => items,
        };
        self
    }

    /// Sets the longest wait of a long poll. A longer `wait` is shortened to it. The default is 30 seconds.
    #[must_use]
    pub const fn long_poll(mut self, limit: Duration) -> Self {
        self.long_poll = limit;
        self
    }

    /// Sets the most concurrent streams and waiting long polls of one caller, that is, of one tenant and actor. More are
    /// refused as 429. The default is 16.
    #[must_use]
    pub const fn max_streams(mut self, count: usize) -> Self {
        self.max_streams = count;
        self
    }

    /// Sets the most positions that a stream may be behind the store after it has caught up once. A stream that accepts no
    /// events and is further behind ends with the position to resume from. The default is 10 000.
    #[must_use]
    pub const fn max_lag(mut self, positions: u64) -> Self {
        self.max_lag = positions;
        self
    }

    /// Sets the longest time that a stream may accept no event. It then ends with the position to resume from. The default
    /// is 30 seconds.
    #[must_use]
    pub const fn stream_stall(mut self, limit: Duration) -> Self {
        self.stream_stall = limit;
        self
    }

    /// Sets the interval of the comments that keep an idle stream open. The default is 15 seconds.
    #[must_use]
    pub const fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Sets the time after which a client should reconnect, as the field `retry` of a stream. The default is 2 seconds.
    #[must_use]
    pub const fn reconnect(mut self, after: Duration) -> Self {
        self.reconnect = after;
        self
    }

    /// Sets the deadline of each call on the pipeline. By default, the deadline of the handle applies.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Sets whether `/metrics` needs no caller. By default, it needs an [operator](crate::Caller::operator).
    #[must_use]
    pub const fn public_metrics(mut self, public: bool) -> Self {
        self.public_metrics = public;
        self
    }

    /// Sets the time for which a ticket of `POST /v1/tickets` can be used. The default is 30 seconds.
    #[must_use]
    pub const fn ticket_lifetime(mut self, lifetime: Duration) -> Self {
        self.ticket_lifetime = lifetime;
        self
    }

    /// Sets whether the router has the routes of the OpenAI Conversations API, `/v1/conversations`, over the same threads. By
    /// default, it has not.
    #[must_use]
    pub const fn openai_conversations(mut self, served: bool) -> Self {
        self.openai_conversations = served;
        self
    }

    /// Sets the function that states the health of the store for `/readyz` and `/metrics`, such as one over the
    /// maintenance handle of a SQLite store. The function must return at once.
    #[must_use]
    pub fn store_health(mut self, health: impl Fn() -> StoreHealth + Send + Sync + 'static) -> Self {
        self.health = Some(HealthCheck(Arc::new(health)));
        self
    }

    /// Sets whether the router serves the web page at `/ui/`. The default is `true`. The files of the web page need no caller, and
    /// have no data: it reads the routes of the API.
    #[must_use]
    pub const fn web_page(mut self, is_served: bool) -> Self {
        self.web_page = is_served;
        self
    }

    /// Sets the most open connections of a [server](crate::serve()). A further one waits in the queue of the system. The
    /// default is 10 000.
    #[must_use]
    pub const fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Sets the longest time that a [server](crate::serve()) waits for the headers of a request, from the start of the
    /// connection or the end of the previous request. It covers the first byte and the idle time. The default is 20 seconds.
    #[must_use]
    pub const fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// Sets the longest time that a client of a [server](crate::serve()) may accept no byte of an answer. The server then
    /// closes the connection. The default is 30 seconds.
    #[must_use]
    pub const fn write_timeout(mut self, limit: Duration) -> Self {
        self.write_timeout = limit;
        self
    }

    /// Sets the longest time that a [server](crate::serve()) waits for open requests after its shutdown began. The default
    /// is 10 seconds.
    #[must_use]
    pub const fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_body_bytes", &self.max_body_bytes)
            .field("page_limit", &self.page_limit)
            .field("max_streams", &self.max_streams)
            .finish_non_exhaustive()
    }
}
