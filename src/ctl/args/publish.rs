//! The arguments of `alertctl publish`.

use std::time::Duration;

use clap::Args;

use crate::alert::{Every, IncidentName, Level, Topic, Ttl};
use crate::ctl::values;

/// `alertctl publish`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  alertctl publish 'Deploy completed' -m version=1.2.3
  alertctl publish -t ops.db -l error 'disk is full'
  alertctl publish -t ops.db -l error --incident disk --ttl 1h 'disk is full'
  alertctl publish -t ops.db --incident disk --resolve 'disk has room again'
  journalctl -u backup -n 5 | alertctl publish -t backup")]
pub(crate) struct Publish {
    /// Topic to publish to
    #[arg(short, long, default_value = "default")]
    pub topic: Topic,
    /// Severity of the alert
    #[arg(short, long, default_value = "info", value_parser = values::level())]
    pub level: Level,
    /// Member of the metadata; its value is always text. May be repeated
    #[arg(short, long = "metadata", value_name = "KEY=VALUE", value_parser = values::lossy_pair())]
    pub metadata: Vec<(String, String)>,
    /// Idempotency key [default: random]
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Have alertd say so if the topic is then silent for longer than this, from 10s to 366d
    #[arg(long, value_name = "DURATION")]
    pub expect_within: Option<Every>,
    /// Name of the incident that the alert reports
    #[arg(long, value_name = "NAME")]
    pub incident: Option<IncidentName>,
    /// How long the incident lasts without a further alert, from 1s to 366d
    #[arg(long, value_name = "DURATION", requires = "incident", conflicts_with = "resolve")]
    pub ttl: Option<Ttl>,
    /// Say that the incident is over
    #[arg(long, requires = "incident")]
    pub resolve: bool,
    /// How long to retry; 0 means a single attempt
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub retry_for: Duration,
    /// Print the stored alert as a JSON object instead of its id
    #[arg(long)]
    pub json: bool,
    /// Message; if it is missing or -, it is read from standard input, without the final line break
    ///
    /// A message of more than 4096 bytes is cut and ends in "…". Bytes that are not UTF-8 are replaced by "�".
    #[arg(value_name = "MESSAGE|-", value_parser = values::lossy())]
    pub message: Option<String>,
}
