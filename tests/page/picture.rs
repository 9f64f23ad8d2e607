//! The picture of the live page that the README shows.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::enter;
use crate::harness::{Browser, Daemon, Look, Request, python};

/// What a small company's machines might say in an afternoon.
fn sample() -> Vec<(&'static str, &'static str, &'static str, Option<&'static str>, Value)> {
    vec![
        ("ops.db", "warn", "Disk at 91 %", Some("db1"), json!({"host": "db1", "mount": "/var/lib/postgresql"})),
        ("ops.db", "warn", "Replication lag 40 s", None, json!({"host": "db2", "primary": "db1"})),
        (
            "ci.main",
            "error",
            "Build 1187 failed: 3 of 2,114 tests",
            Some("main"),
            json!({"commit": "77d0e51", "by": "bob"}),
        ),
        (
            "host.units",
            "error",
            "nginx.service failed: exit code 1",
            None,
            json!({"host": "web2", "unit": "nginx.service"}),
        ),
        ("web.shop", "error", "Checkout answers 502", None, json!({"url": "https://shop.example.org/checkout"})),
        ("web.shop", "error", "Checkout answers 502", None, json!({"url": "https://shop.example.org/checkout"})),
        ("web.shop", "error", "Checkout answers 502", None, json!({"url": "https://shop.example.org/checkout"})),
        ("host.units", "info", "nginx.service is back", None, json!({"host": "web2", "unit": "nginx.service"})),
        ("web.shop", "info", "Checkout answers again", None, json!({"url": "https://shop.example.org/checkout"})),
        ("ops.cert", "warn", "The certificate expires in 7 days", None, json!({"name": "mail.example.org"})),
        ("door.office", "info", "Courier at the side entrance", None, json!({"camera": 2})),
    ]
}

/// Takes it anew after a change of the page: `cargo test --test e2e the_picture_of_the_readme -- --ignored`. Look at it.
#[test]
#[ignore = "it writes into packaging/doc"]
fn the_picture_of_the_readme_is_taken() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (topic, level, message, incident, metadata) in sample() {
        let mut alert = json!({"message": message, "level": level, "metadata": metadata});
        if let Some(incident) = incident {
            alert["incident"] = incident.into();
        }
        assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(&key).json(&alert)).status, 200);
    }
    let taken = Request::post("/incidents/ci.main/main/acknowledge").key(&key).json(&json!({"note": "a flaky test"}));
    assert_eq!(daemon.send(&taken).status, 200);
    let look = Look { width: 1100, ..Look::default() };
    let mut browser = Browser::open(&format!("http://{}/?topic=*", daemon.address), &look);
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.says("#incidents", "a flaky test");
    browser.until("document.querySelector('[data-action]')");
    browser.says("#rows", "Courier");
    browser.says("#rows", "Disk at 91 %");
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/doc/page.png");
    browser.picture(&picture);
    // 256 colours are enough for a page, if those of small signs are among them.
    let shrink = "import sys, PIL.Image; PIL.Image.open(sys.argv[1]).convert('RGB').quantize(256, PIL.Image.Quantize.MAXCOVERAGE).save(sys.argv[1], optimize=True)";
    let mut python = Command::new(python("clients/pictures", &["pillow==13.0.0"]).join("python"));
    assert!(python.args(["-c", shrink]).arg(&picture).status().unwrap().success());
}

#[test]
fn the_picture_of_the_readme_is_small_enough_to_ship() {
    let picture = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/doc/page.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert!(picture.len() < 100_000, "{} bytes", picture.len());
}
