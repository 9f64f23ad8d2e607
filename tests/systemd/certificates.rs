//! Certificates of the service: the hook that installs a renewed one, and credentials.

use super::machine::Machine;
use super::on_each_release;
use crate::harness::told;

/// Makes a certificate below /root/NAME, with the names that certbot gives, and gives its serial number.
fn make(machine: &Machine, name: &str) -> String {
    machine.sh(&format!(
        "mkdir -p /root/{name} && cd /root/{name} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout privkey.pem -out fullchain.pem -days 60 -subj /CN=localhost 2>/dev/null && openssl x509 -noout -serial -in fullchain.pem"
    ))
}

fn served(machine: &Machine) -> String {
    machine.sh("openssl s_client -connect 127.0.0.1:8080 </dev/null 2>/dev/null | openssl x509 -noout -serial")
}

on_each_release! {
    fn f5_the_hook_installs_a_renewed_certificate_and_a_reload_takes_it(machine: &Machine) {
        machine.install();
        let (one, two) = (make(machine, "one"), make(machine, "two"));
        let hook = "/usr/share/alertd/install-certificate";
        machine.sh(&format!("RENEWED_LINEAGE=/root/one {hook}"));
        assert_eq!(machine.sh("stat -c '%a %U %G' /etc/alertd/tls /etc/alertd/tls/alertd.pem"), "750 root alertd\n640 root alertd");
        let file = "/etc/alertd/tls/alertd.pem";
        machine.write("/etc/alertd.toml", &format!("[http]\ntls_cert = \"{file}\"\ntls_key = \"{file}\"\n"));
        machine.sh("alertctl config check && systemctl restart alertd");
        assert_eq!(served(machine), one);
        let pid = machine.show("alertd.service", "MainPID");
        machine.sh(&format!("RENEWED_LINEAGE=/root/two {hook}"));
        assert_eq!((served(machine), machine.show("alertd.service", "MainPID")), (two.clone(), pid));
        // A key of another certificate is refused before it is put in place.
        let refused = machine.try_sh(&format!("{hook} /root/one/fullchain.pem /root/two/privkey.pem"));
        assert!(!refused.status.success() && told(&refused).contains("is not the key of the certificate"), "{}", told(&refused));
        machine.sh("systemctl reload alertd && systemctl restart alertd");
        assert_eq!(served(machine), two);
        assert_eq!(machine.sh("ls /etc/alertd/tls"), "alertd.pem");

        // A credential is fixed until the next start, and the reload says so.
        machine.sh("cat /root/one/fullchain.pem /root/one/privkey.pem >/root/tls.pem");
        machine.write("/etc/systemd/system/alertd.service.d/tls.conf", "[Service]\nLoadCredential=tls.pem:/root/tls.pem\n");
        machine.write("/etc/alertd.toml", "[http]\ntls_cert = \"tls.pem\"\ntls_key = \"tls.pem\"\n");
        machine.sh("systemctl daemon-reload && alertctl config check && systemctl restart alertd");
        assert_eq!(served(machine), one);
        machine.sh("cat /root/two/fullchain.pem /root/two/privkey.pem >/root/tls.pem && systemctl reload alertd");
        let reloaded = machine.journal("_SYSTEMD_UNIT=alertd.service MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e03");
        let message = reloaded.last().unwrap()["MESSAGE"].as_str().unwrap();
        assert!(message.contains("these need a restart: http.tls_cert, http.tls_key"), "{message}");
        assert_eq!(served(machine), one);
        machine.sh("systemctl restart alertd");
        assert_eq!(served(machine), two);
    }
}
