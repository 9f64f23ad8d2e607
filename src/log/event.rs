//! The kinds of event that an operator may want explained, in one table.
//!
//! Code of any layer logs `message_id = %Event::StoreFull`. The text sinks show the name, the journal gets the 128-bit
//! `MESSAGE_ID`, and `journalctl -x` explains it from `systemd/alertd.catalog`, which is generated from this table.
//! An id is never reused for another meaning; new events get the next free number.

use std::fmt;

/// One row of the table.
struct Entry {
    /// Shown by the text sinks.
    name: &'static str,
    /// The `MESSAGE_ID` in the journal.
    id: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the catalog, which a test generates"))]
    catalog: Explanation,
}

/// The explanation of an event in the catalog.
#[cfg_attr(not(test), expect(dead_code, reason = "for the catalog, which a test generates"))]
struct Explanation {
    manual: &'static str,
    subject: &'static str,
    text: &'static str,
}

macro_rules! events {
    ($($event:ident($name:literal, $id:literal, $manual:literal): $subject:literal, $text:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Event {
            $($event,)+
        }

        impl Event {
            const ALL: &[Self] = &[$(Self::$event,)+];

            const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$event => &Entry {
                        name: $name,
                        id: concat!("6ad1f4a7b6f04c2f9a4e0d7c6a3f1e", $id),
                        catalog: Explanation { manual: $manual, subject: $subject, text: $text },
                    },)+
                }
            }
        }
    };
}

