//! Replies that are streamed as fast as a model writes them and a person reads them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use throughline::{
    Content, Role, Thread,
    messages::{ContentChange, UpdateMode},
    sqlite::SqliteBackend,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Failure,
    figures::{figure, median},
    io_counters::IoCounters,
    modes::open_raw,
    stack,
};

/// A token with its space. A draft gets 50 of them a second.
const TOKEN: &str = "word ";
const TICKS_PER_TOKEN: usize = 4;
const TICK: Duration = Duration::from_millis(5);

/// The drafts begin at different times within the interval in which a draft coalesces its appends.
const STARTS: usize = 50;
const FLUSH_EVERY: Duration = TICK.saturating_mul(STARTS as u32);

/// The replies of one run.
#[derive(Clone, Copy)]
pub(crate) struct Replies {
    pub(crate) count: usize,
    pub(crate) span: Duration,
}

/// The cost of one run.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Bytes passed to write calls for each streamed byte, with the end of each reply and the checkpoint of the store.
    pub(crate) written: f64,
    /// The processor time of the process while the replies were streamed, without their ends, as a part of one core.
    pub(crate) core: f64,
}

impl Replies {
    const fn ticks(self) -> usize {
        (self.span.as_millis() / TICK.as_millis()) as usize
    }

    /// The bytes of one reply.
    const fn bytes(self) -> usize {
        self.ticks() / TICKS_PER_TOKEN * TOKEN.len()
    }

    /// Streams the replies through drafts, in real time.
    pub(crate) async fn through_drafts(self) -> Result<Cost, Failure> {
        let folder = tempfile::tempdir()?;
        let db = stack::over(SqliteBackend::open(folder.path().join("store.db")).await?)?;
        let mut drafts = Vec::new();
        for number in 0..self.count {
            drafts.push(db.thread(format!("reply-{number}")).reserve(Role::Assistant).await?);
        }
        let before = IoCounters::now()?;
        // Run in a spawned task, as a host does: the main thread is not a worker of the runtime.
        let streamed = tokio::spawn(async move {
            let processor = processor_time();
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for tick in 0..self.ticks() + STARTS {
                ticks.tick().await;
                for (number, draft) in drafts.iter_mut().enumerate() {
                    let Some(age) = tick.checked_sub(number % STARTS) else { continue };
                    if age.is_multiple_of(TICKS_PER_TOKEN) && age < self.ticks() {
                        draft.append(TOKEN).await?;
                    }
                }
            }
            // By the time that the replies should take: a machine that is too slow for them does not lower the figure.
            let span = TICK * u32::try_from(self.ticks() + STARTS)?;
            let core = (processor_time() - processor).as_secs_f64() / span.as_secs_f64();
            for draft in &mut drafts {
                draft.finish().await?;
            }
            Ok::<_, Failure>(core)
        });
        let core = streamed.await??;
        db.close().await?;
        let handed = before.cost(self.span)?.handed;
        Ok(Cost { written: handed / (self.count * self.bytes()) as f64, core })
    }

    /// Writes one reply by replacing the whole content as often as a draft writes. Real time makes no difference to its bytes.
    pub(crate) async fn by_rewrite(self) -> Result<Cost, Failure> {
        let folder = tempfile::tempdir()?;
        let db = stack::over(SqliteBackend::open(folder.path().join("store.db")).await?)?;
        let thread = db.thread("reply");
        let draft = thread.reserve(Role::Assistant).await?;
        let before = IoCounters::now()?;
        let mut whole = String::new();
        for part in self.flushes() {
            whole.push_str(&part);
            replace(&thread, draft.id(), &whole, UpdateMode::Partial).await?;
        }
        replace(&thread, draft.id(), &whole, UpdateMode::Final).await?;
        drop(draft);
        db.close().await?;
        Ok(Cost { written: before.cost(self.span)?.handed / self.bytes() as f64, core: 0.0 })
    }

    /// Writes one reply with rusqlite alone: a row for each part that a draft writes, each in a commit of its own.
    pub(crate) fn by_raw_appends(self) -> Result<Cost, Failure> {
        let folder = tempfile::tempdir()?;
        let connection = open_raw(&folder.path().join("raw.db"))?;
        let before = IoCounters::now()?;
        let mut insert = connection.prepare("INSERT INTO parts (message_pk, part) VALUES (1, ?1)")?;
        for part in self.flushes() {
            insert.execute([part])?;
        }
        drop(insert);
        connection.close().map_err(|(_, error)| error)?;
        Ok(Cost { written: before.cost(self.span)?.handed / self.bytes() as f64, core: 0.0 })
    }

    /// The text that a draft coalesces in each of its intervals.
    fn flushes(self) -> impl Iterator<Item = String> {
        let tokens = self.ticks() / TICKS_PER_TOKEN;
        let flushes = (self.span.as_millis() / FLUSH_EVERY.as_millis()) as usize;
        (0..flushes).map(move |flush| TOKEN.repeat((flush + 1) * tokens / flushes - flush * tokens / flushes))
    }
}

async fn replace(
    thread: &Thread,
    id: &throughline::MessageId,
    whole: &str,
    mode: UpdateMode,
) -> Result<(), Failure> {
    thread.update_content(id.clone(), ContentChange::Replace(Content::text(whole)), mode).await?;
    Ok(())
}

/// Prints the median of the bytes for each streamed byte, with their spread over the rounds.
pub(crate) fn report_written(name: &str, costs: &[Cost]) {
    let written: Vec<f64> = costs.iter().map(|cost| cost.written).collect();
    let bound = |of: fn(f64, f64) -> f64| written.iter().copied().reduce(of).unwrap_or(f64::NAN);
    figure(format_args!("streaming.written_per_byte.{name}"), median(&written), "x");
    figure(format_args!("streaming.written_per_byte.{name}.min"), bound(f64::min), "x");
    figure(format_args!("streaming.written_per_byte.{name}.max"), bound(f64::max), "x");
}

/// Prints the median of the processor time of so many drafts, with its spread over the rounds.
pub(crate) fn report_core(drafts: usize, costs: &[Cost]) {
    let core: Vec<f64> = costs.iter().map(|cost| cost.core * 100.0).collect();
    let bound = |of: fn(f64, f64) -> f64| core.iter().copied().reduce(of).unwrap_or(f64::NAN);
    figure(format_args!("streaming.core.{drafts}"), median(&core), "%_of_one_core");
    figure(format_args!("streaming.core.{drafts}.min"), bound(f64::min), "%_of_one_core");
    figure(format_args!("streaming.core.{drafts}.max"), bound(f64::max), "%_of_one_core");
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
