//! All metrics: name, unit, type, meaning, labels.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::alert::Level;
use crate::histogram::Distribution;
use crate::service::Measurements;

/// What was measured, ready to be written.
#[derive(Debug)]
pub(super) struct Catalogue(pub(super) Measurements);

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl Collector for Catalogue {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut sheet = Sheet(encoder);
        self.daemon(&mut sheet)?;
        self.publishing(&mut sheet)?;
        self.fan_out(&mut sheet)?;
        self.log(&mut sheet)?;
        self.keys(&mut sheet)
    }
}

impl Catalogue {
    fn daemon(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let Measurements { version, started, is_live, .. } = &self.0;
        sheet.gauge(
            "build_info",
            "Always 1; the label is the version that runs",
            None,
            [([("version", *version)], 1)],
        )?;
        sheet.lone("start_time", "When alertd started, since 1970", Some(Unit::Seconds), started.as_secs_f64())?;
        sheet.lone(
            "live",
            "1, or 0 where writer, feed, hub or a loop are stuck and only a restart helps",
            None,
            u32::from(*is_live),
        )
    }

    fn publishing(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let Measurements { accepted, publish_failures, .. } = &self.0;
        let alerts = accepted.iter().flat_map(|(class, alerts)| {
            let labels = Level::ALL.map(|level| [("class", class.as_str()), ("level", level.as_str())]);
            labels.into_iter().zip(*alerts)
        });
        sheet.counter(
            "alerts_accepted",
            "Alerts stored and answered by this node, by the first label of their topic (32 are told apart) and by level",
            alerts,
        )?;
        let help = "Publishes answered 503: the log did not take them, or not in time";
        sheet.counter("publish_failures", help, [([], *publish_failures)])
    }

    fn fan_out(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let it = &self.0;
        let streams = it.streams.iter();
        let streams = streams
            .map(|(format, transport, open)| ([("format", format.as_str()), ("transport", transport.as_str())], *open));
        sheet.gauge("streams", "Open streams, by format and transport", None, streams)?;
        let help = "Streams that may be open (http.max_streams); 0 is no limit";
        sheet.lone("streams_limit", help, None, it.max_streams)?;
        sheet.lone("subscriptions", "Distinct subscriptions that have a ring of their own", None, it.subscriptions)?;
        sheet.counter("deliveries", "Alerts handed to subscribers' connections", [([], it.deliveries)])?;
        let help =
            "From an alert's received_at to the write to a subscriber's connection; live deliveries only, no replays";
        sheet.histogram("delivery_latency", help, &it.latency)?;
        let help = "Age of the oldest alert that is in the log and has not reached the fan-out";
        sheet.gauge("lag", help, Some(Unit::Seconds), it.lag.map(|lag| ([], lag.as_secs_f64())))?;
        let help = "Broadcast loops that are behind, so that publishers are held back for a moment";
        sheet.lone("loops_behind", help, None, it.loops_behind)?;
        let help = "Times a ring went on without one of its readers, who was then served from the log";
        sheet.counter("overtaken", help, [([], it.overtaken)])?;
        sheet.counter("gaps", "Gap events sent: a subscriber was told that alerts may be missing", [([], it.gaps)])?;
        let ended = it.ended.iter().map(|(reason, count)| ([("reason", *reason)], *count));
        sheet.counter("streams_ended", "Streams that ended, by the reason told; gone is the reader's own doing", ended)
    }

    fn log(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let it = &self.0;
        let help = "1 where publishing works now, 0 where the disk or Redis does not take alerts";
        sheet.gauge("engine_up", help, None, [([("engine", it.engine)], u32::from(it.engine_is_up))])?;
        let help =
            "Time of one write to the log: a commit of the store on disk, or a call of Redis with what it waits for";
        sheet.histogram("engine_commit", help, &it.commits)?;
        let store = it.store.as_ref();
        let help = "Size of the store: the segments on disk, or all the memory that Redis takes";
        sheet.gauge("store", help, Some(Unit::Bytes), store.map(|store| ([], store.store_bytes)))?;
        let help = "Places where the log is damaged; readers are told of gaps there";
        sheet.gauge("log_damaged", help, None, store.map(|store| ([], store.damaged)))?;
        sheet.gauge("retained_alerts", "Alerts in the log", None, store.map(|store| ([], store.alerts)))?;
        let help = "Bytes that the alerts in the log take";
        sheet.gauge("retained", help, Some(Unit::Bytes), store.map(|store| ([], store.bytes)))?;
        sheet.gauge(
            "retained_topics",
            "Topics that have alerts in the log",
            None,
            store.map(|store| ([], store.topics)),
        )?;
        let oldest = store.and_then(|store| store.oldest).map(|oldest| ([], oldest.ms as f64 / 1000.0));
        let help = "Id of the oldest alert in the log, as a time since 1970";
        sheet.gauge("oldest_alert_timestamp", help, Some(Unit::Seconds), oldest)
    }

    fn keys(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let it = &self.0;
        sheet.lone("keys", "Keys in the store", None, it.keys)?;
        let attempts = it.attempts.iter().map(|(result, count)| ([("result", *result)], *count));
        sheet.counter("authentications", "Attempts to authenticate, by result", attempts)?;
        let waiting = [([("pool", "own")], it.waiting_own), ([("pool", "imported")], it.waiting_imported)];
        let help = "Distinct keys that are being verified or wait for it; at 1024 further ones are answered 503";
        sheet.gauge("pbkdf2_queue", help, None, waiting)?;
        sheet.counter("pbkdf2_derivations", "PBKDF2 runs to verify keys", [([], it.derivations)])
    }
}

/// Where metrics are written one after the other. A metric without a sample is left out.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
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

    fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
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

    /// A gauge without labels.
    fn lone(&mut self, name: &str, help: &str, unit: Option<Unit>, value: impl EncodeGaugeValue) -> Result<(), Error> {
        self.gauge(name, help, unit, [([], value)])
    }

    /// A histogram of seconds.
    fn histogram(&mut self, name: &str, help: &str, seen: &Distribution) -> Result<(), Error> {
        let buckets: Vec<_> = seen.buckets().collect();
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(seen.sum().as_secs_f64(), seen.count(), &buckets, None)
    }
}
