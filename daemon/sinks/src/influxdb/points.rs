//! Converts a stored result into points.
//!
//! * A scrape of a Contiv node gives one point per endpoint, service and provider. The measurement is
//!   `httpjson_svcstats`, as in Telegraf. The tags are `EndpointIP`, `ProviderIP`, `ServiceIP`, `host` and `server`,
//!   the fields are the integers `BytesIn`, `BytesOut`, `PacketsIn` and `PacketsOut`, and the time is the time of the
//!   scrape. Contiv's page groups by every tag, so `host` and `server` must stay the same for an endpoint.
//! * A result of a proxy UVE gives one point. The measurement is the proxy type. The tags are `table` and `name` of the
//!   object, and `proxy`, the aggregated struct and attribute. The fields are the numbers ([`super::fields`]), and the
//!   time is the start of the window. An inline result, of one sample, has the time of the sample: of two results in
//!   the same microsecond InfluxDB keeps the later one.

use daemon_alarms::row::is_alarms;
use daemon_results::block::Row;
use daemon_results::line::{LineError, LineReader, is_scrape};
use daemon_results::record::Stored;
use netplugin_adapter::{Point, ScrapeRecord};

use super::config::{Precision, ServerPart};

use super::batch::Batch;
use super::fields;
use super::line::{Line, Value};

/// The reason why a result gives no point.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is not a scrape in a supported format ({0})")]
    Scrape(#[from] serde_json::Error),
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("its name {0:?} is not `type-struct-attribute`, or its key {1:?} is not `table:name`")]
    Name(String, String),
}

/// A converter from results to points.
#[derive(Debug)]
pub(super) struct Points {
    host: String,
    server: Vec<ServerPart>,
    precision: Precision,
    lines: LineReader,
    /// A buffer for the tag `server` and the names of fields.
    text: String,
}

impl Points {
    /// Creates a converter that parses results in JSON with `lines`.
    pub(super) fn new(host: String, server: Vec<ServerPart>, precision: Precision, lines: LineReader) -> Self {
        Self { host, server, precision, lines, text: String::new() }
    }

    /// Adds the points of one result to `batch`, and returns the number of capped integers.
    ///
    /// # Errors
    ///
    /// If the result cannot be read; `batch` is then unchanged.
    pub(super) fn add(&mut self, result: &Stored<'_>, batch: &mut Batch) -> Result<u64, Unreadable> {
        let Self { lines, text, precision, .. } = self;
        let line = match result {
            Stored::Row(row) => return add_row(row, *precision, text, batch),
            // Alarms are no numbers.
            Stored::Line(line) if is_alarms(line) => return Ok(0),
            Stored::Line(line) if !is_scrape(line) => return add_row(&lines.row(line)?, *precision, text, batch),
            Stored::Line(line) => line,
        };
        let scrape = ScrapeRecord::parse(line)?;
        let capped = scrape.points.iter().map(|point| self.add_point(&scrape, point, batch));
        Ok(capped.sum())
    }

    fn add_point(&mut self, scrape: &ScrapeRecord<'_>, point: &Point<'_>, batch: &mut Batch) -> u64 {
        self.text.clear();
        for part in &self.server {
            self.text.push_str(match part {
                ServerPart::Endpoint => point.endpoint_ip,
                ServerPart::Node => &scrape.node,
                ServerPart::Text(text) => text,
            });
        }
        let capped = batch.add(|out| {
            let mut line = Line::begin(out, "httpjson_svcstats");
            line.tag("EndpointIP", point.endpoint_ip);
            line.tag("ProviderIP", point.provider_ip);
            line.tag("ServiceIP", point.service_ip);
            line.tag("host", &self.host);
            line.tag("server", &self.text);
            line.field("BytesIn", Value::Unsigned(point.bytes_in));
            line.field("BytesOut", Value::Unsigned(point.bytes_out));
            line.field("PacketsIn", Value::Unsigned(point.packets_in));
            line.field("PacketsOut", Value::Unsigned(point.packets_out));
            line.end(scrape.at, self.precision)
        });
        capped.unwrap_or(0)
    }
}

