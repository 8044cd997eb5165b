//! REL-21: no read returns content that a flipped bit in the file or in the WAL has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs, panic,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, config::DbConfig};
use tempfile::TempDir;
use throughline_core::{
    Content, Delta, ErrorKind, Message, MessageId, Metadata, NewMessage, NewReservation, PersistError,
    Persistence, Result, Role, Timestamp,
    messages::{ContentChange, ListOpen, Page, PageFrom, Reserve, UpdateMode},
};
use throughline_reliability::{Report, scaled};
use throughline_sqlite::{Maintenance, OpenError, SqliteBackend, Verification};
use tokio::time::timeout;

/// The bytes of a page.
const PAGE: u64 = 4096;

const THREADS: usize = 10;

/// Messages of a thread: so long together that no page of the file holds those of three threads.
const MESSAGES: usize = 7;

/// The longest time of opening and reading a damaged copy.
const TIMEOUT: Duration = Duration::from_secs(120);

fn thread_name(thread: usize) -> String {
    format!("thread-{thread:02}")
}

/// The ids of a thread's messages; the last of them stays open, the second is deleted.
fn ids(thread: usize) -> impl Iterator<Item = MessageId> {
    (0..MESSAGES).map(move |n| format!("message-{thread:02}-{n}").parse().unwrap())
}

/// A clock that advances by a second with each call, so that a seed always creates the same file.
fn clock() -> impl Fn() -> Timestamp + Send + Sync + 'static {
    let seconds = AtomicU64::new(1_700_000_000);
    move || {
        Timestamp::from_micros(i64::try_from(seconds.fetch_add(1, Ordering::Relaxed)).unwrap() * 1_000_000)
    }
}

fn text(random: &mut fastrand::Rng, length: usize) -> String {
    (0..length).map(|_| random.alphanumeric()).collect()
}

/// An open store.
struct Open {
    db: Persistence,
    maintenance: Maintenance,
}

impl Open {
    async fn at(path: &Path) -> Result<Self, OpenError> {
        let backend = SqliteBackend::builder().readers(1).segment_positions(9).open(path).await?;
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).clock(clock()).build().unwrap();
        Ok(Self { db, maintenance })
    }
}

/// Everything that a thread shows.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    by_id: Vec<Option<Message>>,
    page: Page,
}

/// The answers to every read of every thread, and to the list of open messages.
struct Answers {
    by_id: Vec<Vec<Result<Option<Message>>>>,
    pages: Vec<Result<Page>>,
    open: Result<Vec<Message>>,
}

impl Answers {
    async fn of(db: &Persistence) -> Self {
        let mut answers = Self { by_id: Vec::new(), pages: Vec::new(), open: Ok(Vec::new()) };
        for n in 0..THREADS {
            let thread = db.thread(thread_name(n));
            let mut by_id = Vec::new();
            for id in ids(n) {
                by_id.push(thread.get(id).await);
            }
            answers.by_id.push(by_id);
            answers.pages.push(thread.page(PageFrom::Start, 100).await);
        }
        answers.open = db.read(ListOpen::new(100)).await.and_then(|open| match open.damaged.first() {
            None => Ok(open.messages),
            Some(damaged) => Err(damaged.to_error()),
        });
        answers
    }

    /// Returns the answers of an undamaged store.
    fn whole(self) -> (Vec<Shown>, Vec<Message>) {
        let shown = |(by_id, page): (Vec<Result<Option<Message>>>, Result<Page>)| {
            let by_id = by_id.into_iter().map(Result::unwrap).collect();
            Shown { by_id, page: page.unwrap() }
        };
        (self.by_id.into_iter().zip(self.pages).map(shown).collect(), self.open.unwrap())
    }

    fn errors(&self) -> impl Iterator<Item = &PersistError> {
        let by_id = self.by_id.iter().flatten().filter_map(|answer| answer.as_ref().err());
        by_id
            .chain(self.pages.iter().filter_map(|answer| answer.as_ref().err()))
            .chain(self.open.as_ref().err())
    }
}

/// A closed store with known content, and its answers.
struct Original {
    _directory: TempDir,
    path: PathBuf,
    shown: Vec<Shown>,
    open: Vec<Message>,
}

