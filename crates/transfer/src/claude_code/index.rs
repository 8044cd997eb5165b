//! The first pass through a log: the lines of each session and side chain.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
};

use throughline_core::Timestamp;

use super::{
    ClaudeCode,
    line::{self, Meaning},
};
use crate::{
    FindingKind, Location, Progress, Report, TransferError, line_reader::LineReader, object::Object,
};

/// The most summaries of a file that are compared with its messages.
const MAX_SUMMARIES: usize = 1_000;

/// The conversations of a file.
#[derive(Debug)]
pub(super) struct Index {
    /// The first one also has the lines without a session.
    pub(super) groups: Vec<Group>,
}

/// The lines of a session or a side chain.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) session: String,
    /// The name of a side chain within its session.
    pub(super) chain: Option<String>,
    pub(super) runs: Vec<Run>,
    /// The time of the first message that has one.
    pub(super) created_at: Option<Timestamp>,
    /// The title and its preference.
    pub(super) title: Option<(u8, String)>,
}

impl Group {
    /// The number of its lines.
    pub(super) fn lines(&self) -> u64 {
        self.runs.iter().map(|run| run.last - run.start.1).sum()
    }
}

/// Adjacent lines of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The bytes and the lines before the first line.
    pub(super) start: (u64, u64),
    /// The number of the last line.
    pub(super) last: u64,
}

/// The state of the pass.
struct Pass<'a> {
    location: &'a mut dyn FnMut(u64) -> Location,
    report: &'a mut Report,
    groups: Vec<Group>,
    by_name: HashMap<(String, Option<String>), usize>,
    /// The group of the last line with a session.
    last: usize,
    /// The group of each message, by session and `uuid`.
    messages: HashMap<u64, u32>,
    /// The `uuid` of a message that ends a conversation, and the title of the conversation.
    summaries: Vec<(String, String)>,
}

impl Index {
    /// Reads a file. It holds the hash of each message's id, and the ranges of lines.
    pub(super) fn read(
        path: &Path,
        max_line_bytes: usize,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<Self, TransferError> {
        let mut lines = LineReader::open(path, max_line_bytes, progress)?;
        let file = path.to_owned();
        let mut location = move |line| Location::Line { file: file.clone(), line };
        let mut pass = Pass {
            location: &mut location,
            report,
            groups: Vec::new(),
            by_name: HashMap::new(),
            last: 0,
            messages: HashMap::new(),
            summaries: Vec::new(),
        };
        loop {
            let start = lines.position();
            match lines.next() {
                Ok(Some((number, Ok(line)))) => pass.take(&line, start, number),
                Ok(Some((number, Err(found)))) => pass.skip(number, found),
                Ok(None) => break,
                Err(error) => {
                    let found = FindingKind::Unreadable(error.cause());
                    pass.report.skip(&Location::File(path.to_owned()), found);
                    break;
                }
            }
        }
        pass.assign_summaries();
        let mut groups = pass.groups;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        if let Some(first) = groups.first_mut().filter(|first| first.session.is_empty()) {
            first.session = stem.unwrap_or_default();
        }
        Ok(Self { groups })
    }
}

impl Pass<'_> {
    fn skip(&mut self, line: u64, found: FindingKind) {
        let location = (self.location)(line);
        self.report.skip(&location, found);
    }

    fn take(&mut self, line: &Object<'_>, start: (u64, u64), number: u64) {
        let meaning = Meaning::of(line);
        match meaning {
            Meaning::Omitted(kind) => return self.report.omit(kind.into_owned()),
            Meaning::Title(rank, text) => return self.title(line, rank, text),
            Meaning::Message(_) | Meaning::Kept(_) => {}
        }
        let session = line.str("sessionId").filter(|session| !session.is_empty());
        let id = line::id(line, &meaning);
        let chain = self.chain(line, session.as_deref(), id.as_str());
        let Some(group) = self.group(session.as_deref(), chain) else {
            return self.skip(number, FindingKind::TooManyThreads { max: ClaudeCode::MAX_THREADS });
        };
        let key = self.key(session.as_deref(), id.as_str());
        match self.messages.entry(key) {
            Entry::Occupied(_) => return self.skip(number, FindingKind::Twice),
            Entry::Vacant(free) => drop(free.insert(u32::try_from(group).expect("few groups"))),
        }
        let group = &mut self.groups[group];
        group.created_at = group.created_at.or_else(|| line::time(line));
        match group.runs.last_mut() {
            Some(run) if run.last + 1 == number => run.last = number,
            _ => group.runs.push(Run { start, last: number }),
        }
    }

