#!/usr/bin/env python3
"""Writes metrics.pb and metrics.json: one request with every type of metric and of value, by the reference implementation.

Needs opentelemetry-proto (1.45.2 wrote the files that are here).
"""
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

START, TIME = 1_700_000_000_000_000_000, 1_700_000_060_123_456_789


def text(key, value):
    return KeyValue(key=key, value=AnyValue(string_value=value))


request = ExportMetricsServiceRequest()
resource = request.resource_metrics.add()
resource.resource.attributes.extend([
    text("service.name", "cart"), text("service.namespace", "shop"), text("service.instance.id", "a:80"),
    text("host.name", "h1"), text("zone", "of the resource"),
])
scope = resource.scope_metrics.add()
scope.scope.name, scope.scope.version = "lib", "1.2"
scope.scope.attributes.append(text("color", "blue"))

gauge = scope.metrics.add(name="system.cpu.utilization", unit="1")
point = gauge.gauge.data_points.add(time_unix_nano=TIME, as_double=0.25)
point.attributes.extend([
    text("zone", "of the point"), text("job", "ignored"), text("a.b", "1"), text("a-b", "2"), text("empty", ""),
    KeyValue(key="bool", value=AnyValue(bool_value=True)),
    KeyValue(key="int", value=AnyValue(int_value=-5)),
    KeyValue(key="double", value=AnyValue(double_value=1.5)),
    KeyValue(key="bytes", value=AnyValue(bytes_value=b"\x00\xff")),
    KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(string_value="x")]))),
    KeyValue(key="map", value=AnyValue(kvlist_value=KeyValueList(values=[text("k", "v")]))),
    KeyValue(key="nothing"),
])
gauge.gauge.data_points.add(time_unix_nano=TIME, flags=1)
gauge.gauge.data_points.add(time_unix_nano=TIME)

total = scope.metrics.add(name="http.server.requests", unit="{request}")
total.sum.aggregation_temporality, total.sum.is_monotonic = 2, True
total.sum.data_points.add(start_time_unix_nano=START, time_unix_nano=TIME, as_int=1027)
level = scope.metrics.add(name="connections")
level.sum.aggregation_temporality = 2
level.sum.data_points.add(time_unix_nano=TIME, as_int=-3)
delta = scope.metrics.add(name="errors")
delta.sum.aggregation_temporality, delta.sum.is_monotonic = 1, True
delta.sum.data_points.add(start_time_unix_nano=START, time_unix_nano=TIME, as_double=2)
scope.metrics.add(name="unspecified").sum.data_points.add(time_unix_nano=TIME, as_double=1)

histogram = scope.metrics.add(name="http.server.request.duration", unit="s")
histogram.histogram.aggregation_temporality = 2
histogram.histogram.data_points.add(start_time_unix_nano=START, time_unix_nano=TIME, count=4, sum=0.5,
                                    explicit_bounds=[0.1, 1], bucket_counts=[1, 2, 1], min=0.01, max=0.3)
histogram.histogram.data_points.add(start_time_unix_nano=START, time_unix_nano=TIME, count=2)
exponential = scope.metrics.add(name="sizes", unit="By")
exponential.exponential_histogram.aggregation_temporality = 1
point = exponential.exponential_histogram.data_points.add(time_unix_nano=TIME, count=9, sum=90, scale=3, zero_count=1)
point.positive.bucket_counts.extend([4, 4])
summary = scope.metrics.add(name="rpc")
point = summary.summary.data_points.add(time_unix_nano=TIME, count=7, sum=70)
point.quantile_values.add(quantile=0.5, value=10)

second = request.resource_metrics.add()
second.scope_metrics.add().metrics.add(name="up").gauge.data_points.add(time_unix_nano=TIME, as_int=1)

folder = Path(__file__).parent
(folder / "metrics.pb").write_bytes(request.SerializeToString())
(folder / "metrics.json").write_text(json_format.MessageToJson(request, indent=1, use_integers_for_enums=True) + "\n")
