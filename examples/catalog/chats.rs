//! Imports chats from another program.

use serde::Deserialize;
use throughline::{
    Content, Labels, MessageId, NewThread, Persistence, Role, ThreadId, Timestamp, Title,
    messages::{Import, ImportRow},
    threads::RenameThread,
};

use crate::Failure;

/// A chat in the format of the file.
#[derive(Deserialize)]
struct Chat {
    id: String,
    conversations: Vec<ChatTurn>,
}

#[derive(Deserialize)]
struct ChatTurn {
    from: String,
    value: String,
}

/// The number of imported chats and messages.
#[derive(Default)]
pub(crate) struct Imported {
    pub(crate) chats: usize,
    pub(crate) messages: usize,
}

/// The chats carry no times, so the import sets them: a minute between chats, a second between messages.
const BEGAN: i64 = 1_700_000_000_000_000;
const MINUTE: i64 = 60_000_000;
const SECOND: i64 = 1_000_000;

/// Imports every line that is a chat. The import can be repeated after a failure: it leaves existing messages unchanged.
pub(crate) async fn import(db: &Persistence, text: &str) -> Result<Imported, Failure> {
    let mut imported = Imported::default();
    let chats = text.lines().filter_map(|line| serde_json::from_str::<Chat>(line).ok());
    for (number, chat) in (0_i64..).zip(chats) {
        let began = BEGAN + number * MINUTE;
        let thread: ThreadId = chat.id.parse()?;
        // The thread stays hidden from lists until it is complete.
        let new = NewThread::new()
            .with_id(thread.clone())
            .with_labels(Labels::new().with("source", "sharegpt")?)
            .created_at(Timestamp::from_micros(began))
            .hidden();
        db.create_thread(new).await?;
        let rows = rows(&chat, began)?;
        imported.chats += 1;
        imported.messages += rows.len();
        for rows in rows.chunks(Import::MAX_ROWS / 2) {
            db.run(Import::new(thread.clone(), rows.to_vec())).await?;
        }
        // The title is the beginning of the first message, unless another writer has set a title meanwhile.
        let title = chat.conversations.first().map(|turn| turn.value.chars().take(40).collect::<String>());
        let rename = RenameThread::new(thread.clone(), Title::new(title.unwrap_or_default())?);
        db.on_thread(rename.expecting(Title::default())).await?;
        db.on_thread(throughline::threads::PublishThread { thread }).await?;
    }
    Ok(imported)
}

fn rows(chat: &Chat, began: i64) -> Result<Vec<ImportRow>, Failure> {
    let row = |(number, turn): (i64, &ChatTurn)| {
        let role = match turn.from.as_str() {
            "human" | "user" => Role::User,
            "system" => Role::System,
            _ => Role::Assistant,
        };
        let id: MessageId = format!("{}:{number}", chat.id).parse()?;
        let at = Timestamp::from_micros(began + number * SECOND);
        Ok(ImportRow::new(id, role, Content::text(&turn.value), at))
    };
    (0_i64..).zip(&chat.conversations).map(row).collect()
}
