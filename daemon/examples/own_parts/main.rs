//! The daemon with a source and a sink of its own: load averages of this machine in, lines of text out.
//!
//! ```text
//! OWN_PARTS_OUT=/tmp/load.txt cargo run -p daemon --example own_parts -- run \
//!     --set aggregation.uve_proxy_list=Host-load:AggProxySum --set aggregation.period=5 --set log.data_dir=/tmp/load
//! ```

mod load;
mod text_file;

use std::process::ExitCode;

use derived_statsd::Daemon;
use load::Load;
use text_file::TextFile;

fn main() -> ExitCode {
    let out = std::env::var_os("OWN_PARTS_OUT").unwrap_or_else(|| "own_parts.txt".into());
    Daemon::builder().source(Load).sink(TextFile::new(out.into())).run()
}
