//! `stats`: what takes the space.

use std::{cmp::Reverse, collections::BinaryHeap};

use clap::Args;
use serde::Serialize;
use throughline::{Persistence, threads::ThreadSummary};

use super::pages::{Tenants, ThreadPages};
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BOLD, Column, Output, Table, bytes, count, line},
};

/// The tenants that a report names; the others are one sum.
const TENANTS: usize = 50;
/// The tables that the text names.
const TABLES: usize = 15;

/// Shows what takes the space: tenants, threads and tables
///
/// The sizes of tables are those of a SQLite file.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The largest threads to name
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    threads: u64,
    messages: u64,
    content_bytes: u64,
    damaged_threads: u64,
    tenants: Vec<OfTenant>,
    /// The tenants beyond the list, as one sum.
    other_tenants: u64,
    largest_threads: Vec<OfThread>,
    tables: Vec<OfTable>,
    file_bytes: Option<u64>,
    wal_bytes: Option<u64>,
    blob_bytes: Option<u64>,
    free_bytes: Option<u64>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct OfTenant {
    content_bytes: u64,
    messages: u64,
    threads: u64,
    tenant: String,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct OfThread {
    content_bytes: u64,
    messages: u64,
    tenant: String,
    thread: String,
}

#[derive(Serialize)]
struct OfTable {
    table: String,
    bytes: u64,
}

/// The largest items, up to a number.
struct Largest<T> {
    heap: BinaryHeap<Reverse<T>>,
    most: usize,
    left_out: u64,
}

impl<T: Ord> Largest<T> {
    const fn new(most: usize) -> Self {
        Self { heap: BinaryHeap::new(), most, left_out: 0 }
    }

    fn add(&mut self, item: T) {
        self.heap.push(Reverse(item));
        if self.heap.len() > self.most {
            self.heap.pop();
            self.left_out += 1;
        }
    }

    fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(item)| item).collect()
    }
}

impl Stats {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let file = session.file_if_any().await?;
        let db = session.open(Access::Read).await?;
        let progress = super::progress::spinner("reading");
        let mut report = self.threads(&db).await?;
        if let Some(file) = file {
            let storage = file.storage().await?;
            report.file_bytes = Some(storage.file_bytes);
            report.wal_bytes = Some(storage.wal_bytes);
            report.blob_bytes = Some(storage.blob_bytes);
            report.free_bytes = Some(storage.free_bytes);
            let tables = file.tables().await?;
            report.tables =
                tables.into_iter().map(|size| OfTable { table: size.table, bytes: size.bytes }).collect();
        }
        progress.finish_and_clear();
        let output = &mut session.output;
        match output.is_json() {
            true => output.json("stats", &report)?,
            false => report.write(output)?,
        }
        Ok(if report.damaged_threads == 0 { Exit::Done } else { Exit::Findings })
    }

    async fn threads(&self, db: &Persistence) -> Result<Report, Failure> {
        let (mut tenants, mut largest) = (Largest::new(TENANTS), Largest::new(self.top.into()));
        let (mut threads, mut messages, mut content_bytes, mut damaged_threads) = (0, 0, 0, 0);
        let mut list = Tenants::of(db);
        while let Some(tenant) = list.next().await? {
            let mut sum = OfTenant { content_bytes: 0, messages: 0, threads: 0, tenant: tenant.to_string() };
            let mut pages = ThreadPages::of(&db.for_tenant(tenant));
            while let Some((page, damaged)) = pages.next().await? {
                damaged_threads += damaged.len() as u64;
                for thread in &page {
                    sum.content_bytes += thread.bytes;
                    sum.messages += thread.messages;
                    sum.threads += 1;
                    largest.add(OfThread::of(thread));
                }
            }
            threads += sum.threads;
            messages += sum.messages;
            content_bytes += sum.content_bytes;
            tenants.add(sum);
        }
        Ok(Report {
            threads,
            messages,
            content_bytes,
            damaged_threads,
            other_tenants: tenants.left_out,
            tenants: tenants.into_sorted(),
            largest_threads: largest.into_sorted(),
            tables: Vec::new(),
            file_bytes: None,
            wal_bytes: None,
            blob_bytes: None,
            free_bytes: None,
        })
    }
}

impl OfThread {
    fn of(thread: &ThreadSummary) -> Self {
        Self {
            content_bytes: thread.bytes,
            messages: thread.messages,
            tenant: thread.tenant.to_string(),
            thread: thread.thread.to_string(),
        }
    }
}

impl Report {
    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        output.sentence(format_args!(
            "{BOLD}{}{BOLD:#} of content in {} and {}",
            bytes(self.content_bytes),
            count(self.messages, "final message"),
            count(self.threads, "listed thread")
        ))?;
        if let (Some(file), Some(wal), Some(free)) = (self.file_bytes, self.wal_bytes, self.free_bytes) {
            output.sentence(format_args!(
                "{BOLD}{}{BOLD:#} in the file, {} of it free, and {} in the WAL",
                bytes(file),
                bytes(free),
                bytes(wal)
            ))?;
        }
        if let Some(blobs) = self.blob_bytes.filter(|blobs| *blobs > 0) {
            output.sentence(format_args!("{BOLD}{}{BOLD:#} in files of long contents", bytes(blobs)))?;
        }
        if self.tenants.is_empty() {
            return self.write_tables(output);
        }
        let size_columns = |last| {
            Table::new(&[
                Column::Right("SIZE"),
                Column::Right("MESSAGES"),
                Column::Right("THREADS"),
                Column::Left(last),
            ])
        };
        let mut tenants = size_columns("TENANT");
        for OfTenant { content_bytes, messages, threads, tenant } in &self.tenants {
            tenants.row(vec![bytes(*content_bytes), messages.to_string(), threads.to_string(), line(tenant)]);
        }
        output.line("")?;
        tenants.write(output)?;
        if self.other_tenants > 0 {
            output.line(format_args!("and {} more tenants", self.other_tenants))?;
        }
        let mut threads = Table::new(&[
            Column::Right("SIZE"),
            Column::Right("MESSAGES"),
            Column::Left("TENANT"),
            Column::Left("LARGEST THREADS"),
        ]);
        for OfThread { content_bytes, messages, tenant, thread } in &self.largest_threads {
            threads.row(vec![bytes(*content_bytes), messages.to_string(), line(tenant), line(thread)]);
        }
        output.line("")?;
        threads.write(output)?;
        self.write_tables(output)
    }

    fn write_tables(&self, output: &mut Output) -> Result<(), Failure> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let mut tables = Table::new(&[Column::Right("SIZE"), Column::Left("TABLE, WITH ITS INDEXES")]);
        for OfTable { table, bytes: size } in self.tables.iter().take(TABLES) {
            tables.row(vec![bytes(*size), line(table)]);
        }
        output.line("")?;
        tables.write(output)?;
        if self.tables.len() > TABLES {
            output
                .line(format_args!("and {} smaller tables; --json lists them", self.tables.len() - TABLES))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_kept_and_the_others_counted() {
        let mut largest = Largest::new(2);
        for number in [3, 9, 1, 7] {
            largest.add(number);
        }
        assert_eq!(largest.left_out, 2);
        assert_eq!(largest.into_sorted(), [9, 7]);
    }
}
