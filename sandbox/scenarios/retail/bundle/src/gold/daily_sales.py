# Databricks notebook source
# Sums up one region's sales by day.
import json

from pyspark.sql import functions as F

place = dbutils.widgets.get("catalog") + "." + dbutils.widgets.get("schema")
region = dbutils.widgets.get("region")

# COMMAND ----------

sales = (
    spark.read.table(f"{place}.silver_orders")
    .filter(F.col("region") == region)
    .groupBy("order_date")
    .agg(F.sum(F.col("amount")).alias("revenue"))
)
sales.write.mode("append").saveAsTable(f"{place}.gold_daily_sales")
dbutils.notebook.exit(json.dumps({"status": "SUCCESS", "region": region, "total": 1, "successful": 1, "failed": 0}))
