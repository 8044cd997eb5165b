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
            /// The camelCase name of the operation.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }
        }

        impl $result {
            /// The camelCase name of the operation that this answers.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }
        }

        $crate::operation::family::family!(@carries $args: $($variant)+);
        $crate::operation::family::family!(@carries $result: $($variant)+);

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
