//! The source for flags of the command line.

use super::layers::Layers;
use super::problem::SourceLocation;

/// Merges `--set KEY=VALUE` and `--DEFAULT.uve_proxy_list LIST` into `layers`.
pub(super) fn read(set: &[String], uve_proxy_list: &[String], layers: &mut Layers) {
    for flag in set {
        match flag.split_once('=') {
            Some((key, value)) => layers.set_text(key.trim(), value, SourceLocation::Flag("--set")),
            None => layers.add_problem(
                SourceLocation::Flag("--set"),
                format!("expected KEY=VALUE such as `http.listen=127.0.0.1:9000`, found `{flag}`"),
            ),
        }
    }
    if !uve_proxy_list.is_empty() {
        let list = uve_proxy_list.join(" ");
        layers.set_text("aggregation.uve_proxy_list", &list, SourceLocation::Flag("--DEFAULT.uve_proxy_list"));
    }
}
