//! nchan in nginx: one worker, its memory store, no access log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{Place, Server, free_address, pinned};
use crate::Result;
use crate::dialect::Dialect;
use crate::machine::descriptor_limit;

pub(super) fn start(place: &Place, directory: TempDir) -> Result<Server> {
    let address = free_address()?;
    let descriptors = descriptor_limit().min(1_000_000);
    // When a sixteenth of its connections is left, nginx closes those that have not said anything yet.
    let connections = descriptors + descriptors / 8;
    fs::write(
        directory.path().join("nginx.conf"),
        format!(
            r"daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {descriptors};
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
error_log log error;
pid nginx.pid;
events {{ use epoll; worker_connections {connections}; }}
http {{
    access_log off;
    nchan_shared_memory_size 512M;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    server {{
        listen {address} reuseport backlog=4096;
        location = /sub {{
            nchan_subscriber eventsource;
            nchan_channel_id alerts;
            nchan_subscriber_first_message newest;
        }}
        location = /pub {{
            nchan_publisher;
            nchan_channel_id alerts;
            nchan_message_buffer_length 5000;
            nchan_message_timeout 1h;
        }}
    }}
}}
"
        ),
    )?;
    let mut server = Server::new(Dialect::Nchan, address, directory);
    let mut command = pinned(&place.core, Path::new("/usr/sbin/nginx"));
    command.args(["-e", "log", "-c"]).arg(server.path().join("nginx.conf")).arg("-p").arg(server.path());
    server.spawn(command)?;
    server.ready(Duration::from_secs(5))?;
    Ok(server)
}
