//! `alertd-forward@.service`, set up as forward.md says, with alertd itself as the receiver.

use super::machine::{Machine, package};
use super::on_each_release;
use crate::harness::eventually;
use crate::readme::blocks;

on_each_release! {
    fn alerts_are_forwarded_as_documented_until_the_key_is_revoked(machine: &Machine) {
        machine.install();
        let chat = machine.key("chat");
        // The editor puts the receiver in.
        let editor = format!("EDITOR='sed -i s,^CHAT_URL=.*,CHAT_URL=http://any:{chat}@localhost:8080/hooks/json/chat,'");
        for command in blocks("packaging/doc/forward.md", "console")[0].lines() {
            machine.sh(&format!("export {editor}; {}", command.strip_prefix("# ").unwrap()));
        }
        let streams = |number| eventually("its stream", || {
            machine.sh("alertctl status").contains(&format!("{number} in 1 subscription,")).then_some(())
        });
        let copies = |count: usize| eventually("what was forwarded", || {
            let alerts = machine.alerts("chat");
            (alerts.len() == count).then(|| alerts.iter().map(|alert| alert["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
        });
        streams(1);
        machine.sh("alertctl publish -t ops.db -l error 'disk is full'; alertctl publish -t ops.db -l warn 'not so serious'");
        assert_eq!(copies(1), ["[error] ops.db: disk is full"]);
        machine.sh("systemctl stop alertd-forward@chat; alertctl publish -t ci.main -l error meanwhile; systemctl start alertd-forward@chat");
        assert_eq!(copies(2)[1], "[error] ci.main: meanwhile");
        assert_eq!(machine.sh("stat -c '%a %U' /etc/alertd/forward/chat.conf /etc/alertd/forward/chat.key"), "600 root\n600 root");
        assert_ne!(machine.sh("ps -o user= -p $(systemctl show -P MainPID alertd-forward@chat)"), "root");
        // An upgrade gives it the new program.
        let pid = machine.show("alertd-forward@chat.service", "MainPID");
        machine.sh(&format!("dpkg -i /root/{} 2>&1", package().file_name().unwrap().to_str().unwrap()));
        assert_ne!(machine.show("alertd-forward@chat.service", "MainPID"), pid);
        streams(1);
        machine.sh("alertctl key revoke forward-chat");
        machine.until("alertd-forward@chat.service", "ActiveState", "failed");
        assert_eq!(machine.show("alertd-forward@chat.service", "ExecMainStatus"), "77");
        machine.sh("apt-get purge -y -q alertd && ! test -e /var/lib/private/alertd-forward && test -e /etc/alertd/forward/chat.key");
        assert_eq!(machine.sh("systemctl list-units --no-legend --state=active 'alertd*'"), "");
    }
}
