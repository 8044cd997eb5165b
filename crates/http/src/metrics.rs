//! The counters of a router, in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// The upper bounds of the duration histogram, in microseconds and as text in seconds.
const BUCKETS: [(u64, &str); 9] = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// The counters of a router.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: Mutex<Vec<Arc<RouteMetrics>>>,
    streams_opened: AtomicU64,
    streams_closed: AtomicU64,
    streams_cut: AtomicU64,
}

/// The counters of one route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    path: String,
    /// By method and status.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    in_flight: AtomicU64,
    durations: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// An open stream. A drop counts it as closed.
pub(crate) struct OpenStream(Arc<Metrics>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams_closed.fetch_add(1, Relaxed);
    }
}

impl Metrics {
    /// Returns the counters of a new route.
    pub(crate) fn route(&self, path: &str) -> Arc<RouteMetrics> {
        let route = Arc::new(RouteMetrics {
            path: path.to_owned(),
            answers: Mutex::default(),
            in_flight: AtomicU64::new(0),
            durations: Default::default(),
            count: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        });
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&route));
        route
    }

    pub(crate) fn stream_opened(self: &Arc<Self>) -> OpenStream {
        self.streams_opened.fetch_add(1, Relaxed);
        OpenStream(Arc::clone(self))
    }

    pub(crate) fn stream_cut(&self) {
        self.streams_cut.fetch_add(1, Relaxed);
    }

    /// Returns the counters in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        family(&mut text, "throughline_http_requests_total", "counter", "Answered requests.");
        for route in &routes {
            route.answers(&mut text);
        }
        family(&mut text, "throughline_http_requests_in_flight", "gauge", "Requests without an answer yet.");
        for route in &routes {
            let count = route.in_flight.load(Relaxed);
            line(
                &mut text,
                "throughline_http_requests_in_flight",
                &format!("route=\"{}\"", route.path),
                count,
            );
        }
        let name = "throughline_http_request_duration_seconds";
        family(&mut text, name, "histogram", "Time from the headers of a request to those of its answer.");
        for route in &routes {
            route.durations(&mut text, name);
        }
        let (opened, closed) = (self.streams_opened.load(Relaxed), self.streams_closed.load(Relaxed));
        family(&mut text, "throughline_http_streams_open", "gauge", "Open streams of changes.");
        line(&mut text, "throughline_http_streams_open", "", opened.saturating_sub(closed));
        family(&mut text, "throughline_http_streams_total", "counter", "Opened streams of changes.");
        line(&mut text, "throughline_http_streams_total", "", opened);
        family(&mut text, "throughline_http_streams_cut_total", "counter", "Streams that ended as lagged.");
        line(&mut text, "throughline_http_streams_cut_total", "", self.streams_cut.load(Relaxed));
        text
    }
}

/// A request in flight. A drop ends it, also if the client disconnects.
pub(crate) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl RouteMetrics {
    /// The path of the route, with the names of its parameters.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(&self.in_flight)
    }

    pub(crate) fn record(&self, method: &'static str, status: u16, took: Duration) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry((method, status)).or_default() +=
            1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = BUCKETS.iter().position(|(bound, _)| micros <= *bound) {
            self.durations[at].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    fn answers(&self, text: &mut String) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((method, status), count) in answers {
            let labels = format!("route=\"{}\",method=\"{method}\",status=\"{status}\"", self.path);
            line(text, "throughline_http_requests_total", &labels, count);
        }
    }

    fn durations(&self, text: &mut String, name: &str) {
        let total = self.count.load(Relaxed);
        if total == 0 {
            return;
        }
        let mut below = 0;
        for ((_, bound), count) in BUCKETS.iter().zip(&self.durations) {
            below += count.load(Relaxed);
            line(text, &format!("{name}_bucket"), &format!("route=\"{}\",le=\"{bound}\"", self.path), below);
        }
        line(text, &format!("{name}_bucket"), &format!("route=\"{}\",le=\"+Inf\"", self.path), total);
        let micros = self.micros.load(Relaxed);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let _ = writeln!(text, "{name}_sum{{route=\"{}\"}} {seconds}.{rest:06}", self.path);
        line(text, &format!("{name}_count"), &format!("route=\"{}\"", self.path), total);
    }
}

/// Writes the head of a family.
pub(crate) fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Writes one sample.
pub(crate) fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
}

/// Returns an answer in the text format of Prometheus.
pub(crate) fn answer(text: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], Body::from(text)).into_response()
}
