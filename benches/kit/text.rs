//! The text that the benchmarks write.

/// A text of about the size of a message.
pub(crate) const TEXT: &str = "The dummy variable consumes the newline that is left in the input after the number was read. \
    Reading a number stops at the first character that cannot belong to it, and that character is the end of the line, \
    which the next reading of a whole line would take for an empty line. Declaring a variable for the only purpose of \
    throwing its value away is common in short programs; a longer one would rather ask the stream to ignore everything \
    up to and including the end of the line, which says what is meant, needs no variable, and also copes with blanks \
    after the number, which the variable would silently swallow together with the rest of the line.";
