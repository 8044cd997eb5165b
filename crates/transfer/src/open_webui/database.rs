//! Reads the chats of a database.

use std::path::Path;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};

use super::{
    OpenWebUi,
    read::Chats,
    row_json::{JsonObject, name_in_document},
};
use crate::{
    FindingKind, Location, Progress, TransferError,
    message_tree::Node,
    object::{Object, quoted as json_quoted},
    sqlite_file::{self, quoted},
};

/// The table of chats.
pub(super) const CHAT: &str = "chat";
/// The table of messages, since Open WebUI 0.8. Each message is in the column `chat`, too.
const MESSAGE: &str = "chat_message";

/// Checks the columns of a database.
pub(super) fn check(path: &Path) -> Result<(), TransferError> {
    let db = sqlite_file::open(path)?;
    sqlite_file::check(path, &db, CHAT, &["id", "chat"]).map(drop)
}

/// A database in one transaction.
pub(super) struct Database<'a> {
    db: &'a Connection,
    /// The columns of the table of messages; none without such a table.
    messages: Vec<String>,
    has_folders: bool,
    has_users: bool,
    has_tags: bool,
    max: usize,
}

impl Database<'_> {
    /// Reads every chat, one at a time.
    pub(super) fn read(
        path: &Path,
        max: usize,
        chats: &mut Chats<'_>,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let failed = sqlite_file::failed(path);
        let db = sqlite_file::open(path)?;
        let snapshot = db.unchecked_transaction().map_err(&failed)?;
        let columns = sqlite_file::check(path, &snapshot, CHAT, &["id", "chat"])?;
        let of = |table: &str, required: &[&str]| -> Result<Vec<String>, TransferError> {
            let columns = sqlite_file::columns(&snapshot, table).map_err(&failed)?;
            let has_all = required.iter().all(|column| sqlite_file::has(&columns, column));
            Ok(if has_all { columns } else { Vec::new() })
        };
        let database = Database {
            messages: of(MESSAGE, &["id", "chat_id", "role", "content"])?,
            has_folders: !of("folder", &["id", "name"])?.is_empty(),
            has_users: !of("user", &["id", "name"])?.is_empty(),
            has_tags: !of("chatidtag", &["chat_id", "tag_name"])?.is_empty(),
            db: &snapshot,
            max,
        };
        database.chats(&columns, chats, progress, &failed)
    }

    fn chats(
        &self,
        columns: &[String],
        chats: &mut Chats<'_>,
        progress: &Progress,
        failed: &impl Fn(rusqlite::Error) -> TransferError,
    ) -> Result<(), TransferError> {
        self.count_orphans(chats).map_err(failed)?;
        let sql = select(columns, self.max, CHAT, "ORDER BY rowid");
        let mut statement = self.db.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let rowid: i64 = row.get(0).map_err(failed)?;
            let location = Location::Row { table: CHAT.to_owned(), row: rowid.to_string() };
            let bytes: i64 = row.get(1).map_err(failed)?;
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            if bytes > self.max {
                chats.report.skip(&location, FindingKind::TooLarge { max: self.max });
                continue;
            }
            progress.add_read(bytes as u64);
            let mut json = JsonObject::default();
            json.push_row(row, 2, columns, Some).map_err(failed)?;
            let at = |name: &str| columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            let text = |name: &str| at(name).and_then(|at| row.get::<_, String>(2 + at).ok());
            let id = text("id");
            self.push_names(&mut json, id.as_deref(), text("folder_id"), text("user_id")).map_err(failed)?;
            let nodes = match self.messages_of(id.as_deref(), self.max - bytes, progress).map_err(failed)? {
                Ok(nodes) => nodes,
                Err(found) => {
                    chats.report.skip(&location, found);
                    continue;
                }
            };
            let json = json.finish();
            let taken = match Object::read(&json) {
                Ok(found) => chats.take(&found, nodes, &location)?,
                Err(_) => {
                    chats.report.skip(&location, FindingKind::NoObject);
                    Some(())
                }
            };
            if taken.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Counts the messages whose chat was deleted.
    fn count_orphans(&self, chats: &mut Chats<'_>) -> rusqlite::Result<()> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT count(*) FROM {MESSAGE} WHERE chat_id NOT IN (SELECT id FROM {CHAT} WHERE id IS NOT NULL)"
        );
        let count: i64 = self.db.query_row(&sql, [], |row| row.get(0))?;
        (0..count).for_each(|_| chats.report.omit(MESSAGE.to_owned()));
        Ok(())
    }

    /// Adds the names of the folder and the user, and the tags of the versions before 0.4. A deleted user has no name.
    fn push_names(
        &self,
        json: &mut JsonObject,
        chat: Option<&str>,
        folder: Option<String>,
        user: Option<String>,
    ) -> rusqlite::Result<()> {
        let name = |is_there: bool, sql: &str, id: Option<String>| match id.filter(|_| is_there) {
            Some(id) => {
                let name =
                    self.db.prepare_cached(sql)?.query_row([id], |row| row.get::<_, Option<String>>(0));
                name.optional().map(Option::flatten)
            }
            None => Ok(None),
        };
        if let Some(folder) = name(self.has_folders, "SELECT name FROM folder WHERE id = ?1", folder)? {
            json.push("folder", &json_quoted(&folder));
        }
        if let Some(user) = name(self.has_users, "SELECT name FROM \"user\" WHERE id = ?1", user)? {
            json.push("user_name", &json_quoted(&user));
        }
        if let Some(chat) = chat.filter(|_| self.has_tags) {
            let sql = "SELECT tag_name FROM chatidtag WHERE chat_id = ?1 AND tag_name IS NOT NULL ORDER BY tag_name";
            let mut statement = self.db.prepare_cached(sql)?;
            let tags: Vec<String> =
                statement.query_map([chat], |row| row.get(0))?.collect::<Result<_, _>>()?;
            if !tags.is_empty() {
                json.push("tags", &serde_json::to_string(&tags).expect("texts serialize"));
            }
        }
        Ok(())
    }

    /// Returns the rows of the messages of a chat, or why they are too many.
    fn messages_of(
        &self,
        chat: Option<&str>,
        max: usize,
        progress: &Progress,
    ) -> rusqlite::Result<Result<Vec<Node<'static>>, FindingKind>> {
        let Some(chat) = chat.filter(|_| !self.messages.is_empty()) else { return Ok(Ok(Vec::new())) };
        let sizes =
            format!("SELECT count(*), total({}) FROM {MESSAGE} WHERE chat_id = ?1", size(&self.messages));
        let (count, bytes): (i64, f64) =
            self.db.prepare_cached(&sizes)?.query_row([chat], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if bytes > max as f64 {
            return Ok(Err(FindingKind::TooLarge { max: self.max }));
        }
        if count > OpenWebUi::MAX_NODES as i64 {
            return Ok(Err(FindingKind::TooManyMessages { max: OpenWebUi::MAX_NODES }));
        }
        progress.add_read(bytes as u64);
        // New rows come last, so that they begin new forks.
        let sql = select(&self.messages, self.max, MESSAGE, "WHERE chat_id = ?1 ORDER BY rowid");
        self.nodes(&mut self.db.prepare_cached(&sql)?, chat).map(Ok)
    }

    fn nodes(&self, statement: &mut CachedStatement<'_>, chat: &str) -> rusqlite::Result<Vec<Node<'static>>> {
        // The key of a message is made of the chat and of its id in the document.
        let prefix = format!("{chat}-");
        let without_prefix = |id: String| id.strip_prefix(&prefix).map(str::to_owned).unwrap_or(id);
        let at = |name: &str| self.messages.iter().position(|column| column.eq_ignore_ascii_case(name));
        let mut rows = statement.query([chat])?;
        let mut nodes = Vec::new();
        while let Some(row) = rows.next()? {
            let location =
                Location::Row { table: MESSAGE.to_owned(), row: row.get::<_, i64>(0)?.to_string() };
            let text = |name: &str| at(name).and_then(|at| row.get::<_, String>(2 + at).ok());
            let Some(id) = text("id").map(without_prefix) else { continue };
            let parent = text("parent_id").map(without_prefix);
            let mut json = JsonObject::default();
            json.push("id", &json_quoted(&id));
            json.push_row(row, 2, &self.messages, name_in_document)?;
            nodes.push(Node { id, parent, record: Some(json.finish().into()), location });
        }
        Ok(nodes)
    }
}

/// Returns SQL for the bytes of these columns in a row. SQLite does not load a long value for it.
fn size(columns: &[String]) -> String {
    let sizes: Vec<String> =
        columns.iter().map(|column| format!("ifnull(octet_length({}), 0)", quoted(column))).collect();
    sizes.join(" + ")
}

/// Returns SQL that selects the row id, the bytes of a row, and its columns; without the columns if it has more than `max`.
fn select(columns: &[String], max: usize, table: &str, rest: &str) -> String {
    let size = size(columns);
    let values: Vec<String> =
        columns.iter().map(|column| format!("iif({size} <= {max}, {}, NULL)", quoted(column))).collect();
    format!("SELECT rowid, {size}, {} FROM {table} {rest}", values.join(", "))
}
