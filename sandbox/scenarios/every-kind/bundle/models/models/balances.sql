select account, total / days as mean from {{ ref('stg_ledger') }}
