//! `Debug` implementations that show the length of text instead of the text, which does not belong into logs.

use std::fmt;

/// A value that `Debug` shows as its length.
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

/// A wrapper whose `Debug` shows the length of the text.
pub(crate) struct Length<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Unshown + ?Sized> fmt::Debug for Length<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.length(f)
    }
}

/// Implements `Debug` for a struct with hidden fields. It lists all fields, so that a new field does not compile until it is
/// listed as shown or hidden.
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
    struct Entry {
        id: u8,
        text: Option<Option<String>>,
    }

    debug_without_text!(Entry { id } unshown { text });

    #[test]
    fn the_length_is_shown_and_whether_there_is_any() {
        let shown = |text| format!("{:?}", Entry { id: 7, text });
        assert_eq!(shown(Some(Some("héllo".to_owned()))), "Entry { id: 7, text: Some(Some(6 bytes)) }");
        assert_eq!(shown(Some(None)), "Entry { id: 7, text: Some(None) }");
        assert_eq!(shown(None), "Entry { id: 7, text: None }");
    }
}
