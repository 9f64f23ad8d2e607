//! All metrics: name, unit, type, help text, labels.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::alert::Level;
use crate::api::ConnectionStatus;
use crate::delivery::Takeover;
use crate::histogram::Distribution;
use crate::incident::{Counts, State};
use crate::service::Measurements;

#[derive(Debug)]
pub(super) struct Catalogue(pub(super) Measurements);

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl Collector for Catalogue {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut writer = MetricWriter(encoder);
        self.daemon(&mut writer)?;
        self.publishing(&mut writer)?;
        self.streams(&mut writer)?;
        self.connections(&mut writer)?;
        self.log(&mut writer)?;
        self.incidents(&mut writer)?;
        self.keys(&mut writer)
    }
}

impl Catalogue {
    fn daemon(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let Measurements { version, started, is_live, certificate_end_ms, .. } = &self.0;
        writer.gauge(
            "build_info",
            "Always 1; the label is the version of alertd",
            None,
            [([("version", *version)], 1)],
        )?;
        writer.lone(
            "start_time",
            "Time at which alertd started, in seconds since 1970",
            Some(Unit::Seconds),
            started.as_secs_f64(),
        )?;
        writer.lone(
            "live",
            "1, or 0 if the writer, the feed, the hub or a broadcast loop is stuck and only a restart helps",
            None,
            u32::from(*is_live),
        )?;
        let help = "0 if the last reload was refused, and the earlier configuration is in force; else 1";
        writer.lone("config_last_reload_successful", help, None, u32::from(!self.0.reload_refused))?;
        let disk = self.0.disk.as_ref();
        let help = "Space that alertd may still use on the file system of its state directory";
        writer.gauge("disk_free", help, Some(Unit::Bytes), disk.map(|disk| ([], disk.free_bytes)))?;
        let help = "Size of the file system of the state directory";
        writer.gauge("disk_size", help, Some(Unit::Bytes), disk.map(|disk| ([], disk.bytes)))?;
        let help = "Time at which the TLS certificate expires, in seconds since 1970";
        let end = certificate_end_ms.map(|ms| ([], ms as f64 / 1000.0));
        writer.gauge("certificate_expiry_timestamp", help, Some(Unit::Seconds), end)
    }

    fn publishing(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let Measurements { accepted, repeated, publish_failures, .. } = &self.0;
        writer.counter(
            "alerts_accepted",
            "Alerts stored by this node, by level and by the first label of their topic (32 labels, then other)",
            by_class_and_level(accepted),
        )?;
        writer.counter(
            "alerts_repeated",
            "Alerts that were recognized as repeats and not stored again, by level and by the first label of their topic",
            by_class_and_level(repeated),
        )?;
        let help = "Publishes answered with 503, because the log could not store them or not in time";
        writer.counter("publish_failures", help, [([], *publish_failures)])
    }

    fn streams(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let it = &self.0;
        let streams = it.streams.iter();
        let streams = streams
            .map(|(format, transport, open)| ([("format", format.as_str()), ("transport", transport.as_str())], *open));
        writer.gauge("streams", "Open streams, by format and transport", None, streams)?;
        let help = "Maximum number of open streams (http.max_streams); 0 means no limit";
        writer.lone("streams_limit", help, None, it.max_streams)?;
        let help = "1 while an operator has the streams leave (alertctl drain), else 0";
        writer.lone("draining", help, None, u32::from(it.is_draining))?;
        writer.lone("subscriptions", "Distinct subscriptions that have a ring", None, it.subscriptions)?;
        writer.counter("deliveries", "Alerts written to the connections of subscribers", [([], it.deliveries)])?;
        let help = "Time from an alert's received_at to the write to a subscriber's connection, without replays";
        writer.histogram("delivery_latency", help, &it.latency)?;
        let help = "Age of the oldest alert that is in the log but not yet in the hub";
        writer.gauge("lag", help, Some(Unit::Seconds), it.lag.map(|lag| ([], lag.as_secs_f64())))?;
        let help = "Broadcast loops that are behind, because of which publishers are delayed";
        writer.lone("loops_behind", help, None, it.loops_behind)?;
        let help = "Times that a stream fell behind its ring and continued from the log";
        writer.counter("overtaken", help, [([], it.overtaken)])?;
        let pages = it.replay_pages.iter().map(|(source, pages)| ([("source", source.as_str())], *pages));
        let help = "Pages of alerts replayed to streams: from the log, or encoded already for another stream";
        writer.counter("replay_pages", help, pages)?;
        writer.counter(
            "gaps",
            "Gap events sent, which tell a subscriber that alerts may be missing",
            [([], it.gaps)],
        )?;
        let ended = it.ended.iter().map(|(reason, count)| ([("reason", *reason)], *count));
        let help = "Streams that ended, by reason; gone means that the client disconnected, complete that a poll has its answer";
        writer.counter("streams_ended", help, ended)?;
        let Takeover { taken, key, damaged, late, pause } = it.takeover.unwrap_or_default();
        let results = [("taken", taken), ("key", key), ("damaged", damaged), ("late", late)];
        let results = results.map(|(result, streams)| ([("result", result)], streams));
        writer.counter("takeover_streams", "Streams that the previous process left, by result", results)?;
        let help = "Duration of the pause of the streams that were taken over";
        writer.lone("takeover", help, Some(Unit::Seconds), pause.as_secs_f64())
    }

