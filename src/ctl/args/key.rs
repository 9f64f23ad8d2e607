//! The command line of `alertctl key`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::alert::Pattern;
use crate::ctl::values;
use crate::key::Scope;

/// `alertctl key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key; its secret is shown once
    ///
    /// The secret goes to standard output, alone on a line; everything else goes to standard error. A user may have
    /// several keys.
    #[command(
        after_long_help = "Examples:\n  alertctl key add alice\n  alertctl key add backup --scope publish --topic 'host.*' --expires 90d --label nightly > backup.key"
    )]
    Add {
        /// Whose key it is: letters, digits, dot, _ and -, 1 to 64
        user: String,
        /// What it may do; publish and subscribe where none is given
        #[arg(long = "scope", value_name = "SCOPE", value_parser = values::scope(), value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Where it may do it: a topic, ops.* or *; * where none is given
        #[arg(long = "topic", value_name = "PATTERN", value_parser = values::pattern, value_delimiter = ',')]
        topics: Vec<Pattern>,
        /// When it ends by itself, such as 90d
        #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
        expires: Option<Duration>,
        /// Words that help to tell keys apart
        #[arg(long)]
        label: Option<String>,
    },
    /// List the keys; never their secrets
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End a key, or all keys of a user, and the streams that they opened
    Revoke {
        /// A key's id, or a user name
        #[arg(value_name = "ID|USER")]
        id_or_user: String,
    },
    /// Make a new key like this one, which goes on working for a while
    ///
    /// The new secret goes to standard output, alone on a line.
    #[command(after_long_help = "Examples:\n  alertctl key rotate k7Qm2x --overlap 7d > new.key")]
    Rotate {
        /// The id of the key to replace
        id: String,
        /// How long the old key goes on working
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration)]
        overlap: Duration,
    },
    /// Take over the keys of the former alert server, so that they go on working
    Import {
        /// Its JSON file with the table of users; - is standard input
        #[arg(value_name = "FILE|-", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
}
