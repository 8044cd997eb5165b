//! The operations with their hooks.

use std::future::Future;

use super::{Next, Plugin};
use crate::{
    Call, Operation, ReadArgs, Reply, Result,
    context::CallState,
    operation::{
        Add, Batch, ConsumerArgs, Delete, Import, ReplicaArgs, Reserve, SessionArgs, ThreadArgs, Update,
        UpdateContent,
    },
    pipeline::Answer,
};

/// An operation with its hook, and with the checks on both sides of that hook.
pub trait Hooked: Operation {
    /// Calls the hook of this operation.
    fn hook<P: Plugin>(
        plugin: &P,
        call: Call<Self>,
        next: Next<'_, Self>,
    ) -> impl Future<Output = Result<Reply<Self>>> + Send;

    /// Checks that an outer plugin forwarded the operation that it received. The error says what the plugin changed.
    fn check_call(&self, call: &CallState) -> Result<(), &'static str>;

    /// Checks that an output belongs to the call. The error says what is wrong.
    fn check_output(output: &Self::Output, call: &CallState) -> Result<(), &'static str>;
}

macro_rules! hooked {
    ($($operation:ident by $hook:ident as $form:ident;)+) => {$(
        impl Hooked for $operation {
            #[inline]
            fn hook<P: Plugin>(
                plugin: &P,
                call: Call<Self>,
                next: Next<'_, Self>,
            ) -> impl Future<Output = Result<Reply<Self>>> + Send {
                plugin.$hook(call, next)
            }

            #[inline]
            fn check_call(&self, call: &CallState) -> Result<(), &'static str> {
                call.shape.check_kind(Self::KIND)?;
                hooked!(@call $form self, call)
            }

            #[inline]
            fn check_output(output: &Self::Output, call: &CallState) -> Result<(), &'static str> {
                hooked!(@output $form output, call)
            }
        }
    )+};
    (@call operation $operation:ident, $call:ident) => { $call.shape.subject().check($operation) };
    (@call family $family:ident, $call:ident) => { $family.check_subject($call.shape.subject()) };
    (@call batch $batch:ident, $call:ident) => { $call.shape.check_batch($batch) };
    (@output operation $output:ident, $call:ident) => { $call.shape.asked(&$call.facts.tenant).check($output) };
    (@output family $output:ident, $call:ident) => { $output.check_answer(&$call.shape.asked(&$call.facts.tenant)) };
    (@output batch $output:ident, $call:ident) => { $call.shape.check_batched($output, &$call.facts.tenant) };
}

hooked! {
    Add by add as operation;
    Reserve by reserve as operation;
    UpdateContent by update_content as operation;
    Update by update as operation;
    Delete by delete as operation;
    Batch by batch as batch;
    Import by import as operation;
    ThreadArgs by thread as family;
    ReadArgs by read as family;
    ConsumerArgs by consumer as family;
    SessionArgs by session as family;
    ReplicaArgs by replica as family;
}

impl<O: Hooked> Answer for Reply<O> {
    #[inline]
    fn check(&self, call: &CallState) -> Result<(), &'static str> {
        O::check_output(&self.output, call)
    }
}
