-- Where rounds are kept. $names are filled in by storage.schema; a statement begins at its "name:" line.
--
-- Every insert goes into `rounds`; materialized views carry it on into `rollups` and `latest`. All tables
-- remember the tokens of the newest inserts (deduplication window), so an insert that was cut off between
-- two of them is completed, not repeated, when it is sent again with the same token.

-- name: database
CREATE DATABASE IF NOT EXISTS $database $on_cluster

-- name: rounds
CREATE TABLE IF NOT EXISTS $table $on_cluster
(
    task       UInt64 CODEC(ZSTD(1)),
    agent      LowCardinality(String),
    time       DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    step       Float32 CODEC(ZSTD(1)),
    sent       UInt16 CODEC(ZSTD(1)),
    received   UInt16 CODEC(ZSTD(1)),
    late       UInt16 CODEC(ZSTD(1)),
    duplicates UInt16 CODEC(ZSTD(1)),
    reordered  UInt16 CODEC(ZSTD(1)),
    corrupted  UInt16 CODEC(ZSTD(1)),
    errors     UInt16 CODEC(ZSTD(1)),
    error      UInt32 CODEC(ZSTD(1)),
    flags      UInt32 CODEC(ZSTD(1)),
    address    FixedString(16) CODEC(ZSTD(1)),
    rtts       Array(Float32) CODEC(ZSTD(1))
)
ENGINE = $engine
PARTITION BY toDate(time)
ORDER BY (task, agent, time)
TTL $ttl
SETTINGS $settings

-- name: rollups
-- One table for all coarser levels (`bin` is their step in seconds), because each table more makes an insert
-- dearer than all its rows. `least` is inf and `greatest` -inf where nothing was answered.
CREATE TABLE IF NOT EXISTS $table $on_cluster
(
    bin          UInt32 CODEC(ZSTD(1)),
    task         UInt64 CODEC(ZSTD(1)),
    agent        LowCardinality(String),
    time         DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    rounds       SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    step         SimpleAggregateFunction(max, Float32) CODEC(ZSTD(1)),
    sent         SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    received     SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    late         SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duplicates   SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    reordered    SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    corrupted    SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    errors       SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    flags        SimpleAggregateFunction(groupBitOr, UInt32) CODEC(ZSTD(1)),
    least        SimpleAggregateFunction(min, Float32) CODEC(ZSTD(1)),
    greatest     SimpleAggregateFunction(max, Float32) CODEC(ZSTD(1)),
    total        SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    squares      SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    jitter_total SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    jitter_pairs SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    sketch       AggregateFunction(quantilesDD($accuracy, 0.5), Float32) CODEC(ZSTD(1))
)
ENGINE = $engine
PARTITION BY toStartOfQuarter(time)
ORDER BY (bin, task, agent, time)
TTL $ttl
SETTINGS $settings

-- name: latest
-- One row for each (task, agent), the newest round: overviews read this instead of searching `rounds`.
CREATE TABLE IF NOT EXISTS $table $on_cluster
(
    task     UInt64,
    agent    LowCardinality(String),
    time     DateTime64(9, 'UTC'),
    step     Float32,
    sent     UInt16,
    received UInt16,
    error    UInt32,
    flags    UInt32,
    address  FixedString(16),
    rtts     Array(Float32)
)
ENGINE = $engine
ORDER BY (task, agent)
TTL $ttl
SETTINGS $settings

-- name: rounds_to_rollups
-- Every RTT is looked at once, for its bin of the finest level; those bins then add up to the coarser ones.
-- The sketch counts nanoseconds: ClickHouse cuts logarithms off toward zero, so below 1 it puts a value one
-- bucket too high (seen in 26.9).
CREATE MATERIALIZED VIEW IF NOT EXISTS $view $on_cluster TO $table AS
SELECT
    bin,
    f.task AS task,
    f.agent AS agent,
    toDateTime(intDiv(f.second, bin) * bin, 'UTC') AS time,
    sum(f.rounds) AS rounds,
    max(f.step) AS step,
    sum(f.sent) AS sent,
    sum(f.received) AS received,
    sum(f.late) AS late,
    sum(f.duplicates) AS duplicates,
    sum(f.reordered) AS reordered,
    sum(f.corrupted) AS corrupted,
    sum(f.errors) AS errors,
    groupBitOr(f.flags) AS flags,
    min(f.least) AS least,
    max(f.greatest) AS greatest,
    sum(f.total) AS total,
    sum(f.squares) AS squares,
    sum(f.jitter_total) AS jitter_total,
    sum(f.jitter_pairs) AS jitter_pairs,
    quantilesDDArrayMergeState($accuracy, 0.5)(f.sketch) AS sketch
FROM
(
    WITH
        arrayFilter(x -> NOT isNaN(x), r.rtts) AS answered,
        -- RTTs that came sorted (flag 2048) say nothing of the order in which they were sent.
        if(bitTest(r.flags, 11), [], arrayFilter(
            x -> NOT isNaN(x),
            arrayMap((a, b) -> abs(a - b), arrayPopFront(r.rtts), arrayPopBack(r.rtts))
        )) AS steps
    SELECT
        r.task AS task,
        r.agent AS agent,
        intDiv(toUnixTimestamp(toDateTime(r.time)), $finest) * $finest AS second,
        count() AS rounds,
        max(r.step) AS step,
        sum(r.sent) AS sent,
        sum(r.received) AS received,
        sum(r.late) AS late,
        sum(r.duplicates) AS duplicates,
        sum(r.reordered) AS reordered,
        sum(r.corrupted) AS corrupted,
        sum(r.errors) AS errors,
        groupBitOr(r.flags) AS flags,
        min(if(empty(answered), inf, arrayMin(answered))) AS least,
        max(if(empty(answered), -inf, arrayMax(answered))) AS greatest,
        sum(arraySum(answered)) AS total,
        sum(arraySum(x -> toFloat64(x) * x, answered)) AS squares,
        sum(arraySum(steps)) AS jitter_total,
        sum(length(steps)) AS jitter_pairs,
        quantilesDDArrayState($accuracy, 0.5)(arrayMap(x -> toFloat32(x * 1e9), answered)) AS sketch
    FROM $source AS r
    GROUP BY task, agent, second
) AS f
ARRAY JOIN $bins AS bin
GROUP BY bin, task, agent, time

-- name: rounds_to_latest
CREATE MATERIALIZED VIEW IF NOT EXISTS $view $on_cluster TO $table AS
SELECT task, agent, time, step, sent, received, error, flags, address, rtts FROM $source

-- name: distributed
CREATE TABLE IF NOT EXISTS $table $on_cluster AS $local
ENGINE = Distributed('$cluster', '$database', '$local_name', sipHash64(task))

-- name: definition
SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {table:String}

-- name: modify_ttl
ALTER TABLE $table $on_cluster MODIFY TTL $ttl
