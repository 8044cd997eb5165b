//! The reads of the model.

use throughline_core::{
    Message, MessageState, Persistence, Seq, TenantId,
    messages::{ListOpen, PageFrom, ReadPage, Visibility},
    threads::ListThreads,
};

use super::{
    row::Row,
    step::{IDS, Look, THREADS},
    write::Rows,
};

/// The tenant of a read, and when it is made.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) tenant: usize,
    pub(super) name: &'a TenantId,
    pub(super) now: i64,
    pub(super) db: &'a Persistence,
    /// Whether the store shows threads.
    pub(super) threads: bool,
}

impl Rows {
    fn of(&self, tenant: usize, thread: usize) -> Vec<&Row> {
        let living = |row: &&Row| (row.tenant, row.thread) == (tenant, thread) && !row.dead;
        let mut rows: Vec<&Row> = self.messages.iter().filter(living).collect();
        rows.sort_by_key(|row| row.seq);
        rows
    }

    /// Compares everything that a look shows.
    pub(super) async fn look(&mut self, reader: Reader<'_>, look: &Look) -> Result<(), String> {
        self.page(reader, look).await?;
        self.open(reader, look).await?;
        if reader.threads {
            self.entries(reader, look).await?;
        }
        self.get(reader, look.thread, look.at).await
    }

    /// Compares every message of both threads, read one by one and as pages.
    pub(super) async fn audit(&mut self, reader: Reader<'_>) -> Result<(), String> {
        let mut look = Look { thread: 0, from: 0, at: 0, limit: 1000, visibility: 0, expired_only: false };
        self.open(reader, &look).await?;
        if reader.threads {
            self.entries(reader, &look).await?;
        }
        for thread in 0..THREADS.len() {
            for id in 0..IDS.len() {
                self.get(reader, thread, id).await?;
            }
            for (from, visibility) in [(0, 0), (1, 2)] {
                look = Look { thread, from, visibility, ..look };
                self.page(reader, &look).await?;
            }
        }
        Ok(())
    }

    async fn get(&mut self, reader: Reader<'_>, thread: usize, id: usize) -> Result<(), String> {
        let read = reader.db.thread(THREADS[thread]).get(IDS[id].parse().expect("a valid id")).await;
        let read = read.map_err(|error| error.to_string())?;
        let Some(row) = self.messages.iter_mut().find(|row| {
            (row.tenant, row.thread, row.id.as_str()) == (reader.tenant, thread, IDS[id]) && !row.dead
        }) else {
            return same("get", &read, &None);
        };
        // The store decides whether a heartbeat is a change. The model follows it from here on.
        if let (Some(renewed), Some(read)) = (row.renewed, &read)
            && read.updated_at.as_micros() == renewed
        {
            row.updated = renewed;
            row.renewed = None;
        }
        same("get", &read, &Some(row.message(reader.name)))
    }

    /// Compares the entry of each thread, and the list of those that are listed.
    async fn entries(&mut self, reader: Reader<'_>, look: &Look) -> Result<(), String> {
        let tenant = (reader.tenant, reader.name);
        let mut due = Vec::new();
        for (number, name) in THREADS.into_iter().enumerate() {
            let read = reader.db.thread(name).summary().await.map_err(|error| error.to_string())?;
            let entry = self.entry(tenant, number, read.as_slice());
            same("entry", &read, &entry)?;
            due.extend(entry.filter(|entry| entry.listed && entry.archived == look.expired_only));
        }
        due.sort_by(|a, b| b.active_at.cmp(&a.active_at).then_with(|| a.thread.cmp(&b.thread)));
        let (mut seen, mut list) = (Vec::new(), ListThreads::new(look.limit));
        list.archived = Some(look.expired_only);
        loop {
            let page = reader.db.threads(list.clone()).await.map_err(|error| error.to_string())?;
            seen.extend(page.threads);
            match page.next {
                Some(next) => list = list.after(next),
                None => break,
            }
        }
        same("threads", &seen, &due)
    }

