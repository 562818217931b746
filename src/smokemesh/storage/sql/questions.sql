-- What is asked of the store. {name:Type} are values the server binds; $names are filled in by storage.rounds.

-- name: pairs
-- Added where not every task is asked of every agent; the database reads faster without it.
AND (r.task, r.agent) IN
    (SELECT pair.1, pair.2 FROM (SELECT arrayJoin(arrayZip({tasks:Array(UInt64)}, {agents:Array(String)})) AS pair))

-- name: series_raw
-- Bins are whole multiples of the round's own step, so each holds the same number of rounds; a step that is
-- wide enough already is not merged, and the point is the round. Bins lie the same whatever the range is, and only
-- rounds in the range are counted. No step, however strange, is taken for less than a microsecond or more than
-- 366 days. The deviation of nothing would be inf.
WITH
    greatest(toInt64(round(least(r.step, 31622400) * 1000000)) * 1000, 1000) AS step_ns,
    if(step_ns >= {width:Int64}, 0, intDiv({width:Int64} + step_ns - 1, step_ns) * step_ns) AS bin,
    toUnixTimestamp64Nano(r.time) AS begun,
    arrayFilter(x -> NOT isNaN(x), r.rtts) AS answered,
    -- RTTs that came sorted (flag 2048) say nothing of the order in which they were sent.
    if(bitTest(r.flags, 11), [], arrayFilter(
        x -> NOT isNaN(x),
        arrayMap((a, b) -> abs(a - b), arrayPopFront(r.rtts), arrayPopBack(r.rtts))
    )) AS steps
SELECT
    r.task AS task,
    r.agent AS agent,
    if(bin = 0, begun, begun - begun % bin) AS at,
    max(if(bin = 0, step_ns, bin)) AS span,
    count() AS rounds,
    sum(r.sent) AS sent,
    sum(r.received) AS received,
    sum(r.late) AS late,
    sum(r.duplicates) AS duplicates,
    sum(r.reordered) AS reordered,
    sum(r.errors) AS errors,
    groupBitOr(r.flags) AS flags,
    quantilesExactInclusiveArray($quantiles)(answered) AS bands,
    avgArray(answered) AS mean,
    if(isNaN(mean), nan, stddevPopStableArray(answered)) AS deviation,
    avgArray(steps) AS jitter,
    sum(length(steps)) AS pairs
FROM $table AS r
WHERE r.task IN {tasks:Array(UInt64)} AND r.agent IN {agents:Array(String)} $pairs
    AND r.time >= fromUnixTimestamp64Nano({begin:Int64}) AND r.time < fromUnixTimestamp64Nano({end:Int64})
GROUP BY task, agent, at
ORDER BY task, agent, at

-- name: series_rollup
-- `begin`, `end` and `width` are whole bins of the level, in seconds. Where rounds come more rarely than points, a
-- point stands for as many widths as its round lasts.
SELECT
    r.task AS task,
    r.agent AS agent,
    toInt64(intDiv(toUInt32(r.time), {width:UInt32}) * {width:UInt32}) * 1000000000 AS at,
    toInt64({width:UInt32} * greatest(ceil(least(max(r.step), 31622400) / {width:UInt32}), 1)) * 1000000000 AS span,
    sum(r.rounds) AS rounds,
    sum(r.sent) AS sent,
    sum(r.received) AS received,
    sum(r.late) AS late,
    sum(r.duplicates) AS duplicates,
    sum(r.reordered) AS reordered,
    sum(r.errors) AS errors,
    groupBitOr(r.flags) AS flags,
    quantilesDDMerge($accuracy, $quantiles)(r.sketch) AS bands,
    min(r.least) AS least,
    max(r.greatest) AS greatest,
    sum(r.total) AS total,
    sum(r.squares) AS squares,
    sum(r.jitter_total) AS jitter_total,
    sum(r.jitter_pairs) AS pairs
FROM $table AS r
WHERE r.task IN {tasks:Array(UInt64)} AND r.agent IN {agents:Array(String)} $pairs
    AND r.bin = {bin:UInt32}
    AND r.time >= toDateTime({begin:UInt32}, 'UTC')
    AND r.time < toDateTime({end:UInt32}, 'UTC')
GROUP BY task, agent, at
ORDER BY task, agent, at

-- name: latest
-- No tasks means every task.
SELECT
    task,
    agent,
    toUnixTimestamp64Nano(l.time) AS time,
    step,
    sent,
    received,
    arrayReduce('quantileExactInclusive(0.5)', arrayFilter(x -> NOT isNaN(x), rtts)) AS median,
    flags,
    error,
    address
FROM $table AS l FINAL
WHERE l.time >= fromUnixTimestamp64Nano({since:Int64})
    AND (empty({tasks:Array(UInt64)}) OR task IN {tasks:Array(UInt64)})
ORDER BY task, agent

-- name: latest_until
-- Of these alone, the newest round that began at `until` or before: what `latest` no longer knows. A round may
-- begin a step of its own later still, for clocks are never quite alike.
SELECT
    r.task AS task,
    r.agent AS agent,
    max(toUnixTimestamp64Nano(r.time)) AS time,
    argMax(r.step, r.time) AS step,
    argMax(r.sent, r.time) AS sent,
    argMax(r.received, r.time) AS received,
    arrayReduce('quantileExactInclusive(0.5)', arrayFilter(x -> NOT isNaN(x), argMax(r.rtts, r.time))) AS median,
    argMax(r.flags, r.time) AS flags,
    argMax(r.error, r.time) AS error,
    argMax(r.address, r.time) AS address
