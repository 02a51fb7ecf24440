"""Reads exported tables with Arrow's own reader, and prints what is in them as JSON."""

import json
import sys

import pyarrow.parquet


def rows(path):
    table = pyarrow.parquet.read_table(path)
    times = [name for name in table.column_names if str(table.schema.field(name).type).startswith("timestamp")]
    columns = {
        # Python's own times have no nanoseconds.
        name: table[name].cast("int64").to_pylist() if name in times else table[name].to_pylist()
        for name in table.column_names
    }
    types = {field.name: str(field.type) for field in table.schema}
    return {"types": types, "rows": [dict(zip(columns, row)) for row in zip(*columns.values())]}


print(json.dumps({name: rows(f"{sys.argv[1]}/{name}.parquet") for name in ("events", "summaries")}))
