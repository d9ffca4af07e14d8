# Databricks notebook source
# Puts the files of the day away.

# COMMAND ----------

print("[Step 1/1] Moving the files")
