//! Numbers with units, for people.

use std::time::Duration;

use jiff::{Timestamp as Time, tz::TimeZone};
use throughline::Timestamp;

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// A number of bytes, such as `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut shown = count as f64;
    while shown >= 1024.0 && unit + 1 < UNITS.len() {
        shown /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{shown:.1} {}", UNITS[unit]) }
}

/// A number of things: `1 message`, `2 messages`.
pub(crate) fn count(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// A time in UTC, to the second.
pub(crate) fn time(time: Timestamp) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S")
}

/// The time of the day in UTC.
pub(crate) fn time_of_day(time: Timestamp) -> String {
    formatted(time, "%H:%M:%S")
}

fn formatted(time: Timestamp, format: &str) -> String {
    match Time::from_microsecond(time.as_micros()) {
        Ok(at) => at.to_zoned(TimeZone::UTC).strftime(format).to_string(),
        // Beyond the years of a calendar.
        Err(_) => format!("{} us", time.as_micros()),
    }
}

/// A duration in its two largest units.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Reads a duration such as `90s`, `15m`, `12h`, `30d` or `2w`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("a duration is a number and a unit: 90s, 15m, 12h, 30d, 2w".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    number
        .checked_mul(seconds)
        // Within the range of a `Timestamp`, which counts microseconds in 63 bits.
        .filter(|seconds| *seconds <= 100_000 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| "it is longer than 100000 days".to_owned())
}

/// Reads a number of bytes such as `4096`, `64k`, `10M` or `2G`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let at = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let shift = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("a size is a number and a unit: 4096, 64k, 10M, 2G".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    number.checked_mul(1 << shift).ok_or_else(|| "it exceeds 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_are_read_with_them() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(count(1, "message"), "1 message");
        assert_eq!(count(0, "message"), "0 messages");
        assert_eq!(time(Timestamp::from_micros(1_700_000_000_999_999)), "2023-11-14 22:13:20");
        assert_eq!(time(Timestamp::from_micros(i64::MAX)), "9223372036854775807 us");
        assert_eq!(duration(Duration::from_secs(93_600)), "1 d 2 h");
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(2_592_000)));
        assert_eq!(parse_bytes("10M"), Ok(10 << 20));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        for bad in ["", "30", "d", "1y", "99999999999999999999d", "18446744073709551615w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "k", "1x", "18446744073709551615k", "-1"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
