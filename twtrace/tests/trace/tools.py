# Opens a recording with nothing of ours, in three libraries, and prints what each counts in the same words.
import json
import sys

import duckdb
import polars
import pyarrow
import pyarrow.compute as compute

path = sys.argv[1]


def say(library, what, counts):
    for name, count in sorted(counts):
        print(f"{library} {what} {name} {count}")


# pyarrow
stream = pyarrow.ipc.open_stream(path)
header = json.loads(stream.schema.metadata[b"twtrace"])
print(f"format {header['format']} of {header['host']} under Linux {header['attached']['kernel']}")
table = stream.read_all().unify_dictionaries()
table.validate(full=True)
kinds = table.group_by("kind").aggregate([([], "count_all")])
say("pyarrow", "kind", zip(kinds["kind"].to_pylist(), kinds["count_all"].to_pylist()))
closing = table.filter(compute.equal(table["to"].cast("string"), "FIN_WAIT1"))
closers = closing.group_by("comm").aggregate([([], "count_all")])
say("pyarrow", "closer", zip(closers["comm"].to_pylist(), closers["count_all"].to_pylist()))
first = table.filter(compute.equal(table["kind"].cast("string"), "transition")).sort_by("time").slice(0, 1)
for name, column in zip(first.column_names, first.columns):
    value = column[0]
    if value.is_valid:
        # Python's own times end at microseconds.
        print("first", name, value.cast("string") if name in ("time", "started") else value)

# Polars
frame = polars.read_ipc_stream(path)
say("polars", "kind", frame.group_by("kind").len().iter_rows())
closing = frame.filter(polars.col("to") == "FIN_WAIT1")
say("polars", "closer", closing.group_by("comm").len().iter_rows())

# DuckDB, over the batches of Arrow as they come
recording = pyarrow.ipc.open_stream(path)
counts = "select {0}::varchar, count(*) from recording {1} group by 1"
say("duckdb", "kind", duckdb.sql(counts.format("kind", "")).fetchall())
recording = pyarrow.ipc.open_stream(path)
say("duckdb", "closer", duckdb.sql(counts.format("comm", "where \"to\" = 'FIN_WAIT1'")).fetchall())
