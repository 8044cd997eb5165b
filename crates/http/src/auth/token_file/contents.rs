//! The tokens of a file, as they are in use.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    error::{BadLine, TokenFileError},
    line::Line,
    narrowing::Narrowing,
};
use crate::auth::Caller;

/// The most bytes of a token file.
const MAX_BYTES: u64 = 16 << 20;

/// The facts that differ after a change of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    inode: (u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let inode = (0, 0, 0);
        Self { len: metadata.len(), modified: metadata.modified().ok(), inode }
    }
}

/// A token.
pub(super) struct Token {
    pub(super) caller: Caller,
    expires: Option<SystemTime>,
    /// The text of its line, by which a reload finds that it is unchanged.
    line: String,
    revoke: super::narrowing::Revoke,
}

/// The tokens by their hashes. A hash is looked up, so that the time says nothing about another token.
#[derive(Default)]
pub(super) struct Contents(HashMap<[u8; 32], Token>);

/// Returns the state of the file, and refuses one that others could change.
pub(super) fn stamp(path: &Path) -> Result<Stamp, TokenFileError> {
    let metadata = fs::metadata(path).map_err(|error| TokenFileError::unreadable(path, &error))?;
    if metadata.len() > MAX_BYTES {
        return Err(TokenFileError::too_large(path, MAX_BYTES));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o026 != 0 {
            return Err(TokenFileError::permissions(path, mode));
        }
    }
    Ok(Stamp::of(&metadata))
}

impl Contents {
    /// Reads the file. A token whose line is the same as in `before` keeps its capability; the capability of every other one of
    /// `before` is revoked. The second part names the lines that are refused.
    pub(super) fn read(
        path: &Path,
        narrowing: &Narrowing,
        before: &mut Self,
    ) -> Result<(Self, Vec<BadLine>), TokenFileError> {
        let text = fs::read_to_string(path).map_err(|error| TokenFileError::unreadable(path, &error))?;
        let mut contents = Self::default();
        let mut bad_lines = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if let Err((name, reason)) = contents.add(text, narrowing, before) {
                bad_lines.push(BadLine { number: index + 1, name, reason });
            }
        }
        before.revoke_all();
        Ok((contents, bad_lines))
    }

    fn add(
        &mut self,
        text: &str,
        narrowing: &Narrowing,
        before: &mut Self,
    ) -> Result<(), (Option<String>, String)> {
        let line = Line::read(text)?;
        let hash = *line.hash.as_bytes();
        if self.0.contains_key(&hash) {
            return Err((Some(line.name), "an earlier line has the same hash".to_owned()));
        }
        let known = before.0.get(&hash).is_some_and(|token| token.line == text);
        let token = if known { before.0.remove(&hash) } else { None };
        let token = match token {
            Some(token) => token,
            None => Token::new(line, text, narrowing)?,
        };
        self.0.insert(hash, token);
        Ok(())
    }

    fn revoke_all(&mut self) {
        for (_, token) in self.0.drain() {
            (token.revoke)();
        }
    }

    /// Returns the caller of a token, unless it has expired.
    pub(super) fn caller_of(&self, token: &str) -> Option<&Caller> {
        let token = self.0.get(blake3::hash(token.as_bytes()).as_bytes())?;
        let is_live = token.expires.is_none_or(|end| SystemTime::now() < end);
        is_live.then_some(&token.caller)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Token {
    fn new(line: Line, text: &str, narrowing: &Narrowing) -> Result<Self, (Option<String>, String)> {
        let mut caller =
            Caller::new(line.tenant.clone()).with_actor(line.actor.as_ref().unwrap_or(&line.name));
        if line.operator {
            caller = caller.operator();
        }
        let expires = line.expires.map(|seconds| {
            let end = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            end.ok_or_else(|| (Some(line.name.clone()), "`expires` is too late".to_owned()))
        });
        let expires = expires.transpose()?;
        let left = expires.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        match narrowing.apply(caller, &line, left) {
            Some((caller, revoke)) => Ok(Self { caller, expires, line: text.to_owned(), revoke }),
            None => Err((
                Some(line.name),
                "no layer enforces `thread`, `threadsUnder` or `verbs`: open the file with the authority of the layer `scope`"
                    .to_owned(),
            )),
        }
    }
}