FROM $table AS r
WHERE r.task IN {tasks:Array(UInt64)} AND r.agent IN {agents:Array(String)} $pairs
    AND r.time >= fromUnixTimestamp64Nano({since:Int64})
    AND toUnixTimestamp64Nano(r.time) <= {until:Int64} + toInt64(least(r.step, 31622400) * 1000000) * 1000
GROUP BY task, agent
ORDER BY task, agent

-- name: rounds
SELECT
    task, toUnixTimestamp64Nano(r.time) AS time, step, sent, received, late, duplicates, reordered, corrupted,
    errors, error, flags, address, rtts
FROM $table AS r
WHERE task = {task:UInt64} AND agent = {agent:String}
    AND r.time >= fromUnixTimestamp64Nano({begin:Int64}) AND r.time < fromUnixTimestamp64Nano({end:Int64})
ORDER BY r.time
LIMIT {points:UInt64}

-- name: held
-- `tasks` and `times` name the rounds, one of each; the bounds alone tell the database which parts to open.
SELECT DISTINCT r.task AS task, toUnixTimestamp64Nano(r.time) AS at
FROM $table AS r
WHERE r.task IN {tasks:Array(UInt64)} AND r.agent = {agent:String}
    AND r.time >= fromUnixTimestamp64Nano({first:Int64}) AND r.time <= fromUnixTimestamp64Nano({last:Int64})
    AND (task, at) IN
    (SELECT pair.1, pair.2 FROM (SELECT arrayJoin(arrayZip({tasks:Array(UInt64)}, {times:Array(Int64)})) AS pair))

-- name: ranking_rounds
-- Every task of every agent over a short range, round by round. Nothing answered gives no least, greatest or median.
WITH arrayFilter(x -> NOT isNaN(x), r.rtts) AS answered
SELECT
    r.task AS task,
    r.agent AS agent,
    count() AS rounds,
    sum(r.sent) AS sent,
    sum(r.received) AS received,
    groupBitOr(r.flags) AS flags,
    quantileExactInclusiveArray(0.5)(answered) AS median,
    minArray(answered) AS least,
    maxArray(answered) AS greatest,
    avgArray(answered) AS mean,
    stddevPopStableArray(answered) AS deviation
FROM $table AS r
WHERE r.time >= fromUnixTimestamp64Nano({begin:Int64}) AND r.time < fromUnixTimestamp64Nano({end:Int64})
GROUP BY task, agent

-- name: ranking_latest
-- The same of the newest round of each that has one in the range.
WITH arrayFilter(x -> NOT isNaN(x), l.rtts) AS answered
SELECT
    task,
    agent,
    toUInt64(1) AS rounds,
    sent,
    received,
    flags,
    arrayReduce('quantileExactInclusive(0.5)', answered) AS median,
    if(empty(answered), nan, arrayMin(answered)) AS least,
    if(empty(answered), nan, arrayMax(answered)) AS greatest,
    arrayAvg(answered) AS mean,
    arrayReduce('stddevPopStable', answered) AS deviation
FROM $table AS l FINAL
WHERE l.time >= fromUnixTimestamp64Nano({begin:Int64}) AND l.time < fromUnixTimestamp64Nano({end:Int64})

-- name: ranking_rollup
-- The same from whole bins of several levels: of level `bins[k]` those from `firsts[k]` up to `lasts[k]`, seconds.
-- Without medians: the sketches they come from are most of what a row takes to read.
SELECT
    r.task AS task,
    r.agent AS agent,
    sum(r.rounds) AS rounds,
    sum(r.sent) AS sent,
    sum(r.received) AS received,
    groupBitOr(r.flags) AS flags,
    min(r.least) AS least,
    max(r.greatest) AS greatest,
    sum(r.total) / received AS mean,
    sqrt(greatest(sum(r.squares) / received - pow(sum(r.total) / received, 2), 0)) AS deviation
FROM $table AS r
WHERE r.bin IN {bins:Array(UInt32)}
    AND r.time >= toDateTime({first:UInt32}, 'UTC') AND r.time < toDateTime({last:UInt32}, 'UTC')
    AND arrayExists(
        (b, f, l) -> r.bin = b AND toUInt32(r.time) >= f AND toUInt32(r.time) < l,
        {bins:Array(UInt32)}, {firsts:Array(UInt32)}, {lasts:Array(UInt32)}
    )
GROUP BY task, agent

-- name: ranking_medians
-- The medians of some of them.
SELECT r.task AS task, r.agent AS agent, quantileDDMerge($accuracy, 0.5)(r.sketch) AS median
FROM $table AS r
WHERE r.task IN {tasks:Array(UInt64)} AND r.agent IN {agents:Array(String)} $pairs
    AND r.bin IN {bins:Array(UInt32)}
    AND r.time >= toDateTime({first:UInt32}, 'UTC') AND r.time < toDateTime({last:UInt32}, 'UTC')
    AND arrayExists(
        (b, f, l) -> r.bin = b AND toUInt32(r.time) >= f AND toUInt32(r.time) < l,
        {bins:Array(UInt32)}, {firsts:Array(UInt32)}, {lasts:Array(UInt32)}
    )
GROUP BY task, agent

-- name: usage_raw
SELECT
    toUInt32(0) AS bin,
    count() AS rows,
    toUnixTimestamp64Nano(min(time)) AS first,
    toUnixTimestamp64Nano(max(time)) AS last
FROM $table

-- name: usage_rollups
SELECT
    bin,
    count() AS rows,
    toInt64(toUnixTimestamp(min(time))) * 1000000000 AS first,
    toInt64(toUnixTimestamp(max(time))) * 1000000000 AS last
FROM $table
GROUP BY bin

-- name: bytes
SELECT table, sum(bytes_on_disk) AS bytes FROM $parts WHERE active AND database = currentDatabase() GROUP BY table

-- name: ping
SELECT 1 AS one
