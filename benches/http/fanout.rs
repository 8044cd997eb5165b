//! One reply that many clients follow: the delay from the acknowledgment of an append to its event, and the bytes.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use throughline::{
    Delta, NewReservation, Role,
    messages::{ContentChange, UpdateMode},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Failure,
    figures::figure,
    host::{Host, tenant},
    stream_reader::{MARK, StreamReader},
    tasks::micros,
};

const APPENDS: usize = 60;
/// The text of an append: some tokens of a reply, as a writer collects them.
const BYTES: usize = 64;
/// The time from one append to the next. All readers together receive their events within it, so that none waits for the others
/// of an earlier append.
const PERIOD: Duration = Duration::from_millis(250);

pub(crate) async fn measure(readers: usize) -> Result<(), Failure> {
    let host = Host::start(readers).await?;
    let thread = host.db.for_tenant(tenant()).thread("reply");
    // Without coalescing: each append is written, and acknowledged, by itself.
    let draft = thread.reserve(NewReservation::new(Role::Assistant)).await?;
    let (id, mut clients) = (draft.id().clone(), JoinSet::new());
    let after = thread.page(throughline::messages::PageFrom::End, 1).await?.position;
    for _ in 0..readers {
        let target = format!("/v1/threads/reply/stream?after={after}");
        let mut reader = StreamReader::open(host.address, &target).await?;
        clients.spawn(async move { reader.follow(APPENDS - 1).await });
    }
    let mut acknowledged: Vec<Instant> = Vec::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..APPENDS {
        ticks.tick().await;
        let text = format!("#{number:05}{}", ".".repeat(BYTES - MARK));
        let append = ContentChange::Append(Delta::text(text));
        thread.update_content(id.clone(), append, UpdateMode::Partial).await?;
        acknowledged.push(Instant::now());
    }
    let (mut delays, mut last_delays) = (Histogram::<u32>::new_with_max(60_000_000_000, 3)?, Vec::new());
    let mut total = 0;
    last_delays.resize(APPENDS, Duration::ZERO);
    while let Some(client) = clients.join_next().await {
        let (bytes, received) = client??;
        total += bytes;
        if !received.iter().map(|received| received.number).eq(0..APPENDS) {
            return Err("a reader does not have each append once and in order".into());
        }
        for received in received {
            let delay = received.at.saturating_duration_since(acknowledged[received.number]);
            delays.record(u64::try_from(delay.as_nanos())?)?;
            let last = &mut last_delays[received.number];
            *last = delay.max(*last);
        }
    }
    last_delays.sort();
    let per_event = total as f64 / (readers * APPENDS) as f64;
    figure("http.fanout_readers", readers as f64, "readers");
    figure("http.fanout_delay_p50", micros(&delays, 0.5) / 1000.0, "ms");
    figure("http.fanout_delay_p99", micros(&delays, 0.99) / 1000.0, "ms");
    figure("http.fanout_last_p50", last_delays[APPENDS / 2].as_secs_f64() * 1000.0, "ms");
    figure("http.fanout_event_bytes", per_event, "bytes");
    figure("http.fanout_event_bytes_over_content", per_event / BYTES as f64, "x");
    drop(draft);
    host.stop().await
}
