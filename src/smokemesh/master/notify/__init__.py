"""Telling people: notices from the outbox to mail, programs, webhooks, Slack, Alertmanager and pagers."""
