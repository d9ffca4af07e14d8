# Databricks notebook source
# Copies the ledger of the bank.

# COMMAND ----------

print("[Step 1/2] Asking the bank")
print("[Step 2/2] Copying the ledger")
