-- Returns through the day.
CREATE OR REFRESH STREAMING TABLE live_returns (
  CONSTRAINT known_order EXPECT (order_id IS NOT NULL) ON VIOLATION DROP ROW
)
COMMENT 'Returns that belong to an order'
AS SELECT order_id, customer_id, reason, returned_at
FROM STREAM(live_returns_raw);

CREATE OR REFRESH STREAMING TABLE live_returns_raw
COMMENT 'Return files as they arrive'
AS SELECT * FROM STREAM read_files('/Volumes/main/retail/landing/returns', format => 'json');