events! {
    Started("started", "01", "alertd(8)"): "alertd accepts alerts",
        "The daemon has opened its keys, its log of alerts and its sockets, and serves requests.";
    Stopping("stopping", "02", "alertd(8)"): "alertd is stopping",
        "Open streams get an event \"bye\", and clients reconnect by themselves. If systemd holds the sockets, new \
         connections wait there for the next start.";
    Reloaded("reloaded", "03", "alertd.toml(5)"): "alertd uses its new configuration",
        "File, keys and certificates were read again; no stream was interrupted. The message says who asked for it, and \
         names settings that take effect only after a restart.";
    ReloadRefused("reload-refused", "04", "alertd.toml(5)"): "alertd refuses the new configuration",
        "alertd continues with the current configuration. `alertctl config check` shows every error with its place; \
         correct them and reload again.";
    StoreUnavailable("store-unavailable", "05", "alertd(8)"): "The log of alerts cannot be written",
        "Publishing is answered with 503 until it works again; no alert that was answered with success is lost. Check \
         the directory that the message names and its disk. alertd retries by itself.";
    StoreRecovered("store-recovered", "06", "alertd(8)"): "The log of alerts can be written again",
        "Publishing is accepted again. Nothing is left to do.";
    ClockHeldBack("clock-held-back", "07", "alertd(8)"): "The clock jumped forward, and retention follows it slowly",
        "According to this clock, many alerts are suddenly too old. Since the clock may be wrong, alertd removes them slowly. \
         Check the clock with `timedatectl`.";
    Stuck("stuck", "09", "alertd(8)"): "A part of alertd no longer makes progress",
        "The watchdog's marker did not pass through the engine, the feed, the hub and the broadcast loops in time. If \
         that lasts, systemd restarts the service; subscribers resume where they were.";
    StoreFull("store-full", "0a", "alertd.toml(5)"): "The log of alerts has no space left",
        "Publishing is answered with 503. Free space on the disk that the message names, or keep less: \
         alerts.retain_age, alerts.retain_count and alerts.retain_bytes.";
    SlowStreamEnded("slow-stream-ended", "0b", "alertd(8)"): "A subscriber was too slow",
        "Its stream was ended so that it cannot delay others. The client reconnects with the id of the last alert it has \
         seen and gets what it missed, as long as that is within retention. If it happens often, check the client and \
         its network.";
    KeyRevoked("key-revoked", "0c", "alertctl(1)"): "A key was revoked",
        "Requests with this key are refused from now on, and its streams have been ended. The message says who revoked \
         it. `alertctl key list` lists all keys.";
    EngineAway("engine-away", "0d", "alertd.toml(5)"): "Redis cannot be reached",
        "Publishing is answered with 503 and open streams wait until Redis is back; alerts that were answered with \
         success are in Redis. Check the server that the message names, the network, and [engine.redis]. alertd \
         reconnects by itself.";
    EngineBack("engine-back", "0e", "alertd(8)"): "Redis can be reached again",
        "Publishing is accepted again, and streams continue where they were. Nothing is left to do.";
    EngineGap("engine-gap", "0f", "alertd(8)"): "Redis lost alerts, or removed them before this node read them",
        "Streams continue, and each one that misses something is told so by an event \"gap\". If Redis was not replaced \
         or emptied on purpose, check its persistence (appendonly, appendfsync), and whether a replica that was behind \
         became the primary.";
    EngineUnsafe("engine-unsafe", "10", "alertd.toml(5)"): "Settings of the Redis server can lose alerts",
        "The server works, but the setting that the message names puts alerts at risk that were answered with success, \
         or keeps alerts that were taken back in the memory of Redis. Correct it on the server as the message says.";
    KeysUnread("keys-unread", "11", "alertd.toml(5)"): "The keys of the fleet cannot be read",
        "Redis answers, but the keys in it cannot be read; the message says why. Keys that this node verified before \
         stay valid until auth.stale_max has passed.";
    KeysAway("keys-away", "12", "alertd.toml(5)"): "The keys of the fleet cannot be reached",
        "Keys that this node verified before stay valid, and requests with any other key are answered with 503. After \
         auth.stale_max all streams with keys are ended, because this node does not learn of revoked keys.";
    KeysStale("keys-stale", "13", "alertd.toml(5)"): "The keys of the fleet could not be reached for too long",
        "For longer than auth.stale_max this node could not learn of revoked keys. All streams with keys were ended, and \
         requests with keys are answered with 503 until Redis is back.";
    KeysRestored("keys-restored", "14", "alertd(8)"): "This node wrote its keys back to Redis",
        "Redis had older keys than this node, or fewer, as after a restart without persistence or a failover to a \
         replica that was behind. Check the persistence of Redis, and `alertctl key list`.";
    KeysBack("keys-back", "15", "alertd(8)"): "The keys of the fleet can be reached",
        "This node has the keys of the fleet and verifies requests. Nothing is left to do.";
    WorkerFailed("worker-failed", "16", "alertd(8)"): "An essential part of alertd failed",
        "alertd ended itself, so that systemd starts it again; subscribers resume where they were. This is a \
         defect of alertd: please report it together with the entries before this one, which hold the panic message.";
    StopIncomplete("stop-incomplete", "17", "alertd(8)"): "Something did not end in time while alertd stopped",
        "The message names it; alertd ends without it. Alerts that were answered with success are stored, and clients \
         whose connections were cut reconnect. If a worker is named that writes, check the disk or Redis.";
    StoreDamaged("store-damaged", "18", "alertd(8)"): "The log of alerts is damaged",
        "The message names the file and the place. Alerts there are lost; everything else is served, and subscribers who \
         would have got them are told by an event \"gap\". Nothing is deleted. Check the disk, and restore a backup if \
         you need these alerts.";
    DescriptorUnknown("descriptor-unknown", "19", "alertd(8)"): "systemd passed a descriptor that alertd does not know",
        "It was closed. After a downgrade this is harmless: a newer version stored it. Otherwise correct \
         FileDescriptorName= in the .socket unit: alertd knows http, control and publish.";
    BackupMade("backup-made", "1e", "alertctl(1)"): "A backup was made",
        "The whole log and all keys were read over the control socket, as `alertctl backup` does. The message says by whom.";
    BackupFailed("backup-failed", "1f", "alertctl(1)"): "A backup was given up",
        "The message has the reason. A backup is given up when alertd stops, when its reader is too slow, and when the \
         disk is full, since the space that it keeps is then needed for new alerts. The file is incomplete: make it again.";
    AuthenticationFailed("authentication-failed", "20", "alertd(8)"): "A request was refused because of its key",
        "The message has the address and the reason. The first ten of an address and kind in a minute are logged one by \
         one, then only counted. If the client is yours, give it a valid key; against others limit the addresses, or let \
         fail2ban read these entries with the filter in /usr/share/alertd/fail2ban.";
    AuthenticationsLeftOut("authentications-left-out", "21", "alertd(8)"): "More requests were refused because of their keys",
        "They came within a minute from the address that the message names, for the same reason as the entries \
         before. alertd_authentications_total counts all of them.";
    KeyAdded("key-added", "22", "alertctl(1)"): "A key was added",
        "The message says which key, what it permits, and who added it. Revoke it with `alertctl key revoke` if it should \
         not exist.";
    KeyRotated("key-rotated", "23", "alertctl(1)"): "A key was rotated",
        "A new key has the rights of an old one, which stays valid for a while. The message says who did it.";
    KeysImported("keys-imported", "24", "alertctl(1)"): "Keys of the former alert server were imported",
        "`alertctl key list` shows them. The message says who did it.";
    KeysNotChanged("keys-not-changed", "25", "alertctl(1)"): "A change of the keys failed",
        "The keys are as they were before. The message has the reason and the remedy.";
    Restored("restored", "26", "alertctl(1)"): "A backup was restored",
        "The log and the keys of a stopped alertd were replaced by those of a backup, with `alertctl restore`. The message \
         says which one and who did it.";
    Draining("draining", "27", "alertctl(1)"): "An operator is draining this alertd",
        "Until `alertctl undrain` or a restart, /readyz says no and new streams are answered with 503, so that load \
         balancers use other nodes. Open streams end evenly over the time that the message says. Publishing still works.";
    Drained("drained", "28", "alertctl(1)"): "No streams are left",
        "The drain that an operator began has ended the last stream. Publishing still works, and new streams are refused until \
         `alertctl undrain` or a restart.";
    Undrained("undrained", "29", "alertctl(1)"): "The drain has ended",
        "New streams are accepted again, and /readyz says yes. The message says who ended the drain.";
    ConnectionLimit("connection-limit", "2c", "alertd.toml(5)"): "The maximum number of connections is open",
        "Clients beyond http.max_connections, or beyond the limit of a local socket, are answered with 503; only health, \
         status and metrics are served to them. Open streams go on. `alertctl status` shows the numbers. Raise the limit, \
         and LimitNOFILE= with it, or find out who opens so many connections.";
    CannotAccept("cannot-accept", "2d", "alertd(8)"): "alertd cannot accept connections",
        "The process or the machine has no descriptors or no memory left. New connections wait, and alertd tries again ten \
         times a second. Raise LimitNOFILE= with `systemctl edit`, or lower http.max_connections.";
    CertificateEnds("certificate-ends", "2a", "alertd.toml(5)"): "The TLS certificate expires soon",
        "This is logged 30 days, 7 days and 1 day before. Put the new certificate and its key in place of the old ones, and \
         reload; no stream is interrupted. /usr/share/alertd/install-certificate does both.";
    CertificateNotValid("certificate-not-valid", "2b", "alertd.toml(5)"): "The TLS certificate is not valid now",
        "alertd still uses it, but clients refuse it: it has expired, or it is not valid yet, which may be because the clock is \
         wrong. Put another one in its place and reload.";
    LogChecked("log-checked", "2e", "alertd(8)"): "The whole log of alerts was checked after a failure",
        "The alertd before this one ended with a panic while it used the log; the entries before say where. Nothing in the \
         log is damaged, so it is served. Please report the panic: it is a defect of alertd.";
    KeyUnusable("key-unusable", "1a", "alertctl(1)"): "A stored key is damaged and is refused",
        "The message names the key and what is wrong with it. All other keys work. Restore the entry from a backup and \
         reload, or remove it with `alertctl key revoke` and make a new key. If nobody edited the keys, check the disk.";
    TakenOver("taken-over", "1b", "alertd(8)"): "alertd continues the streams of the process before it",
        "Clients have noticed a pause of the length that the message says. Streams that ended had a key that is no longer \
         valid, or could not be passed on; their clients resume where they were.";
    StreamsNotStored("streams-not-stored", "1c", "alertd(8)"): "A restart ends streams instead of keeping them",
        "systemd did not keep the streams for the next process; the message says why. Their clients reconnect and resume where \
         they were. Check FileDescriptorStoreMax= and LimitNOFILE= of the unit.";
    StartFailed("start-failed", "1d", "alertd(8)"): "alertd cannot start",
        "The message says why, and what to do about it. After an exit status of 65 (a store or key file that is damaged \
         or not alertd's) or 78 (configuration, owners, modes) systemd does not try again, and the sockets are closed: \
         correct the cause, then `systemctl start alertd`. After any other status systemd tries again each second.";
    ExpectationMade("expectation-made", "2f", "alertctl(1)"): "Something is expected on a topic",
        "If nothing is published on the topic for as long as the message says, alertd publishes an alert there. The message \
         says who expects it. `alertctl expect --list` lists all expectations.";
    ExpectationRemoved("expectation-removed", "30", "alertctl(1)"): "Nothing is expected on a topic any more",
        "Its silence is no longer announced. The message says who removed the expectation.";
    ExpectationAnnounced("expectation-announced", "31", "alertctl(1)"): "A topic is silent, or is back",
        "alertd has published an alert on the topic that says so. If the topic is silent, check its sender: a job that no \
         longer runs, or a key that is no longer valid.";
    ExpectationsFull("expectations-full", "32", "alertctl(1)"): "There are as many expectations as are allowed",
        "Whoever wanted to make another one was answered with 503. `alertctl expect --list` lists them, and `alertctl expect \
         TOPIC --remove` removes one.";
    ExpectationsUnread("expectations-unread", "33", "alertd(8)"): "Stored expectations cannot be read",
        "The message names the file or the topic, and says why. What cannot be read is left as it is, and the silence of \
         its topics is not announced.";
    ExpectationsRestored("expectations-restored", "34", "alertd(8)"): "This node gave Redis its expectations back",
        "Redis had older expectations than this node, as after a restart without persistence or a failover to a replica \
         that was behind. Check the persistence of Redis, and `alertctl expect --list`.";
    IncidentChanged("incident-changed", "35", "alertctl(1)"): "Somebody changed an incident",
        "The message says which incident was acknowledged, resolved or reopened, and by whom. `alertctl incidents` lists \
         those that are not resolved.";
    AlertRetracted("alert-retracted", "36", "alertctl(1)"): "Somebody retracted an alert",
        "The message says which alert was taken back, and by whom. Its content is gone from the log; copies may be in backups, \
         in the journal if `log.mirror_alerts` is on, and with those who received it.";
    IncidentsUntracked("incidents-untracked", "37", "alertd.toml(5)"): "Alerts open no more incidents",
        "They are stored and delivered as ever. The message says why, and what to do about it: as many incidents are \
         unresolved as incidents.max_open or incidents.max_open_per_user allows, or a node of an earlier version shares the \
         log. `alertctl incidents` lists the unresolved ones.";
}

