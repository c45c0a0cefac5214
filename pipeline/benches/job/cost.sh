#!/bin/sh
# The job's tables in the columns of the peer benchmark's checker: cost.sh OUTPUT [CLOUDOPS]
set -eu
mkdir -p "$1/answer/totals" "$1/answer/updates"
"${2:-cloudops}" sql --catalog "$1/results" \
    "copy (select entity_id as account, service, day, cast(effective_cost as double) as total
           from cost_daily) to '$1/answer/totals/answer.parquet'"
exec "${2:-cloudops}" sql --catalog "$1/results" \
    "copy (select entity_id as account, service, day, known_on as ingest_day,
                  cast(effective_after as double) as total
           from cost_revisions) to '$1/answer/updates/answer.parquet'"