    fn connections(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let each = |value: fn(&ConnectionStatus) -> u64| {
            self.0.connections.iter().map(move |status| ([("listener", status.listener.as_str())], value(status)))
        };
        writer.gauge("connections", "Open connections, by listener", None, each(|status| status.open))?;
        let help = "Maximum number of open connections (http.max_connections, or that of a local socket), by listener";
        writer.gauge("connections_limit", help, None, each(|status| status.limit))?;
        let help = "Requests answered with 503 because the maximum number of connections was open, by listener";
        writer.counter("connections_refused", help, each(|status| status.refused))?;
        let help = "Attempts to accept a connection that failed, for want of descriptors or memory";
        writer.counter("accept_failures", help, [([], self.0.accept_failures)])
    }

    fn log(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let it = &self.0;
        let help = "1 if publishing works now, 0 if alerts cannot be written to the disk or to Redis";
        writer.gauge("engine_up", help, None, [([("engine", it.engine)], u32::from(it.engine_is_up))])?;
        let help =
            "Duration of one write to the log: a commit to disk, or a call of Redis including the wait for replicas";
        writer.histogram("engine_commit", help, &it.commits)?;
        let store = it.store.as_ref();
        let help = "Size of the store: the segments on disk, or all memory used by Redis";
        writer.gauge("store", help, Some(Unit::Bytes), store.map(|store| ([], store.store_bytes)))?;
        let help = "Space of removed alerts that a running backup still needs";
        writer.gauge("backup_held", help, Some(Unit::Bytes), store.map(|store| ([], store.held_bytes)))?;
        let help = "Places where the log is damaged; streams get a gap event there";
        writer.gauge("log_damaged", help, None, store.map(|store| ([], store.damaged)))?;
        let scrubbed = store.and_then(|store| store.scrubbed_at).map(|at| ([], at.as_millisecond() as f64 / 1000.0));
        let help =
            "When all of the log on disk had last been checked for damage in the background, in seconds since 1970";
        writer.gauge("log_scrubbed_timestamp", help, Some(Unit::Seconds), scrubbed)?;
        writer.gauge("retained_alerts", "Alerts in the log", None, store.map(|store| ([], store.alerts)))?;
        let help = "Bytes of the alerts in the log";
        writer.gauge("retained", help, Some(Unit::Bytes), store.map(|store| ([], store.bytes)))?;
        let (count, bytes) = it.retain;
        let help = "Maximum number of alerts in the log (alerts.retain_count); 0 means no limit";
        writer.lone("retention_alerts_limit", help, None, count)?;
        let help = "Maximum bytes of the alerts in the log (alerts.retain_bytes); 0 means no limit";
        writer.lone("retention_limit", help, Some(Unit::Bytes), bytes)?;
        writer.gauge(
            "retained_topics",
            "Topics that have alerts in the log",
            None,
            store.map(|store| ([], store.topics)),
        )?;
        let oldest = store.and_then(|store| store.oldest).map(|oldest| ([], oldest.ms as f64 / 1000.0));
        let help = "Time in the id of the oldest alert in the log, in seconds since 1970";
        writer.gauge("oldest_alert_timestamp", help, Some(Unit::Seconds), oldest)
    }

