//! A cipher that asks on the way and names revisions, and whose store can make no previews: with a fault.

use throughline_core::{
    Call, Next, Operation, PersistArgs, PersistError, PersistResult, Persistence, Phase, Plugin, ReadResult,
    Reply, Result, messages::GetMessage, search::SearchMessages,
};

use super::{letters, redactor::SECRET};
use crate::laws::Around;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Takes a revision away that the caller has named.
    ForgetsRevisions,
    /// Shows the previews that the store has made.
    ShowsPreviews,
    /// Says the text in what it asks on the way.
    LeaksInReads,
}

pub(super) fn encrypting(name: &'static str, fault: Fault, around: &Around) -> Result<Persistence> {
    around.outside().plugin(Cipher { name, fault }).layer(around.inside()).backend(around.backend()).build()
}

struct Cipher {
    name: &'static str,
    fault: Fault,
}

fn same<T, U: TryFrom<T>>(value: T) -> U {
    U::try_from(value).unwrap_or_else(|_| unreachable!("it came from there"))
}

impl Plugin for Cipher {
    fn name(&self) -> &str {
        self.name
    }

    fn phase(&self) -> Phase {
        Phase::Transform
    }

    async fn around<O: Operation>(&self, call: Call<O>, mut next: Next<'_, O>) -> Result<Reply<O>> {
        let Call { op, context } = call;
        let mut args: PersistArgs = op.into();
        if let PersistArgs::UpdateContent(update) = &mut args {
            match update.expected {
                None => {
                    let get = GetMessage { thread: update.thread.clone(), id: update.id.clone() };
                    update.expected = next.read(&context, get).await?.map(|message| message.revision);
                }
                Some(_) if self.fault == Fault::ForgetsRevisions => update.expected = None,
                Some(_) => {}
            }
            if self.fault == Fault::LeaksInReads {
                // Whatever comes of it.
                drop(next.read(&context, SearchMessages::new(SECRET, 1)).await);
            }
        }
        letters::turn(&mut args);
        letters::turn_query(&mut args);
        let reply = next.run(Call { op: same(args), context }).await?;
        let mut result: PersistResult = reply.output.into();
        letters::turn(&mut result);
        if self.fault != Fault::ShowsPreviews
            && let PersistResult::Read(ReadResult::Thread(Some(entry))) = &mut result
        {
            entry.preview = None;
        }
        Ok::<_, PersistError>(Reply {
            output: same(result),
            receipt: reply.receipt,
            extensions: reply.extensions,
        })
    }
}
