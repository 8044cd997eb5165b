//! The client for TypeScript: its types are those of the OpenAPI document, and its tests pass against a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::{Server, TOKEN};
use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The folder of the client, from the root.
const CLIENT: &str = "clients/typescript/";

/// The types that are generated from the document.
const TYPES: &str = "src/schema.ts";

/// The file with the lock that is installed.
const INSTALLED: &str = "installed.json";

/// The tests take some seconds.
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let folder = match install(workspace) {
        Ok(folder) => folder,
        Err(why) => {
            skips.add("the TypeScript client", why.to_string());
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "typescript")?;
    check_types(workspace, &folder, &server)?;
    Process::new("npm", &folder)
        .args(["test"])
        .setting("THROUGHLINE_URL", &server.url())
        .setting("THROUGHLINE_TOKEN", TOKEN)
        .limit(LIMIT)
        .run()
}

/// Copies the client into the target folder, and installs its packages there.
fn install(workspace: &Workspace) -> Result<PathBuf> {
    for program in ["node", "npm"] {
        if !workspace.program(program).args(["--version"]).succeeds() {
            return Err(format!("there is no {program}").into());
        }
    }
    let folder = workspace.metadata().target.join("xtask").join("typescript");
    for old in ["src", "test", "dist"] {
        let old = folder.join(old);
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    for path in workspace.files()? {
        let Some(relative) = path.strip_prefix(CLIENT) else { continue };
        let copy = folder.join(relative);
        fs::create_dir_all(copy.parent().ok_or("a file is in a folder")?)?;
        fs::copy(workspace.root().join(&path), copy)?;
    }
    let lock = fs::read_to_string(folder.join("package-lock.json"))?;
    if fs::read_to_string(folder.join(INSTALLED)).is_ok_and(|installed| installed == lock) {
        return Ok(folder);
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
    let installs = Process::new("npm", &folder).args(arguments).run();
    installs.map_err(|error| format!("npm cannot install the packages of the client: {error}"))?;
    fs::write(folder.join(INSTALLED), lock)?;
    Ok(folder)
}

/// Generates the types from the document of the server, and compares them with those of the client.
fn check_types(workspace: &Workspace, folder: &Path, server: &Server) -> Result {
    let generated = folder.join("dist").join("generated.ts");
    fs::create_dir_all(folder.join("dist"))?;
    let document = format!("{}/openapi.json", server.url());
    let output = generated.display().to_string();
    Process::new("npm", folder)
        .args(["run", "--silent", "generate", "--", &document, "--output", &output])
        .run()?;
    let committed = workspace.root().join(CLIENT).join(TYPES);
    if fs::read_to_string(&generated)? == fs::read_to_string(&committed)? {
        return Ok(());
    }
    let copy = generated.display();
    Err(format!("{CLIENT}{TYPES} is not that of the OpenAPI document: copy {copy} to it").into())
}
