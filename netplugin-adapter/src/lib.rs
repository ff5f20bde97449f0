//! Contiv Netplugin statistics.
