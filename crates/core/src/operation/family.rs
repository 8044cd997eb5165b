//! Families: groups of operations that share one [`Operation`] type, each with its own answer.

use super::Operation;

pub(super) mod sealed {
    pub trait Sealed {}
}

/// An operation of the family `F`, with its own answer type. A family is [`ThreadArgs`](crate::operation::ThreadArgs),
/// [`ReadArgs`](crate::ReadArgs), [`ConsumerArgs`](crate::operation::ConsumerArgs),
/// [`SessionArgs`](crate::operation::SessionArgs) or [`ReplicaArgs`](crate::operation::ReplicaArgs). The trait is sealed.
///
/// ```
/// use throughline_core::{
///     operations::OperationOf,
///     threads::{ClearThread, ThreadArgs, ThreadChanged},
/// };
///
/// fn name<O: OperationOf<ThreadArgs, Output = ThreadChanged>>(_: &O) -> &'static str {
///     O::NAME
/// }
///
/// assert_eq!(name(&ClearThread::new("t".parse()?)), "clearThread");
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is not an operation of the family `{F}`")]
pub trait OperationOf<F: Operation>: Into<F> + sealed::Sealed + Send + 'static {
    /// The camelCase name, as in errors, spans and reports.
    const NAME: &'static str;

    /// The type of the answer.
    type Output: Send + 'static;

    /// Converts an answer of the family into the answer to this operation.
    ///
    /// # Errors
    /// [`ContractViolation`](crate::ErrorKind::ContractViolation) if it is the answer to another operation.
    fn output(answer: F::Output) -> crate::Result<Self::Output>;

    /// Converts an answer to this operation into the answer of the family.
    fn answer(output: Self::Output) -> F::Output;
}

/// Defines the two enums of a family, and makes each operation a member of it.
macro_rules! family {
    (
        $(#[$args_attribute:meta])*
        $args:ident in $family:ident;
        $(#[$result_attribute:meta])*
        $result:ident;
        $($(#[$doc:meta])* $variant:ident: $name:ident -> $output:ty as $code:literal;)+
    ) => {
        $(#[$args_attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum $args {
            $($(#[$doc])* $variant($name),)+
        }

        $(#[$result_attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum $result {
            $(
                #[doc = concat!("To [`", stringify!($name), "`].")]
                $variant($output),
            )+
        }

        impl $args {
            /// Checks that a layer forwarded an operation with this subject. The error says what the layer changed.
            pub(crate) fn check_subject(&self, subject: &$crate::operation::subject::Subject) -> Result<(), &'static str> {
                if subject.member != Some(self.as_str()) {
                    return Err($crate::operation::subject::OTHER_OPERATION);
                }
                match self { $(Self::$variant(operation) => subject.check(operation),)+ }
            }

            pub(crate) fn operation(&self) -> &dyn $crate::operation::facts::StatesFacts {
                match self { $(Self::$variant(operation) => operation,)+ }
            }

            /// The camelCase name of the operation.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }
        }

        impl $result {
            /// Checks that this answer belongs to the call. The error says what is wrong.
            pub(crate) fn check_answer(&self, asked: &$crate::operation::subject::Asked<'_>) -> Result<(), &'static str> {
                if asked.subject.member != Some(self.as_str()) {
                    return Err($crate::operation::subject::OTHER_ANSWER);
                }
                match self { $(Self::$variant(answer) => asked.check(answer),)+ }
            }

            pub(crate) fn facts(&self) -> &dyn $crate::operation::facts::AnswerFacts {
                match self { $(Self::$variant(answer) => answer,)+ }
            }

            /// The camelCase name of the operation that this answers.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }
        }

        impl $crate::operation::facts::AnyAnswer for $result {
            fn facts_mut(&mut self) -> &mut dyn $crate::operation::facts::AnswerFacts {
                match self { $(Self::$variant(answer) => answer,)+ }
            }
        }

        $crate::operation::family::family!(@carries $args: $($variant)+);
        $crate::operation::family::family!(@carries $result: $($variant)+);
        $crate::operation::family::family!(@addressed $args by operation);
        $crate::operation::family::family!(@addressed $result by facts);

        $(
            impl $crate::operation::family::sealed::Sealed for $name {}

            impl $crate::operation::OperationOf<$args> for $name {
                const NAME: &'static str = $code;
                type Output = $output;

                fn output(answer: $result) -> $crate::Result<$output> {
                    match answer {
                        $result::$variant(output) => Ok(output),
                        other => Err($crate::PersistError::wrong_answer($code, other.as_str())),
                    }
                }

                fn answer(output: $output) -> $result {
                    $result::$variant(output)
                }
            }

            impl From<$name> for $args {
                fn from(operation: $name) -> Self {
                    Self::$variant(operation)
                }
            }

            impl From<$name> for $crate::PersistArgs {
                fn from(operation: $name) -> Self {
                    Self::$family(operation.into())
                }
            }
        )+
    };
    (@addressed $name:ident by $member:ident) => {
        impl $crate::operation::Addressed for $name {
            fn thread(&self) -> Option<&$crate::ThreadId> {
                self.$member().thread()
            }

            fn message(&self) -> Option<&$crate::MessageId> {
                self.$member().message()
            }
        }
    };
    (@carries $name:ident: $($variant:ident)+) => {
        impl $crate::message::CarriesContent for $name {
            fn content_fields(&self) -> Vec<$crate::message::ContentField<'_>> {
                match self { $(Self::$variant(inner) => $crate::message::CarriesContent::content_fields(inner),)+ }
            }

            fn content_fields_mut(&mut self) -> Vec<$crate::message::ContentFieldMut<'_>> {
                match self { $(Self::$variant(inner) => $crate::message::CarriesContent::content_fields_mut(inner),)+ }
            }
        }
    };
}
pub(super) use family;
