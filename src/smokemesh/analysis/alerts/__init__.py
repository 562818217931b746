"""When an alert is to be raised and cleared: patterns, matchers, rules, and the state machine that judges round by round."""
