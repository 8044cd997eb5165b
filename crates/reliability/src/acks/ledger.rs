//! The union of all logs, and the content that a store may have according to it.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::Path,
};

use throughline_core::{Message, MessageState};

use super::{
    Call, Outcome, Stage, name_of,
    text::{first_half, whole},
};

/// All calls that were made on one store.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By thread and name.
    messages: HashMap<(String, String), Entry>,
    /// The messages of each batch: all of them exist, or none.
    batches: Vec<(String, Vec<String>)>,
    read: BTreeSet<std::path::PathBuf>,
    threads: BTreeSet<String>,
    answered: HashMap<Outcome, u64>,
    unanswered: u64,
}

/// The permitted stages of a message, and its actual stage.
#[derive(Debug, Default)]
struct Entry {
    may_be: BTreeSet<Stage>,
    found: Option<Stage>,
}

struct Asked<'a> {
    call: Call,
    thread: &'a str,
    /// The names of the messages, and whether each was in another stage before the call.
    names: Vec<(&'a str, bool)>,
    outcome: Option<Outcome>,
}

impl Ledger {
    /// Creates an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the logs (`*.acks`) of a directory that were not read before. Their processes must have ended.
    ///
    /// # Errors
    /// Returns the error of the operating system, or `InvalidData` for a line in another format.
    pub fn read_directory(&mut self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "acks") && self.read.insert(path.clone())
            {
                self.read(&fs::read_to_string(&path)?)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path:?}")))?;
            }
        }
        Ok(())
    }

    /// Records a message that was added by a process without a log.
    pub fn record(&mut self, thread: &str, name: &str) {
        let mut added = Asked { call: Call::Add, thread, names: vec![(name, false)], outcome: None };
        self.ask(&mut added);
        added.outcome = Some(Outcome::Applied);
        self.settle(&added);
    }

    /// Returns how many calls were acknowledged as applied.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.outcomes(Outcome::Applied)
    }

    /// Returns how many calls had this outcome.
    #[must_use]
    pub fn outcomes(&self, outcome: Outcome) -> u64 {
        self.answered.get(&outcome).copied().unwrap_or(0)
    }

    /// Returns how many calls have no answer because their process ended.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.unanswered
    }

    pub(super) const fn threads(&self) -> &BTreeSet<String> {
        &self.threads
    }

    fn read(&mut self, log: &str) -> Option<()> {
        let mut asked: Vec<Asked<'_>> = Vec::new();
        // Answers may come in another order than calls, so each line has the number of its call.
        let mut indexes: HashMap<&str, usize> = HashMap::new();
        let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        for line in lines {
            let mut fields = line.split('\t');
            let (number, word) = (fields.next()?, fields.next()?);
            if let Some(outcome) = Outcome::from_name(word) {
                let index = *indexes.get(number)?;
                asked[index].outcome = Some(outcome);
                self.settle(&asked[index]);
            } else {
                let call = Call::from_name(word)?;
                let thread = fields.next()?;
                indexes.insert(number, asked.len());
                let names = fields.map(|name| (name, false)).collect();
                let mut call = Asked { call, thread, names, outcome: None };
                self.ask(&mut call);
                asked.push(call);
            }
        }
        self.unanswered += asked.iter().filter(|asked| asked.outcome.is_none()).count() as u64;
        Some(())
    }

    /// Records a call before it is made: from then on, its messages may be in the stage that it leads to.
    fn ask(&mut self, asked: &mut Asked<'_>) {
        self.threads.insert(asked.thread.to_owned());
        for (name, is_new) in &mut asked.names {
            let entry = self.messages.entry((asked.thread.to_owned(), (*name).to_owned())).or_default();
            if entry.may_be.is_empty() {
                entry.may_be.insert(Stage::Absent);
            }
            *is_new = entry.may_be.insert(asked.call.leads_to());
        }
        if asked.names.len() > 1 {
            let names = asked.names.iter().map(|(name, _)| (*name).to_owned()).collect();
            self.batches.push((asked.thread.to_owned(), names));
        }
    }

    fn settle(&mut self, asked: &Asked<'_>) {
        let Some(outcome) = asked.outcome else { return };
        *self.answered.entry(outcome).or_default() += 1;
        let stage = asked.call.leads_to();
        for (name, is_new) in &asked.names {
            let key = (asked.thread.to_owned(), (*name).to_owned());
            let Some(entry) = self.messages.get_mut(&key) else { continue };
            match outcome {
                Outcome::Applied => entry.may_be = BTreeSet::from([stage]),
                Outcome::Refused if *is_new => drop(entry.may_be.remove(&stage)),
                Outcome::Refused | Outcome::Unknown => {}
            }
        }
    }

    /// Records a message of the store. Returns a violation, if there is one.
    pub(super) fn find(&mut self, message: &Message) -> Result<(), String> {
        let described = format!("message `{}` in thread `{}`", message.id, message.thread);
        let name = name_of(message).ok_or_else(|| format!("{described} has no name"))?;
        let stage = stage_of(message, &name).ok_or_else(|| format!("{described} is torn"))?;
        let entry = self.messages.get_mut(&(message.thread.to_string(), name));
        let entry = entry.ok_or_else(|| format!("no call has written {described}"))?;
        match entry.found.replace(stage) {
            Some(_) => Err(format!("{described} is a duplicate")),
            None => Ok(()),
        }
    }

    /// Compares the messages of the store with the permitted stages. Each doubtful message then stays in its actual
    /// stage.
    pub(super) fn compare(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for (thread, names) in &self.batches {
            let stage = |name: &String| self.messages[&(thread.clone(), name.clone())].found;
            if names.iter().any(|name| stage(name) != stage(&names[0])) {
                faults.push(format!("of the batch {names:?} in thread `{thread}` only a part is there"));
            }
        }
        for ((thread, name), entry) in &mut self.messages {
            let found = entry.found.take().unwrap_or(Stage::Absent);
            if !entry.may_be.contains(&found) {
                let may_be = &entry.may_be;
                faults
                    .push(format!("`{name}` in thread `{thread}` is {found:?} and has to be in {may_be:?}"));
            }
            entry.may_be = BTreeSet::from([found]);
        }
        faults
    }
}

