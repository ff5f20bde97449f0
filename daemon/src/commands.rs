//! The commands of the program: each module has the arguments of its command and a function `run`.

pub(crate) mod aggregate;
pub(crate) mod backup;
mod client;
pub(crate) mod config_args;
pub(crate) mod demo;
pub(crate) mod detect;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod health;
mod http_url;
pub(crate) mod merge;
mod neighbours;
mod pipeline_args;
pub(crate) mod preflight;
pub(crate) mod print;
mod recorded;
pub(crate) mod replay;
pub(crate) mod results;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod telegraf_config;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod topics;
pub(crate) mod validate;