    fn incidents(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let it = &self.0;
        let kinds = State::ALL.into_iter().flat_map(|state| Counts::LEVELS.map(|level| (state, level)));
        let counts = it.incidents.iter().flat_map(|counts| {
            kinds
                .clone()
                .map(|(state, level)| ([("state", state.as_str()), ("level", level.as_str())], counts.of(state, level)))
        });
        let help = "Incidents by state and level; resolved ones are forgotten with their last alert";
        writer.gauge("incidents", help, None, counts)?;
        let help = "Maximum number of unresolved incidents (incidents.max_open)";
        writer.lone("incidents_limit", help, None, it.max_open_incidents)?;
        let untracked = it.untracked.iter().map(|(reason, count)| ([("reason", *reason)], *count));
        let help = "Alerts stored by this node that should have opened an incident and did not, by reason";
        writer.counter("alerts_untracked", help, untracked)?;
        let help = "Time from the opening of an incident to its acknowledgement";
        writer.histogram("incident_acknowledgement", help, &it.incident_times.acknowledgement)?;
        let help = "Time from the opening of an incident to its resolution";
        writer.histogram("incident_resolution", help, &it.incident_times.resolution)?;
        let help = "Reminders sent by this node: alerts that announce again what nobody has acknowledged";
        writer.counter("incident_reminders", help, [([], it.incident_times.reminders)])
    }

    fn keys(&self, writer: &mut MetricWriter<'_>) -> Result<(), Error> {
        let it = &self.0;
        let [waiting, missed, limit] = it.expectations;
        let help = "Expectations of alerts, by state; missed means that the topic is silent";
        let states = [([("state", "waiting")], waiting as u64), ([("state", "missed")], missed as u64)];
        writer.gauge("expectations", help, None, states)?;
        writer.lone("expectations_limit", "Maximum number of expectations", None, limit)?;
        writer.lone("keys", "Keys in the store", None, it.keys)?;
        let expiring = it.keys_expiring.map(|(within, keys)| ([("within", within)], keys as u64));
        let help = "Keys that expire soon, without those that were made for a short time or replaced by a rotation";
        writer.gauge("keys_expiring", help, None, expiring)?;
        let attempts = it.attempts.iter().map(|(result, count)| ([("result", *result)], *count));
        writer.counter("authentications", "Attempts to authenticate, by result", attempts)?;
        let waiting = [([("pool", "own")], it.waiting_own), ([("pool", "imported")], it.waiting_imported)];
        let help = "Keys being verified or waiting for it; at 1024 further ones are answered with 503";
        writer.gauge("pbkdf2_queue", help, None, waiting)?;
        writer.counter("pbkdf2_derivations", "PBKDF2 computations to verify keys", [([], it.derivations)])
    }
}

fn by_class_and_level(alerts: &[(String, [u64; Level::ALL.len()])]) -> impl Iterator<Item = (Labels<'_, 2>, u64)> {
    alerts.iter().flat_map(|(class, counts)| {
        Level::ALL.map(|level| [("class", class.as_str()), ("level", level.as_str())]).into_iter().zip(*counts)
    })
}

/// Writes one metric after the other. A metric without samples is left out.
pub(super) struct MetricWriter<'a>(pub(super) DescriptorEncoder<'a>);

impl MetricWriter<'_> {
    fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        let exemplar = None::<&Exemplar<NoLabelSet, f64>>;
        for (labels, value) in samples {
            match N {
                0 => metric.encode_counter(&value, exemplar)?,
                _ => metric.encode_family(&labels)?.encode_counter(&value, exemplar)?,
            }
        }
        Ok(())
    }

    /// A counter of seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
        metric.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
    }

    pub(super) fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> Result<(), Error> {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in samples {
            match N {
                0 => metric.encode_gauge(&value)?,
                _ => metric.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn lone(&mut self, name: &str, help: &str, unit: Option<Unit>, value: impl EncodeGaugeValue) -> Result<(), Error> {
        self.gauge(name, help, unit, [([], value)])
    }

    fn histogram(&mut self, name: &str, help: &str, distribution: &Distribution) -> Result<(), Error> {
        let buckets: Vec<_> = distribution.buckets().collect();
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        let (sum, count) = (distribution.sum().as_secs_f64(), distribution.count());
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
