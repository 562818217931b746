-- Statements for history brought in from another system's archives (storage.history).

-- name: history
-- Keeps nothing: what is inserted goes through the view below into the rollups. Made for an import, dropped after it.
CREATE TABLE IF NOT EXISTS $table $on_cluster
(
    task UInt64, agent String, time DateTime('UTC'), resolution UInt32, rounds UInt64, step Float32,
    sent UInt64, received UInt64, flags UInt32, least Float32, greatest Float32,
    pings Array(Float32), counts Array(UInt32)
)
ENGINE = Null

-- name: history_to_rollups
-- A row of an archive is one point at every level: it stands for its own resolution, whatever the level's.
CREATE MATERIALIZED VIEW IF NOT EXISTS $view $on_cluster TO $rollups AS
SELECT
    bin,
    h.task AS task,
    h.agent AS agent,
    toDateTime(intDiv(h.second, bin) * bin, 'UTC') AS time,
    sum(h.rounds) AS rounds,
    max(h.step) AS step,
    sum(h.sent) AS sent,
    sum(h.received) AS received,
    toUInt64(0) AS late,
    toUInt64(0) AS duplicates,
    toUInt64(0) AS reordered,
    toUInt64(0) AS corrupted,
    toUInt64(0) AS errors,
    groupBitOr(h.flags) AS flags,
    min(h.least) AS least,
    max(h.greatest) AS greatest,
    sum(h.total) AS total,
    sum(h.squares) AS squares,
    toFloat64(0) AS jitter_total,
    toUInt64(0) AS jitter_pairs,
    quantilesDDArrayMergeState($accuracy, 0.5)(h.sketch) AS sketch
FROM
(
    SELECT
        s.task AS task,
        s.agent AS agent,
        toUnixTimestamp(s.time) AS second,
        sum(s.rounds) AS rounds,
        max(s.step) AS step,
        sum(s.sent) AS sent,
        sum(s.received) AS received,
        groupBitOr(s.flags) AS flags,
        min(s.least) AS least,
        max(s.greatest) AS greatest,
        sum(arraySum(arrayMap((p, c) -> toFloat64(p) * c, s.pings, s.counts))) AS total,
        sum(arraySum(arrayMap((p, c) -> toFloat64(p) * p * c, s.pings, s.counts))) AS squares,
        quantilesDDArrayState($accuracy, 0.5)(
            arrayFlatten(arrayMap((p, c) -> arrayWithConstant(c, toFloat32(p * 1e9)), s.pings, s.counts))
        ) AS sketch
    FROM $table AS s
    GROUP BY task, agent, second
) AS h
ARRAY JOIN $bins AS bin
GROUP BY bin, task, agent, time

-- name: drop_view
DROP VIEW IF EXISTS $view $on_cluster SYNC

-- name: drop_table
DROP TABLE IF EXISTS $table $on_cluster SYNC

-- name: native
-- When each task was first measured by this agent itself: nothing is brought in from then on.
SELECT task, min(toUnixTimestamp64Nano(time)) AS first
FROM $rounds
WHERE agent = {agent:String} AND task IN {tasks:Array(UInt64)} AND bitAnd(flags, $imported) = 0
GROUP BY task

-- name: native_rollups
SELECT task, toInt64(min(toUnixTimestamp(time))) * 1000000000 AS first
FROM
(
    SELECT task, time, groupBitOr(flags) AS flags
    FROM $rollups
    WHERE bin = 3600 AND agent = {agent:String} AND task IN {tasks:Array(UInt64)}
    GROUP BY task, time
)
WHERE bitAnd(flags, $imported) = 0
GROUP BY task

-- name: brought
-- Bins of a level that hold anything brought in; `bin` is its step.
SELECT task, toInt64(toUnixTimestamp(time)) AS begin
FROM
(
    SELECT task, time, groupBitOr(flags) AS flags
    FROM $rollups
    WHERE bin = {bin:UInt32} AND agent = {agent:String} AND task IN {tasks:Array(UInt64)}
    GROUP BY task, time
)
WHERE bitAnd(flags, $imported) != 0
