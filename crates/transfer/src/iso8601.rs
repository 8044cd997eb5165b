//! Parses and formats times as text.

use jiff::{Timestamp as Instant, civil::DateTime, tz::Offset};
use throughline_core::Timestamp;

/// Parses an ISO 8601 time; without an offset it is UTC. Fractions of a microsecond are cut off.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let instant = text.parse::<Instant>().or_else(|_| {
        let local: DateTime = text.parse()?;
        Offset::UTC.to_timestamp(local)
    });
    // Rounds toward the past, also before 1970, so that the order is kept.
    let nanos = instant.ok()?.as_nanosecond();
    i64::try_from(nanos.div_euclid(1000)).ok().map(Timestamp::from_micros)
}

/// Formats a time with milliseconds, or with microseconds if it has any. A time outside of the calendar becomes the
/// nearest one in it.
pub(crate) fn format(time: Timestamp) -> String {
    let instant = Instant::from_microsecond(time.as_micros());
    let nearest = if time.as_micros() < 0 { Instant::MIN } else { Instant::MAX };
    let instant = instant.unwrap_or(nearest);
    if time.as_micros() % 1000 == 0 { format!("{instant:.3}") } else { format!("{instant:.6}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_clients_and_of_sqlite_are_parsed() {
        let due = Timestamp::from_micros(1_709_251_200_123_000);
        for text in [
            "2024-03-01T00:00:00.123Z",
            "2024-03-01T00:00:00.123000+00:00",
            "2024-03-01T01:00:00.123+01:00",
            "2024-03-01 00:00:00.123",
            "2024-03-01T00:00:00.123000999Z",
        ] {
            assert_eq!(parse(text), Some(due), "{text}");
        }
        assert_eq!(parse("1969-12-31T23:59:59.9999999Z"), Some(Timestamp::from_micros(-1)));
        for text in ["", "yesterday", "1709251200123", "2024-02-30T00:00:00Z", "2024-03-01T25:00:00Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_formatted_time_is_parsed_to_the_same_time() {
        for micros in [0, -1, 1, 1_709_251_200_123_456, -62_135_596_800_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(parse(&format(time)), Some(time), "{}", format(time));
        }
        assert_eq!(format(Timestamp::from_micros(1_709_251_200_000_000)), "2024-03-01T00:00:00.000Z");
        assert_eq!(format(Timestamp::from_micros(1_709_251_200_000_001)), "2024-03-01T00:00:00.000001Z");
        assert!(parse(&format(Timestamp::from_micros(i64::MAX))).is_some());
    }
}
