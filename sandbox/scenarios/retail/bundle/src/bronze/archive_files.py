# Databricks notebook source
# Moves the files that were loaded out of the landing folder.
import json

landing = "/Volumes/" + dbutils.widgets.get("catalog") + "/" + dbutils.widgets.get("schema") + "/landing"

# COMMAND ----------

moved = []
for entry in dbutils.fs.ls(landing + "/orders"):
    dbutils.fs.mv(entry.path, landing + "/archive/" + entry.name)
    moved.append(entry.name)

# COMMAND ----------

dbutils.notebook.exit(json.dumps({"status": "SUCCESS", "total": len(moved), "successful": len(moved), "failed": 0}))
