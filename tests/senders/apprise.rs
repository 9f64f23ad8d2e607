//! Apprise, as scripts and home servers use it.

use std::process::Command;

use serde_json::json;

use crate::harness::{Daemon, Request, python, told};

#[test]
fn what_apprise_sends_as_a_form_has_its_title_and_the_level_of_its_type() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let apprise = python("clients/apprise", &["apprise==2.2.0"]).join("apprise");
    for (kind, level) in [("info", "info"), ("success", "info"), ("warning", "warn"), ("failure", "error")] {
        let url = format!("form://{}/alerts/home?+Authorization=Bearer%20{}", daemon.address, key.secret);
        let mut command = Command::new(&apprise);
        let output = command.args(["-t", "Gerät", "-b", "Pumpe & Kessel\n42 %", "-n", kind, &url]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let newest = Request::get("/alerts/home?limit=1").key(&key).header("Accept", "application/json");
        let alert = daemon.send(&newest).json()["alerts"][0].clone();
        assert_eq!((&alert["level"], &alert["metadata"]["type"]), (&json!(level), &json!(kind)), "{alert}");
        assert_eq!(alert["metadata"]["title"], "Gerät");
        assert!(alert["message"].as_str().unwrap().starts_with("Pumpe & Kessel"), "{alert}");
    }
}

#[test]
fn apprise_opens_and_resolves_an_incident() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let apprise = python("clients/apprise", &["apprise==2.2.0"]).join("apprise");
    let incident = |kind: &str, more: &str| {
        let url = format!(
            "form://{}/alerts/home?+Authorization=Bearer%20{}&:incident=pump{more}",
            daemon.address, key.secret
        );
        let output = Command::new(&apprise).args(["-b", "Pumpe", "-n", kind, &url]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        daemon.send(&Request::get("/incidents/home/pump").key(&key)).json()
    };
    let open = incident("failure", "&:ttl=1h");
    assert_eq!(
        (&open["state"], &open["level"], &open["count"]),
        (&json!("open"), &json!("error"), &json!(1)),
        "{open}"
    );
    assert!(!open["ttl"].is_null(), "{open}");
    assert_eq!(incident("warning", "")["count"], 2);
    assert_eq!(incident("success", "&:status=resolved")["state"], "resolved");
}
