//! GitHub's webhook, set up as its document says.

use super::machine::Machine;
use super::on_each_release;

const DOCUMENT: &str = include_str!("../../packaging/doc/hooks.md");

on_each_release! {
    fn a_signed_webhook_is_taken_with_the_credential_of_the_document(machine: &Machine) {
        machine.install();
        let section = DOCUMENT.split("## GitHub").nth(1).unwrap();
        let commands = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
        machine.sh(&format!("set -e\n{commands}"));
        machine.write("/root/body", include_str!("../fixtures/hooks/github-push.json"));
        let send = |secret: &str| {
            machine.sh(&format!(
                "signature=$(openssl dgst -sha256 -hmac \"{secret}\" -r /root/body | cut -d' ' -f1)
                 curl -sS -o /dev/null -w '%{{http_code}}' -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' \
                     -H 'X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958' -H \"X-Hub-Signature-256: sha256=$signature\" \
                     --data-binary @/root/body http://127.0.0.1:8080/hooks/github/github.hello"
            ))
        };
        assert_eq!(send("$(cat /etc/credstore/alertd.github-secret)"), "200");
        assert_eq!(send("another"), "401");
        assert_eq!(machine.alerts("github.hello").len(), 1);
    }
}
