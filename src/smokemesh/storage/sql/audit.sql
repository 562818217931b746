-- The arithmetic of the store against itself: nothing twice in raw, and every level counts the same.

-- name: tasks
SELECT
    task,
    agent,
    count() AS rounds,
    uniqExact(time) AS distinct,
    toUnixTimestamp64Nano(min(time)) AS first,
    toUnixTimestamp64Nano(max(time)) AS last,
    sum(sent) AS sent,
    sum(received) AS received,
    groupBitOr(flags) AS flags
FROM $table
GROUP BY task, agent
ORDER BY task, agent

-- name: flags
SELECT bit AS flag, countIf(bitTest(flags, bit)) AS rounds
FROM $table ARRAY JOIN range(32) AS bit
GROUP BY bit
ORDER BY bit

-- name: level
SELECT task, agent, sum($rounds) AS rounds, sum(t.sent) AS sent, sum(t.received) AS received
FROM $table AS t
$where
GROUP BY task, agent
ORDER BY task, agent
