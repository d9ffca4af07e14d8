# Databricks notebook source
# Cleans the orders and joins the customer each one belongs to.
import json

from pyspark.sql import functions as F

catalog = dbutils.widgets.get("catalog")
schema = dbutils.widgets.get("schema")
place = f"{catalog}.{schema}"

# COMMAND ----------

print("[Step 1/3] Reading bronze")
orders = spark.read.table(f"{place}.bronze_orders")
customers = spark.read.table(f"{place}.bronze_customers")

# COMMAND ----------

print("[Step 2/3] Joining customers")
valid = orders.filter(F.col("order_id").isNotNull()).filter(F.col("amount") > 0)
known = customers.select(F.col("customer_id"), F.col("country"), F.col("segment"))
joined = (
    valid.join(known, "customer_id", "left")
    .withColumn("order_date", F.to_date(F.col("ordered_at")))
    .dropDuplicates(["order_id"])
)

# COMMAND ----------

print("[Step 3/3] Writing silver_orders")
joined.write.mode("overwrite").saveAsTable(f"{place}.silver_orders")
rows = spark.read.table(f"{place}.silver_orders").count()
dbutils.notebook.exit(
    json.dumps({"status": "SUCCESS", "total": 1, "successful": 1, "failed": 0, "failed_items": [], "rows": rows})
)
