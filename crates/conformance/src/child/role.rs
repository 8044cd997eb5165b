use std::{
    fmt,
    io::{BufRead as _, Write as _},
};

use throughline_core::{
    Delta, ErrorKind, NewMessage, NewReservation, NewTurn, Persistence, Result, Role as Speaker,
    messages::{Add, Batch, ContentChange, UpdateMode},
    operations::FingerprintKey,
    sessions::{Claimer, RunReport, Runtime},
};

use crate::shorthand::{id, said};

/// The task of another process of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Adds `a0`, `a1`, … to the thread `t` without end, and acknowledges each.
    Adds,
    /// Adds batches of three messages, `b0.0`, `b0.1`, `b0.2`, … without end, and acknowledges each batch.
    Batches,
    /// Reserves `d` and streams into it without end, and acknowledges each flush.
    Draft,
    /// Waits for its parent, adds so many messages whose ids begin with this number, and acknowledges their seqs.
    Writer(u8, u32),
    /// Waits for its parent, adds so many turns of a question and an answer to the thread `t`, and acknowledges their seqs.
    AppendTurns(u32),
    /// Waits for its parent, makes so many runs of the agent `g` in the thread `a`, each with a session of its own that begins with this
    /// number, and acknowledges each.
    Runs(u8, u32),
    /// Appends so many times to one message, twice, and acknowledges after each half the bytes that the process has written to files.
    Appends(u32),
    /// Acknowledges the fingerprint key of the store.
    StoreKey,
}

impl Role {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(match words.next()? {
            "adds" => Self::Adds,
            "batches" => Self::Batches,
            "draft" => Self::Draft,
            "writer" => Self::Writer(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            "turns" => Self::AppendTurns(words.next()?.parse().ok()?),
            "runs" => Self::Runs(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            "appends" => Self::Appends(words.next()?.parse().ok()?),
            "store-key" => Self::StoreKey,
            _ => return None,
        })
    }

    pub(super) async fn play(self, db: Persistence, key: Option<FingerprintKey>) -> Result<(), String> {
        let played = match self {
            Self::StoreKey => {
                ack(shown_key(key));
                Ok(())
            }
            Self::Adds => adds(&db).await,
            Self::Batches => batches(&db).await,
            Self::Draft => draft(&db).await,
            Self::Writer(number, count) => writer(&db, number, count).await,
            Self::AppendTurns(count) => turns(&db, count).await,
            Self::Runs(number, count) => runs(&db, number, count).await,
            Self::Appends(count) => appends(&db, count).await,
        };
        played.map_err(|error| error.to_string())?;
        db.close().await.map_err(|error| error.to_string())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adds => f.write_str("adds"),
            Self::Batches => f.write_str("batches"),
            Self::Draft => f.write_str("draft"),
            Self::Writer(number, count) => write!(f, "writer {number} {count}"),
            Self::AppendTurns(count) => write!(f, "turns {count}"),
            Self::Runs(number, count) => write!(f, "runs {number} {count}"),
            Self::Appends(count) => write!(f, "appends {count}"),
            Self::StoreKey => f.write_str("store-key"),
        }
    }
}

/// A text whose end repeats its beginning, so that a partial text is recognized.
pub(crate) fn long_text(name: &str) -> String {
    format!("<{name}>{}</{name}>", "0123456789abcdef".repeat(64))
}

/// The text of the append `number` of [`Role::Draft`].
pub(crate) fn chunk(number: u32) -> String {
    format!("[{number}]")
}

/// The key of a store as [`Role::StoreKey`] acknowledges it.
pub(crate) fn shown_key(key: Option<FingerprintKey>) -> String {
    format!("{:?}", key.as_ref().map(FingerprintKey::as_bytes))
}

fn ack(case: impl fmt::Display) {
    let mut out = std::io::stdout().lock();
    // A parent without a reader has killed this process, or is about to.
    drop(writeln!(out, "ack {case}").and_then(|()| out.flush()));
}

