//! Pushpin as Debian has it, with a small nginx as the origin that tells it to hold each request open.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{Place, Server, free_address, pinned};
use crate::Result;
use crate::dialect::Dialect;
use crate::machine::{descriptor_limit, pause};

pub(super) fn start(place: &Place, directory: TempDir) -> Result<Server> {
    let (address, origin, publish) = (free_address()?, free_address()?, free_address()?);
    let (push, subscribe, command) = (free_address()?, free_address()?, free_address()?);
    let at = directory.path().to_path_buf();
    let connections = descriptor_limit() - 100;
    fs::write(
        at.join("nginx.conf"),
        format!(
            r#"daemon off;
user root;
worker_processes 1;
error_log log error;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    default_type text/event-stream;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    server {{
        listen {origin};
        location / {{
            add_header Grip-Hold stream;
            add_header Grip-Channel alerts;
            return 200 ": open\n\n";
        }}
    }}
}}
"#
        ),
    )?;
    fs::create_dir_all(at.join("run"))?;
    fs::create_dir_all(at.join("logs"))?;
    fs::write(
        at.join("zurl.conf"),
        format!(
            r"[General]
instance_id=bench
in_spec=ipc://{at}/run/zurl-in
in_stream_spec=ipc://{at}/run/zurl-in-stream
out_spec=ipc://{at}/run/zurl-out
in_req_spec=ipc://{at}/run/zurl-req
defpolicy=allow
allow=
deny=
max_open_requests=2000
",
            at = at.display()
        ),
    )?;
    fs::write(at.join("routes"), format!("* {origin}\n"))?;
    fs::write(
        at.join("pushpin.conf"),
        format!(
            r"[global]
include={{libdir}}/internal.conf
rundir={at}/run
ipc_prefix=bench-
port_offset=0
stats_connection_ttl=120
[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port={http}
logdir={at}/logs
log_level=1
client_buffer_size=8192
client_maxconn={connections}
[proxy]
routesfile=routes
zurl_out_specs=ipc://{at}/run/zurl-in
zurl_out_stream_specs=ipc://{at}/run/zurl-in-stream
zurl_in_specs=ipc://{at}/run/zurl-out
[handler]
push_in_spec=tcp://{push}
push_in_sub_specs=tcp://{subscribe}
push_in_http_addr=127.0.0.1
push_in_http_port={publish}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{{rundir}}/{{ipc_prefix}}stats
command_spec=tcp://{command}
message_rate=1000000
message_hwm=1000000
",
            at = at.display(),
            http = address.port(),
            publish = publish.port(),
        ),
    )?;
    let mut server = Server::new(Dialect::Pushpin, address, directory);
    server.target.publish_address = Some(publish);
    let mut nginx = pinned(&place.core, Path::new("/usr/sbin/nginx"));
    nginx.args(["-e", "log", "-c"]).arg(at.join("nginx.conf")).arg("-p").arg(&at);
    server.spawn(nginx)?;
    let mut zurl = pinned(&place.core, Path::new("/usr/bin/zurl"));
    zurl.arg(format!("--config={}", at.join("zurl.conf").display()));
    server.spawn(zurl)?;
    let mut pushpin = pinned(&place.core, Path::new("/usr/bin/pushpin"));
    pushpin.arg(format!("--config={}", at.join("pushpin.conf").display()));
    server.spawn(pushpin)?;
    server.ready(Duration::from_secs(20))?;
    hold(address)?;
    Ok(server)
}

/// Waits until a stream can be opened: the parts find each other some time after they listen.
fn hold(address: SocketAddrV4) -> Result<()> {
    let mut said = String::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(b"GET /alerts HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let mut answer = [0; 1024];
        let length = socket.read(&mut answer).unwrap_or(0);
        said = String::from_utf8_lossy(&answer[..length]).into_owned();
        if said.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        pause(Duration::from_millis(100));
    }
    Err(format!("pushpin holds no stream: {said}").into())
}
