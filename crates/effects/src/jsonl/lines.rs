//! The lines of one file: one for each message, by their places.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use throughline_core::{Message, ThreadId};

/// What ends the name of a file that is being written anew.
pub(super) const UNFINISHED: &str = "tmp";

/// A file as it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// The place of the last line.
    pub(super) last_seq: u64,
    pub(super) bytes: u64,
}

/// The lines of a file, by the places of their messages. What is no line of a message is left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MessageLines(BTreeMap<u64, Line>);

#[derive(Debug, PartialEq, Eq)]
struct Line {
    id: String,
    json: String,
}

/// What a line says of itself.
#[derive(Deserialize)]
struct Head {
    thread: ThreadId,
    id: String,
    seq: u64,
}

/// A message as its line, without the end of the line.
pub(super) fn line(message: &Message) -> serde_json::Result<String> {
    let json = serde_json::to_string(message)?;
    // Between the values of a content that is kept byte for byte a line may end. Inside of them it cannot: there it is `\n`.
    Ok(if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json })
}

impl MessageLines {
    /// The lines of the file at `path`; none where there is no such file.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut lines = Self::default();
        for (head, json) in heads(&read(path)?) {
            lines.0.insert(head.seq, Line { id: head.id, json: json.to_owned() });
        }
        Ok(lines)
    }

    /// Puts a message where it belongs; says whether that changes anything.
    pub(super) fn put(&mut self, seq: u64, id: &str, json: &str) -> bool {
        let line = Line { id: id.to_owned(), json: json.to_owned() };
        if self.0.get(&seq) == Some(&line) {
            return false;
        }
        self.0.insert(seq, line);
        true
    }

    /// Takes the line of a message away; says whether there was one.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|_, line| line.id != id);
        self.0.len() != before
    }

    /// Takes every line up to a place away; says whether there was one.
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

    /// Makes the file these lines, or makes it go where there are none: all at once, whoever looks.
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

    /// The same, where the file is not like that already.
    pub(super) fn write_if_other(&self, path: &Path) -> io::Result<()> {
        if read(path)? == self.bytes() && (path.exists() || self.0.is_empty()) {
            return Ok(());
        }
        self.write(path).map(drop)
    }
}

/// How the file at `path` was left. What a crash has left of a line is taken away first.
pub(super) fn tail(path: &Path) -> io::Result<Option<Tail>> {
    repair(path)?;
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::metadata(path)?.len();
    Ok(Some(MessageLines::read(path)?.tail(bytes)))
}

/// Adds a line at the end of a file that is as `before` says.
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

/// Takes away what a crash has left of the last line. The message that it was of is told again.
pub(super) fn repair(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.seek(SeekFrom::End(0))?;
    let (mut end, mut buffer) = (length, [0; 4096]);
    // From the end back to the last end of a line, a piece at a time.
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

/// The thread that a file is of, if a line of it can be read.
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
    // Another process may be at it too.
    let mut name = OsString::from(path);
    name.push(format!(".{}.{UNFINISHED}", std::process::id()));
    name.into()
}

/// Makes the names in a folder as durable as what is in the files.
#[cfg(unix)]
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Elsewhere a folder cannot be opened as a file.
#[cfg(not(unix))]
pub(super) fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}