impl Event {
    const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The `MESSAGE_ID` of the event with this name.
    pub(super) fn id_of(name: &str) -> Option<&'static str> {
        Self::ALL.iter().map(|event| event.entry()).find(|entry| entry.name == name).map(|entry| entry.id)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Columns of the text in the catalog.
    const TEXT_WIDTH: usize = 78;

    fn wrapped(text: &str) -> String {
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            let line = lines.last_mut().unwrap();
            match line.len() {
                0 => line.push_str(word),
                length if length + 1 + word.len() <= TEXT_WIDTH => *line += &format!(" {word}"),
                _ => lines.push(word.to_owned()),
            }
        }
        lines.join("\n")
    }

    fn catalog() -> String {
        let mut catalog =
            "# Explanations of alertd's entries, shown by journalctl -x. Generated from src/log/event.rs.\n".to_owned();
        for event in Event::ALL {
            let Entry { id, catalog: Explanation { manual, subject, text }, .. } = event.entry();
            let text = wrapped(text);
            write!(
                catalog,
                "\n-- {id}\nSubject: {subject}\nDefined-By: alertd\nDocumentation: man:{manual}\n\n{text}\n"
            )
            .unwrap();
        }
        catalog
    }

    #[test]
    fn the_shipped_catalog_is_generated_from_the_table() {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/alertd.catalog");
        if std::env::var_os("UPDATE_CATALOG").is_some() {
            fs::write(shipped, catalog()).unwrap();
        }
        assert_eq!(
            fs::read_to_string(shipped).unwrap(),
            catalog(),
            "run `UPDATE_CATALOG=1 cargo test --lib log::event` once"
        );
    }

    #[test]
    fn every_id_is_128_bits_of_lower_case_hex_and_unique() {
        let entries: Vec<_> = Event::ALL.iter().map(|event| event.entry()).collect();
        for entry in &entries {
            let is_hex = entry.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            assert!(entry.id.len() == 32 && is_hex, "{}", entry.name);
        }
        let ids: HashSet<_> = entries.iter().map(|entry| entry.id).collect();
        let names: HashSet<_> = entries.iter().map(|entry| entry.name).collect();
        assert_eq!((ids.len(), names.len()), (entries.len(), entries.len()));
    }

    #[test]
    fn every_entry_has_a_subject_and_a_text() {
        for event in Event::ALL {
            let Explanation { manual, subject, text } = &event.entry().catalog;
            assert!(!subject.is_empty() && subject.len() <= TEXT_WIDTH, "{event}");
            assert!(text.ends_with('.') && manual.ends_with(')'), "{event}");
        }
    }

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn code_logs_all_events_of_the_table_and_no_others() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut logged = HashSet::new();
        for file in files.iter().filter(|file| !file.ends_with("log/event.rs")) {
            let code = fs::read_to_string(file).unwrap();
            for value in code.split("message_id = ").skip(1) {
                let name = value
                    .strip_prefix("%Event::")
                    .unwrap_or_else(|| panic!("{}: write message_id = %Event::…, not {:.40}", file.display(), value));
                logged.insert(name.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned());
            }
        }
        let table: HashSet<_> = Event::ALL.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(logged, table);
    }
}
