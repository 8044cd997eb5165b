//! Text of people's that `Debug` shows the length of, like that of content and titles: it does not belong into logs.

use std::fmt;

/// What shows as its length.
pub(crate) trait Unshown {
    /// Writes the length.
    fn length(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Unshown for str {
    fn length(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Unshown for String {
    fn length(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().length(f)
    }
}

impl<T: Unshown> Unshown for Option<T> {
    fn length(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(text) => {
                f.write_str("Some(")?;
                text.length(f)?;
                f.write_str(")")
            }
            None => f.write_str("None"),
        }
    }
}

/// The `Debug` of what it holds, without the text.
pub(crate) struct Length<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Unshown + ?Sized> fmt::Debug for Length<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.length(f)
    }
}

/// Implements `Debug` of a struct some of whose fields are not shown, from all of its fields: a new one does not compile before
/// it is on one side or the other.
macro_rules! debug_without_text {
    ($name:ident { $($shown:ident),* $(,)? } unshown { $($hidden:ident),+ $(,)? }) => {
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let Self { $($shown,)* $($hidden),+ } = self;
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($shown), $shown))*
                    $(.field(stringify!($hidden), &$crate::message::Length($hidden)))+
                    .finish()
            }
        }
    };
}
pub(crate) use debug_without_text;

#[cfg(test)]
mod tests {
    struct Note {
        id: u8,
        text: Option<Option<String>>,
    }

    debug_without_text!(Note { id } unshown { text });

    #[test]
    fn the_length_is_shown_and_whether_there_is_any() {
        let note = |text| format!("{:?}", Note { id: 7, text });
        assert_eq!(note(Some(Some("héllo".to_owned()))), "Note { id: 7, text: Some(Some(6 bytes)) }");
        assert_eq!(note(Some(None)), "Note { id: 7, text: Some(None) }");
        assert_eq!(note(None), "Note { id: 7, text: None }");
    }
}
