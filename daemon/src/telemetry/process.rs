//! The metrics of the process, with the names that every client library of Prometheus gives them, and the build.

use std::fmt;

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` at a scrape. What cannot be read is left out: `/proc` may be hidden.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

/// What `/proc` tells about this process.
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    started_at: Option<u64>,
}

impl Usage {
    fn read(process: &Process) -> Option<Self> {
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let started = procfs::boot_time_secs().ok().map(|boot| boot as f64 + stat.starttime as f64 / ticks);
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads,
            started_at: started.map(|seconds| seconds as u64),
        })
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(process) = Process::myself() else { return Ok(()) };
        if let Some(usage) = Usage::read(&process) {
            let cpu = ConstCounter::new(usage.cpu_seconds);
            let help = "CPU time of the process, user and system.";
            let kind = cpu.metric_type();
            cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)?;
            let help = "Memory of the process that is in RAM.";
            gauge(&mut encoder, "process_resident_memory", help, Some(&Unit::Bytes), usage.resident_bytes as f64)?;
            let help = "Address space of the process.";
            gauge(&mut encoder, "process_virtual_memory", help, Some(&Unit::Bytes), usage.virtual_bytes as f64)?;
            gauge(&mut encoder, "process_threads", "Threads of the process.", None, usage.threads as f64)?;
            if let Some(started_at) = usage.started_at {
                let help = "Time at which the process started, since the epoch.";
                gauge(&mut encoder, "process_start_time", help, Some(&Unit::Seconds), started_at as f64)?;
            }
        }
        if let Ok(open) = process.fd_count() {
            gauge(&mut encoder, "process_open_fds", "Open file descriptors.", None, open as f64)?;
        }
        if let Ok(limits) = process.limits()
            && let LimitValue::Value(most) = limits.max_open_files.soft_limit
        {
            gauge(&mut encoder, "process_max_fds", "File descriptors that may be open.", None, most as f64)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}
