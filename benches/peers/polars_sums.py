"""The sums of the common job in polars' streaming engine: polars_sums.py INPUT OUTPUT, rows `key,attr,window,sum`.

The number of threads comes from the environment, POLARS_MAX_THREADS.
"""
import sys

import polars

source, output = sys.argv[1:3]
schema = {"ts": polars.Int64, "key": polars.String, "attr": polars.String, "value": polars.Int64}
window = (polars.col("ts") // 60_000_000 * 60_000_000).alias("window")
records = polars.scan_ndjson(source, schema=schema)
sums = records.group_by("key", "attr", window).agg(polars.col("value").sum())
sums.sink_csv(output, include_header=False, engine="streaming")
