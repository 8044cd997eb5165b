use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The oldest supported major version.
const OLDEST: u32 = 15;

/// The folder in which Debian and its derivatives install the versions.
const PACKAGED: &str = "/usr/lib/postgresql";

/// The programs of an installed PostgreSQL.
///
/// ```no_run
/// use throughline_postgres_cluster::Installation;
///
/// if Installation::find().is_none() {
///     println!("PostgreSQL 15 or newer is not installed");
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Installation {
    programs: PathBuf,
}

impl Installation {
    /// Finds the newest packaged version, or the programs on the path. Returns `None` if none of them is version 15
    /// or newer.
    #[must_use]
    pub fn find() -> Option<Self> {
        packaged(Path::new(PACKAGED)).or_else(on_path).map(|programs| Self { programs })
    }

    /// Returns the path of a program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

fn packaged(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let programs = path.join("bin");
        (version >= OLDEST && is_complete(&programs)).then_some((version, programs))
    });
    versions.max().map(|(_, programs)| programs)
}

fn on_path() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    folders
        .into_iter()
        .find(|folder| is_complete(folder) && version(folder).is_some_and(|version| version >= OLDEST))
}

fn is_complete(programs: &Path) -> bool {
    ["initdb", "postgres", "psql"].iter().all(|name| programs.join(name).is_file())
}

/// Returns the major version from the server's own output: `postgres (PostgreSQL) 15.18 (…)`.
fn version(programs: &Path) -> Option<u32> {
    let output = std::process::Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    major(&String::from_utf8(output.stdout).ok()?)
}

fn major(says: &str) -> Option<u32> {
    let number = says.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_the_server_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres"), None);
    }

    #[test]
    fn a_folder_without_versions_holds_no_installation() {
        assert_eq!(packaged(Path::new("/nowhere")), None);
    }
}
