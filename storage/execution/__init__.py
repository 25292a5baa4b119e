"""Read what executions run, and write their records, queues and leases."""
