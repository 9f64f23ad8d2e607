//! The README's examples, run unchanged in one shell, from top to bottom.

use std::path::Path;
use std::process::Command;

use crate::harness::{Daemon, program, told};

/// The blocks of this language in a document of the repository.
pub(crate) fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The block of this name in a document, whatever its language.
pub(crate) fn block_named(document: &str, name: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let mut blocks = text.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
    let found = blocks.find(|(head, _)| head.split_once(' ').is_some_and(|(_, own)| own == name));
    format!("{}\n", found.unwrap_or_else(|| panic!("no block {name} in {document}")).1)
}

#[test]
fn every_example_of_the_readme_works() {
    let blocks = blocks("README.md", "sh");
    assert!(blocks.len() >= 5);
    let daemon = Daemon::start();
    let script = blocks.join("\n").replace("localhost:8080", &daemon.address.to_string());
    let alertctl = program("alertctl");
    let programs = Path::new(alertctl.get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euxc", &script])
        .current_dir(daemon.directory.path())
        .env("PATH", path)
        .env("ALERTCTL_SOCKET", daemon.control())
        .env("ALERTD_CONFIG", daemon.directory.path().join("alertd.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    for part in [
        "alert stored",
        "Deploy completed",
        "{\"status\":\"ok\"}",
        "disk at 91 %",
        "error: build 1187 failed",
        "replication lag",
        "build server",
    ] {
        assert!(said.contains(part), "{part} is missing in {}", told(&output));
    }
    assert!(
        said.matches("event: cursor").count() >= 2,
        "one stream with the key and one with a ticket: {}",
        told(&output)
    );
    let secrets = said.matches("alertd_alice~").count();
    assert_eq!(secrets, 0, "a secret was printed");
}

/// What is no shell is tested elsewhere: the commands of root on machines, the proxies by their configurations in
/// operations.md, which the README repeats.
#[test]
fn every_block_of_the_readme_is_one_that_is_tested() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let fences = readme.lines().filter_map(|line| line.strip_prefix("```")).step_by(2);
    for language in fences {
        assert!(["sh", "console", "toml", "nginx", "caddy"].contains(&language), "{language:?}");
    }
    for language in ["toml", "nginx", "caddy"] {
        let own = blocks("README.md", language);
        assert_eq!(own, blocks("packaging/doc/operations.md", language), "{language}");
        assert_eq!(own.len(), 1, "{language}");
    }
}

#[test]
fn make_run_shows_the_first_alert_and_ends_cleanly() {
    use std::io::{BufRead, BufReader};
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut run = Command::new(root.join("packaging/run-local"));
    run.env("ALERTD_HTTP_LISTEN", &address).stdout(std::process::Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    // What to do next comes first, and each thing is said before it is done.
    let before: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("== starting")).collect();
    let told = before.join("\n");
    assert!(told.contains(&format!("in a browser: http://{address}/")) && told.contains("alertctl status"), "{told}");
    assert!(told.contains("== building alertd and alertctl into "), "{told}");
    assert!(lines.any(|line| line.starts_with("data: ") && line.contains("the first alert")));
    assert!(lines.any(|line| line.contains("Ctrl-C stops it")));
    assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
    assert!(run.wait().unwrap().success());
    assert!(std::net::TcpStream::connect(&address).is_err(), "still running");
}
