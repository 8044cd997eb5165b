use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles a C source into a library for `LD_PRELOAD`, in a directory. Returns `None` if there is no C compiler or
/// it refuses the source.
///
/// # Errors
/// Returns the error of the file system.
pub fn preload_library(directory: &Path, source: &str) -> io::Result<Option<PathBuf>> {
    let (file, library) = (directory.join("preload.c"), directory.join("preload.so"));
    fs::write(&file, source)?;
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &file]).arg("-ldl");
    Ok(compiler.status().is_ok_and(|status| status.success()).then_some(library))
}