/// Messages of every sort: final ones, with metadata, with attachments, added under a key; one that was edited, one that
/// was deleted, one that is being streamed.
async fn write(db: &Persistence, thread: usize, random: &mut fastrand::Rng) -> Result<()> {
    let name = thread_name(thread);
    let handle = db.thread(name.as_str());
    for (n, id) in ids(thread).enumerate() {
        let length = random.usize(400..900);
        let said = text(random, length);
        if n == MESSAGES - 1 {
            let reservation = NewReservation::new(Role::Assistant).with_id(id.clone());
            db.run(Reserve::new(name.parse()?, reservation)).await?;
            for _ in 0..3 {
                let chunk = ContentChange::Append(Delta::text(text(random, 200)));
                handle.update_content(id.clone(), chunk, UpdateMode::Partial).await?;
            }
            continue;
        }
        let mut message = NewMessage::user(&said).with_id(id.clone());
        if n == 3 {
            let mut metadata = Metadata::new();
            metadata.set("channel", &said[..20])?;
            message = message.with_metadata(metadata).with_attachments(["file".parse()?]);
        }
        let add = handle.add(message);
        if n == 4 { add.key(format!("key-{name}")).await } else { add.await }?;
        match n {
            1 => drop(handle.delete(id).await?),
            5 => drop(handle.edit(id, Content::text(&said[..300])).await?),
            _ => {}
        }
    }
    Ok(())
}

impl Original {
    async fn written(random: &mut fastrand::Rng) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let Open { db, maintenance } = Open::at(&path).await.unwrap();
        for thread in 0..THREADS {
            write(&db, thread, random).await.unwrap();
        }
        let (shown, open) = Answers::of(&db).await.whole();
        assert_eq!(maintenance.verify().await.unwrap().damaged, []);
        db.close().await.unwrap();
        assert!(!wal_of(&path).exists(), "all of it is in the file");
        Self { _directory: directory, path, shown, open }
    }

    /// Compares the answers of a damaged copy with the written content.
    fn differences(&self, answers: &Answers) -> Differences {
        let mut differences = Differences::default();
        for (n, shown) in self.shown.iter().enumerate() {
            for (expected, answer) in shown.by_id.iter().zip(&answers.by_id[n]) {
                match (expected, answer) {
                    (expected, Ok(message)) if expected == message => {}
                    (Some(_), Ok(None)) => differences.lost(n, "get"),
                    (_, Ok(_)) => differences.wrong(n, "get"),
                    (_, Err(_)) => drop(differences.hurt.insert(n)),
                }
            }
            match &answers.pages[n] {
                Ok(page) if *page == shown.page => {}
                Ok(page) if !page.damaged.is_empty() && is_part(&page.messages, &shown.page.messages) => {
                    if page.messages.len() + page.damaged.len() < shown.page.messages.len() {
                        differences.lost(n, "page");
                    }
                    differences.hurt.insert(n);
                }
                Ok(page) if is_part(&page.messages, &shown.page.messages) => differences.lost(n, "page"),
                Ok(_) => differences.wrong(n, "page"),
                Err(_) => drop(differences.hurt.insert(n)),
            }
        }
        match &answers.open {
            Ok(open) if *open == self.open => {}
            Ok(open) if is_part(open, &self.open) => differences.lost.push("open".to_owned()),
            Ok(_) => differences.wrong.push("open".to_owned()),
            Err(_) => {}
        }
        differences
    }
}

/// Returns whether all of them were written, in this order.
fn is_part(shown: &[Message], written: &[Message]) -> bool {
    let mut written = written.iter();
    shown.iter().all(|message| written.any(|other| other == message))
}

#[derive(Debug, Default)]
struct Differences {
    /// Threads of which something is refused, or shown otherwise than it was written.
    hurt: BTreeSet<usize>,
    /// Reads that returned content which was never written.
    wrong: Vec<String>,
    /// Reads that omitted written content without an error.
    lost: Vec<String>,
}

impl Differences {
    fn wrong(&mut self, thread: usize, read: &str) {
        self.wrong.push(format!("{read} of {thread}"));
        self.hurt.insert(thread);
    }

