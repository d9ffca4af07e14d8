-- The totals of the day.
SELECT account, SUM(amount) AS total FROM main.books.bookings GROUP BY account;
