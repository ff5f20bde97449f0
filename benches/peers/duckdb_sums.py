"""The sums of the common job in DuckDB: duckdb_sums.py INPUT OUTPUT, one thread, rows `key,attr,window,sum`."""
import sys

import duckdb

source, output = sys.argv[1:3]
connection = duckdb.connect()
connection.execute("set threads = 1")
connection.execute("set preserve_insertion_order = false")
connection.execute(f"""
    copy (
        select key, attr, ts // 60000000 * 60000000 as minute, sum(value)
        from read_json('{source}', format = 'newline_delimited',
            columns = {{ts: 'BIGINT', key: 'VARCHAR', attr: 'VARCHAR', value: 'DOUBLE'}})
        group by all
    ) to '{output}' (format csv, header false)
""")
