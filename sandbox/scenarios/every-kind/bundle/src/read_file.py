# Databricks notebook source
# Reads one file and checks its sum.
file = dbutils.widgets.get("file")

# COMMAND ----------

print("[Step 1/2] Reading " + file)
print("[Step 2/2] Checking " + file)
