//! The units themselves, judged by each release's own tools.

use super::machine::Machine;
use super::on_each_release;

on_each_release! {
    fn the_units_are_well_formed_and_closed_to_the_rest_of_the_machine(machine: &Machine) {
        machine.install();
        let units = "alertd.service alertd.socket alertd-control.socket alertd-publish.socket alertd@x.service alertd@x.socket alertd-control@x.socket alertd-publish@x.socket alertd-unit-failed@x.service alertd-forward@x.service alertd-journal.service";
        assert_eq!(machine.sh(&format!("systemd-analyze verify --man=no {units} 2>&1")), "");
        for unit in ["alertd.service", "alertd@.service"] {
            machine.sh(&format!("systemd-analyze security --offline=yes --threshold=12 --no-pager /usr/lib/systemd/system/{unit}"));
        }
        machine.sh("install -D -m 644 /usr/share/doc/alertd/examples/limit-addresses.conf /etc/systemd/system/alertd.service.d/limit-addresses.conf && systemctl daemon-reload && systemctl restart alertd");
        machine.sh("systemd-analyze security --threshold=11 --no-pager alertd.service");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
        for unit in ["alertd-journal.service", "alertd-unit-failed@.service", "alertd-forward@.service"] {
            machine.sh(&format!("systemd-analyze security --offline=yes --threshold=15 --no-pager /usr/lib/systemd/system/{unit}"));
        }
        let preset = machine.sh("systemctl preset alertd.service alertd.socket alertd-journal.service 2>&1; systemctl is-enabled alertd.service alertd.socket alertd-journal.service || true");
        assert!(preset.ends_with("enabled\nenabled\ndisabled"), "{preset}");
    }
}

/// Said twice, because each is read by itself; this keeps the two the same.
#[test]
fn the_template_is_the_service_with_its_name() {
    let settings = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.filter(|line| !line.starts_with("Environment=")).map(str::to_owned).collect()
    };
    let plain = settings(include_str!("../../systemd/alertd.service"));
    let template = settings(include_str!("../../systemd/alertd@.service"));
    let expected: Vec<String> = plain
        .iter()
        .map(|line| match line.split_once('=') {
            Some(("Description", text)) => format!("Description={text}, instance %i"),
            Some(("ExecStart", program)) => format!("ExecStart={program} --config /etc/alertd/%i.toml"),
            Some(("ExecReload", _)) => "ExecReload=/usr/bin/alertctl --instance %i reload".to_owned(),
            Some(("ExecStop", _)) => "ExecStop=-+/usr/bin/alertctl --instance %i unit-stopping %n".to_owned(),
            Some(("StateDirectory", name)) => format!("StateDirectory={name}/%i"),
            Some(("LoadCredential", name)) => format!("LoadCredential={name}:{}", name.replace("alertd", "alertd@%i")),
            _ => line.replace(".socket", "@%i.socket"),
        })
        .collect();
    assert_eq!(template, expected);
}
