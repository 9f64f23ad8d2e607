//! Arguments of `alertctl key`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::alert::Pattern;
use crate::ctl::values;
use crate::key::Scope;

/// `alertctl key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Create a key and print its secret, which is shown only once
    ///
    /// The secret goes to standard output, on a line by itself; everything else goes to standard error. A user may have
    /// several keys.
    #[command(
        after_long_help = "Examples:\n  alertctl key add alice\n  alertctl key add backup --scope publish --topic 'host.*' --expires 90d --label nightly > backup.key"
    )]
    Add {
        /// User who owns the key: 1 to 64 letters, digits, dots, _ and -
        user: String,
        /// What the key permits [default: publish,subscribe]
        #[arg(long = "scope", value_name = "SCOPE", value_parser = values::scope(), value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Topics that the key may use: a topic, ops.* or * [default: *]
        #[arg(long = "topic", value_name = "PATTERN", value_parser = values::pattern, value_delimiter = ',')]
        topics: Vec<Pattern>,
        /// Time until the key expires, such as 90d [default: never]
        #[arg(long, value_name = "DURATION", value_parser = values::nonzero_duration)]
        expires: Option<Duration>,
        /// Description that helps to tell keys apart
        #[arg(long)]
        label: Option<String>,
    },
    /// List the keys, without their secrets
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, or all keys of a user, and end the streams that they opened
    Revoke {
        /// Id of a key, or name of a user
        #[arg(value_name = "ID|USER")]
        id_or_user: String,
    },
    /// Replace a key: create a new one with the same rights, and let the old one expire
    ///
    /// The new secret goes to standard output, on a line by itself.
    #[command(after_long_help = "Examples:\n  alertctl key rotate k7Qm2x --overlap 7d > new.key")]
    Rotate {
        /// Id of the key to replace
        id: String,
        /// How long the old key remains valid
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration)]
        overlap: Duration,
    },
    /// Import the keys of the former alert server, which remain valid
    Import {
        /// JSON file with that server's table of users; - reads standard input
        #[arg(value_name = "FILE|-", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
}
