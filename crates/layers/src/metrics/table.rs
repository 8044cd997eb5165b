use ::metrics::Unit;

/// What kind of instrument a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instrument {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// The distribution of what was recorded.
    Histogram,
}

impl Instrument {
    /// The word for it in the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric: what it is called, what it counts, what tells its series apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, unique.
    pub name: &'static str,
    /// What kind of instrument it is.
    pub instrument: Instrument,
    /// What a value of it is measured in.
    pub unit: Unit,
    /// The labels of every series of it. A [`tenant`](super::MetricsLayer::with_tenants) comes last where it was asked for.
    pub labels: &'static [&'static str],
    /// What it tells.
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
    /// How long they took.
    DURATION = "throughline_call_duration_seconds" Histogram Seconds ["operation" "outcome"] "time from the call to its end";
    /// Calls that have not ended.
    IN_FLIGHT = "throughline_calls_in_flight" Gauge Count ["operation"] "calls that have not ended";
    /// Content that was written.
    WRITTEN = "throughline_content_written_bytes_total" Counter Bytes ["operation"] "bytes of content in writes that were applied";
    /// Calls that an earlier one had done.
    REPLAYS = "throughline_replays_total" Counter Count ["operation"] "calls that an earlier call with their key had done";
    /// Repeated attempts.
    RETRIES = "throughline_retries_total" Counter Count ["operation"] "attempts after the first one";
}
