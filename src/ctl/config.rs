//! `alertctl config` and `alertctl reload`.

use std::time::Duration;

use hyper::Method;

use super::args::{Config, DaemonOptions};
use super::client::{Client, ClientError, Request};
use super::exit::Failure;
use super::output::{Output, note};
use super::settings;
use crate::api::Reloaded;
use crate::config::Resolved;
use crate::daemon::Checked;
use crate::systemd;

/// Long, because a reload also reads certificates and keys, possibly from a slow disk.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks or shows the configuration without contacting the daemon.
///
/// # Errors
/// [`Failure::Configuration`] with all errors of the configuration.
pub(crate) async fn run(command: &Config, daemon: &DaemonOptions, output: &mut Output) -> Result<(), Failure> {
    match command {
        Config::Check => {
            let Checked { resolved, remarks } = settings::check(daemon)?;
            remark(&resolved, &remarks);
            note("the configuration is valid");
            Ok(())
        }
        Config::Show => {
            let resolved = settings::load(daemon)?;
            remark(&resolved, &resolved.ignored().into_iter().chain(resolved.warnings.clone()).collect::<Vec<_>>());
            let file = resolved.file.as_deref().unwrap_or_else(|| settings::default_file());
            note(&format!(
                "this is what {} and the environment of this command say; a daemon that runs was not asked, and takes \
                 changes at a reload (alertctl reload)",
                resolved.file.as_ref().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string())
            ));
            if let Some((unit, addresses)) = systemd::listening(file) {
                note(&format!("{unit} listens on {}, which counts instead of http.listen", addresses.join(", ")));
            }
            let text = settings::show(&resolved);
            output.text(&text).await?;
            if text.ends_with('\n') { Ok(()) } else { output.text("\n").await }
        }
    }
}

fn remark(resolved: &Resolved, remarks: &[String]) {
    for remark in remarks {
        note(remark);
    }
    if resolved.file.is_none() {
        let file = settings::default_file().display();
        note(&format!("{file} does not exist: using defaults and the environment; --config selects another file"));
    }
}

/// Makes the daemon reload its configuration and waits for the result.
///
/// # Errors
/// [`Failure::Configuration`] if the new configuration is invalid.
pub(crate) async fn reload(client: &Client) -> Result<(), Failure> {
    let reloaded: Reloaded = match client.send(Request::new(Method::POST, "/reload").timeout(RELOAD_TIMEOUT)).await {
        Ok(response) => response.json().await?,
        Err(ClientError::Refused { status: 422, detail, .. }) => {
            let remedy = "the daemon keeps its current configuration; correct the new one and reload again";
            return Err(Failure::Configuration(format!("the new configuration is invalid: {detail}\n{remedy}")));
        }
        Err(error) => return Err(error.into()),
    };
    for warning in &reloaded.warnings {
        note(warning);
    }
    if !reloaded.needs_restart.is_empty() {
        let names = reloaded.needs_restart.join(", ");
        note(&format!("restart alertd to apply {names} (systemctl restart alertd)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::testing::{Reply, Server};

    #[tokio::test]
    async fn an_invalid_configuration_exits_with_78_and_every_reason() {
        let server = Server::always(Reply::problem(422, "configuration: line 3\nline 9")).await;
        let failure = reload(&Client::new(server.address(), None)).await.unwrap_err();
        assert!(failure.code() == 78 && failure.to_string().contains("line 3\nline 9"), "{failure}");
        let server = Server::always(Reply::problem(403, "control socket only")).await;
        assert_eq!(reload(&Client::new(server.address(), None)).await.unwrap_err().code(), 77);
    }

    #[tokio::test]
    async fn a_valid_configuration_is_a_success() {
        let server = Server::always(Reply::json(200, r#"{"needs_restart":["engine.kind"],"warnings":[]}"#)).await;
        reload(&Client::new(server.address(), None)).await.unwrap();
        let request = server.requests().remove(0);
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/reload"));
    }
}
