//! Reads and writes `catalog.json`, the list of chats.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{Metadata, TenantId};

use super::{ChatId, MARK, SCHEMA_VERSION};
use crate::{
    FindingKind, Location, Report, TransferError,
    object::{MAX_FIELDS, Object, ReadError, each_element, quoted},
};

/// The name of the file.
pub(super) const FILE: &str = "catalog.json";

/// The extra field of an export in its catalog.
#[derive(Debug, Serialize, Deserialize)]
struct Export {
    export: u8,
    /// The tenant of the exported threads.
    tenant: TenantId,
}

/// A catalog that was read.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// The entry of each chat, byte for byte, and its line.
    pub(super) entries: BTreeMap<ChatId, (String, u64)>,
    /// Unknown fields.
    pub(super) fields: Metadata,
    /// The number of its changes.
    pub(super) version: u64,
    /// The schema version, if it is newer than the known one.
    pub(super) newer: Option<String>,
    /// The tenant whose export wrote the catalog, if any.
    pub(super) export_of: Option<TenantId>,
    /// The entries that were skipped.
    pub(super) findings: Report,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Returns true if the path exists; a symbolic link is an error.
pub(super) fn is_there(path: &Path) -> Result<bool, TransferError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(TransferError::SymbolicLink { path: path.to_owned() }),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(TransferError::io(path, "read")(error)),
    }
}

/// The largest catalog that is read, because it is read into memory as a whole.
const MAX_BYTES: u64 = 256 << 20;

/// Refuses a path that is no regular file, because reading a pipe would never end, and a file that is too large.
fn expect_file(path: &Path) -> Result<(), TransferError> {
    let found = fs::metadata(path).map_err(TransferError::io(path, "read"))?;
    if found.is_file() && found.len() > MAX_BYTES {
        return Err(TransferError::FileTooLarge {
            path: path.to_owned(),
            bytes: found.len(),
            max: MAX_BYTES,
        });
    }
    if found.is_file() {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
    Err(TransferError::io(path, "read")(source))
}

impl Catalog {
    /// Reads the catalog of a folder; `None` if it does not exist.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, TransferError> {
        let path = path(dir);
        if !is_there(&path)? {
            return Ok(None);
        }
        expect_file(&path)?;
        let bytes = fs::read(&path).map_err(TransferError::io(&path, "read"))?;
        Self::parse(&path, &bytes).map(Some)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TransferError> {
        let corrupt = |line, column, detail: String| TransferError::Corrupt {
            path: path.to_owned(),
            line,
            column,
            detail,
        };
        let text = str::from_utf8(bytes).map_err(|error| {
            let (line, column) = position_of(bytes, error.valid_up_to());
            corrupt(line, column, "the file is not UTF-8".to_owned())
        })?;
        let object = Object::read(text).map_err(|error| match error {
            ReadError::NoObject(error) => {
                corrupt(error.line(), error.column(), "the file is not a JSON object".to_owned())
            }
            ReadError::TooManyFields => {
                corrupt(1, 0, format!("the object has more than {MAX_FIELDS} fields"))
            }
        })?;
        let chats =
            object.raw("chats").ok_or_else(|| corrupt(1, 0, "there is no field `chats`".to_owned()))?;
        let offset_of = |raw: &RawValue| raw.get().as_ptr().addr() - text.as_ptr().addr();
        let mut catalog = Self {
            version: object.get("version").unwrap_or_default(),
            newer: object
                .get::<f64>("schema_version")
                .filter(|version| *version > SCHEMA_VERSION as f64)
                .map(|version| version.to_string()),
            export_of: object.get::<Export>(MARK).filter(|mark| mark.export == 1).map(|mark| mark.tenant),
            ..Self::default()
        };
        for (name, value) in object.fields() {
            if !["schema_version", "version", "chats", MARK].contains(&name) {
                catalog.fields.set_raw(name, value.to_owned());
            }
        }
        // The elements come in order, so that each line break is counted once.
        let (mut line, mut counted) = (1, 0);
        each_element(chats, |raw| {
            let offset = offset_of(raw);
            line += line_breaks(&bytes[counted..offset]) as u64;
            counted = offset;
            catalog.take(path, raw, line);
        })
        .map_err(|_| {
            corrupt(position_of(bytes, offset_of(chats)).0, 0, "the field `chats` is no array".to_owned())
        })?;
        Ok(catalog)
    }

    /// Adds an element of the field `chats`, or reports why it is skipped.
    fn take(&mut self, path: &Path, raw: &RawValue, line: u64) {
        let skipped = match Object::read(raw.get()) {
            Err(ReadError::NoObject(_)) => FindingKind::NoObject,
            Err(ReadError::TooManyFields) => FindingKind::TooManyFields { max: MAX_FIELDS },
            Ok(entry) => match entry.get::<String>("guid").and_then(|guid| guid.parse::<ChatId>().ok()) {
                None => FindingKind::NoChatId,
                Some(guid) if self.entries.contains_key(&guid) => FindingKind::Twice,
                Some(guid) => {
                    self.entries.insert(guid, (entry.text().to_owned(), line));
                    return;
                }
            },
        };
        self.findings.skip(&Location::Line { file: path.to_owned(), line }, skipped);
    }

    /// Returns the text of a catalog with these entries, in this order.
    pub(super) fn text(tenant: &TenantId, version: u64, entries: &[String], fields: &Metadata) -> String {
        let mut text =
            format!("{{\n  \"schema_version\": {SCHEMA_VERSION},\n  \"version\": {version},\n  \"chats\": [");
        for (at, entry) in entries.iter().enumerate() {
            text.push_str(if at == 0 { "\n    " } else { ",\n    " });
            text.push_str(entry);
        }
        text.push_str(if entries.is_empty() { "]" } else { "\n  ]" });
        for (name, value) in fields.iter().filter(|(name, _)| *name != MARK) {
            text.push_str(&format!(",\n  {}: {}", quoted(name), value.get()));
        }
        let mark = serde_json::to_string(&Export { export: 1, tenant: tenant.clone() });
        let mark = mark.expect("a number and a tenant id serialize");
        text.push_str(&format!(",\n  \"{MARK}\": {mark}\n}}\n"));
        text
    }
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Returns the line and the column of a byte, both from 1.
fn position_of(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at];
    let line = line_breaks(before) + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}
