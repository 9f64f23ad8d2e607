//! `alertctl drain` and `alertctl undrain`.

use std::time::Duration;

use hyper::Method;
use tokio::time::{Instant, sleep};

use super::args;
use super::client::{Client, Request};
use super::exit::Failure;
use super::output::note;
use crate::api::{DrainStatus, Status};

/// How often the command looks how many streams are left.
const LOOK: Duration = Duration::from_millis(250);
/// How long a stream may take to read what it was sent before its end.
const GRACE: Duration = Duration::from_secs(10);

/// Has the streams leave, and waits until they have.
///
/// # Errors
/// Those of the daemon, and [`Failure::Failed`] if streams are left some time after the end.
pub(crate) async fn drain(args: &args::Drain, client: &Client) -> Result<(), Failure> {
    // A part of a second counts as one, so that nobody leaves sooner than was asked for.
    let over = args.over.as_secs() + u64::from(args.over.subsec_nanos() > 0);
    let body = format!("{{\"over\":{over}}}");
    let request = Request::new(Method::POST, "/drain").body("application/json", body);
    let DrainStatus { streams, .. } = client.send(request).await?.json().await?;
    note(&format!(
        "open streams: {streams}; they leave over {over} s, and new ones are refused until `alertctl undrain`"
    ));
    let end = Instant::now() + Duration::from_secs(over) + GRACE;
    loop {
        if args.no_wait {
            return Ok(());
        }
        let Status { drain: DrainStatus { draining, streams, .. }, .. } =
            client.send(Request::get("/status")).await?.json().await?;
        match streams {
            _ if !draining => return Err(Failure::Failed("the drain was ended by someone else".into())),
            0 => {
                note("no streams are left");
                return Ok(());
            }
            _ if Instant::now() >= end => {
                return Err(Failure::Failed(format!(
                    "open streams: {streams}; they should have left, see alertctl status"
                )));
            }
            _ => sleep(LOOK).await,
        }
    }
}

/// Opens streams again.
///
/// # Errors
/// Those of the daemon.
pub(crate) async fn undrain(client: &Client) -> Result<(), Failure> {
    let _: DrainStatus = client.send(Request::new(Method::DELETE, "/drain")).await?.json().await?;
    Ok(())
}