    /// Returns the name of the side chain of a line.
    fn chain(&mut self, line: &Object<'_>, session: Option<&str>, id: &str) -> Option<String> {
        if line.get::<bool>("isSidechain") != Some(true) {
            return None;
        }
        let agent = line.get::<String>("agentId").filter(|agent| !agent.is_empty());
        agent
            .or_else(|| {
                let parent = line.get::<String>("parentUuid")?;
                let group = *self.messages.get(&self.key(session, &parent))?;
                self.groups[group as usize].chain.clone()
            })
            .or_else(|| Some(id.to_owned()))
    }

    /// Returns the group of a session, or of a side chain; `None` if there are too many.
    fn group(&mut self, session: Option<&str>, chain: Option<String>) -> Option<usize> {
        let Some(session) = session else {
            if self.groups.is_empty() {
                self.groups.push(Group::default());
            }
            return Some(0);
        };
        // Most lines belong to the group of the line before.
        let is_last = |group: &&Group| group.session == session && group.chain == chain;
        if self.groups.get(self.last).filter(is_last).is_some() {
            return Some(self.last);
        }
        let name = (session.to_owned(), chain);
        if let Some(group) = self.by_name.get(&name) {
            self.last = *group;
            return Some(*group);
        }
        // The first session of a file has its lines without a session.
        let has_no_name = self.groups.len() == 1 && self.by_name.is_empty();
        let at = if has_no_name { 0 } else { self.groups.len() };
        if at == ClaudeCode::MAX_THREADS {
            return None;
        }
        if !has_no_name {
            self.groups.push(Group::default());
        }
        (self.groups[at].session, self.groups[at].chain) = name.clone();
        self.by_name.insert(name, at);
        self.last = at;
        Some(at)
    }

    /// Returns a hash of a session and the id of one of its messages.
    fn key(&self, session: Option<&str>, id: &str) -> u64 {
        let mut hash = blake3::Hasher::new();
        hash.update(&(session.map_or(0, str::len) as u64).to_le_bytes());
        hash.update(session.unwrap_or_default().as_bytes());
        hash.update(id.as_bytes());
        let bytes = hash.finalize();
        u64::from_le_bytes(bytes.as_bytes()[..8].try_into().expect("eight bytes"))
    }

    fn title(&mut self, line: &Object<'_>, rank: u8, text: String) {
        let session = line.get::<String>("sessionId");
        if let Some(leaf) = line.get::<String>("leafUuid") {
            if self.summaries.len() < MAX_SUMMARIES {
                self.summaries.push((leaf, text));
            } else {
                self.report.omit("summary".to_owned());
            }
        } else if let Some(group) = self.group(session.as_deref(), None) {
            set_title(&mut self.groups[group], rank, text);
        }
    }

    /// Gives a summary to the conversation that has its last message.
    fn assign_summaries(&mut self) {
        for (leaf, text) in std::mem::take(&mut self.summaries) {
            let sessions: Vec<Option<String>> =
                self.groups.iter().map(|group| Some(group.session.clone())).chain([None]).collect();
            let key = |session: &Option<String>| self.key(session.as_deref(), &leaf);
            let group = sessions.iter().find_map(|session| self.messages.get(&key(session)).copied());
            match group {
                Some(group) => set_title(&mut self.groups[group as usize], 1, text),
                // A summary of a session in another file.
                None => self.report.omit("summary".to_owned()),
            }
        }
    }
}

/// Sets a title, unless there is a better one.
fn set_title(group: &mut Group, rank: u8, text: String) {
    if group.title.as_ref().is_none_or(|(other, _)| *other <= rank) {
        group.title = Some((rank, text));
    }
}
