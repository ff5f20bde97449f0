//! The encoder of requests of version 1: series with one sample each.
//!
//! A request is the concatenation of its series, so that a sender encodes each series once and cuts requests as it likes.

use std::borrow::Cow;

use crate::protobuf::{bytes_head, varint, varint_len};

/// Appends the labels of a series as they are in a `TimeSeries`, sorted by name. A label without value is left out: for
/// Prometheus it is the same as none.
///
/// ```
/// use daemon_formats::remote_write::sent;
///
/// let mut encoded = Vec::new();
/// sent::labels(&mut [("name", "a".into()), ("__name__", "up".into()), ("b", "".into())], &mut encoded);
/// assert_eq!(encoded, b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x09\x0a\x04name\x12\x01a");
/// ```
pub fn labels(labels: &mut [(&str, Cow<'_, str>)], out: &mut Vec<u8>) {
    labels.sort_by_key(|(name, _)| *name);
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let sizes = [name.len(), value.len()].map(|size| size + 1 + varint_len(size as u64));
        bytes_head(1, sizes[0] + sizes[1], out);
        bytes_head(1, name.len(), out);
        out.extend_from_slice(name.as_bytes());
        bytes_head(2, value.len(), out);
        out.extend_from_slice(value.as_bytes());
    }
}

/// Appends a series of [`labels`] with one sample to a request.
pub fn series(labels: &[u8], value: f64, timestamp_ms: i64, out: &mut Vec<u8>) {
    let timestamp = timestamp_ms.cast_unsigned();
    let sample = 1 + 8 + 1 + varint_len(timestamp);
    bytes_head(1, labels.len() + 1 + varint_len(sample as u64) + sample, out);
    out.extend_from_slice(labels);
    bytes_head(2, sample, out);
    out.push(1 << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
    out.push(2 << 3);
    varint(timestamp, out);
}

/// Compresses a request into the block format of snappy. `None` above 4 GiB, which the format cannot hold.
pub fn compressed(request: &[u8]) -> Option<Vec<u8>> {
    snap::raw::Encoder::new().compress_vec(request).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode::{Written, request_1};
    use super::*;
    use crate::Point;

    proptest! {
        #[test]
        fn property_a_request_is_that_of_an_independent_encoder(
            value in any::<u64>().prop_map(f64::from_bits),
            timestamp_ms: i64,
            name in "[a-z_]{1,200}",
            text in "\\PC{1,300}",
        ) {
            // No label without value, and in the order of the names: what the other encoder does not do by itself.
            let names = [("__name__", name.as_str()), ("name", text.as_str())];
            let samples = vec![Point { timestamp_ms, start_ms: 0, value, integer: None }];
            let expected = request_1(&[Written { labels: names.to_vec(), samples, ..Written::default() }]);
            let (mut encoded, mut request) = (Vec::new(), Vec::new());
            labels(&mut [("name", text.as_str().into()), ("__name__", name.as_str().into())], &mut encoded);
            series(&encoded, value, timestamp_ms, &mut request);
            // Proto3 leaves out a zero, and an encoder may write it.
            if value != 0.0 && timestamp_ms != 0 {
                prop_assert_eq!(&request, &expected);
            }
            let packed = compressed(&request).unwrap();
            prop_assert_eq!(snap::raw::Decoder::new().decompress_vec(&packed).unwrap(), request);
        }
    }
}
