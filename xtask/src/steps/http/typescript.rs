//! The client for TypeScript: its types are those of the OpenAPI document, and its tests pass against a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::installation::{self, Installation};
use super::server::{Server, TOKEN};
use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::steps::tools;
use crate::workspace::Workspace;

/// The folder of the client, from the root.
const CLIENT: &str = "clients/typescript/";

/// The types that are generated from the document.
const TYPES: &str = "src/schema.ts";

/// The file with the lock that is installed.
const INSTALLED: &str = "installed.json";

/// The folder with the logs of the installation.
const LOGS: &str = "logs";

/// The tests take some seconds, and so does the generation of the types.
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let folder = match install(workspace)? {
        Installation::Complete(folder) => folder,
        Installation::Impossible(why) => {
            skips.add("the TypeScript client", why);
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "typescript")?;
    check_types(workspace, &folder, &server)?;
    npm(workspace, &folder)
        .args(["test"])
        .setting("THROUGHLINE_URL", &server.url())
        .setting("THROUGHLINE_TOKEN", TOKEN)
        .limit(LIMIT)
        .run()
}

/// Copies the client into the target folder, and installs its packages there.
fn install(workspace: &Workspace) -> Result<Installation<PathBuf>> {
    for program in ["node", "npm"] {
        if !workspace.program(program).args(["--version"]).succeeds() {
            return Ok(Installation::Impossible(format!("there is no {program}")));
        }
    }
    let folder = workspace.metadata().target.join("xtask").join("typescript");
    for old in ["src", "test", "dist", LOGS] {
        let old = folder.join(old);
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    for path in workspace.files()? {
        let Some(relative) = path.strip_prefix(CLIENT) else { continue };
        let copy = folder.join(relative);
        fs::create_dir_all(copy.parent().ok_or("a file is in a folder")?)?;
        let original = workspace.root().join(&path);
        // A file that was removed can still be in the index.
        if original.try_exists()? {
            fs::copy(original, copy).map_err(|error| format!("{path} cannot be copied: {error}"))?;
        }
    }
    let lock = fs::read_to_string(folder.join("package-lock.json"))?;
    if fs::read_to_string(folder.join(INSTALLED)).is_ok_and(|installed| installed == lock) {
        return Ok(Installation::Complete(folder));
    }
    let logs = folder.join(LOGS).display().to_string();
    let installs = npm(workspace, &folder)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--logs-dir", &logs])
        // A registry that does not answer is noticed long before the limit.
        .args(["--fetch-retries", "1", "--fetch-timeout", "60000"])
        .limit(tools::INSTALLATION)
        .run();
    if let Err(error) = installs {
        let why = format!("npm cannot install the packages of the client: {error}");
        if installation::npm_reached_no_registry(&text_of(&folder.join(LOGS))) {
            return Ok(Installation::Impossible(why));
        }
        return Err(why.into());
    }
    fs::write(folder.join(INSTALLED), lock)?;
    Ok(Installation::Complete(folder))
}

/// A call of npm that writes nothing outside of the target folder.
fn npm(workspace: &Workspace, folder: &Path) -> Process {
    let cache = workspace.metadata().target.join("xtask").join("cache").join("npm");
    Process::new("npm", folder).args(["--no-update-notifier", "--cache"]).args([cache])
}

/// The text of the files of a folder: none if it is absent.
fn text_of(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
}

/// Generates the types from the document of the server, and compares them with those of the client.
fn check_types(workspace: &Workspace, folder: &Path, server: &Server) -> Result {
    let generated = folder.join("dist").join("generated.ts");
    fs::create_dir_all(folder.join("dist"))?;
    let document = format!("{}/openapi.json", server.url());
    let output = generated.display().to_string();
    npm(workspace, folder)
        .args(["run", "--silent", "generate", "--", &document, "--output", &output])
        .limit(LIMIT)
        .run()?;
    let committed = workspace.root().join(CLIENT).join(TYPES);
    if fs::read_to_string(&generated)? == fs::read_to_string(&committed)? {
        return Ok(());
    }
    let copy = generated.display();
    Err(format!("{CLIENT}{TYPES} is not that of the OpenAPI document: copy {copy} to it").into())
}
