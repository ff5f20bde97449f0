//! Where samples come from.
//!
//! | module | source |
//! |---|---|
//! | [`intake`] | lines and single samples of any source, checked and turned into records of the log |
//! | [`opserver`] | Contrail's analytics API, polled for the attributes of UVEs |
//! | [`contiv`] | Contiv's nodes, whose Netplugin is scraped for the traffic of endpoints; also the pages of Contiv's own backend |

pub mod contiv;
pub mod intake;
pub mod opserver;