    async fn page(&mut self, reader: Reader<'_>, look: &Look) -> Result<(), String> {
        let rows = self.of(reader.tenant, look.thread);
        let at = self.find(reader.tenant, look.thread, IDS[look.at]).map_or(2, |row| row.seq);
        let from =
            [PageFrom::Start, PageFrom::End, PageFrom::After(Seq::new(at)), PageFrom::Before(Seq::new(at))]
                [look.from];
        let visibility = [Visibility::All, Visibility::Final, Visibility::Settled][look.visibility];
        let first_open = rows.iter().find(|row| row.is_open()).map(|row| row.seq);
        let shown = |row: &&&Row| match visibility {
            Visibility::All => true,
            Visibility::Final => row.state == MessageState::Final,
            Visibility::Settled => first_open.is_none_or(|open| row.seq < open),
        };
        let inside = |row: &&&Row| match look.from {
            2 => row.seq > at,
            3 => row.seq < at,
            _ => true,
        };
        let all: Vec<&Row> = rows.iter().filter(inside).filter(shown).copied().collect();
        let limit = look.limit as usize;
        let expected: Vec<&Row> = if from.is_forward() {
            all.iter().take(limit).copied().collect()
        } else {
            all[all.len().saturating_sub(limit)..].to_vec()
        };
        let read = ReadPage::new(THREADS[look.thread].parse().expect("a valid id"), from, look.limit);
        let page = reader.db.read(read.showing(visibility)).await.map_err(|error| error.to_string())?;
        let messages = |rows: &[&Row]| {
            rows.iter().map(|row| settle(row, reader.name, &page.messages)).collect::<Vec<_>>()
        };
        same("page", &page.messages, &messages(&expected))?;
        same("has_more", &page.has_more, &(all.len() > expected.len()))?;
        let last_seq = self.last_seq(reader.tenant, look.thread);
        same("last_seq", &page.last_seq.get(), &last_seq)?;
        same("first_open", &page.first_open.map(Seq::get), &first_open)
    }

    async fn open(&mut self, reader: Reader<'_>, look: &Look) -> Result<(), String> {
        let mut threads: Vec<usize> = (0..THREADS.len()).collect();
        threads.sort_by_key(|thread| THREADS[*thread]);
        let mut rows: Vec<&Row> = Vec::new();
        for thread in threads {
            let open = self.of(reader.tenant, thread).into_iter().filter(|row| row.is_open());
            let expired = |row: &&Row| row.lease.is_none_or(|(_, until)| until <= reader.now);
            rows.extend(open.filter(|row| !look.expired_only || expired(row)));
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let list = ListOpen { after, expired_only: look.expired_only, ..ListOpen::new(look.limit) };
            let open = reader.db.read(list).await.map_err(|error| error.to_string())?;
            seen.extend(open.messages);
            after = open.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<Message> = rows.iter().map(|row| settle(row, reader.name, &seen)).collect();
        same("open", &seen, &expected)
    }
}

/// The message of a row, where a heartbeat can count as a change.
pub(super) fn settle(row: &Row, tenant: &TenantId, seen: &[Message]) -> Message {
    let mut message = row.message(tenant);
    let shown = seen.iter().find(|other| other.seq == message.seq && other.thread == message.thread);
    if let (Some(renewed), Some(shown)) = (row.renewed, shown)
        && shown.updated_at.as_micros() == renewed
    {
        message.updated_at = shown.updated_at;
    }
    message
}

pub(super) fn same<T: PartialEq + serde::Serialize>(case: &str, read: &T, due: &T) -> Result<(), String> {
    if read == due {
        return Ok(());
    }
    let json = |value: &T| serde_json::to_string(value).expect("it serializes");
    Err(format!("{case} answered {}\n     due {}", json(read), json(due)))
}
