//! The expected answers of the model, compared with those of the store.

use throughline_core::{
    Effect, ErrorKind, Message, PersistResult, Result, TenantId,
    messages::Batched,
    threads::{ThreadResult, ThreadSummary},
};

use super::{
    key::Used,
    step::{Action, ThreadOp, WriteCall},
    write::{At, Rows},
};

/// The expected answer to a call.
#[derive(Debug)]
pub(super) enum Expected {
    Done(PersistResult),
    Replayed(PersistResult),
    Refused(ErrorKind),
    RefusedItem(ErrorKind, usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) rows: Rows,
    used: Vec<Used>,
}

impl Model {
    /// Applies a call to the model. `answer` contains the seqs that the store assigned.
    pub(super) fn write(
        &mut self,
        tenant: (usize, &TenantId),
        now: i64,
        (call, args): (&WriteCall, &throughline_core::PersistArgs),
        key: Option<usize>,
        answer: &Result<PersistResult>,
    ) -> Expected {
        let (tenant, name) = tenant;
        let first = &call.ops()[0];
        let thread = first.thread;
        self.rows.emitted.clear();
        // A repeated deletion or purge of a deleted thread is accepted.
        if first.action != Action::Thread(ThreadOp::Delete) && self.rows.alive(tenant, thread).is_err() {
            return match call {
                WriteCall::Single(_) => Expected::Refused(ErrorKind::Gone),
                WriteCall::Batch(_) => Expected::RefusedItem(ErrorKind::Gone, 0),
            };
        }
        let seen = answer.as_ref().map(entries).unwrap_or_default();
        let known =
            self.used.iter().find(|used| (used.tenant, used.thread, Some(used.key)) == (tenant, thread, key));
        if let Some(used) = known {
            return used.again(call, &self.rows, name, &seen);
        }
        let mut seqs = answer.as_ref().map(assigned_seqs).unwrap_or_default();
        let taken = answer.as_ref().map(taken).unwrap_or_default();
        let mut at = At { tenant, name, now, seqs: &mut seqs, seen: &seen, taken: &taken };
        let mut rows = self.rows.clone();
        let applied = match (call, args) {
            (WriteCall::Single(op), args) => rows.apply(&mut at, op, args).map_err(Expected::Refused),
            (WriteCall::Batch(ops), throughline_core::PersistArgs::Batch(batch)) => {
                let items = ops.iter().zip(&batch.items).enumerate();
                let outputs = items
                    .map(|(index, (op, args))| rows.apply(&mut at, op, args).map_err(|kind| (kind, index)));
                match outputs.collect::<Result<Vec<_>, _>>() {
                    Ok(outputs) => Ok(Batched { outputs, deduplicated: false }.into()),
                    Err((kind, index)) => Err(Expected::RefusedItem(kind, index)),
                }
            }
            (WriteCall::Batch(_), _) => unreachable!("a batch is sent as one"),
        };
        match applied {
            Err(due) => due,
            Ok(answer) => {
                self.rows = rows;
                if let Some(key) = key {
                    self.used.push(Used { tenant, thread, key, call: call.clone(), answer: answer.clone() });
                }
                Expected::Done(answer)
            }
        }
    }
}

/// The seqs in an answer, in order.
fn assigned_seqs(answer: &PersistResult) -> Vec<u64> {
    match answer {
        PersistResult::Add(added) => vec![added.message.seq.get()],
        PersistResult::Reserve(reserved) => vec![reserved.message.seq.get()],
        PersistResult::Batch(batched) => batched.outputs.iter().flat_map(assigned_seqs).collect(),
        _ => Vec::new(),
    }
}

/// The messages in an answer that were taken.
fn taken(answer: &PersistResult) -> Vec<Message> {
    match answer {
        PersistResult::Thread(ThreadResult::TakeLast(taken)) => {
            taken.message.as_deref().cloned().into_iter().collect()
        }
        PersistResult::Batch(batched) => batched.outputs.iter().flat_map(taken).collect(),
        _ => Vec::new(),
    }
}

/// The entries of threads in an answer.
fn entries(answer: &PersistResult) -> Vec<ThreadSummary> {
    match answer {
        PersistResult::Thread(
            ThreadResult::Create(changed)
            | ThreadResult::Rename(changed)
            | ThreadResult::Archive(changed)
            | ThreadResult::Publish(changed)
            | ThreadResult::Rebuild(changed)
            | ThreadResult::Clear(changed),
        ) => vec![changed.summary.clone()],
        PersistResult::Batch(batched) => batched.outputs.iter().flat_map(entries).collect(),
        _ => Vec::new(),
    }
}

impl Expected {
    /// Says how `answer` differs.
    pub(super) fn compare(&self, answer: &Result<PersistResult>) -> Result<(), String> {
        let same = match (self, answer) {
            (Self::Done(due) | Self::Replayed(due), Ok(answer)) => due == answer,
            (Self::Refused(kind), Err(error)) => {
                (*kind, Effect::NotApplied) == (error.kind(), error.effect())
            }
            (Self::RefusedItem(kind, index), Err(error)) => {
                (*kind, Effect::NotApplied, Some(*index))
                    == (error.kind(), error.effect(), error.batch_index())
            }
            _ => false,
        };
        if same { Ok(()) } else { Err(format!("answered {}\n     due {}", shown(answer), self.shown())) }
    }

    fn shown(&self) -> String {
        match self {
            Self::Done(result) | Self::Replayed(result) => json(result),
            Self::Refused(kind) => format!("a refusal as {kind}, nothing applied"),
            Self::RefusedItem(kind, index) => format!("a refusal as {kind} of item {index}, nothing applied"),
        }
    }
}

fn shown(answer: &Result<PersistResult>) -> String {
    answer.as_ref().map_or_else(ToString::to_string, json)
}

fn json(result: &PersistResult) -> String {
    serde_json::to_string(result).expect("an answer serializes")
}