    fn lost(&mut self, thread: usize, read: &str) {
        self.lost.push(format!("{read} of {thread}"));
        self.hurt.insert(thread);
    }
}

fn wal_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Returns the table of each page of a file, and whether the page is a leaf.
fn pages_of(path: &Path) -> Vec<(String, bool)> {
    let db = Connection::open(path).unwrap();
    let count: u32 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let mut pages = vec![("free".to_owned(), false); count as usize];
    let mut statement = db.prepare("SELECT pageno, name, pagetype FROM dbstat").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (number, name, kind): (u32, String, String) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        pages[number as usize - 1] = (name, kind != "internal");
    }
    pages
}

/// Counts the panics of every thread, which a store would contain.
fn count_panics() -> Arc<AtomicU64> {
    let panics = Arc::<AtomicU64>::default();
    let (counted, shown) = (Arc::clone(&panics), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::Relaxed);
        shown(info);
    }));
    panics
}

/// The result of opening and reading a damaged copy.
enum Outcome {
    Refused(OpenError),
    Opened { answers: Answers, verified: Verification },
}

/// Opens a copy of a store, reads everything and checks it.
async fn tried(path: &Path) -> Outcome {
    let all = async {
        let Open { db, maintenance } = match Open::at(path).await {
            Ok(open) => open,
            Err(error) => return Outcome::Refused(error),
        };
        let answers = Answers::of(&db).await;
        let verified = maintenance.verify().await.unwrap();
        // The checkpoint into a damaged file can fail. That is an error of the close, and loses nothing.
        drop(db.close().await);
        Outcome::Opened { answers, verified }
    };
    timeout(TIMEOUT, all).await.expect("the store hangs")
}

/// Copies a file and flips one bit.
fn flipped(from: &Path, to: &Path, bit: u64) {
    let mut bytes = fs::read(from).unwrap();
    bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
    fs::write(to, bytes).unwrap();
}