/// Returns the stage of a message; `None` if its content fits no stage.
fn stage_of(message: &Message, name: &str) -> Option<Stage> {
    match message.state {
        MessageState::Reserved if message.content.blocks().is_empty() => Some(Stage::Reserved),
        MessageState::Streaming if message.content == first_half(name) => Some(Stage::Half),
        MessageState::Final if message.content == whole(name) => Some(Stage::Whole),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Seq, TenantId, Timestamp, messages::Add};

    use super::*;
    use crate::acks::message;

    fn store(ledger: &mut Ledger, names: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        for name in names {
            let add = Add::new("t".parse().unwrap(), message(name));
            let message = add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::now());
            faults.extend(ledger.find(&message).err());
        }
        faults.extend(ledger.compare());
        faults
    }

    fn ledger(log: &str) -> Ledger {
        let mut ledger = Ledger::new();
        ledger.read(log).unwrap();
        ledger
    }

    #[test]
    fn acknowledged_message_exists_once() {
        let log = "0\tadd\tt\ta\n1\tadd\tt\tb\n0\tapplied\n1\tappl";
        assert_eq!(store(&mut ledger(log), &["a"]), [""; 0]);
        assert_eq!(store(&mut ledger(log), &["a", "b"]), [""; 0]);
        assert_eq!(store(&mut ledger(log), &["b"]), ["`a` in thread `t` is Absent and has to be in {Whole}"]);
        assert_eq!(store(&mut ledger(log), &["a", "a"]).len(), 1);
        assert_eq!(store(&mut ledger(log), &["a", "c"]).len(), 1);
        assert_eq!((ledger(log).acknowledged(), ledger(log).unanswered()), (1, 1));
    }

    #[test]
    fn refused_message_does_not_exist() {
        let log = "0\tadd\tt\ta\n0\trefused\n";
        assert_eq!(store(&mut ledger(log), &[]), [""; 0]);
        assert_eq!(store(&mut ledger(log), &["a"]).len(), 1);
    }

    #[test]
    fn batch_exists_completely_or_not_at_all() {
        let log = "0\tadd\tt\ta\tb\n0\tunknown\n";
        assert_eq!(store(&mut ledger(log), &[]), [""; 0]);
        assert_eq!(store(&mut ledger(log), &["a", "b"]), [""; 0]);
        assert_eq!(
            store(&mut ledger(log), &["b"]),
            ["of the batch [\"a\", \"b\"] in thread `t` only a part is there"]
        );
    }

    #[test]
    fn doubtful_message_stays_in_the_stage_that_was_found() {
        let log = "0\tadd\tt\ta\n";
        let mut ledger = ledger(log);
        assert_eq!(store(&mut ledger, &[]), [""; 0]);
        assert_eq!(store(&mut ledger, &["a"]).len(), 1);
    }

    #[test]
    fn refused_deletion_changes_nothing() {
        let log = "0\tadd\tt\ta\n0\tapplied\n1\tdelete\tt\ta\n";
        assert_eq!(store(&mut ledger(log), &[]), [""; 0]);
        let refused = format!("{log}1\trefused\n");
        assert_eq!(store(&mut ledger(&refused), &["a"]), [""; 0]);
        assert_eq!(store(&mut ledger(&refused), &[]).len(), 1);
    }
}