async fn adds(db: &Persistence) -> Result<()> {
    let thread = db.thread("t");
    for number in 0_u32.. {
        let name = format!("a{number}");
        thread.add(said(&name, &long_text(&name))).key(name.as_str()).await?;
        ack(name);
    }
    Ok(())
}

async fn batches(db: &Persistence) -> Result<()> {
    for number in 0_u32.. {
        let mut batch = Batch::new();
        for item in 0..3 {
            let name = format!("b{number}.{item}");
            let thread = format!("t{item}").parse().expect("a valid id");
            batch = batch.with(Add::new(thread, said(&name, &long_text(&name))));
        }
        db.batch(batch).await?;
        ack(number);
    }
    Ok(())
}

async fn draft(db: &Persistence) -> Result<()> {
    let mut draft = db.thread("t").reserve(NewReservation::new(Speaker::Assistant).with_id(id("d"))).await?;
    ack("reserved");
    for number in 0_u32.. {
        draft.append(chunk(number)).await?;
        draft.flush().await?;
        ack(number);
    }
    Ok(())
}

/// Reports that it is ready, and waits until the parent lets it continue.
fn wait_for_parent() {
    ack("ready");
    let mut line = String::new();
    // The parent can be gone. Then this process continues, and its acknowledgements fail.
    drop(std::io::stdin().lock().read_line(&mut line));
}

async fn turns(db: &Persistence, count: u32) -> Result<()> {
    wait_for_parent();
    for _ in 0..count {
        let turn = NewTurn::new(NewMessage::user("why?")).answered(NewMessage::assistant("so"));
        let turn = db.thread("t").append_turn(turn).await?;
        ack(format_args!("{} {}", turn.prompt.seq, turn.answers[0].seq));
    }
    Ok(())
}

async fn writer(db: &Persistence, number: u8, count: u32) -> Result<()> {
    wait_for_parent();
    for message in 0..count {
        let message = NewMessage::user("x").with_id(id(&format!("{number}.{message}")));
        let added = db.thread("t").add(message).await?;
        ack(format_args!("{} {}", added.message.seq, added.message.id));
    }
    Ok(())
}

async fn runs(db: &Persistence, number: u8, count: u32) -> Result<()> {
    wait_for_parent();
    let location = db.agent("g").on("a");
    let at =
        Runtime::new(format!("r{number}").parse().expect("a valid id"), "root".parse().expect("a valid id"));
    for run in 0..count {
        let claimer = Claimer::new("p".parse().expect("a valid id"), at.clone());
        let begun = loop {
            // The run that has the lease ends soon.
            match location.begin(location.run(claimer.clone())?).await {
                Err(error) if error.kind() == ErrorKind::Busy => tokio::task::yield_now().await,
                begun => break begun?,
            }
        };
        let name = format!("s{number}.{run}");
        let report = RunReport::of(name.parse().expect("a valid id"))
            .in_directory(format!("/{name}").parse().expect("a valid directory"));
        location.confirm(begun.attempt, report).await?;
        ack(name);
    }
    Ok(())
}

async fn appends(db: &Persistence, count: u32) -> Result<()> {
    let thread = db.thread("t");
    let reserve = throughline_core::messages::Reserve::new(
        "t".parse().expect("a valid id"),
        NewReservation::new(Speaker::Assistant).with_id(id("d")),
    );
    db.run(reserve).await?;
    let ack_written =
        || ack(written().expect("the check applies only where the system counts written bytes"));
    ack_written();
    for _ in 0..2 {
        for _ in 0..count {
            let change = ContentChange::Append(Delta::text("0123456789abcdef0123456789abcdef"));
            thread.update_content(id("d"), change, UpdateMode::Partial).await?;
        }
        ack_written();
    }
    Ok(())
}

/// The bytes that this process has passed to the operating system to write; `None` if the system does not count them.
pub(crate) fn written() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
}