/// Adds the point of a result; `text` is a buffer.
fn add_row(row: &Row<'_>, precision: Precision, text: &mut String, batch: &mut Batch) -> Result<u64, Unreadable> {
    let unnamed = || Unreadable::Name(row.shape.uve.to_string(), row.key.to_owned());
    let (proxy_type, proxy) = row.shape.uve.split_once('-').ok_or_else(unnamed)?;
    let (table, name) = row.key.split_once(':').ok_or_else(unnamed)?;
    let capped = batch.add(|out| {
        let mut line = Line::begin(out, proxy_type);
        line.tag("name", name);
        line.tag("proxy", proxy);
        line.tag("table", table);
        fields::add(row, &mut line, text);
        line.end(row.start, precision)
    });
    Ok(capped.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxdb::config::{self, InfluxConfig};

    fn add(result: &str) -> (String, Result<u64, Unreadable>) {
        let server = config::server_parts(&InfluxConfig::default().server).unwrap();
        let mut points = Points::new("stats 1".to_owned(), server, Precision::S, LineReader::default());
        let mut batch = Batch::default();
        batch.add(|out| out.extend_from_slice(b"before\n"));
        let added = points.add(&Stored::Line(result.as_bytes()), &mut batch);
        let text = String::from_utf8(batch.text(&(0..batch.len())).to_vec()).unwrap();
        (text.strip_prefix("before\n").unwrap().to_owned(), added)
    }

    #[test]
    fn a_scrape_gives_one_point_per_pair_in_the_form_of_telegraf() {
        let points = r#"["11.1.1.2","100.1.1.3","10.1.1.7",1018,1200,12,14],["11.1.1.2","100.1.1.4","100.1.1.4",0,18446744073709551615,0,9223372036854775808]"#;
        let (lines, capped) =
            add(&format!(r#"{{"scrape":"svcstats","node":"192.168.2.10","at":1490306665000000,"points":[{points}]}}"#));
        let tags = r"host=stats\ 1,server=http://192.168.2.10:4000/11.1.1.2";
        let expected = format!(
            "httpjson_svcstats,EndpointIP=11.1.1.2,ProviderIP=10.1.1.7,ServiceIP=100.1.1.3,{tags} \
             BytesIn=1018i,BytesOut=1200i,PacketsIn=12i,PacketsOut=14i 1490306665\n\
             httpjson_svcstats,EndpointIP=11.1.1.2,ProviderIP=100.1.1.4,ServiceIP=100.1.1.4,{tags} \
             BytesIn=0i,BytesOut=9223372036854775807i,PacketsIn=0i,PacketsOut=9223372036854775807i 1490306665\n"
        );
        assert_eq!(lines, expected);
        assert_eq!(capped.unwrap(), 2);
        let (lines, _) = add(r#"{"scrape":"svcstats","node":"n","at":1,"points":[]}"#);
        assert_eq!(lines, "");
    }

    #[test]
    fn a_result_gives_one_point_at_the_start_of_its_window() {
        let result = |uve: &str, data: &str| {
            add(&format!(
                r#"{{"key":"ObjectVNTable:default-domain:demo:vn 1","uve":"{uve}","start":1488000000000000,"end":1488000060000000,"data":{data}}}"#
            ))
        };
        let (lines, capped) = result(
            "AggProxySum-UveVirtualNetworkAgent-egress_flow_count",
            r#"{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{"value":36}}"#,
        );
        let tags = r"name=default-domain:demo:vn\ 1,proxy=UveVirtualNetworkAgent-egress_flow_count,table=ObjectVNTable";
        assert_eq!(lines, format!("AggProxySum,{tags} deleted=false,value_value=36i 1488000000\n"));
        assert_eq!(capped.unwrap(), 0);
        let (lines, _) = result("T-A-b", r#"{"deleted":true,"proxy":"A-b"}"#);
        assert_eq!(lines, "T,name=default-domain:demo:vn\\ 1,proxy=A-b,table=ObjectVNTable deleted=true 1488000000\n");
    }

    #[test]
    fn a_result_that_cannot_be_read_adds_no_line() {
        for result in [
            "",
            "nothing",
            r#"{"scrape":"other","node":"n","at":1,"points":[]}"#,
            r#"{"scrape":"svcstats","node":"n","at":1,"points":[["a","b","c",1,2,3,4],["a"]]}"#,
            r#"{"key":"no table","uve":"T-A-b","start":1,"end":2,"data":{"deleted":true}}"#,
            r#"{"key":"T:n","uve":"NoDash","start":1,"end":2,"data":{"deleted":true}}"#,
            r#"{"key":"T:n","uve":"T-A-b","end":2,"data":{"deleted":true}}"#,
            r#"{"key":"T:n","uve":"T-A-b","start":1,"end":2,"data":{"deleted":false,"value":[1]}}"#,
        ] {
            let (lines, added) = add(result);
            assert_eq!((lines.as_str(), added.is_err()), ("", true), "{result}");
        }
    }
}