#[tokio::test]
async fn rel_21_reads_never_return_a_flipped_bit_of_the_file() {
    let mut report = Report::new("REL-21");
    let mut random = report.random();
    let original = Original::written(&mut random).await;
    let pages = pages_of(&original.path);
    let panics = count_panics();
    let bits = fs::metadata(&original.path).unwrap().len() * 8;
    let flips = scaled(400);
    let mut counts = BTreeMap::<String, u64>::new();
    let mut faults = Vec::new();
    for _ in 0..flips {
        let bit = random.u64(0..bits);
        let number = usize::try_from(bit / 8 / PAGE).unwrap();
        let (table, holds_rows) = &pages[number];
        let mut count = |result: String| *counts.entry(result).or_default() += 1;
        let mut expect = |holds: bool, fault: &str, found: &dyn Debug| {
            if !holds {
                faults.push(format!("bit {bit}, page {} of {table}: {fault}: {found:?}", number + 1));
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("chat.db");
        flipped(&original.path, &copy, bit);
        let (answers, verified) = match tried(&copy).await {
            Outcome::Opened { answers, verified } => (answers, verified),
            Outcome::Refused(error) => {
                count(format!("refused[{}]", error.kind()));
                let kinds = [ErrorKind::Corrupt, ErrorKind::Invalid, ErrorKind::Unsupported];
                expect(kinds.contains(&error.kind()), "refused as something else", &error);
                continue;
            }
        };
        let of_another_kind = answers.errors().find(|error| error.kind() != ErrorKind::Corrupt);
        expect(of_another_kind.is_none(), "refused as something else", &of_another_kind);
        let differences = original.differences(&answers);
        expect(differences.wrong.is_empty(), "shown, and never written", &differences);
        let is_noticed = answers.errors().next().is_some();
        let differs = is_noticed || !differences.lost.is_empty();
        expect(!differs || !verified.is_sound(), "verify() finds nothing", &differences);
        if table == "messages" {
            expect(differences.lost.is_empty(), "its index knows it, and it is left out", &differences);
            let is_other = *holds_rows && differences.hurt.len() > 2;
            expect(!is_other, "the threads of other pages cannot be read", &differences);
        }
        if !differences.lost.is_empty() {
            count(format!("not_shown[{table}]"));
        }
        count(match (differs, verified.is_sound()) {
            (true, _) if is_noticed => "noticed_by_reads".to_owned(),
            (true, _) => "noticed_by_verify_while_reads_differ".to_owned(),
            (false, false) => "noticed_by_verify".to_owned(),
            (false, true) => "harmless".to_owned(),
        });
    }
    for (result, count) in &counts {
        report.count(result.as_str(), count);
    }
    report.fired("flipped", flips);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    report.finish();
}

/// A closed store whose last commits are only in the WAL, and its answers after each of them.
struct WithWal {
    _directory: TempDir,
    path: PathBuf,
    history: Vec<(Vec<Shown>, Vec<Message>)>,
}

impl WithWal {
    async fn written(random: &mut fastrand::Rng) -> Self {
        const COMMITS: usize = 40;

        let Original { _directory, path, shown, open } = Original::written(random).await;
        let mut history = vec![(shown, open)];
        let Open { db, .. } = Open::at(&path).await.unwrap();
        // An open read transaction prevents that a checkpoint moves the new pages into the file.
        let reader = Connection::open(&path).unwrap();
        reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
        for n in 0..COMMITS {
            let thread = n % THREADS;
            let handle = db.thread(thread_name(thread));
            let (first, last) = (ids(thread).next().unwrap(), ids(thread).last().unwrap());
            let chunk = ContentChange::Append(Delta::text(text(random, 100)));
            match n / THREADS {
                0 => drop(handle.add(NewMessage::user(&text(random, 600))).await.unwrap()),
                1 => drop(handle.edit(first, Content::text(&text(random, 300))).await.unwrap()),
                2 => drop(handle.update_content(last, chunk, UpdateMode::Partial).await.unwrap()),
                _ => drop(handle.update_content(last, chunk, UpdateMode::Final).await.unwrap()),
            }
            history.push(Answers::of(&db).await.whole());
        }
        db.close().await.unwrap();
        drop(reader);
        assert!(
            fs::metadata(wal_of(&path)).unwrap().len() > COMMITS as u64 * PAGE,
            "every commit is in the WAL"
        );
        Self { _directory, path, history }
    }
}

#[tokio::test]
async fn rel_21_flipped_bit_of_the_wal_leaves_an_earlier_state_of_the_store() {
    let mut report = Report::new("REL-21-LOG");
    let mut random = report.random();
    let original = WithWal::written(&mut random).await;
    let panics = count_panics();
    let bits = fs::metadata(wal_of(&original.path)).unwrap().len() * 8;
    let flips = scaled(100);
    let commits = original.history.len() - 1;
    let (mut lost, mut with_a_loss, mut noticed) = (0, 0_u64, 0_u64);
    for _ in 0..flips {
        let bit = random.u64(0..bits);
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("chat.db");
        fs::copy(&original.path, &copy).unwrap();
        flipped(&wal_of(&original.path), &wal_of(&copy), bit);
        let (answers, verified) = match tried(&copy).await {
            Outcome::Opened { answers, verified } => (answers, verified),
            Outcome::Refused(error) => panic!("bit {bit}: {error}"),
        };
        let errors: Vec<_> = answers.errors().collect();
        assert!(errors.is_empty(), "bit {bit}: {errors:?}");
        let shown = answers.whole();
        // The store has an earlier state: SQLite ends the WAL at the first frame with a wrong checksum.
        let moment = original.history.iter().rposition(|moment| *moment == shown);
        let moment = moment.unwrap_or_else(|| panic!("bit {bit}: the store never had this state"));
        lost += commits - moment;
        with_a_loss += u64::from(moment < commits);
        noticed += u64::from(!verified.is_sound());
    }
    report.count("commits", commits);
    // No record outside of the store has its last position yet, so that the lost commits are not detected.
    report.count("commits_lost", format!("{lost} of {}", commits as u64 * flips));
    report.count("losses_noticed_by_verify", noticed);
    report.fired("flipped", flips);
    report.fired("lost the end of the WAL", with_a_loss);
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    report.finish();
}
