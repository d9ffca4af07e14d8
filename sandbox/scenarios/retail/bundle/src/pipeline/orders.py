"""Orders through the day: files as they come, cleaned, and summed up by hour."""

from pyspark import pipelines as dp
from pyspark.sql import functions as F


@dp.table(comment="Order files as they arrive")
def live_orders_raw():
    return (
        spark.readStream.format("cloudFiles")
        .option("cloudFiles.format", "json")
        .option("cloudFiles.schemaEvolutionMode", "addNewColumns")
        .load("/Volumes/main/retail/landing/orders")
    )


@dp.table(comment="Orders that can be used")
@dp.expect_or_drop("valid_id", "order_id IS NOT NULL")
@dp.expect("positive_amount", "amount > 0")
def live_orders():
    return spark.readStream.table("live_orders_raw").withColumn("order_date", F.to_date(F.col("ordered_at")))


@dp.materialized_view(comment="Revenue by hour")
def live_sales_by_hour():
    return (
        spark.read.table("live_orders")
        .groupBy(F.date_trunc("hour", F.col("ordered_at")).alias("hour"))
        .agg(F.sum(F.col("amount")).alias("revenue"))
    )
