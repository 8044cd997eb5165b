//! Writes with many tasks. Each call is logged before it is made and after its answer.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fastrand::Rng;
use throughline_core::{
    MessageId, NewReservation, PersistError, Persistence, Role, Thread,
    messages::{Add, Batch, Coalesce},
};
use throughline_reliability::{
    acks::{AckLog, Call, Outcome as Answer, halves, message, metadata},
    worker::{Job, Mix},
};
use tokio::task::JoinSet;

use crate::{Outcome, opened};

/// The number of threads that the tasks of all processes share.
const THREADS: u64 = 8;

/// Long enough for the idle maintenance of the store.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// The state that all tasks share.
struct Shared {
    job: Job,
    db: Persistence,
    log: AckLog,
    waits: Mutex<Vec<Duration>>,
}

pub(crate) async fn write(job: Job) -> Outcome {
    let log = AckLog::create(log_path(&job))?;
    let db = opened(&job).await?;
    let begun = Instant::now();
    let shared = Arc::new(Shared { job, db, log, waits: Mutex::default() });
    let mut tasks = JoinSet::new();
    for number in 0..shared.job.tasks {
        tasks.spawn(Task::new(Arc::clone(&shared), number).run());
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let elapsed = begun.elapsed();
    if shared.job.stays {
        tokio::time::sleep(IDLE_TIME).await;
    }
    if !shared.job.leaves {
        shared.db.close().await?;
    }
    println!("{}", summary(&shared, elapsed));
    Ok(())
}

fn log_path(job: &Job) -> PathBuf {
    job.acks.join(format!("{}.acks", job.process))
}

/// Microseconds: the total, the 99th percentile of the calls, the slowest call.
fn summary(shared: &Shared, elapsed: Duration) -> String {
    let mut waits = shared.waits.lock().unwrap_or_else(PoisonError::into_inner);
    waits.sort_unstable();
    let at = |rank: usize| waits.get(rank.min(waits.len().saturating_sub(1))).map_or(0, Duration::as_micros);
    format!("{} {} {}", elapsed.as_micros(), at(waits.len() * 99 / 100), at(waits.len()))
}

struct Task {
    shared: Arc<Shared>,
    number: u64,
    random: Rng,
    thread: Thread,
    /// Final messages of this task, which it may delete.
    whole: Vec<(String, MessageId)>,
}

impl Task {
    fn new(shared: Arc<Shared>, number: u64) -> Self {
        let random = Rng::with_seed(shared.job.seed ^ (number << 32));
        let thread = shared.db.thread(format!("t{}", number % THREADS));
        Self { shared, number, random, thread, whole: Vec::new() }
    }

    async fn run(mut self) -> Outcome {
        let mut n = 0;
        while self.shared.job.operations.is_none_or(|operations| n < operations) {
            let name = format!("{}-{}-{n}", self.shared.job.process, self.number);
            n += 1;
            match (self.shared.job.mix, self.random.u32(..100)) {
                (Mix::Adds, _) | (_, ..50) => self.add(name).await?,
                (_, 50..65) => self.add_with_a_key(name).await?,
                (_, 65..75) => self.add_several(name).await?,
                (_, 75..90) => self.stream(name).await?,
                (_, 90..) => self.delete().await?,
            }
        }
        Ok(())
    }

    /// Makes a call on the messages of these names. Returns `None` if it failed.
    async fn call<T>(
        &self,
        call: Call,
        names: &[&str],
        making: impl Future<Output = Result<T, PersistError>>,
    ) -> Outcome<Option<T>> {
        let begun = self.shared.log.begin(call, self.thread.id()?.as_str(), names)?;
        let asked = Instant::now();
        let answer = making.await;
        begun.end(Answer::of(&answer))?;
        self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner).push(asked.elapsed());
        Ok(answer.inspect_err(|error| eprintln!("{names:?}: {error}")).ok())
    }

    async fn add(&mut self, name: String) -> Outcome {
        let id = MessageId::new(&name)?;
        let adding = self.thread.add(message(&name).with_id(id.clone())).into_future();
        if self.call(Call::Add, &[&name], adding).await?.is_some() {
            self.whole.push((name, id));
        }
        Ok(())
    }

    /// Adds a message under a minted id; half of the times the call is repeated.
    async fn add_with_a_key(&mut self, name: String) -> Outcome {
        for _ in 0..self.random.u32(1..=2) {
            let adding = self.thread.add(message(&name)).key(&name[..]).into_future();
            self.call(Call::Add, &[&name], adding).await?;
        }
        Ok(())
    }

    async fn add_several(&self, name: String) -> Outcome {
        let names = [0, 1, 2].map(|item| format!("{name}.{item}"));
        let mut batch = Batch::new();
        for name in &names {
            let id = MessageId::new(name)?;
            batch = batch.with(Add::new(self.thread.id()?.clone(), message(name).with_id(id)));
        }
        let names = names.each_ref().map(String::as_str);
        self.call(Call::Add, &names, self.shared.db.batch(batch).into_future()).await?;
        Ok(())
    }

    /// Reserves a message, writes it in two halves, finishes it. Leaves it as it is if a call fails.
    async fn stream(&self, name: String) -> Outcome {
        let (front, back) = halves(&name);
        let reservation = NewReservation::new(Role::Assistant)
            .with_id(MessageId::new(&name)?)
            .with_metadata(metadata(&name));
        // Appends are written only on flush.
        let coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: usize::MAX };
        let reserving = self.thread.reserve(reservation).coalesce(coalesce).into_future();
        let Some(mut draft) = self.call(Call::Reserve, &[&name], reserving).await? else { return Ok(()) };
        draft.append(front).await?;
        if self.call(Call::Flush, &[&name], draft.flush()).await?.is_some() {
            draft.append(back).await?;
            self.call(Call::Finish, &[&name], draft.finish()).await?;
        }
        Ok(())
    }

    async fn delete(&mut self) -> Outcome {
        let Some((name, id)) = self.whole.pop() else { return Ok(()) };
        self.call(Call::Delete, &[&name], self.thread.delete(id).into_future()).await?;
        Ok(())
    }
}
