//! A file system for SQLite, in this process, whose calls can be made to fail.
