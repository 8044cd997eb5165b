//! The audit items of a write.

use throughline_core::{
    PersistArgs, audit::AuditItem, messages::UpdateMode, operations::Addressed as _, sessions::SessionArgs,
};

/// Returns the item of one operation, or the items of a batch.
pub(super) fn items(args: &PersistArgs) -> Vec<AuditItem> {
    args.each().map(item).collect()
}

fn item(args: &PersistArgs) -> AuditItem {
    let (operation, of) = match args {
        PersistArgs::Thread(thread) => (thread.as_str(), None),
        PersistArgs::Session(session) => (session.as_str(), of_session(session)),
        PersistArgs::Consumer(consumer) => (consumer.as_str(), Some(consumer.consumer().to_string())),
        PersistArgs::Read(read) => (read.as_str(), None),
        other => (other.kind().as_str(), None),
    };
    let mode = match args {
        PersistArgs::UpdateContent(update) => Some(mode(&update.mode).into()),
        _ => None,
    };
    let messages = match args {
        PersistArgs::Import(import) => import.rows.iter().map(|row| row.id.clone()).collect(),
        other => other.message().cloned().into_iter().collect(),
    };
    let thread = args.thread().cloned();
    AuditItem { operation: operation.into(), mode, thread, messages, revision: None, of }
}

const fn mode(mode: &UpdateMode) -> &'static str {
    match mode {
        UpdateMode::Partial => "partial",
        UpdateMode::Final => "final",
        UpdateMode::Abandon { .. } => "abandon",
        UpdateMode::Edit => "edit",
    }
}

fn of_session(session: &SessionArgs) -> Option<String> {
    match session {
        SessionArgs::DropRuntime(dropped) => Some(dropped.runtime.to_string()),
        other => other.agent().map(ToString::to_string),
    }
}
