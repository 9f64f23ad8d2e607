//! Metrics of the process, by the names that all Prometheus clients give them, without the prefix of alertd's own.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::catalogue::MetricWriter;
use crate::process::Process;

#[derive(Debug)]
pub(super) struct ProcessMetrics {
    pub(super) process: Process,
    /// Seconds since 1970.
    pub(super) started: f64,
}

impl Collector for ProcessMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut writer = MetricWriter(encoder);
        let Self { process, started } = self;
        let help = "Processor time of the process, in seconds";
        writer.seconds("process_cpu", help, process.cpu.as_secs_f64())?;
        let some = |value: Option<u64>| value.map(|value| ([], value));
        let help = "Memory of the process that is in RAM";
        writer.gauge("process_resident_memory", help, Some(Unit::Bytes), some(process.resident_bytes))?;
        let help = "Address space of the process";
        writer.gauge("process_virtual_memory", help, Some(Unit::Bytes), some(process.virtual_bytes))?;
        writer.gauge("process_open_fds", "Open descriptors of the process", None, some(process.open_fds))?;
        let help = "Descriptors that the process may open";
        writer.gauge("process_max_fds", help, None, some(process.max_fds))?;
        let help = "Time at which the process started, in seconds since 1970";
        writer.gauge("process_start_time", help, Some(Unit::Seconds), [([], *started)])
    }
}
