use ::metrics::Unit;

/// The instrument of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instrument {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// The distribution of the recorded values.
    Histogram,
}

impl Instrument {
    /// Returns the name of the instrument in the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric: its name, instrument, unit and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The unique name.
    pub name: &'static str,
    /// The instrument.
    pub instrument: Instrument,
    /// The unit of its values.
    pub unit: Unit,
    /// The labels of each of its series. With [`tenant`](super::MetricsLayer::with_tenants), that label is the last.
    pub labels: &'static [&'static str],
    /// The description of its values.
    pub about: &'static str,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $name:literal $instrument:ident $unit:ident [$($label:literal)+] $about:literal;)+) => {
        $(
            $(#[$doc])*
            pub const $constant: Metric = Metric {
                name: $name,
                instrument: Instrument::$instrument,
                unit: Unit::$unit,
                labels: &[$($label),+],
                about: $about,
            };
        )+

        /// Every metric of the layer.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    /// Calls that ended.
    CALLS = "throughline_calls_total" Counter Count ["operation" "outcome" "effect"] "calls that ended";
    /// The duration of calls.
    DURATION = "throughline_call_duration_seconds" Histogram Seconds ["operation" "outcome"] "time from the call to its end";
    /// Calls that have not ended.
    IN_FLIGHT = "throughline_calls_in_flight" Gauge Count ["operation"] "calls that have not ended";
    /// Bytes of content in applied writes.
    WRITTEN = "throughline_content_written_bytes_total" Counter Bytes ["operation"] "bytes of content in writes that were applied";
    /// Calls that replayed the answer of an earlier call.
    REPLAYS = "throughline_replays_total" Counter Count ["operation"] "calls that replayed the answer of an earlier call with their key";
    /// Repeated attempts.
    RETRIES = "throughline_retries_total" Counter Count ["operation"] "attempts after the first one";
}
