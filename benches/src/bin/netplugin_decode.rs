//! One side of `benches/netplugin_compare`: `netplugin_decode --write BODY` writes the body that both sides decode, and
//! `netplugin_decode BODY ROUNDS` decodes and merges it that often and prints points and CPU nanoseconds of a round.

use std::hint::black_box;

use anyhow::{Context as _, bail};
use benches::netplugin::{NODE, body};
use netplugin_adapter::{Limits, decode, points};
use rustix::time::{ClockId, clock_gettime};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [flag, path] if flag == "--write" => {
            std::fs::write(path, body(NODE, 0)).with_context(|| format!("write {path}"))
        }
        [path, rounds] => {
            let body = std::fs::read(path).with_context(|| format!("read {path}"))?;
            let rounds: u64 = rounds.parse().context("ROUNDS is a number")?;
            let mut count = 0;
            let before = cpu();
            for _ in 0..rounds {
                let stats = decode(black_box(&body), &Limits::default())?;
                count = points(&stats).map(black_box).count();
            }
            println!("{count} {:.0}", (cpu() - before) / rounds as f64);
            Ok(())
        }
        _ => bail!("expected `--write BODY` or `BODY ROUNDS`"),
    }
}

/// CPU time of this thread in nanoseconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
