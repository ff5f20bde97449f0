//! The answers to a request, in its encoding.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>

use super::Encoding;
use crate::protobuf::{Fields, ProtobufError, bytes_head, varint};

/// `ExportMetricsServiceResponse`. It is empty if everything is taken; otherwise it has the number of the points that are
/// not, and why.
pub fn response(encoding: Encoding, rejected: Option<(u64, &str)>) -> Vec<u8> {
    let Some((points, message)) = rejected else {
        return match encoding {
            Encoding::Json => b"{}".to_vec(),
            Encoding::Protobuf => Vec::new(),
        };
    };
    match encoding {
        Encoding::Json => {
            // Integers of 64 bits are texts.
            let partial = serde_json::json!({"rejectedDataPoints": points.to_string(), "errorMessage": message});
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
        Encoding::Protobuf => {
            let mut partial = Vec::new();
            varint_field(1, points, &mut partial);
            bytes_field(2, message.as_bytes(), &mut partial);
            let mut out = Vec::new();
            bytes_field(1, &partial, &mut out);
            out
        }
    }
}

/// The points that a receiver has not taken, and why: what [`response`] writes in protobuf. `None` if it has taken all and
/// has nothing to say, or the body is another one.
///
/// ```
/// use daemon_formats::otlp::Encoding;
/// use daemon_formats::otlp::answer::{rejected, response};
///
/// let body = response(Encoding::Protobuf, Some((1000, "too old")));
/// assert_eq!(rejected(&body), Some((1000, "too old".to_owned())));
/// assert_eq!(rejected(b""), None);
/// ```
pub fn rejected(body: &[u8]) -> Option<(u64, String)> {
    let (mut points, mut message) = (0, String::new());
    let mut read = || -> Result<(), ProtobufError> {
        for field in Fields::of(body) {
            let partial = field?;
            if partial.number != 1 {
                continue;
            }
            for field in partial.message()? {
                let field = field?;
                match field.number {
                    1 => points = field.unsigned()?,
                    2 => message = field.text()?.to_owned(),
                    _ => {}
                }
            }
        }
        Ok(())
    };
    read().ok()?;
    (points > 0 || !message.is_empty()).then_some((points, message))
}

/// `google.rpc.Status`: why a request is refused. The code is one of gRPC.
///
/// <https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto>
pub fn status(encoding: Encoding, code: u8, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::json!({"code": code, "message": message}).to_string().into_bytes(),
        Encoding::Protobuf => {
            let mut out = Vec::new();
            varint_field(1, u64::from(code), &mut out);
            bytes_field(2, message.as_bytes(), &mut out);
            out
        }
    }
}

fn varint_field(number: u8, value: u64, out: &mut Vec<u8>) {
    out.push(number << 3);
    varint(value, out);
}

fn bytes_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    bytes_head(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Partial {
        #[prost(int64, tag = "1")]
        rejected_data_points: i64,
        #[prost(string, tag = "2")]
        error_message: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Response {
        #[prost(message, optional, tag = "1")]
        partial_success: Option<Partial>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }

    #[test]
    fn answers_in_protobuf_are_those_that_prost_decodes() {
        let message = "x".repeat(300);
        let partial = Partial { rejected_data_points: 1000, error_message: message.clone() };
        let encoded = response(Encoding::Protobuf, Some((1000, &message)));
        assert_eq!(Response::decode(&*encoded).unwrap(), Response { partial_success: Some(partial) });
        assert_eq!(rejected(&encoded), Some((1000, message.clone())));
        assert_eq!(rejected(&Response::default().encode_to_vec()), None);
        for other in [&b"{}"[..], b"<html>", b"\x0a\x05\x08"] {
            assert_eq!(rejected(other), None, "{other:?}");
        }
        assert_eq!(response(Encoding::Protobuf, None), b"");
        let encoded = status(Encoding::Protobuf, 3, &message);
        assert_eq!(Status::decode(&*encoded).unwrap(), Status { code: 3, message });
    }

    #[test]
    fn answers_in_json_have_the_names_of_the_specification() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(text(response(Encoding::Json, None)), "{}");
        assert_eq!(
            text(response(Encoding::Json, Some((2, "why")))),
            r#"{"partialSuccess":{"errorMessage":"why","rejectedDataPoints":"2"}}"#
        );
        assert_eq!(text(status(Encoding::Json, 3, "why")), r#"{"code":3,"message":"why"}"#);
    }
}
