//! The lines of one file: one line for each message, by sequence number.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use throughline_core::{Message, ThreadId};

/// The extension of a file that is being rewritten.
pub(super) const UNFINISHED: &str = "tmp";

/// The end of a file after the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// The sequence number of the last line.
    pub(super) last_seq: u64,
    pub(super) bytes: u64,
}

/// The lines of a file, by the sequence numbers of their messages. Other lines are omitted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MessageLines(BTreeMap<u64, Line>);

#[derive(Debug, PartialEq, Eq)]
struct Line {
    id: String,
    json: String,
}

/// The fields that identify a line.
#[derive(Deserialize)]
struct Head {
    thread: ThreadId,
    id: String,
    seq: u64,
}

/// Returns a message as its line, without the line break.
pub(super) fn line(message: &Message) -> serde_json::Result<String> {
    let json = serde_json::to_string(message)?;
    // Content is kept byte for byte, so that line breaks can occur between its values. Inside of strings they are escaped.
    Ok(if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json })
}

impl MessageLines {
    /// Reads the lines of the file at `path`. None if there is no such file.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut lines = Self::default();
        for (head, json) in heads(&read(path)?) {
            lines.0.insert(head.seq, Line { id: head.id, json: json.to_owned() });
        }
        Ok(lines)
    }

    /// Inserts or replaces the line of a message. Returns whether anything changed.
    pub(super) fn put(&mut self, seq: u64, id: &str, json: &str) -> bool {
        let line = Line { id: id.to_owned(), json: json.to_owned() };
        if self.0.get(&seq) == Some(&line) {
            return false;
        }
        self.0.insert(seq, line);
        true
    }

    /// Removes the line of a message. Returns whether there was one.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|_, line| line.id != id);
        self.0.len() != before
    }

    /// Removes every line up to a sequence number. Returns whether there was one.
    pub(super) fn remove_through(&mut self, seq: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|at, _| *at > seq);
        self.0.len() != before
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in self.0.values() {
            bytes.extend_from_slice(line.json.as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    fn tail(&self, bytes: u64) -> Tail {
        Tail { last_seq: self.0.keys().next_back().copied().unwrap_or_default(), bytes }
    }

    /// Replaces the file atomically with these lines, or removes it if there are none.
    pub(super) fn write(&self, path: &Path) -> io::Result<Option<Tail>> {
        let bytes = self.bytes();
        if bytes.is_empty() {
            return remove(path).map(|()| None);
        }
        let unfinished = unfinished(path);
        let mut file = File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&unfinished, path)?;
        sync_folder_of(path)?;
        Ok(Some(self.tail(bytes.len() as u64)))
    }

    /// Replaces the file if its content differs.
    pub(super) fn write_if_other(&self, path: &Path) -> io::Result<()> {
        if read(path)? == self.bytes() && (path.exists() || self.0.is_empty()) {
            return Ok(());
        }
        self.write(path).map(drop)
    }
}

/// Returns the end of the file at `path`, after removing a partial line of a crash.
pub(super) fn tail(path: &Path) -> io::Result<Option<Tail>> {
    repair(path)?;
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::metadata(path)?.len();
    Ok(Some(MessageLines::read(path)?.tail(bytes)))
}

/// Appends a line to a file whose end is `before`.
pub(super) fn append(path: &Path, before: Option<Tail>, seq: u64, json: &str) -> io::Result<Tail> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let mut bytes = Vec::with_capacity(json.len() + 1);
    bytes.extend_from_slice(json.as_bytes());
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.sync_data()?;
    if before.is_none() {
        sync_folder_of(path)?;
    }
    let held = before.map_or(0, |tail| tail.bytes);
    Ok(Tail { last_seq: seq, bytes: held + bytes.len() as u64 })
}

/// Removes the partial last line of a crash. The runner delivers the change of that message again.
pub(super) fn repair(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.seek(SeekFrom::End(0))?;
    let (mut end, mut buffer) = (length, [0; 4096]);
    // Search backwards for the last line break, one buffer at a time.
    while end > 0 {
        let begin = end.saturating_sub(buffer.len() as u64);
        let buffer = &mut buffer[..usize::try_from(end - begin).unwrap_or_default()];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(buffer)?;
        if let Some(at) = buffer.iter().rposition(|byte| *byte == b'\n') {
            end = begin + at as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < length {
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(())
}

/// The thread of a file, if a line of it is readable.
pub(super) fn thread_of(path: &Path) -> io::Result<Option<ThreadId>> {
    Ok(heads(&read(path)?).next().map(|(head, _)| head.thread))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn heads(bytes: &[u8]) -> impl Iterator<Item = (Head, &str)> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes[..whole].split(|byte| *byte == b'\n').filter_map(|line| {
        let json = str::from_utf8(line).ok()?;
        Some((serde_json::from_str(json).ok()?, json))
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn unfinished(path: &Path) -> PathBuf {
    // Another process can write at the same time.
    let mut name = OsString::from(path);
    name.push(format!(".{}.{UNFINISHED}", std::process::id()));
    name.into()
}

/// Syncs the directory, so that its file names are as durable as the files.
#[cfg(unix)]
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Other systems cannot open a directory as a file.
#[cfg(not(unix))]
pub(super) fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}
