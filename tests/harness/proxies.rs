//! Real proxies in front of a daemon, each with its files in a directory.

use std::path::Path;
use std::process::{Command, Stdio};

use super::Running;

/// An nginx with this section `http`, and its files in this directory.
pub fn nginx(directory: &Path, http: &str) -> Running {
    let at = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {at}/{name};\n"))
        .collect();
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/log;\nevents {{ }}\n\
         http {{ access_log off;\n{temporary}{http}}}\n"
    );
    std::fs::write(directory.join("nginx.conf"), configuration).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-e", &format!("{at}/log"), "-p", &at.to_string(), "-c", "nginx.conf"]);
    Running(nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx"))
}

/// An Apache that listens at this address, with these modules beside those of a proxy, and this configuration.
pub fn apache(directory: &Path, address: &str, modules: &[&str], configuration: &str) -> Running {
    let at = directory.display();
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .iter()
        .chain(modules)
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let file = directory.join("apache.conf");
    let configuration = format!(
        "ServerRoot {at}\nServerName localhost\nListen {address}\nPidFile {at}/pid\nErrorLog {at}/log\n{modules}{configuration}"
    );
    std::fs::write(&file, configuration).unwrap();
    let mut apache = Command::new("apache2");
    apache.arg("-f").arg(file).arg("-DFOREGROUND").stdin(Stdio::null());
    Running(apache.spawn().expect("apache2"))
}

/// A Caddy with these sites, without certificates of its own.
pub fn caddy(directory: &Path, sites: &str) -> Running {
    let file = directory.join("Caddyfile");
    std::fs::write(&file, format!("{{\n admin off\n auto_https off\n}}\n{sites}")).unwrap();
    let mut caddy = Command::new("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", directory);
    Running(caddy.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("caddy"))
}
